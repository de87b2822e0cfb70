"""How well scores of frames tell where an action unit is active.

n frames, R draws. Scores above 0 say active.
"""

import numpy as np
import scipy.stats
from sklearn import metrics as sklearn_metrics

METRICS = (
  'f1',
  'f1_bootstrap',
  'balanced_accuracy',
  'auc',
  'ap',
  'mcc',
)


def score_metrics(
  truth: np.ndarray,
  score: np.ndarray,
  *,
  num_frame_resamples: int,
  seed: int,
) -> dict[str, float]:
  """Returns METRICS of scores whose positive values say active.

  F1 and MCC are 0 where their denominator is 0. AUC, AP and balanced accuracy
  are NaN if the truth has one class only. f1_bootstrap is the mean F1 of draws
  of n_test frames with replacement, as published (PSM Fig. 3); equal seeds and
  sizes draw equal frames, so that sources are compared on the same draws.

  Args:
    truth: [n_test] bool.
    score: [n_test] float.
    num_frame_resamples: Draws behind f1_bootstrap.
    seed: Of the draws.
  """
  hit = truth & (score > 0)
  false_alarm = ~truth & (score > 0)
  miss = truth & (score <= 0)
  tp, fp, fn = hit.sum(), false_alarm.sum(), miss.sum()
  tn = len(truth) - tp - fp - fn
  resampled = resampled_f1(
    truth, score, num_frame_resamples=num_frame_resamples, seed=seed
  )
  has_both = 0 < truth.sum() < len(truth)
  product = float(tp + fp) * float(tp + fn) * float(tn + fp) * float(tn + fn)
  nan = float('nan')
  return {
    'f1': float(_f1(tp, fp, fn)),
    'f1_bootstrap': float(resampled.mean()),
    'balanced_accuracy': (
      float(tp / (tp + fn) + tn / (tn + fp)) / 2 if has_both else nan
    ),
    'auc': _auc(truth, score) if has_both else nan,
    'ap': (
      float(sklearn_metrics.average_precision_score(truth, score))
      if has_both
      else nan
    ),
    'mcc': (
      (float(tp) * float(tn) - float(fp) * float(fn)) / product**0.5
      if product
      else 0.0
    ),
  }


def resampled_f1(
  truth: np.ndarray,
  score: np.ndarray,
  *,
  num_frame_resamples: int,
  seed: int,
) -> np.ndarray:
  """Returns [R] F1 of draws of n_test frames with replacement.

  Args:
    truth: [n_test] bool.
    score: [n_test] float.
    num_frame_resamples: R.
    seed: Of the draws, which depend on it and on n_test alone.
  """
  active = score > 0
  # One of four things happened on a frame; they are counted in each draw.
  event = (2 * truth + active).astype(np.int8)
  generator = np.random.default_rng([seed, len(truth)])
  drawn = generator.integers(len(truth), size=(num_frame_resamples, len(truth)))
  counts = np.stack(
    [np.count_nonzero(event[drawn] == kind, axis=1) for kind in (3, 1, 2)]
  )
  return _f1(*counts)


def best_threshold(truth: np.ndarray, score: np.ndarray) -> float:
  """Returns the threshold of the largest F1, the lowest of several.

  Args:
    truth: [n] bool, some of them true.
    score: [n] float; frames above the threshold are called active.
  """
  order = np.argsort(-score, kind='stable')
  hits, ordered = np.cumsum(truth[order]), score[order]
  called = np.arange(1, len(order) + 1)
  # Frames of equal score are called together.
  ends = np.append(ordered[1:] < ordered[:-1], True)
  f1 = np.where(ends, 2 * hits / (called + truth.sum()), -1.0)
  last = len(f1) - 1 - int(f1[::-1].argmax())
  if last == len(f1) - 1:
    return float(np.nextafter(ordered[-1], -np.inf))
  return float((ordered[last] + ordered[last + 1]) / 2)


def _f1(tp, fp, fn):
  """Returns 2 TP / (2 TP + FP + FN), 0 where the denominator is 0."""
  return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


def _auc(truth: np.ndarray, score: np.ndarray) -> float:
  """Returns the share of (active, inactive) pairs in the right order."""
  rank = scipy.stats.rankdata(score)
  num_active = int(truth.sum())
  pairs = num_active * (len(truth) - num_active)
  return float((rank[truth].sum() - num_active * (num_active + 1) / 2) / pairs)
