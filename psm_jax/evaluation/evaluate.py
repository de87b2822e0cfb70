"""Scores of embeddings, of a run or of files, and of their controls.

  made = evaluate.evaluate(features.read_files(files, source='lab'))
  evaluate.score('runs/first')

results.py describes the tables.
"""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Mapping, Sequence

import tqdm
from absl import logging

from psm_jax import tasks
from psm_jax.data.labels import weak
from psm_jax.evaluation import (
  controls,
  driven,
  features,
  person,
  person_independent,
  probes,
  results,
  splits,
)

_PEOPLE_A_WORKER = 4
ACROSS = ('auto', 'yes', 'no')


def evaluate(
  tables: Sequence[features.FeatureTable],
  *,
  config: probes.ProbeConfig = probes.DEFAULT,
  workdir: str | os.PathLike | None = None,
  add_controls: bool = True,
  num_workers: int = 1,
  scheduler: str = '',
  show_progress: bool = True,
) -> tuple[list[dict], list[dict]]:
  """Probes every source's features, person by person.

  All sources of a person are probed on the same split. A person whom a split
  does not suit (no labels, one video, no action unit active often enough) is
  recorded in skipped with the reason, and the others go on.

  Args:
    tables: Features of any number of sources, models and persons.
    config: How probes are split, fitted and scored.
    workdir: A run whose controls of the same frames are added, a person at a
      time.
    add_controls: Add the controls of the run, if any, and of the labels.
    num_workers: Processes that probe a person each; 0: one a processor, where
      there are people enough. More than 1 are spawned, so a script that calls
      this needs the guard `if __name__ == '__main__'`.
    scheduler: Address or file of a Dask scheduler whose workers do it, see
      `tasks`; '' for processes of this machine.
    show_progress: Show a progress bar over the persons.

  Returns:
    Rows of results, and of skipped.

  Raises:
    ValueError: If there are no tables, two are of the same source, model and
      person, or those of one person differ in their frames or labels.
  """
  people = features.by_person(tables)
  if not people:
    raise ValueError('There are no feature tables to evaluate.')
  if num_workers == 0:  # As many as repay the seconds in which each starts.
    num_workers = min(tasks.num_cores(), len(people) // _PEOPLE_A_WORKER)
  workdir = workdir and pathlib.Path(workdir).absolute()
  jobs = [
    (people[name], workdir, config, add_controls) for name in sorted(people)
  ]
  done = {}
  # Not by threads: scikit-learn changes the filters of warnings as it fits,
  # which threads share.
  for place, rows, error in tqdm.tqdm(
    tasks.run(
      _person,
      jobs,
      num_workers=num_workers if num_workers > 1 else 0,
      scheduler=scheduler,
    ),
    desc='evaluate',
    total=len(jobs),
    unit='person',
    disable=not show_progress,
  ):
    if error is not None:
      raise error
    done[place] = rows
  made, skipped = zip(*(done[place] for place in sorted(done)), strict=True)
  return sum(made, []), sum(skipped, [])


def score(
  workdir: str | pathlib.Path | None,
  *,
  others: Sequence[features.FeatureTable] = (),
  folder: str | pathlib.Path | None = None,
  config: probes.ProbeConfig = probes.DEFAULT,
  across: str = 'auto',
  folds: Mapping[str, str] | None = None,
  fold_config: person_independent.FoldConfig = person_independent.DEFAULT,
  num_workers: int = 0,
  scheduler: str = '',
  kind: str = weak.CODED,
) -> list[pathlib.Path]:
  """Scores embeddings beside their controls and writes the tables.

  Where frames were held out (a column held_out of 0 and 1) the split 'held_out'
  is added to the default splits.

  Args:
    workdir: A run whose frames have been embedded, or None.
    others: Embeddings of other programs, beside a run of the same frames. A
      column fold says in which fold a person is tested.
    folder: Where the tables go; `workdir`/evaluation by default.
    config: Splits, threshold and classifier.
    across: Whether people are probed across, see person_independent.py: 'yes',
      'no', or 'auto': where one model of the run learned from everybody.
    folds: Person to fold, see person_independent.evaluate.
    fold_config: How people are dealt into folds.
    num_workers: See evaluate.
    scheduler: See evaluate.
    kind: Of the run's labels, see `labels.weak.choose`; of `others` they were
      chosen when they were read.

  Returns:
    The files written: results, scores, summary, person_independent_summary
    and skipped.

  Raises:
    ValueError: If embeddings are missing or unusable, or are of other frames,
      or across is none of ACROSS.
  """
  if across not in ACROSS:
    raise ValueError(f'across is {across!r}; expected one of {ACROSS}.')
  learned = [] if workdir is None else features.read_run(workdir, kind=kind)
  tables = [*learned, *others]
  weak.check([table.frames for table in tables], kind)
  if config.splits == splits.SPLITS and any(
    splits.HELD_OUT in table.frames for table in tables
  ):
    config = dataclasses.replace(config, splits=splits.ALL_SPLITS)
  made, skipped = evaluate(
    tables,
    config=config,
    workdir=workdir,
    num_workers=num_workers,
    scheduler=scheduler,
  )
  if across == 'yes' or (across == 'auto' and _is_general(learned)):
    for part in _sources(tables, learned, workdir):
      scored, reasons = person_independent.evaluate(
        part, config=config, folds=folds, fold_config=fold_config
      )
      made += scored
      skipped += reasons
  else:
    logging.info('People are not probed across: their models are their own.')
  sources = list(dict.fromkeys(table.source for table in tables))
  table = results.table(made)
  is_across = table['split'] == person_independent.SPLIT
  return results.write(
    {
      'results': table,
      'scores': results.wide(table),
      'summary': results.summarise(
        table[~is_across],
        pairs=[
          *itertools.product(sources, features.CONTROLS),
          *itertools.combinations(sources, 2),
        ],
      ),
      'skipped': results.skipped(skipped),
      'person_independent_summary': person_independent.summarise(table),
    },
    folder or pathlib.Path(workdir) / 'evaluation',
  )


def _is_general(learned) -> bool:
  """Tells whether every model learned from everybody."""
  models, people = (
    {getattr(table, name) for table in learned}
    for name in ('model_id', 'person_id')
  )
  # There is one table for each model and person.
  return len(people) > 1 and len(learned) == len(models) * len(people)


def _sources(tables, learned, workdir):
  """Yields the tables of some sources, so that not all are in memory."""
  yield tables
  if learned:
    for source in (features.RANDOM_ENCODER, features.PIXEL_PCA):
      yield features.controls(workdir, learned, sources=[source])
  yield [
    control
    for table in features.one_a_person(tables).values()
    for control in controls.from_labels(table)
    if control.source == features.HEAD_POSE
  ]


def _person(job, report):
  """Returns the rows of one person, with the controls; a task."""
  del report
  tables, workdir, config, add_controls = job
  if not add_controls:
    return person.evaluate(tables, config=config)
  made = features.controls(workdir, tables) if workdir else []
  scored, reasons = person.evaluate(
    [*tables, *made, *controls.from_labels(tables[0])], config=config
  )
  pixels = {table.source: table for table in made}.get(features.PIXEL_PCA)
  for table in tables if workdir else ():
    if table.source == features.TRAINED:
      scored += driven.score(workdir, table, pixels, config=config)
  return scored, reasons
