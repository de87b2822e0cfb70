"""Ridge regressions whose penalties are chosen on stretches of time.

n frames, D features, T targets.
"""

import numpy as np

PENALTIES = tuple(10.0**power for power in range(6))
NUM_FOLDS = 5  # Neighbouring frames are alike: folds are stretches, not draws.


def predict(
  train: np.ndarray, known: np.ndarray, test: np.ndarray
) -> np.ndarray:
  """Returns what ridge regressions of the training part say of the test part.

  Every target has its own penalty: of PENALTIES the one with the smallest
  squared error over NUM_FOLDS stretches, each predicted from the others.

  Args:
    train: [n_train, D] float64, standardised, in order of time.
    known: [n_train, T] float64.
    test: [n_test, D] float64.

  Returns:
    [n_test, T] float64.

  Raises:
    ValueError: If there are fewer training frames than folds.
  """
  if len(train) < NUM_FOLDS:
    raise ValueError(
      f'{len(train)} training frames are fewer than {NUM_FOLDS} folds.'
    )
  errors = np.zeros((len(PENALTIES), known.shape[1]))
  for held_out in np.array_split(np.arange(len(train)), NUM_FOLDS):
    inside = np.ones(len(train), bool)
    inside[held_out] = False
    told = _all_penalties(train[inside], known[inside], train[held_out])
    errors += ((told - known[held_out]) ** 2).sum(axis=1)
  best = errors.argmin(axis=0)
  told = _all_penalties(train, known, test)
  return told[best, :, np.arange(len(best))].T


def _all_penalties(train, known, test) -> np.ndarray:
  """Returns [penalties, n_test, T] predictions, one decomposition for all."""
  mean, centre = train.mean(axis=0), known.mean(axis=0)
  train, test = train - mean, test - mean
  value, axes = np.linalg.eigh(train.T @ train)
  within = axes.T @ (train.T @ (known - centre))
  shrunk = 1 / (np.maximum(value, 0) + np.array(PENALTIES)[:, None])
  return centre + (test @ axes * shrunk[:, None]) @ within
