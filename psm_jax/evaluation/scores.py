"""How well what probes say agrees with labels.

n frames, R draws, T columns. Scores above 0 say that an action unit is active.
"""

import numpy as np
import scipy.stats
from sklearn import metrics as sklearn_metrics

_OUTER_EYE_CORNERS = (36, 45)


def of_unit(
  truth: np.ndarray,
  score: np.ndarray,
  *,
  num_frame_resamples: int,
  seed: int,
) -> dict[str, float]:
  """Returns the metrics of scores whose positive values say active.

  F1 and MCC are 0 where their denominator is 0. AUC, AP and balanced accuracy
  are NaN if the truth has one class only. f1_bootstrap is the mean F1 of draws
  of n_test frames with replacement, as published (PSM Fig. 3); equal seeds and
  sizes draw equal frames, so that sources are compared on the same draws.

  Args:
    truth: [n_test] bool.
    score: [n_test] float.
    num_frame_resamples: Draws behind f1_bootstrap.
    seed: Of the draws.

  Returns:
    n_positive, base_rate (the AP of chance), f1, f1_bootstrap,
    balanced_accuracy, auc, ap and mcc.
  """
  tn, fp, fn, tp = np.bincount(2 * truth + (score > 0), minlength=4)
  resampled = resampled_f1(
    truth, score, num_frame_resamples=num_frame_resamples, seed=seed
  )
  has_both = 0 < truth.sum() < len(truth)
  product = float(tp + fp) * float(tp + fn) * float(tn + fp) * float(tn + fn)
  nan = float('nan')
  return {
    'n_positive': int(truth.sum()),
    'base_rate': float(truth.mean()),
    'f1': float(f1(tp, fp + fn)),
    'f1_bootstrap': float(resampled.mean()),
    'balanced_accuracy': (
      float(tp / (tp + fn) + tn / (tn + fp)) / 2 if has_both else nan
    ),
    'auc': float(auc(truth, score)),
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


def of_classes(
  train: np.ndarray, truth: np.ndarray, told: np.ndarray
) -> dict[str, float]:
  """Returns the metrics of classes that were told.

  Args:
    train: [n_train] str, classes of the training part.
    truth: [n_test] str; a class the training part lacks counts as missed.
    told: [n_test] str.

  Returns:
    num_classes of the training part, num_test_classes, largest_share (the
    accuracy of always guessing the commonest test class), accuracy,
    balanced_accuracy (mean recall of the classes of the test part) and macro_f1
    (mean F1 of the classes true or told there).
  """
  present, counts = np.unique(truth.astype(str), return_counts=True)
  hits = told == truth
  return {
    'num_classes': len(set(train)),
    'num_test_classes': len(present),
    'largest_share': float(counts.max() / len(truth)),
    'accuracy': float(hits.mean()),
    'balanced_accuracy': float(
      np.mean([hits[truth == name].mean() for name in present])
    ),
    'macro_f1': float(
      sklearn_metrics.f1_score(
        truth.astype(str), told.astype(str), average='macro', zero_division=0
      )
    ),
  }


def of_angles(
  train: np.ndarray, truth: np.ndarray, told: np.ndarray
) -> dict[str, float]:
  """Returns the metrics of angles of the head, over all of them together.

  Args:
    train: [n_train, T] float, degrees.
    truth: [n_test, T] float.
    told: [n_test, T] float.

  Returns:
    r2: 1 - squared error / squared distance from the test means, NaN if nothing
    varies, below 0 worse than guessing these; mae_deg, mean absolute error;
    mae_mean_deg, that of the training part's means; sd_deg of the test part;
    and pearson, the mean over the angles.
  """
  spread = ((truth - truth.mean(axis=0)) ** 2).mean()
  error = ((truth - told) ** 2).mean()
  return {
    'r2': float(1 - error / spread) if np.ptp(truth, axis=0).any() else np.nan,
    'mae_deg': float(np.abs(truth - told).mean()),
    'mae_mean_deg': float(np.abs(truth - train.mean(axis=0)).mean()),
    'sd_deg': float(spread**0.5),
    'pearson': float(np.mean([*map(pearson, truth.T, told.T)])),
  }


def of_intensity(truth: np.ndarray, told: np.ndarray) -> dict[str, float]:
  """Returns the metrics of one action unit's intensities, [n_test] float each.

  Returns:
    label_std of the test part (its square is the mse of guessing the test
    mean), icc, pearson and mse.
  """
  return {
    'label_std': float(truth.std()),
    'icc': icc(np.stack([truth, told], axis=1)),
    'pearson': pearson(truth, told),
    'mse': float(((truth - told) ** 2).mean()),
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
  # One of four things happened on a frame; they are counted in each draw.
  event = (2 * truth + (score > 0)).astype(np.int8)
  generator = np.random.default_rng([seed, len(truth)])
  drawn = generator.integers(len(truth), size=(num_frame_resamples, len(truth)))
  tp, fp, fn = (
    np.count_nonzero(event[drawn] == kind, axis=1) for kind in (3, 1, 2)
  )
  return f1(tp, fp + fn)


def icc(ratings: np.ndarray) -> float:
  """Returns the intraclass correlation ICC(3,1) of Shrout and Fleiss (1979).

  Two-way mixed, single rater, consistency: (BMS - EMS) / (BMS + (k - 1) EMS),
  where BMS is the mean square between frames and EMS the residual one. An
  offset between raters does not matter, a different scale does.

  Args:
    ratings: [n, k] float, k raters of n frames; here labels and predictions.

  Returns:
    At most 1; NaN if no rating differs from the others of its rater, or n < 2.
  """
  num_frames, num_raters = ratings.shape
  if num_frames < 2:
    return float('nan')
  centred = ratings - ratings.mean(axis=0)
  frame_mean = centred.mean(axis=1, keepdims=True)
  between = num_raters * (frame_mean**2).sum() / (num_frames - 1)
  freedom = (num_frames - 1) * (num_raters - 1)
  residual = ((centred - frame_mean) ** 2).sum() / freedom
  total = between + (num_raters - 1) * residual
  return float((between - residual) / total) if total else float('nan')


def pearson(first: np.ndarray, second: np.ndarray) -> float:
  """Returns Pearson's correlation, NaN if one of the two is constant.

  Args:
    first: [n] float.
    second: [n] float.
  """
  if np.ptp(first) == 0 or np.ptp(second) == 0:
    return float('nan')
  return float(np.corrcoef(first, second)[0, 1])


def nme(truth: np.ndarray, told: np.ndarray) -> float:
  """Returns the normalised mean error of 68 landmarks.

  The mean over frames of the mean distance of a point from the true one, over
  the distance of the true outer eye corners. Frames whose corners coincide are
  left out; NaN if none is left.

  Args:
    truth: [n, 68, 2] float.
    told: [n, 68, 2] float, in the same unit of length.
  """
  first, second = (truth[:, corner] for corner in _OUTER_EYE_CORNERS)
  between = np.linalg.norm(first - second, axis=-1)
  distance = np.linalg.norm(truth - told, axis=-1).mean(axis=-1)
  usable = between > 0
  if not usable.any():
    return float('nan')
  return float((distance[usable] / between[usable]).mean())


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


def f1(hits: np.ndarray, wrong: np.ndarray) -> np.ndarray:
  """Returns 2 TP / (2 TP + FP + FN), 0 where the denominator is 0.

  Args:
    hits: [...] true positives.
    wrong: [...] false positives and false negatives.
  """
  return 2 * hits / np.maximum(2 * hits + wrong, 1)


def auc(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
  """Returns the share of (active, inactive) pairs in the right order.

  Ties count half.

  Args:
    truth: [n] bool, or [n, ...].
    score: [n, ...] float, as many columns or more, see NumPy's broadcasting.

  Returns:
    () or [...] float64; NaN where the truth has one class only.
  """
  num_active = truth.sum(axis=0, dtype=np.float64)
  pairs = num_active * (len(truth) - num_active)
  rank = (scipy.stats.rankdata(score, axis=0) * truth).sum(axis=0)
  with np.errstate(invalid='ignore', divide='ignore'):
    return (rank - num_active * (num_active + 1) / 2) / pairs


def effective_rank(data: np.ndarray) -> float:
  """Returns (sum of eigenvalues)^2 / sum of squares of the covariance.

  The participation ratio: k for equal variance in k directions, 1 for a line,
  0 for a constant.

  Args:
    data: [n, D] float, as stored (not scaled).
  """
  centred = _centred(data)
  if centred.shape[1] > centred.shape[0]:
    centred = centred.T
  gram = centred.T @ centred  # Its eigenvalues are n times the covariance's.
  squares = (gram**2).sum()
  return float(np.trace(gram) ** 2 / squares) if squares else 0.0


def unit_std(data: np.ndarray) -> float:
  """Returns the mean over features of the standard deviation over frames.

  Args:
    data: [n, D] float, as stored (not scaled).
  """
  return float(_centred(data).std(axis=0).mean())


def _centred(data: np.ndarray) -> np.ndarray:
  """Returns columns of mean 0; exactly 0 where a column is constant."""
  data = data.astype(np.float64) - data[:1]
  return data - data.mean(axis=0)
