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

import pandas as pd
import tqdm

from psm_jax import paths, stopping
from psm_jax.evaluation import (
  expressions,
  features,
  intervals,
  person_dependent,
  probes,
  regression,
  scores,
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
  *scores.METRICS,
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
  'intervals': intervals.COLUMNS,
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
  return write_named(vars(results), directory)


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
      yield person_dependent.evaluate(tables, config=config)
    return
  waiting = collections.deque()
  # Not threads: scikit-learn changes the filters of warnings as it fits, which
  # threads share. Not forks: JAX's threads do not survive them.
  with concurrent.futures.ProcessPoolExecutor(
    num_workers,
    mp_context=multiprocessing.get_context('spawn'),
    initializer=stopping.begin_worker,
  ) as pool:
    try:
      for tables in people:
        waiting.append(
          pool.submit(person_dependent.evaluate, tables, config=config)
        )
        if len(waiting) > num_workers:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      for future in waiting:
        future.cancel()
