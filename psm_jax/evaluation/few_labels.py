"""How few labelled frames teach action units, for any features alike.

A probe is a ridge regression of one person's frames to balanced labels, scored
by its AUC. Its penalty, and of pixels the number of principal components, are
chosen on stretches of the labelled frames, for every kind of features in the
same way. n frames, D features, U units.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import stats

PENALTIES = tuple(10.0**power for power in range(-1, 5))
COMPONENTS = (8, 16, 32, 64, 128)
_NUM_FOLDS = 5


@dataclasses.dataclass(frozen=True)
class Features:
  """One kind of features of a person's frames.

  Attributes:
    values: [n, D] float.
    sizes: How many of the first columns a probe may be given; () for all.
  """

  values: np.ndarray
  sizes: tuple[int, ...] = ()


def pixel_components(
  frames: np.ndarray, *, fit: np.ndarray | None = None
) -> Features:
  """Returns the principal components of all of a person's frames.

  They are fitted on labelled and unlabelled frames alike, as models of the
  person learn from both.

  Args:
    frames: [n, P] float, pixels.
    fit: [m, P] float, the frames whose components they are; `frames` by
      default.
  """
  fit = np.asarray(frames if fit is None else fit, np.float64)
  mean = fit.mean(axis=0)
  _, _, axes = np.linalg.svd(fit - mean, full_matrices=False)
  values = (frames - mean) @ axes[: max(COMPONENTS)].T
  return Features(values, tuple(k for k in COMPONENTS if k <= len(axes)))


def auc(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """Returns [U] areas under the ROC curve; NaN where only one class occurs.

  Args:
    scores: [n, U] float.
    labels: [n, U] bool.
  """
  active = labels.sum(axis=0, dtype=np.float64)
  idle = len(labels) - active
  ranks = (stats.rankdata(scores, axis=0) * labels).sum(axis=0)
  with np.errstate(invalid='ignore', divide='ignore'):
    return (ranks - active * (active + 1) / 2) / (active * idle)


def probe_auc(
  features: Features,
  labels: np.ndarray,
  train: np.ndarray,
  test: np.ndarray,
  *,
  guard: int = 0,
) -> np.ndarray:
  """Returns [U] AUCs of probes of some frames on others.

  Args:
    features: Of n frames.
    labels: [n, U] bool.
    train: [n_train] int, labelled frames in order of time.
    test: [n_test] int.
    guard: Frames left out on both sides of the stretch that a choice is
      validated on.
  """
  folds = _folds(len(train), guard)
  known = labels[train]
  best = (-np.inf, None)
  for size in features.sizes or (features.values.shape[1],):
    fit, new = features.values[train, :size], features.values[test, :size]
    quality, penalty = _choose(fit, known, folds)
    if quality > best[0] or best[1] is None:
      best = (quality, _scores(fit, known, new, (penalty,))[0])
  return auc(best[1], labels[test])


def curve(
  features: Features,
  labels: np.ndarray,
  video: np.ndarray,
  *,
  counts: Sequence[int],
  num_draws: int,
  guard: int = 0,
) -> dict[int, float]:
  """Returns the mean AUC across videos by number of labelled frames.

  Every video in turn has labels, and the others test. The frames that have
  labels are drawn anew `num_draws` times, the same ones for all features.

  Args:
    features: Of n frames.
    labels: [n, U] bool.
    video: [n] int, the video of each frame.
    counts: Numbers of labelled frames; 0 is all of a video.
    num_draws: Draws of each number but 0.
    guard: See `probe_auc`; used for all frames.

  Returns:
    Mean over units, draws and videos, by count.
  """
  means = {}
  for count in counts:
    values = []
    for labelled in np.unique(video):
      pool, test = (
        np.flatnonzero(chosen)
        for chosen in (video == labelled, video != labelled)
      )
      for draw in range(num_draws if count else 1):
        train = pool
        if count:
          generator = np.random.default_rng((draw, count))
          train = np.sort(generator.choice(pool, count, replace=False))
        values.append(
          probe_auc(features, labels, train, test, guard=0 if count else guard)
        )
    means[count] = float(np.nanmean(values))
  return means


def _folds(num_frames, guard):
  """Returns (fit, validate) of stretches, a guard left out around each."""
  folds = []
  for held in np.array_split(np.arange(num_frames), _NUM_FOLDS):
    fit = np.ones(num_frames, bool)
    fit[max(0, held[0] - guard) : held[-1] + 1 + guard] = False
    folds.append((fit, held))
  return folds


def _choose(train, labels, folds):
  """Returns (mean AUC over folds and units, penalty) of the best penalty."""
  quality = np.array(
    [
      [
        auc(scores, labels[validate])
        for scores in _scores(
          train[fit], labels[fit], train[validate], PENALTIES
        )
      ]
      for fit, validate in folds
    ]
  )
  is_known = ~np.isnan(quality)
  if not is_known.any():
    return 0.0, PENALTIES[len(PENALTIES) // 2]
  counts = is_known.sum(axis=(0, 2))
  means = np.where(is_known, quality, 0).sum(axis=(0, 2)) / np.maximum(
    1, counts
  )
  return means.max(), PENALTIES[int(means.argmax())]


def _scores(train, labels, test, penalties):
  """Returns, for each penalty, [n_test, U] scores of ridge regressions."""
  train = np.asarray(train, np.float64)
  mean, deviation = train.mean(axis=0), train.std(axis=0)
  deviation = np.where(deviation > 1e-6 * deviation.max(), deviation, np.inf)
  left, value, axes = np.linalg.svd(
    (train - mean) / deviation, full_matrices=False
  )
  # Both classes weigh the same, however rare a unit is.
  active = labels.sum(axis=0)
  target = np.where(
    labels, 1 / np.maximum(1, active), -1 / np.maximum(1, len(labels) - active)
  )
  along = left.T @ (target - target.mean(axis=0))
  rotated = ((test - mean) / deviation) @ axes.T
  return [
    rotated @ ((value / (value**2 + penalty))[:, None] * along)
    for penalty in penalties
  ]
