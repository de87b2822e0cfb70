"""What the folder of a comparison says, checked and in the page's order.

  found = comparison.read('runs/comparison')

launch.compare writes the folder; psm_jax/evaluation/compare.py describes its
tables. Tables that are not there are empty.
"""

import dataclasses
import datetime
import functools
import os
import pathlib

import pandas as pd

from psm_jax.report import findings, formats, reading

APPROACHES = 'approaches.csv'
CONTROL = 'control'
_METRICS = ('auc', 'f1')
_ENDS = ('_ci_low', '_ci_high')
_SCORES = tuple(
  f'{metric}_{split}{ending}'
  for metric in _METRICS
  for split in formats.SPLITS
  for ending in ('', *_ENDS, '_seed_sd')
)
# Table: the columns it must have, those that it may have.
_COLUMNS = {
  APPROACHES: (
    ('approach', 'kind', 'is_baseline'),
    (
      'num_persons',
      'num_models',
      'num_seeds',
      'has_shared_coordinates',
      *_SCORES,
      *(
        f'{name}{end}'
        for name in ('identity', 'pose_r2', 'retrieval', 'ami')
        for end in ('', *_ENDS)
      ),
      'identity_chance',
      'identity_nearest',
      'identity_centred',
      'pose_mae_deg',
      'pose_mae_mean_deg',
      'retrieval_centred',
      'aligned_r2',
      'aligned_r2_identity',
      'aligned_r2_random',
      'aligned_retrieval',
      'ami_difference',
      'ami_difference_ci_low',
      'ami_difference_ci_high',
      'steps',
      'steps_per_model',
      'examples',
      'images',
      'seconds',
      'note',
    ),
  ),
  'scores.csv': (reading.SCORES[:5], reading.SCORES[5:]),
  'summary.csv': (reading.SUMMARY, ()),
  'costs.csv': (
    ('approach', 'model_id', 'steps', 'images', 'seconds'),
    ('num_people', 'starts_from', 'status', 'examples', 'num_frames'),
  ),
  'omitted.csv': (('approach', 'person_id', 'num_frames', 'reason'), ()),
  'skipped.csv': (('person_id', 'split', 'reason'), ()),
}
FILES = tuple(_COLUMNS)


@dataclasses.dataclass(frozen=True)
class Comparison:
  """A comparison in memory.

  Attributes:
    name: The folder's own name.
    approaches: A row an approach, the best AUC on `split` first, then a row a
      control in the same order; see compare.py. Index: the names.
    scores: A row a probe, of approaches and controls.
    summary: Means over persons, and paired differences.
    costs: A row a model.
    omitted: Frames that not every approach has.
    skipped: Persons without scores and why.
    written: When each file that exists was last written, in UTC.
  """

  name: str
  approaches: pd.DataFrame
  scores: pd.DataFrame
  summary: pd.DataFrame
  costs: pd.DataFrame
  omitted: pd.DataFrame
  skipped: pd.DataFrame
  written: dict[str, datetime.datetime]

  @property
  def splits(self) -> list[str]:
    """The splits on which anything was scored, the one that asks most first."""
    return _splits(self.approaches)

  @property
  def split(self) -> str:
    """The split that asks most; cross_video if nothing was scored."""
    return (self.splits or list(formats.SPLITS))[0]

  @property
  def is_control(self) -> pd.Series:
    """Whether a row of approaches is a control."""
    return self.approaches['kind'] == CONTROL

  @property
  def names(self) -> list[str]:
    """The approaches, the best first."""
    return list(self.approaches.index[~self.is_control])

  @property
  def controls(self) -> list[str]:
    """The controls, the best first."""
    return list(self.approaches.index[self.is_control])

  @property
  def baseline(self) -> str:
    """The approach to which differences are taken."""
    return self.approaches.index[self.approaches['is_baseline'] == 'True'][0]

  @functools.cached_property
  def differences(self) -> dict[tuple[str, str, str], findings.Difference]:
    """Differences of others less the baseline by (name, metric, split)."""
    found = {}
    for d in findings.differences(self.summary):
      if d.other == self.baseline:
        found[d.first, d.metric, d.split] = d
      elif d.first == self.baseline and d.other in self.controls:
        found[d.other, d.metric, d.split] = turned(d)
    return found

  def has(self, *columns: str) -> bool:
    """Returns whether some approach has a value in one of these columns."""
    return bool(self.approaches[list(columns)].notna().any(axis=None))


def turned(difference: findings.Difference) -> findings.Difference:
  """Returns b - a for a - b."""
  d = difference
  return dataclasses.replace(
    d,
    source=f'{d.other} - {d.first}',
    mean=-d.mean,
    low=-d.high,
    high=-d.low,
    wins=d.losses,
    losses=d.wins,
  )


def read(directory: str | os.PathLike) -> Comparison:
  """Reads the folder of a comparison.

  Args:
    directory: The --out of launch.compare. All but approaches.csv may be
      missing.

  Raises:
    ValueError: If approaches.csv is missing, empty or has not one baseline, or
      a table lacks a column or cannot be read; names the file.
  """
  directory = pathlib.Path(directory)
  path = directory / APPROACHES
  if not path.is_file():
    raise ValueError(
      f'{directory} has no {APPROACHES}. Give the --out of launch.compare.'
    )
  tables = {
    name: reading.read_table(directory / name, required, optional=optional)
    for name, (required, optional) in _COLUMNS.items()
  }
  approaches = tables[APPROACHES]
  _check(path, approaches)
  order = (_splits(approaches) or list(formats.SPLITS))[0]
  approaches = approaches.assign(is_last=approaches['kind'] == CONTROL)
  approaches = approaches.sort_values(
    ['is_last', f'auc_{order}'], ascending=[True, False], kind='stable'
  )
  return Comparison(
    name=directory.resolve().name,
    approaches=approaches.drop(columns='is_last').set_index('approach'),
    scores=reading.unit_scores(tables['scores.csv']),
    summary=reading.unit_summary(tables['summary.csv']),
    costs=tables['costs.csv'],
    omitted=tables['omitted.csv'],
    skipped=tables['skipped.csv'],
    written=reading.written(directory, FILES),
  )


def _check(path: pathlib.Path, approaches: pd.DataFrame) -> None:
  """Raises a ValueError for a table of approaches that says too little."""
  names = approaches['approach']
  if twice := sorted(set(names[names.duplicated()])):
    raise ValueError(
      f'{path} names {formats.listing(twice)} more than once. Make it again '
      'with launch.compare.'
    )
  number = int((approaches['is_baseline'] == 'True').sum())
  if number != 1:
    raise ValueError(
      f'{path} has {number} rows whose is_baseline is True, expected 1. Make '
      'it again with launch.compare.'
    )


def _splits(approaches: pd.DataFrame) -> list[str]:
  """Returns the splits that have an AUC."""
  return [s for s in formats.SPLITS if approaches[f'auc_{s}'].notna().any()]
