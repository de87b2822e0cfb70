"""Labels of all frames of a person from those of a few.

A probe is a logistic regression of embeddings to a label. n frames, D features.
"""

import numpy as np
from sklearn import metrics, model_selection

from psm_jax.evaluation import logistic, scores

_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
_FOLDS = 5
_LEAST = 2  # Frames of each kind without which a probe is not fitted.


def tell(values: np.ndarray, label: np.ndarray) -> tuple | None:
  """Returns a label of all frames, None if too few show it or do not.

  Args:
    values: [n, D] float embeddings of one person, in order of video and time.
    label: [n] float, 1 seen, 0 not seen, NaN not looked at.

  Returns:
    [n] float64, the probability of the label for every frame, and {
    'num_present', 'num_absent': labelled frames that show it and do not;
    'auc', 'balanced_accuracy': of the labelled frames, each told by a probe
    that did not see its stretch of time; NaN if a stretch leaves no two kinds
    to learn from}.
  """
  known = np.flatnonzero(~np.isnan(label))
  present = label[known] > 0
  counts = int(present.sum()), int((~present).sum())
  if min(counts) < _LEAST:
    return None
  deviation = values.std(axis=0, dtype=np.float64)
  usable = deviation > 1e-6 * max(deviation.max(), 1e-12)
  scaled = values[:, usable].astype(np.float64)
  scaled = (scaled - scaled.mean(axis=0)) / deviation[usable]
  folds = _folds(present)
  auc, accuracy, strength = np.nan, np.nan, _STRENGTHS[1]
  if folds:
    auc, accuracy, strength = max(
      (*_held_out(scaled[known], present, folds, strength), strength)
      for strength in _STRENGTHS
    )
  model = logistic.fit(scaled[known], present, inverse_penalty=strength)
  return model.predict_proba(scaled)[:, 1], {
    'num_present': counts[0],
    'num_absent': counts[1],
    'auc': auc,
    'balanced_accuracy': accuracy,
  }


def _folds(present):
  """Returns (rest, stretch) of the labelled frames, each rest of both kinds."""
  cut = model_selection.KFold(min(_FOLDS, len(present))).split(present)
  folds = [fold for fold in cut if len(set(present[fold[0]])) == 2]
  told = {kind for _, stretch in folds for kind in present[stretch]}
  return folds if len(told) == 2 else []


def _held_out(values, present, folds, strength):
  """Returns (AUC, balanced accuracy) of frames that probes did not see."""
  told = logistic.validated(values, present, folds, inverse_penalty=strength)
  truth, margin = (np.concatenate(parts) for parts in zip(*told, strict=True))
  accuracy = metrics.balanced_accuracy_score(truth, margin >= 0)
  return scores.auc(truth, margin), float(accuracy)
