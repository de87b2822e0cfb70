"""The frames of all people of one model, and probes of some by the others.

N frames, P persons, D features, A action units.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from psm_jax.evaluation import (
  coordinates,
  expressions,
  features,
  logistic,
  probes,
  splits,
)

_CHUNK = 20_000  # Test frames prepared at once; bounds the memory.


@dataclasses.dataclass(frozen=True)
class Pool:
  """The N frames of all people of one model, person after person.

  Features stay in their tables, because together they may be large.

  Attributes:
    source: Where the features come from.
    model_id: The model that made them.
    tables: One a person, in order of person_id.
    start: [P + 1] int, first frame of each person, then N.
    person: [N] int, index of the person.
    labels: [N, A], 1 active, 0 not, NaN unknown.
    classes: [N] str, classes of expression, '' unknown.
  """

  source: str
  model_id: str
  tables: list[features.FeatureTable]
  start: np.ndarray
  person: np.ndarray
  labels: pd.DataFrame
  classes: np.ndarray

  def features(self, rows: np.ndarray) -> np.ndarray:
    """Returns [len(rows), D] of rows in rising order."""
    cuts = np.searchsorted(rows, self.start)
    return np.concatenate(
      [
        table.features[rows[first:last] - start]
        for table, start, first, last in zip(
          self.tables, self.start, cuts, cuts[1:], strict=False
        )
      ]
    )

  def rows(self, persons: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Returns the usable rows of some persons' indices."""
    return np.flatnonzero(usable & np.isin(self.person, persons))


def gather(
  source: str,
  model_id: str,
  tables: Sequence[features.FeatureTable],
  *,
  threshold: float,
) -> Pool:
  """Returns the pool of one model's tables.

  Args:
    source: What the features are called.
    model_id: What the model is called.
    tables: One a person.
    threshold: An action unit is active at this intensity or above.
  """
  tables = sorted(tables, key=lambda table: table.person_id)
  lengths = [len(table.frames) for table in tables]
  labels = [
    splits.action_unit_labels(table.frames, threshold=threshold)
    for table in tables
  ]
  return Pool(
    source=source,
    model_id=model_id,
    tables=tables,
    start=np.concatenate([[0], np.cumsum(lengths)]),
    person=np.repeat(np.arange(len(tables)), lengths),
    labels=pd.concat(labels, ignore_index=True),
    classes=np.concatenate([expressions.classes(t.frames) for t in tables]),
  )


def decide(
  pool: Pool,
  units: Sequence[str],
  train: np.ndarray,
  test: np.ndarray,
  *,
  config: probes.ProbeConfig,
  max_train_frames: int,
) -> tuple[list[probes.Decision], list[str]]:
  """Fits action-unit probes on some people and asks them about others.

  Args:
    pool: Everybody's frames.
    units: Action units, columns of the pool's labels.
    train: Indices of persons.
    test: Indices of other persons.
    config: How features are prepared, and probes fitted. threshold_from
      'validation' holds training persons out.
    max_train_frames: Of these at equal steps; 0 takes all.

  Returns:
    A decision for each action unit, and why some are missing.
  """
  labels = pool.labels[list(units)].to_numpy()
  usable = ~np.isnan(labels).all(axis=1)
  train_rows = _spread(pool.rows(train, usable), max_train_frames)
  test_rows = pool.rows(test, usable)
  if not len(train_rows) or not len(test_rows):
    return [], ['no labelled frame in one of the parts'] if units else []
  preparation, data = _prepared(pool, train_rows, config)
  folds = []
  if config.threshold_from == 'validation':
    folds = _folds(pool.person[train_rows])
  models, reasons = {}, []
  for index, au in enumerate(units):
    label = labels[train_rows, index]
    known = ~np.isnan(label)
    truth = labels[test_rows, index]
    if len(np.unique(label[known])) < 2 or np.isnan(truth).all():
      reasons.append(f'{au} has one class in training or no test frame')
      continue
    models[index] = logistic.fit(
      data[known], label[known], inverse_penalty=config.inverse_penalty
    )
    models[index].intercept_ -= logistic.tuned_threshold(
      data, label, folds, inverse_penalty=config.inverse_penalty
    )
  if not models:
    return [], reasons
  scores = _in_chunks(
    pool,
    test_rows,
    preparation,
    lambda x: np.stack([m.decision_function(x) for m in models.values()], 1),
  )
  decisions = []
  for column, index in enumerate(models):
    truth = labels[test_rows, index]
    known = ~np.isnan(truth)
    decisions.append(
      probes.Decision(
        au=units[index],
        n_train=int((~np.isnan(labels[train_rows, index])).sum()),
        test=test_rows[known],
        truth=truth[known] == 1,
        score=scores[known, column],
      )
    )
  return decisions, reasons


def guess(
  pool: Pool,
  train: np.ndarray,
  test: np.ndarray,
  *,
  config: probes.ProbeConfig,
  max_train_frames: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
  """Fits a probe of expressions on some people and asks it about others.

  Args:
    pool: See decide, likewise the others.
    train: See decide.
    test: See decide.
    config: See decide.
    max_train_frames: See decide.

  Returns:
    The classes of the training frames, those of the test frames, and those
    predicted for these, [n] str each; None if the training part has one class
    or the test part none.
  """
  usable = pool.classes != ''
  train_rows = _spread(pool.rows(train, usable), max_train_frames)
  test_rows = pool.rows(test, usable)
  found = pool.classes[train_rows]
  if len(set(found)) < 2 or not len(test_rows):
    return None
  preparation, data = _prepared(pool, train_rows, config)
  model = expressions.fit(data, found, inverse_penalty=config.inverse_penalty)
  predicted = _in_chunks(pool, test_rows, preparation, model.predict)
  return found, pool.classes[test_rows], predicted.astype(object)


def _spread(rows, max_frames):
  """Returns rows at equal steps, no more than a training part may have."""
  return coordinates.spread_rows(rows, num_rows=max_frames or len(rows))


def _folds(person) -> list[tuple[np.ndarray, np.ndarray]]:
  """Returns (fit, validate) rows of which each person is in one part alone."""
  group = np.unique(person, return_inverse=True)[1] % probes.NUM_INNER_FOLDS
  return [(group != g, group == g) for g in range(probes.NUM_INNER_FOLDS)]


def _prepared(pool, rows, config):
  """Returns how features are prepared, and those of training prepared so."""
  data = pool.features(rows)
  preparation = probes.fit_preparation(data, source=pool.source, config=config)
  return preparation, preparation.apply(data)


def _in_chunks(pool, rows, preparation, function):
  """Returns a function of the prepared features, some frames at a time."""
  parts = []
  for start in range(0, len(rows), _CHUNK):
    part = pool.features(rows[start : start + _CHUNK])
    parts.append(function(preparation.apply(part)))
  return np.concatenate(parts)
