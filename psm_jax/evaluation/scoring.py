"""Scores of embeddings, of a run or of files, and of their controls."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from absl import logging

from psm_jax import embedding
from psm_jax.data import labels
from psm_jax.discovery import search
from psm_jax.evaluation import (
  controls,
  features,
  person_independent,
  probes,
  splits,
  summary,
  tables,
)

_PEOPLE_A_WORKER = 4
PERSON_INDEPENDENT = ('auto', 'yes', 'no')


@dataclasses.dataclass(frozen=True)
class Across:
  """Whether and how people are probed across, see person_independent.py.

  Attributes:
    when: 'yes', 'no', or 'auto': where one model learned from everybody.
    folds: Person to fold, or None.
    config: How people are dealt into folds.

  Raises:
    ValueError: If `when` is none of PERSON_INDEPENDENT.
  """

  when: str = 'auto'
  folds: Mapping[str, str] | None = None
  config: person_independent.FoldConfig = person_independent.DEFAULT

  def __post_init__(self):
    if self.when not in PERSON_INDEPENDENT:
      raise ValueError(f'{self.when!r} should be one of {PERSON_INDEPENDENT}.')


AUTO = Across()


def score_run(
  workdir: str | pathlib.Path,
  *,
  config: probes.ProbeConfig = probes.DEFAULT,
  across: Across = AUTO,
  others: Sequence[features.FeatureTable] = (),
  num_workers: int = 0,
) -> list[pathlib.Path]:
  """Scores a run's embeddings beside the controls and writes the tables.

  Where the run held frames out (train.validation_share), the split 'held_out'
  is added to the default splits.

  Args:
    workdir: A run whose frames have been embedded.
    config: Splits, threshold and classifier.
    across: Whether people are probed across.
    others: Embeddings of other programs of the same frames.
    num_workers: Processes that probe a person each; 0: one a processor, where
      there are people enough.

  Returns:
    The files written, in `workdir`/evaluation.

  Raises:
    ValueError: If the embeddings are missing or unusable, or do not belong to
      the run's frames.
  """
  trained = embedding.Trained(workdir)
  scored = _Run(trained, features.read_embeddings(trained.run.workdir))
  if scored.holds_out and config.splits == splits.SPLITS:
    config = dataclasses.replace(config, splits=splits.ALL_SPLITS)
  return _score(
    scored,
    others,
    trained.run.workdir / 'evaluation',
    config=config,
    across=across,
    num_workers=num_workers,
  )


def score_tables(
  given: Sequence[features.FeatureTable],
  folder: str | pathlib.Path,
  *,
  config: probes.ProbeConfig = probes.DEFAULT,
  across: Across = AUTO,
  num_workers: int = 0,
) -> list[pathlib.Path]:
  """Scores embeddings of other programs beside the controls of their labels.

  Args:
    given: From read_tables; sources beside one another must be of the same
      frames. A column held_out of 0 and 1 allows the split of that name, and a
      column fold says in which fold a person is tested.
    folder: Where the tables go.
    config: See score_run, likewise the others.
    across: See score_run.
    num_workers: See score_run.

  Returns:
    The files written.

  Raises:
    ValueError: If sources of one person differ in their frames or labels.
  """
  has_held_out = any(splits.HELD_OUT in table.frames for table in given)
  if has_held_out and config.splits == splits.SPLITS:
    config = dataclasses.replace(config, splits=splits.ALL_SPLITS)
  return _score(
    None,
    given,
    pathlib.Path(folder),
    config=config,
    across=across,
    num_workers=num_workers,
  )


def read_tables(named: Sequence[str]) -> list[features.FeatureTable]:
  """Reads embeddings that another program wrote.

  Args:
    named: 'SOURCE=FILE' of Parquet or CSV files, see search.read_tables;
      several files of one source are read together. Labels may be called as in
      labels.column_name: au1, AU01_r, yaw.

  Raises:
    ValueError: If an entry is not of that form, or see search.read_tables.
  """
  files = collections.defaultdict(list)
  for entry in named:
    source, equals, path = entry.partition('=')
    if not (source and equals and path):
      raise ValueError(
        f'{entry!r} should be NAME=FILE, e.g. lab=lab/a.parquet.'
      )
    files[source].append(path)
  return [
    dataclasses.replace(
      table, frames=table.frames.rename(columns=labels.column_name)
    )
    for source, paths in files.items()
    for table in search.read_tables(paths, source=source)
  ]


class _Run:
  """A run's embeddings, and its controls where they are asked for."""

  def __init__(self, trained, learned):
    self._trained = trained
    self._index_of = {
      model.model_id: index for index, model in enumerate(trained.run.models)
    }
    self.holds_out = trained.run.config.train.validation_share > 0
    self.learned = [self._with_held_out(table) for table in learned]

  def is_general(self) -> bool:
    """Tells whether every model learned from everybody."""
    people = {table.person_id for table in self.learned}
    cohorts = [set(model.cohort) for model in self._trained.run.models]
    return len(people) > 1 and all(cohort >= people for cohort in cohorts)

  def random_encoder(self, table):
    """Returns the same frames embedded by the weights the model began with."""
    return dataclasses.replace(
      table,
      source=features.RANDOM_ENCODER,
      features=self._trained.embed_untrained(
        self._index_of[table.model_id], _rows(self._trained, table)
      ),
    )

  def pixels(self, table):
    """Returns the same frames as grey pixels."""
    return controls.pixel_table(table, self._trained.store)

  def _with_held_out(self, table):
    """Returns a table that knows which frames its model never saw."""
    rows = _rows(self._trained, table)
    if not self.holds_out:
      return table
    plan = self._trained.plans[self._index_of[table.model_id]]
    held_out = unseen(np.asarray(plan.rows), rows)
    frames = table.frames.assign(**{splits.HELD_OUT: held_out * 1.0})
    return dataclasses.replace(table, frames=frames)


def unseen(seen: np.ndarray, rows: np.ndarray) -> np.ndarray:
  """Returns which rows of a frame store a model never learned from.

  Args:
    seen: Rows of its training plan, sampling.Plan.rows.
    rows: [n] int.

  Returns:
    [n] bool.
  """
  return ~np.isin(rows, seen)


def _score(scored, others, folder, *, config, across, num_workers):
  """Writes all tables of a run, of other tables, or of both."""
  learned = scored.learned if scored else []
  people = collections.defaultdict(list)
  for table in (*learned, *others):
    people[table.person_id].append(table)
  if not people:
    raise ValueError('There are no embeddings to score.')
  sources = list(dict.fromkeys(table.source for table in (*learned, *others)))
  pairs = [(s, control) for s in sources for control in summary.CONTROLS]
  pairs += [(a, b) for i, a in enumerate(sources) for b in sources[i + 1 :]]
  results = tables.evaluate_people(
    _with_controls(scored, people),
    num_people=len(people),
    config=config,
    pairs=pairs,
    num_workers=num_workers or _workers(len(people)),
  )
  made = dict(vars(results))
  wanted = across.when == 'yes' or (
    across.when == 'auto' and scored is not None and scored.is_general()
  )
  if not wanted:
    logging.info('People are not probed across: their models are their own.')
  found = _across(scored, learned, others, config, across) if wanted else []
  for name, columns in person_independent.COLUMNS.items():
    new = [own[name] for own in found if len(own[name])]
    old = [made[name]] if name in made and len(made[name]) else []
    empty = pd.DataFrame(columns=columns)
    made[name] = pd.concat([*old, *new]) if old or new else empty
  return tables.write_named(made, folder)


def _workers(num_people) -> int:
  """Returns how many processes repay the seconds in which each starts."""
  return max(1, min(os.cpu_count() or 1, num_people // _PEOPLE_A_WORKER))


def _with_controls(scored, people) -> Iterator[list[features.FeatureTable]]:
  """Yields the tables of one person after another, controls made by then."""
  learned = {id(table) for table in scored.learned} if scored else set()
  for person_id in sorted(people):
    own, pixels = list(people[person_id]), None
    for table in people[person_id]:
      if id(table) in learned:
        pixels = pixels or scored.pixels(table)
        own.append(scored.random_encoder(table))
        own.append(dataclasses.replace(pixels, model_id=table.model_id))
        own += controls.from_labels(table)
    yield own if pixels else [*own, *controls.from_labels(own[0])]


def _across(scored, learned, others, config, across):
  """Returns what person_independent makes of one source after another."""
  makers = [lambda: [*learned, *others]]
  first, labelled = (
    list({table.person_id: table for table in reversed(given)}.values())
    for given in (learned, [*learned, *others])
  )
  if scored is not None:
    makers.append(lambda: [scored.random_encoder(t) for t in learned])
    makers.append(lambda: [scored.pixels(t) for t in first])
  makers.append(
    lambda: [
      control
      for table in labelled
      for control in controls.from_labels(table)
      if control.source == features.HEAD_POSE
    ]
  )
  return [
    person_independent.evaluate(
      make(), config=config, folds=across.folds, fold_config=across.config
    )
    for make in makers
  ]


def _rows(trained, table):
  """Returns the rows of the store that a table of embeddings describes."""
  rows = np.concatenate(
    [
      np.arange(video.start, video.stop)
      for video in trained.store.videos(table.person_id)
    ]
  )
  keys = ['video_id', 'frame']
  described = trained.store.index.iloc[rows][keys].reset_index(drop=True)
  if not described.equals(table.frames[keys].reset_index(drop=True)):
    raise ValueError(
      f'The embeddings of {table.model_id} and {table.person_id} are not of '
      'the frames that the run uses now. Embed again: python -m launch.embed '
      f'--workdir={trained.run.workdir}'
    )
  return rows
