"""Ridge regressions whose penalties are chosen on blocks left out of training.

n frames, D features, T targets, A penalties.
"""

from collections.abc import Sequence

import numpy as np
from sklearn import linear_model

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
  sizes = np.ones(known.shape[1], int) if sizes is None else sizes
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
    mean, centre = train[fit].mean(axis=0), known[fit].mean(axis=0)
    centred = train[fit] - mean
    # One decomposition serves every penalty.
    value, axes = np.linalg.eigh(centred.T @ centred)
    along = axes.T @ (centred.T @ (known[fit] - centre))
    test, truth = (train[validate] - mean) @ axes, known[validate] - centre
    for index, penalty in enumerate(penalties):
      told = test @ (along / (value + penalty)[:, None])
      errors[index] += ((told - truth) ** 2).sum(axis=0)
  return errors


def _choose(train, known, penalties, folds, sizes) -> np.ndarray:
  """Returns [T] penalties, one for each group of targets."""
  folds = [fold for fold in folds if all(part.any() for part in fold)]
  if not folds:
    return np.full(known.shape[1], penalties[len(penalties) // 2])
  errors = validation_errors(train, known, penalties=penalties, folds=folds)
  starts = np.cumsum([0, *sizes[:-1]])
  of_group = np.add.reduceat(errors, starts, axis=1)
  return np.repeat(np.asarray(penalties)[of_group.argmin(axis=0)], sizes)
