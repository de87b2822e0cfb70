"""Logistic regressions, and the odds from which an action unit is active.

n frames, D features.
"""

import numpy as np
from sklearn import linear_model

from psm_jax.evaluation import scores

_LARGEST_IN_FLOAT32 = 2e6


def fit(
  train: np.ndarray, label: np.ndarray, *, inverse_penalty: float
) -> linear_model.LogisticRegression:
  """Returns an L2 logistic regression with balanced classes, fitted.

  Args:
    train: [n_train, D] float64, prepared.
    label: [n_train] float, 1 active, 0 not, both there; or [n_train] str, two
      classes or more, of a multinomial regression.
    inverse_penalty: C.
  """
  options = {'C': inverse_penalty, 'class_weight': 'balanced'}
  if label.dtype.kind not in 'fbi':
    model = linear_model.LogisticRegression(tol=1e-5, max_iter=2000, **options)
    return model.fit(train, label.astype(str))
  model = linear_model.LogisticRegression(
    # Its time depends little on how alike the features are, unlike lbfgs'.
    solver='newton-cholesky',
    tol=1e-6,  # At the default 1e-4 single F1 values are off by up to 0.03.
    **options,
  )
  # float32 takes half the time and moves log odds by 1e-5 (3876 x 256), but
  # only where the Hessian, of condition D n C / 4 at most, lets it.
  if train.size * inverse_penalty < _LARGEST_IN_FLOAT32:
    train = train.astype(np.float32)
  return model.fit(train, label)


def validated(
  train: np.ndarray,
  label: np.ndarray,
  folds: list[tuple[np.ndarray, np.ndarray]],
  *,
  inverse_penalty: float,
) -> list[tuple[np.ndarray, np.ndarray]]:
  """Returns what probes of the fit parts say of the validation parts.

  Args:
    train: [n_train, D] float, prepared.
    label: [n_train], see fit; all known.
    folds: (fit, validate), [n_train] bool each.
    inverse_penalty: C of the probes.

  Returns:
    (labels, log odds, or classes told) of each fold that can be fitted.
  """
  told = []
  for inside, validate in folds:
    if validate.any() and len(np.unique(label[inside])) > 1:
      model = fit(train[inside], label[inside], inverse_penalty=inverse_penalty)
      told.append((label[validate], decide(model, train[validate])))
  return told


def decide(
  model: linear_model.LogisticRegression, data: np.ndarray
) -> np.ndarray:
  """Returns [n] log odds of being active, or the classes told (str)."""
  if model.classes_.dtype.kind == 'U':
    return model.predict(data).astype(object)
  return model.decision_function(data)


def tuned_threshold(
  train: np.ndarray,
  label: np.ndarray,
  folds: list[tuple[np.ndarray, np.ndarray]],
  *,
  inverse_penalty: float,
) -> float:
  """Returns the log odds from which calling frames active gives the best F1.

  F1 is that of all validation parts together, each decided by a probe of its
  fold's fit part.

  Args:
    train: See validated, likewise the others.
    label: [n_train] float, 1 active, 0 not.
    folds: [] tunes nothing.
    inverse_penalty: C of the probes.

  Returns:
    The threshold, halfway between two scores; 0 if no fold can be fitted or
    none has an active frame.
  """
  told = validated(train, label, folds, inverse_penalty=inverse_penalty)
  if not any((truth == 1).any() for truth, _ in told):
    return 0.0
  truth, margin = (np.concatenate(parts) for parts in zip(*told, strict=True))
  return scores.best_threshold(truth == 1, margin)
