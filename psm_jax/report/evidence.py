"""What a page is made from: a run, or a comparison, read the same way.

  read = evidence.read('runs/first', max_people=12)

A run is a comparison of its trained weights with their controls. Both are the
tables of evaluation/results.py; launch.compare adds approaches.csv, costs.csv
and omitted.csv. Tables that are not there have no rows.
"""

import dataclasses
import datetime
import functools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from psm_jax.data import store as store_lib
from psm_jax.discovery import maps
from psm_jax.evaluation import features, results, splits
from psm_jax.report import (
  formats,
  movement,
  reading,
  run as report_run,
  sources,
)

_TRAIN = ('python -m launch.train --config=... --workdir=...',)
_EVALUATE = (
  'python -m launch.embed --workdir=...',
  'python -m launch.evaluate --workdir=...',
)
_COMPARE = ('python -m launch.compare --run=NAME=WORKDIR ... --out=...',)
# Table: the columns it must have, those that it may have.
_TABLES = {
  'results': (results.COLUMNS[:8], results.COLUMNS[8:]),
  'summary': (results.SUMMARY_COLUMNS, ()),
  'skipped': (('person_id', 'split', 'reason'), ()),
  'costs': (('approach', 'model_id', 'status', 'starts_from'), ()),
  'omitted': (('approach', 'person_id', 'num_frames', 'reason'), ()),
}
_CELL = ['person_id', 'direction', 'draw', 'target']
_PAIR = ['first', 'second', 'split', 'target', 'metric']


@dataclasses.dataclass(frozen=True)
class Evidence:
  """A run or a comparison in memory.

  Attributes:
    folder: Where it is.
    sources: A row a source, approaches before controls, the best AUC first.
    results: A row a value, see evaluation/results.py.
    summary: Means over persons, and paired differences both ways.
    skipped: Persons without scores and why.
    costs: A row a model of a comparison.
    omitted: Frames that not every approach of a comparison has.
    run: How models were trained; None of a comparison.
    movement: Its embeddings, to be drawn.
    maps: Maps of a comparison's embeddings.
    pictures: Pictures by model_id; None to show no face.
    store: The run's frames, if faces may be shown.
    max_people: Of whom there are films, maps, strips and pictures.
    written: When each file that exists was last written, in UTC.
  """

  folder: pathlib.Path
  sources: pd.DataFrame
  results: pd.DataFrame
  summary: pd.DataFrame
  skipped: pd.DataFrame
  costs: pd.DataFrame
  omitted: pd.DataFrame
  run: report_run.Run | None
  movement: movement.Movement
  maps: Sequence[maps.Maps]
  pictures: Mapping[str, Any] | None
  store: store_lib.FrameStore | None
  max_people: int
  written: dict[str, datetime.datetime]

  @property
  def controls(self) -> list[str]:
    """The controls, the best first."""
    return list(self.sources.index[self.sources['kind'] == sources.CONTROL])

  @property
  def approaches(self) -> list[str]:
    """What is no control, the best first."""
    return [n for n in self.sources.index if n not in self.controls]

  @property
  def baseline(self) -> str:
    """The approach to which differences are taken."""
    names = self.sources.index[self.sources['is_baseline']]
    return names[0] if len(names) else features.TRAINED

  @property
  def names(self) -> list[str]:
    """All sources, the baseline first, then approaches, then controls."""
    return list(dict.fromkeys([self.baseline, *self.sources.index]))

  @property
  def splits(self) -> list[str]:
    """The splits on which anything was scored, the one that asks most first."""
    rows = self.summary[self.summary['target'] == results.ACTION_UNITS]
    names = set(rows.loc[rows['metric'] == 'auc', 'split'])
    return [split for split in formats.SPLITS if split in names]

  @property
  def split(self) -> str:
    """The split that asks most; cross_video if nothing was scored."""
    return (self.splits or list(formats.SPLITS))[0]

  @functools.cached_property
  def units(self) -> list[str]:
    """The action units, or weak labels, that were probed."""
    targets = self.results['target'].drop_duplicates()
    return sorted(targets[targets.str.match(splits.UNIT)])

  @property
  def is_weak(self) -> bool:
    """Whether nobody coded the labels: they are blendshapes."""
    return any(map(formats.is_weak, self.units or self.movement.units))

  @property
  def unit(self) -> str:
    """What a label is called in a sentence."""
    return 'weak label' if self.is_weak else 'action unit'

  @property
  def is_unlabelled(self) -> bool:
    """Whether nobody expects scores: of a run whose frames nobody labelled."""
    is_scored = len(self.results) or not self.movement.tables
    return not is_scored and not self.movement.has_labels

  @property
  def missing(self) -> list[tuple[str, str, Sequence[str]]]:
    """(file, 'is missing' or 'is empty', commands) of what is not there."""
    wanted = {'results.csv': self.results, 'summary.csv': self.summary}
    place, how, trained = '', _COMPARE, {}
    if self.run is not None:
      place, how, run = 'evaluation/', _EVALUATE, self.run
      trained = {'config.json': run.config, 'models.json': run.models}
      trained['metrics.csv'] = run.metrics
    if self.is_unlabelled:
      wanted = {}
    wanted = [(f'{place}{name}', table, how) for name, table in wanted.items()]
    wanted += [(name, content, _TRAIN) for name, content in trained.items()]
    return [
      (name, 'is empty' if name in self.written else 'is missing', commands)
      for name, content, commands in wanted
      if not len(content)
    ]

  def values(
    self, target: str, metric: str, split: str | None, *, second: str = ''
  ) -> pd.DataFrame:
    """Returns rows of the summary by their first source.

    Args:
      target: What was asked.
      metric: How it is judged.
      split: The split; None takes the one that asks most of those there are.
      second: The source that is taken away, '' for none.
    """
    rows = self.summary[self.summary['second'] == second]
    rows = _at(rows, [target], metric, split).set_index('first')
    return rows.loc[[name for name in self.names if name in rows.index]]

  def less_baseline(self, metric: str, split: str) -> pd.DataFrame:
    """Returns each source less the baseline in action units, see `values`."""
    asked = results.ACTION_UNITS, metric, split
    return self.values(*asked, second=self.baseline)

  def persons(
    self, target: str, metric: str, split: str | None, *, by_model: bool = False
  ) -> pd.DataFrame:
    """Returns each person's mean over rows of results, a column a source.

    Args:
      target: What was asked; 'action_units' for the mean of all.
      metric: How it is judged.
      split: See `values`.
      by_model: Keep a person's models apart.
    """
    targets = self.units if target == results.ACTION_UNITS else [target]
    index = ['person_id', 'model_id'] if by_model else ['person_id']
    rows = _at(self.results, targets, metric, split)
    table = rows.pivot_table('value', index, 'source')
    return table[[name for name in self.names if name in table]]

  def person_differences(self, metric: str, split: str) -> pd.DataFrame:
    """Returns each person's difference to the baseline, as it is paired."""
    rows = _at(self.results, self.units, metric, split)
    cells = rows.pivot_table('value', _CELL, 'source')
    if self.baseline not in cells:
      return pd.DataFrame()
    less = cells.drop(columns=self.baseline)
    return less.sub(cells[self.baseline], axis=0).groupby('person_id').mean()


def turn(rows: pd.DataFrame) -> pd.DataFrame:
  """Returns b - a for rows of a summary on a - b."""
  ends = {'ci_low': -rows['ci_high'], 'ci_high': -rows['ci_low']}
  wins = {'wins': rows['losses'], 'losses': rows['wins']}
  return rows.assign(mean=-rows['mean'], **ends, **wins)


def read(
  folder: str | os.PathLike,
  *,
  maps: Sequence[maps.Maps] = (),
  pictures: Mapping[str, Any] | None = None,
  store: store_lib.FrameStore | None = None,
  max_people: int,
) -> Evidence:
  """Reads a run, or the folder of a comparison.

  Args:
    folder: A run directory, or the --out of launch.compare.
    maps: See Evidence, likewise the others.
    pictures: Of models of the run.
    store: The run's frames.
    max_people: Of whom pictures are shown.

  Raises:
    ValueError: If folder is no directory, a file in it cannot be read or says
      too little, or maps or pictures are of nothing in it; names the file.
  """
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    raise ValueError(
      f'{folder} is not a directory. Give the --workdir of launch.train, or '
      'the --out of launch.compare.'
    )
  is_run = not (folder / sources.APPROACHES).is_file()
  place = 'evaluation/' if is_run else ''
  paths = {name: f'{place}{name}.csv' for name in _TABLES}
  tables = {
    name: reading.read_table(folder / paths[name], required, optional=optional)
    for name, (required, optional) in _TABLES.items()
  }
  pairs = turn(tables['summary'][tables['summary']['second'] != ''])
  pairs = pairs.rename(columns={'first': 'second', 'second': 'first'})
  pairs = pd.concat([tables['summary'], pairs])
  tables['summary'] = pairs.drop_duplicates(_PAIR, ignore_index=True)
  first = ['config.json', 'models.json', 'metrics.csv']
  first = first if is_run else [sources.APPROACHES]
  files = [p for p in (*first, *paths.values()) if (folder / p).is_file()]
  written = {
    name: datetime.datetime.fromtimestamp(
      (folder / name).stat().st_mtime, datetime.UTC
    )
    for name in files
  }
  made = Evidence(
    folder=folder,
    sources=sources.of_results(tables['results'])
    if is_run
    else sources.read(folder),
    **tables,
    run=report_run.read(folder) if is_run else None,
    movement=movement.read(folder, max_people=max_people),
    maps=maps,
    pictures=pictures,
    store=store,
    max_people=max_people,
    written=written,
  )
  auc = made.values(results.ACTION_UNITS, 'auc', made.split)['mean']
  order = [*auc.sort_values(ascending=False, kind='stable').index, *made.names]
  order = [n for n in dict.fromkeys(order) if n in made.sources.index]
  order.sort(key=lambda name: name in made.controls)
  made = dataclasses.replace(made, sources=made.sources.loc[order])
  models = [model.model_id for model in made.run.models] if is_run else []
  for what, shown, known, where in (
    ('a map', {one.name for one in maps}, made.approaches, sources.APPROACHES),
    ('pictures', set(pictures or ()), models, 'models.json'),
  ):
    if unknown := sorted(shown.difference(known)):
      raise ValueError(
        f'There is {what} of {formats.listing(unknown)}, which '
        f'{folder / where} does not name: {formats.listing(known)}.'
      )
  return made


def _at(
  table: pd.DataFrame, targets: Sequence[str], metric: str, split: str | None
) -> pd.DataFrame:
  """Returns the rows of a table on some targets, one metric and one split."""
  rows = table[(table['metric'] == metric) & table['target'].isin(targets)]
  if split is None:
    split = (formats.in_order(rows['split'], formats.SPLITS) or [''])[0]
  return rows[rows['split'] == split]
