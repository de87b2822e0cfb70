"""Ridge regressions whose penalties are chosen on blocks left out of training.

n frames, D features, T targets, A penalties.
"""

from collections.abc import Sequence

import numpy as np
from sklearn import linear_model

from psm_jax.evaluation import scores

Folds = Sequence[tuple[np.ndarray, np.ndarray]]


def fit(
  train: np.ndarray,
  known: np.ndarray,
  *,
  penalties: Sequence[float],
  folds: Folds,
  sizes: Sequence[int] | None = None,
) -> linear_model.Ridge:
  """Returns a ridge regression of the training part, fitted.

  The penalty is the one with the smallest squared error over the folds'
  validation parts; without a fold whose parts both hold frames, the middle one.

  Args:
    train: [n_train, D] float64, standardised.
    known: [n_train, T] float64.
    penalties: A of them, to choose from.
    folds: (fit, validate), [n_train] bool each.
    sizes: Lengths of groups of neighbouring targets that have one penalty in
      common; every target has its own if None.

  Returns:
    The model; its alpha holds the [T] penalties.
  """
  sizes = [1] * known.shape[1] if sizes is None else sizes
  chosen = _choose(train, known, penalties, folds, sizes)
  return linear_model.Ridge(alpha=chosen, solver='cholesky').fit(train, known)


def validation_errors(
  train: np.ndarray,
  known: np.ndarray,
  *,
  penalties: Sequence[float],
  folds: Folds,
) -> np.ndarray:
  """Returns the squared error of each penalty on the blocks left out.

  Args:
    train: [n_train, D] float64.
    known: [n_train, T] float64.
    penalties: A of them, positive.
    folds: (fit, validate), [n_train] bool each, neither empty.

  Returns:
    [A, T] float64, sums over the frames of all folds.
  """
  errors = np.zeros((len(penalties), known.shape[1]))
  for fit, validate in folds:
    told = predictions(
      train[fit], known[fit], train[validate], penalties=penalties
    )
    errors += ((told - known[validate]) ** 2).sum(axis=1)
  return errors


def predictions(
  train: np.ndarray,
  known: np.ndarray,
  test: np.ndarray,
  *,
  penalties: Sequence[float],
) -> np.ndarray:
  """Returns what the regression of each penalty says of other frames.

  Args:
    train: [n_train, D] float64.
    known: [n_train, T] float64.
    test: [n_test, D] float64.
    penalties: A of them, positive.

  Returns:
    [A, n_test, T] float64.
  """
  mean, centre = train.mean(axis=0), known.mean(axis=0)
  data, wanted, seen = train - mean, known - centre, test - mean
  if len(data) < data.shape[1]:  # As few frames span the same in less time.
    seen, data = seen @ data.T, data @ data.T
    value, axes = np.linalg.eigh(data)
    along = axes.T @ wanted
  else:
    value, axes = np.linalg.eigh(data.T @ data)
    along = axes.T @ (data.T @ wanted)
  seen = seen @ axes
  return (
    np.stack(
      [seen @ (along / (value + penalty)[:, None]) for penalty in penalties]
    )
    + centre
  )


def balanced(labels: np.ndarray) -> np.ndarray:
  """Returns [n, T] float64 targets of labels [n, T] bool.

  Both classes weigh the same, however rare one is.
  """
  active = labels.sum(axis=0)
  idle = len(labels) - active
  return np.where(labels, 1 / np.maximum(1, active), -1 / np.maximum(1, idle))


def validation_aucs(
  train: np.ndarray,
  labels: np.ndarray,
  *,
  penalties: Sequence[float],
  folds: Folds,
) -> np.ndarray:
  """Returns the AUC of each penalty on the blocks left out.

  Args:
    train: [n_train, D] float64.
    labels: [n_train, T] bool.
    penalties: A of them, positive.
    folds: (fit, validate), [n_train] bool each, neither empty.

  Returns:
    [A, T] float64, means over the folds that have both classes; 0 without one.
  """
  total = np.zeros((len(penalties), labels.shape[1]))
  count = np.zeros(labels.shape[1])
  for fit, validate in folds:
    told = predictions(
      train[fit], balanced(labels[fit]), train[validate], penalties=penalties
    )
    aucs = scores.auc(labels[validate][:, None], told.swapaxes(0, 1))
    count += ~np.isnan(aucs[0])
    total += np.nan_to_num(aucs)
  return total / np.maximum(1, count)


def _choose(train, known, penalties, folds, sizes) -> np.ndarray:
  """Returns [T] penalties, one for each group of targets."""
  folds = [fold for fold in folds if all(part.any() for part in fold)]
  if not folds:
    return np.full(known.shape[1], penalties[len(penalties) // 2])
  errors = validation_errors(train, known, penalties=penalties, folds=folds)
  starts = np.cumsum([0, *sizes[:-1]])
  of_group = np.add.reduceat(errors, starts, axis=1)
  return np.repeat(np.asarray(penalties)[of_group.argmin(axis=0)], sizes)
