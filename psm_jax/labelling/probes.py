"""Labels of all frames of a person from those of a few.

A probe is a logistic regression of embeddings to a label. n frames, D features.
"""

import dataclasses

import numpy as np
from sklearn import linear_model, metrics

_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
_FOLDS = 5
_LEAST = 2  # Frames of each kind without which a probe is not fitted.


@dataclasses.dataclass(frozen=True)
class Told:
  """What a probe says, and how well it does.

  Attributes:
    probability: [n] float64 of the label, for every frame.
    auc: Of the labelled frames, each told by a probe that did not see its
      stretch of time; NaN if a stretch leaves no two kinds to learn from.
    balanced_accuracy: Of the same, from a probability of one half on.
    num_present: Labelled frames that show it.
    num_absent: Labelled frames that do not.
  """

  probability: np.ndarray
  auc: float
  balanced_accuracy: float
  num_present: int
  num_absent: int


def tell(values: np.ndarray, label: np.ndarray) -> Told | None:
  """Returns a label of all frames, None if too few show it or do not.

  Args:
    values: [n, D] float embeddings of one person, in order of video and time.
    label: [n] float, 1 seen, 0 not seen, NaN not looked at.
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
  model = _fit(scaled[known], present, strength)
  return Told(model.predict_proba(scaled)[:, 1], auc, accuracy, *counts)


def _fit(values, present, strength):
  model = linear_model.LogisticRegression(
    C=strength, class_weight='balanced', max_iter=1000
  )
  return model.fit(values, present)


def _folds(present):
  """Returns stretches of the labelled frames whose rest has both kinds."""
  stretches = np.array_split(np.arange(len(present)), _FOLDS)
  folds = []
  for stretch in stretches:
    rest = np.setdiff1d(np.arange(len(present)), stretch)
    if len(stretch) and len(set(present[rest])) == 2:
      folds.append((rest, stretch))
  told = np.concatenate([stretch for _, stretch in folds] or [[]]).astype(int)
  return folds if len(set(present[told])) == 2 else []


def _held_out(values, present, folds, strength):
  """Returns (AUC, balanced accuracy) of frames that probes did not see."""
  told = np.full(len(present), np.nan)
  for rest, stretch in folds:
    model = _fit(values[rest], present[rest], strength)
    told[stretch] = model.predict_proba(values[stretch])[:, 1]
  seen = ~np.isnan(told)
  return (
    float(metrics.roc_auc_score(present[seen], told[seen])),
    float(metrics.balanced_accuracy_score(present[seen], told[seen] >= 0.5)),
  )
