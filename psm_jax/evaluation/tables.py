"""The tables of an evaluation: scores, their summary, structure of embeddings.

  results = tables.evaluate(feature_tables)
  tables.write(results, workdir / 'evaluation')

scores.csv, a row per probe:
  source,model_id,person_id,split,direction,au,n_train,n_test,n_positive,
  base_rate,f1,f1_bootstrap,balanced_accuracy,auc,ap,mcc
  direction is 'within', or 'forward' (trained on the first video, tested on
  the second) and 'backward' for cross_video. n_positive and base_rate are of
  the test part.
summary.csv, a row per source, split and metric:
  source,split,metric,mean,ci_low,ci_high,num_persons,wins,losses
  A person's value is the mean over that person's rows of scores that have the
  metric, so both directions count alike; mean is over persons. 'f1' and
  'f1_flat' are of f1_bootstrap, as published: the mean over persons
  (M_person), and over all rows (M_flat). The source 'psm - pixel_pca' is a
  paired difference over the rows that both have; wins and losses are the
  persons with a positive and a negative one, and empty for plain sources.
structure.csv, a row per model and person:
  source,model_id,person_id,effective_rank,unit_std,yaw_correlation,
  pitch_correlation,roll_correlation
skipped.csv, a row per person and split without scores, or with scores for some
action units only:
  person_id,split,reason
Empty cells are values that do not exist.
"""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import pandas as pd
import threadpoolctl
import tqdm

from psm_jax import paths
from psm_jax.evaluation import features, probes, splits, structure, summary

SCORE_COLUMNS = (
  'source',
  'model_id',
  'person_id',
  'split',
  'direction',
  'au',
  'n_train',
  'n_test',
  'n_positive',
  'base_rate',
  *probes.METRICS,
)
STRUCTURE_COLUMNS = (
  'source',
  'model_id',
  'person_id',
  'effective_rank',
  'unit_std',
  *(f'{pose}_correlation' for pose in structure.POSES),
)
SKIPPED_COLUMNS = ('person_id', 'split', 'reason')


@dataclasses.dataclass(frozen=True)
class Results:
  """The tables of an evaluation; columns as in the module's description."""

  scores: pd.DataFrame
  summary: pd.DataFrame
  structure: pd.DataFrame
  skipped: pd.DataFrame


def evaluate(
  tables: Sequence[features.FeatureTable],
  *,
  config: probes.ProbeConfig = probes.DEFAULT,
  pairs: Sequence[tuple[str, str]] = summary.PAIRS,
  num_person_resamples: int = 2000,
  show_progress: bool = True,
) -> Results:
  """Probes every source's features for action units, person by person.

  All sources of a person are probed on the same split. A person whom a split
  does not suit (no labels, one video, no action unit active often enough) is
  recorded in skipped with the reason, and the others go on.

  Args:
    tables: Features of any number of sources, models and persons.
    config: How probes are split, fitted and scored.
    pairs: (A, B) sources whose paired differences A - B the summary shows
      where both have scores.
    num_person_resamples: Draws of persons behind the intervals.
    show_progress: Show a progress bar over the persons.

  Raises:
    ValueError: If there are no tables, two are of the same source, model and
      person, or those of one person differ in their frames or labels.
  """
  if not tables:
    raise ValueError('There are no feature tables to evaluate.')
  scores, structures, skipped = [], [], []
  persons = _by_person(tables)
  # The matrices are small: more threads take twice the processor's time.
  with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
    for person_id in tqdm.tqdm(
      sorted(persons),
      desc='evaluate',
      unit='person',
      disable=not show_progress,
    ):
      own_tables = persons[person_id]
      structures += [
        {**_ids(table), **structure.describe(table, config=config)}
        for table in own_tables
      ]
      for name in config.splits:
        rows, reasons = _probe_person(own_tables, name, config)
        scores += rows
        skipped += [
          {'person_id': person_id, 'split': name, 'reason': reason}
          for reason in reasons
        ]
  scores = pd.DataFrame(scores, columns=SCORE_COLUMNS)
  return Results(
    scores=scores,
    summary=summary.summarise(
      scores,
      pairs=pairs,
      num_person_resamples=num_person_resamples,
      seed=config.seed,
    ),
    structure=pd.DataFrame(structures, columns=STRUCTURE_COLUMNS),
    skipped=pd.DataFrame(skipped, columns=SKIPPED_COLUMNS),
  )


def write(results: Results, directory: str | os.PathLike) -> list[pathlib.Path]:
  """Writes scores.csv, summary.csv, structure.csv and skipped.csv.

  Args:
    results: The tables.
    directory: Made, for its owner alone, if it does not exist. A file of the
      same name is replaced at once or not at all.

  Returns:
    The paths of the files.
  """
  names = ('scores', 'summary', 'structure', 'skipped')
  return write_named({n: getattr(results, n) for n in names}, directory)


def write_named(
  named: Mapping[str, pd.DataFrame], directory: str | os.PathLike
) -> list[pathlib.Path]:
  """Writes each table as NAME.csv into a folder, as `write` does."""
  directory = paths.make_private_dir(directory)
  return [
    paths.write_atomic(
      directory / f'{name}.csv',
      table.to_csv(index=False, float_format='%.6g'),
    )
    for name, table in named.items()
  ]


def _by_person(
  tables: Sequence[features.FeatureTable],
) -> dict[str, list[features.FeatureTable]]:
  """Returns each person's tables, checked to hold the same frames."""
  persons = collections.defaultdict(list)
  seen = set()
  for table in tables:
    if (key := tuple(_ids(table).values())) in seen:
      raise ValueError(f'There are two feature tables of {key}.')
    seen.add(key)
    persons[table.person_id].append(table)
  return {
    person_id: _aligned(own_tables) for person_id, own_tables in persons.items()
  }


def _aligned(
  tables: list[features.FeatureTable],
) -> list[features.FeatureTable]:
  """Returns tables with their rows in order of video and frame number."""
  aligned = []
  for table in tables:
    frames = table.frames.reset_index(drop=True)
    frames['video_id'] = frames['video_id'].astype(str)
    frames = frames.sort_values(['video_id', 'frame'])
    aligned.append(
      dataclasses.replace(
        table,
        features=table.features[frames.index],
        frames=frames.reset_index(drop=True),
      )
    )
  for table in aligned[1:]:
    _check_same_frames(aligned[0], table)
  return aligned


def _check_same_frames(
  first: features.FeatureTable, second: features.FeatureTable
) -> None:
  """Raises an error if two tables of a person differ in frames or labels."""
  columns = [
    'video_id',
    'frame',
    'time_s',
    *splits.action_unit_columns(first.frames),
  ]
  what = None
  if len(first.frames) != len(second.frames):
    what = f'{len(first.frames)} and {len(second.frames)} frames'
  elif columns[3:] != splits.action_unit_columns(second.frames):
    what = 'different action-unit columns'
  else:
    for column in columns:
      one, other = first.frames[column], second.frames[column]
      if not ((one == other) | (one.isna() & other.isna())).all():
        what = f'different values of {column}'
  if what:
    raise ValueError(
      f'The tables of person {first.person_id} from {first.source} '
      f'({first.model_id}) and {second.source} ({second.model_id}) have {what}.'
      ' Make all from the same frames, or their scores cannot be compared.'
    )


def _probe_person(
  tables: list[features.FeatureTable], name: str, config: probes.ProbeConfig
) -> tuple[list[dict], list[str]]:
  """Returns the scores of one person on one split and why some are missing."""
  frames = tables[0].frames
  labels = splits.action_unit_labels(frames, threshold=config.threshold)
  try:
    parts = splits.make_splits(
      name,
      frames,
      labels,
      min_base_rate=config.min_base_rate,
      guard_s=config.guard_s,
      seed=config.seed,
    )
  except splits.Impossible as reason:
    return [], [str(reason)]
  rows, reasons = [], {}
  for table in tables:
    for part in parts:
      scored, impossible = probes.probe(table, labels, part, config=config)
      place = {**_ids(table), 'split': name, 'direction': part.direction}
      rows += [{**place, **row} for row in scored]
      reasons |= {
        f'{au} has one class in the training part or no test frame '
        f'({part.direction})': None
        for au in impossible
      }
  return rows, list(reasons)


def _ids(table: features.FeatureTable) -> dict[str, str]:
  """Returns what a table is called in the results."""
  return {
    'source': table.source,
    'model_id': table.model_id,
    'person_id': table.person_id,
  }
