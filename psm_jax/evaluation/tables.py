"""The tables of an evaluation: scores, their summary, structure of embeddings.

  results = tables.evaluate(feature_tables)
  tables.write(results, workdir / 'evaluation')

docs/evaluation.md says what is computed and what to trust. All tables but the
two summaries and skipped begin with source,model_id,person_id; those of probes
go on with split,direction: 'within', or 'forward' (trained on the first video,
tested on the second) and 'backward' for cross_video.

scores.csv, a row per probe of an action unit:
  au,n_train,n_test,n_positive,base_rate,f1,f1_bootstrap,balanced_accuracy,
  auc,ap,mcc
  n_positive and base_rate are of the test part.
summary.csv, a row per source, split and metric:
  source,split,metric,mean,ci_low,ci_high,num_persons,wins,losses
  A person's value is the mean over that person's rows of scores that have the
  metric, so both directions count alike; mean is over persons. 'f1' and
  'f1_flat' are of f1_bootstrap, as published: the mean over persons
  (M_person), and over all rows (M_flat). The source 'psm - pixel_pca' is a
  paired difference over the rows that both have; wins and losses are the
  persons with a positive and a negative one, and empty for plain sources.
structure.csv, a row per model and person, without the controls of controls.py:
  effective_rank,unit_std,yaw_correlation,pitch_correlation,roll_correlation
intervals.csv, a row per person, probe and metric f1 or auc, au 'mean' for all:
  au,metric,value,ci_low,ci_high,num_blocks
intensity.csv, a row per action unit with graded labels:
  au,n_train,n_test,label_std,alpha,icc,pearson,mse
regression.csv, a row per target yaw, pitch, roll, landmarks:
  target,n_train,n_test,alpha,r2,mae_deg,nme
expressions.csv, a row per probe of classes of expression:
  n_train,n_test,num_classes,num_test_classes,largest_share,accuracy,
  balanced_accuracy,macro_f1
summary_targets.csv, as summary.csv, of the last three.
skipped.csv, a row per person and split without scores, or with scores for some
action units only:
  person_id,split,reason
Empty cells are values that do not exist.
"""

import collections
import concurrent.futures
import dataclasses
import multiprocessing
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import threadpoolctl
import tqdm

from psm_jax import paths
from psm_jax.evaluation import (
  controls,
  expressions,
  features,
  probes,
  regression,
  splits,
  structure,
  summary,
)

_IDS = ('source', 'model_id', 'person_id')
_PLACE = (*_IDS, 'split', 'direction')
SCORE_COLUMNS = (
  *_PLACE,
  'au',
  'n_train',
  'n_test',
  'n_positive',
  'base_rate',
  *probes.METRICS,
)
STRUCTURE_COLUMNS = (
  *_IDS,
  'effective_rank',
  'unit_std',
  *(f'{pose}_correlation' for pose in structure.POSES),
)
SKIPPED_COLUMNS = ('person_id', 'split', 'reason')
# What is collected person by person.
_COLUMNS = {
  'scores': SCORE_COLUMNS,
  'structure': STRUCTURE_COLUMNS,
  'intervals': summary.INTERVAL_COLUMNS,
  'intensity': (*_PLACE, *regression.INTENSITY_COLUMNS),
  'regression': (*_PLACE, *regression.REGRESSION_COLUMNS),
  'expressions': (*_PLACE, *expressions.COLUMNS),
  'skipped': SKIPPED_COLUMNS,
}


@dataclasses.dataclass(frozen=True)
class Results:
  """The tables of an evaluation; columns as in the module's description."""

  scores: pd.DataFrame
  summary: pd.DataFrame
  structure: pd.DataFrame
  skipped: pd.DataFrame
  intervals: pd.DataFrame
  intensity: pd.DataFrame
  regression: pd.DataFrame
  expressions: pd.DataFrame
  summary_targets: pd.DataFrame


def evaluate(
  tables: Sequence[features.FeatureTable],
  *,
  config: probes.ProbeConfig = probes.DEFAULT,
  pairs: Sequence[tuple[str, str]] = summary.PAIRS,
  num_person_resamples: int = 2000,
  num_workers: int = 1,
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
    num_workers: Processes that probe a person each. More than 1 are spawned, so
      a script that calls this needs the guard `if __name__ == '__main__'`.
    show_progress: Show a progress bar over the persons.

  Raises:
    ValueError: If there are no tables, two are of the same source, model and
      person, or those of one person differ in their frames or labels.
  """
  if not tables:
    raise ValueError('There are no feature tables to evaluate.')
  persons = collections.defaultdict(list)
  for table in tables:
    persons[table.person_id].append(table)
  return evaluate_people(
    (persons[person_id] for person_id in sorted(persons)),
    num_people=len(persons),
    config=config,
    pairs=pairs,
    num_person_resamples=num_person_resamples,
    num_workers=num_workers,
    show_progress=show_progress,
  )


def evaluate_people(
  people: Iterable[Sequence[features.FeatureTable]],
  *,
  num_people: int | None = None,
  config: probes.ProbeConfig = probes.DEFAULT,
  pairs: Sequence[tuple[str, str]] = summary.PAIRS,
  num_person_resamples: int = 2000,
  num_workers: int = 1,
  show_progress: bool = True,
) -> Results:
  """Does what `evaluate` does on people who need not be in memory together.

  Args:
    people: The tables of one person after another. They are asked for while
      others are probed, never more than num_workers + 1 ahead.
    num_people: How many there are, for the progress bar.
    config: See evaluate, likewise the others.
    pairs: See evaluate.
    num_person_resamples: See evaluate.
    num_workers: See evaluate.
    show_progress: See evaluate.

  Raises:
    ValueError: See evaluate; also if num_workers is less than 1.
  """
  if num_workers < 1:
    raise ValueError(f'num_workers {num_workers} is less than 1.')
  rows = collections.defaultdict(list)
  for found in tqdm.tqdm(
    _each(people, config, num_workers),
    desc='evaluate',
    total=num_people,
    unit='person',
    disable=not show_progress,
  ):
    for name, own in found.items():
      rows[name] += own
  made = {
    name: pd.DataFrame(rows[name], columns=columns)
    for name, columns in _COLUMNS.items()
  }
  options = {
    'pairs': pairs,
    'num_person_resamples': num_person_resamples,
    'seed': config.seed,
  }
  return Results(
    **made,
    summary=summary.summarise(made['scores'], **options),
    summary_targets=summary.summarise_targets(
      made['intensity'], made['regression'], made['expressions'], **options
    ),
  )


def write(results: Results, directory: str | os.PathLike) -> list[pathlib.Path]:
  """Writes each table of the results as NAME.csv, empty ones too.

  Args:
    results: The tables.
    directory: Made, for its owner alone, if it does not exist. A file of the
      same name is replaced at once or not at all.

  Returns:
    The paths of the files, scores.csv, summary.csv, structure.csv and
    skipped.csv first.
  """
  names = [field.name for field in dataclasses.fields(results)]
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


def _each(people, config, num_workers) -> Iterator[dict[str, list[dict]]]:
  """Yields the rows of every person in the order in which they come."""
  if num_workers == 1:
    for tables in people:
      yield _evaluate_person(tables, config)
    return
  waiting = collections.deque()
  # Not threads: scikit-learn changes the filters of warnings as it fits, which
  # threads share. Not forks: JAX's threads do not survive them.
  with concurrent.futures.ProcessPoolExecutor(
    num_workers, mp_context=multiprocessing.get_context('spawn')
  ) as pool:
    try:
      for tables in people:
        waiting.append(pool.submit(_evaluate_person, tables, config))
        if len(waiting) > num_workers:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      for future in waiting:
        future.cancel()


def _evaluate_person(
  tables: Sequence[features.FeatureTable], config: probes.ProbeConfig
) -> dict[str, list[dict]]:
  """Returns the rows of one person, by the names of _COLUMNS."""
  # The matrices are small: more threads take twice the processor's time.
  with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
    return _probe_person(tables, config)


def _probe_person(tables, config):
  """Returns what _evaluate_person does."""
  seen = set()
  for table in tables:
    if (key := tuple(_ids(table).values())) in seen:
      raise ValueError(f'There are two feature tables of {key}.')
    seen.add(key)
  tables = _aligned(tables)
  rows = collections.defaultdict(list)
  rows['structure'] = [
    {**_ids(table), **structure.describe(table, config=config)}
    for table in tables
    if not controls.is_control(table.source)
  ]
  for name in config.splits:
    reasons = [
      *_probe_units(tables, name, config, rows),
      *_probe_expressions(tables, name, config, rows),
    ]
    rows['skipped'] += [
      {'person_id': tables[0].person_id, 'split': name, 'reason': reason}
      for reason in reasons
    ]
  return dict(rows)


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
  units = splits.action_unit_columns(first.frames)
  columns = ['video_id', 'frame', 'time_s', *units]
  columns += [
    column
    for column in (*regression.target_columns(first.frames), expressions.COLUMN)
    if column in first.frames and column in second.frames
  ]
  what = None
  if len(first.frames) != len(second.frames):
    what = f'{len(first.frames)} and {len(second.frames)} frames'
  elif units != splits.action_unit_columns(second.frames):
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


def _probe_units(tables, name, config, rows) -> list[str]:
  """Adds a person's action units, head pose and landmarks on one split.

  Head pose and landmarks are asked on the action units' frames or, where there
  are none, on frames split by the targets themselves.

  Returns:
    Why action units are missing.
  """
  frames = _with_held_out(tables)
  labels = splits.action_unit_labels(frames, threshold=config.threshold)
  reasons, parts = {}, []
  try:
    parts = _splits(name, frames, labels, config)
  except splits.Impossible as reason:
    reasons[str(reason)] = None
  targets = regression.target_columns(frames)
  target_parts = parts
  if targets and not parts:
    halves = splits.halves(frames[targets[:3]])
    target_parts = _splits_or_none(name, frames, halves, config)
  for table in tables:
    for part in parts or target_parts:
      place = {**_ids(table), 'split': name, 'direction': part.direction}
      options = {'config': config, 'prepared': None}
      if table.source != features.NEAREST_IN_TIME:
        options['prepared'] = probes.prepare_split(table, part, config=config)
      units = part.action_units if parts else ()
      intensity, targeted = regression.score(
        table, part, units=units, **options
      )
      rows['intensity'] += [{**place, **row} for row in intensity]
      rows['regression'] += [{**place, **row} for row in targeted]
      if not parts:
        continue
      decisions, impossible = probes.decide(table, labels, part, **options)
      found = {
        'scores': [probes.score_row(d, config=config) for d in decisions],
        'intervals': summary.within_person(decisions, frames, config=config),
      }
      for kind, own in found.items():
        rows[kind] += [{**place, **row} for row in own]
      reasons |= {
        f'{au} has one class in the training part or no test frame '
        f'({part.direction})': None
        for au in impossible
      }
  return list(reasons)


def _probe_expressions(tables, name, config, rows) -> list[str]:
  """Adds a person's classes of expression on one split, if there are any.

  Returns:
    Why they are missing.
  """
  frames = _with_held_out(tables)
  classes = expressions.classes(frames)
  if not (classes != '').any():
    return []
  labels = expressions.as_labels(classes)
  try:
    parts = _splits(name, frames, labels, config, min_base_rate=0.0)
  except splits.Impossible as reason:
    return [f'expressions: {reason}'.replace('action-unit labels', 'labels')]
  missing = False
  for table in tables:
    for part in parts:
      row = expressions.probe(table, classes, part, config=config)
      if row is not None:
        place = {**_ids(table), 'split': name, 'direction': part.direction}
        rows['expressions'].append({**place, **row})
      missing |= row is None and table.source != features.NEAREST_IN_TIME
  return ['expressions: one class in the training part'] if missing else []


def _splits(name, frames, labels, config, *, min_base_rate=None):
  """Returns splits.make_splits as the configuration has it."""
  if min_base_rate is None:
    min_base_rate = config.min_base_rate
  return splits.make_splits(
    name,
    frames,
    labels,
    min_base_rate=min_base_rate,
    guard_s=config.guard_s,
    seed=config.seed,
  )


def _splits_or_none(name, frames, labels, config):
  """Returns the splits, [] if they are impossible."""
  try:
    return _splits(name, frames, labels, config, min_base_rate=0.0)
  except splits.Impossible:
    return []


def _with_held_out(tables) -> pd.DataFrame:
  """Returns the frames of a person; held out are those that no model saw."""
  frames = tables[0].frames
  held_out = np.ones(len(frames), bool)
  for table in tables:
    if splits.HELD_OUT in table.frames:
      held_out &= (table.frames[splits.HELD_OUT] == 1).to_numpy()
    else:
      held_out[:] = False
  return frames.assign(**{splits.HELD_OUT: held_out.astype(np.float64)})


def _ids(table: features.FeatureTable) -> dict[str, str]:
  """Returns what a table is called in the results."""
  return {
    'source': table.source,
    'model_id': table.model_id,
    'person_id': table.person_id,
  }
