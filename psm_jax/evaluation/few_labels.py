"""How few labelled frames teach action units, for any features alike.

Rows of results of the splits few_labels_<count>: AUCs of probes that learned
from so many frames of one video, drawn at random, and are tested on the other,
a draw each; the frames are the same for all features of a person. The last
point of the curve, few_labels_all, is of all frames of a video. A probe is a
ridge regression to balanced labels. Its penalty, and of pixels the number of
principal components, are chosen on stretches of the labelled frames, for every
kind of features in the same way. n frames, D features, U units.
"""

from collections.abc import Sequence

import numpy as np

from psm_jax.evaluation import features, probes, results, ridge, scores, splits

SPLIT = 'few_labels_'  # And the number of labelled frames.
PENALTIES = tuple(10.0**power for power in range(-1, 5))
COMPONENTS = (8, 16, 32, 64, 128)
_NUM_FOLDS = 5


def score(
  table: features.FeatureTable,
  parts: Sequence[splits.Split],
  *,
  config: probes.ProbeConfig,
) -> list[dict]:
  """Returns rows of results of probes that few labelled frames teach.

  Counts that a training part has not more frames than are left out.

  Args:
    table: The features of one person.
    parts: The directions of a split.
    config: few_labels (0 is all of a training part) and few_label_draws say how
      many frames and draws; guard_s is between stretches of all frames.
  """
  values, sizes = probes.scaled(table, config), ()
  if table.source == features.PIXEL_PCA:
    values, sizes = components(values)
  labels = splits.action_unit_labels(table.frames, threshold=config.threshold)
  made = []
  for part in parts:
    known = labels[list(part.action_units)].to_numpy()
    is_known = ~np.isnan(known).any(axis=1)
    pool, test = (np.flatnonzero(s & is_known) for s in (part.train, part.test))
    for count in config.few_labels:
      if count >= len(pool):
        continue
      for draw in range(config.few_label_draws if count else 1):
        if count:
          generator = np.random.default_rng((draw, count))
          train = np.sort(generator.choice(pool, count, replace=False))
          folds = stretches(count)
        else:
          train = pool
          folds = splits.inner_folds(
            table.frames,
            part.train & is_known,
            num_folds=_NUM_FOLDS,
            guard_s=config.guard_s,
          )
        told = probe_auc(
          values, known == 1, train, test, folds=folds, sizes=sizes
        )
        place = table.ids | {
          'split': f'{SPLIT}{count or "all"}',
          'direction': part.direction,
          'draw': draw,
        }
        for unit, value in zip(part.action_units, told, strict=True):
          made += results.rows(
            place, unit, {'auc': value}, n_train=len(train), n_test=len(test)
          )
  return made


def components(
  pixels: np.ndarray, *, fit: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[int, ...]]:
  """Returns the principal components of all of a person's frames.

  They are fitted on labelled and unlabelled frames alike, as models of the
  person learn from both.

  Args:
    pixels: [n, P] float.
    fit: [m, P] float, the frames whose components they are; `pixels` by
      default.

  Returns:
    [n, k] float64, and the numbers of components to choose from.
  """
  fit = np.asarray(pixels if fit is None else fit, np.float64)
  mean = fit.mean(axis=0)
  most = min(fit.shape)
  if most < fit.shape[1]:
    _, _, axes = np.linalg.svd(fit - mean, full_matrices=False)
  else:  # In a fraction of the time.
    axes = np.linalg.eigh((fit - mean).T @ (fit - mean))[1].T[::-1]
  sizes = tuple(k for k in COMPONENTS if k <= most)
  return (pixels - mean) @ axes[: max(COMPONENTS)].T, sizes


def stretches(
  num_frames: int, *, guard: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
  """Returns (fit, validate) of each stretch of frames, [num_frames] bool each.

  Args:
    num_frames: In order of time.
    guard: Frames left out on both sides of the stretch.
  """
  folds = []
  for held in np.array_split(np.arange(num_frames), _NUM_FOLDS):
    fit, validate = np.ones(num_frames, bool), np.zeros(num_frames, bool)
    fit[max(0, held[0] - guard) : held[-1] + 1 + guard] = False
    validate[held] = True
    folds.append((fit, validate))
  return folds


def probe_auc(
  values: np.ndarray,
  labels: np.ndarray,
  train: np.ndarray,
  test: np.ndarray,
  *,
  folds: ridge.Folds,
  sizes: Sequence[int] = (),
) -> np.ndarray:
  """Returns [U] AUCs of probes of some frames on others.

  Args:
    values: [n, D] float.
    labels: [n, U] bool.
    train: [n_train] int, labelled frames in order of time.
    test: [n_test] int.
    folds: (fit, validate), [n_train] bool each, by which things are chosen.
    sizes: How many of the first columns a probe may be given; () for all.
  """
  known = labels[train]
  sizes = sizes or (values.shape[1],)
  parts = [
    _standardised(values[train, :size], values[test, :size]) for size in sizes
  ]
  # Units that no stretch tells apart say nothing of a choice.
  quality = np.mean(
    [
      ridge.validation_aucs(fit, known, penalties=PENALTIES, folds=folds)
      for fit, _ in parts
    ],
    axis=-1,
  )
  best, penalty = np.unravel_index(quality.argmax(), quality.shape)
  fit, new = parts[best]
  (told,) = ridge.predictions(
    fit, ridge.balanced(known), new, penalties=(PENALTIES[penalty],)
  )
  return scores.auc(labels[test], told)


def _standardised(train, test):
  """Returns both parts with columns of mean 0 and deviation 1 in the first."""
  train = np.asarray(train, np.float64)
  mean, deviation = train.mean(axis=0), train.std(axis=0)
  deviation = np.where(deviation > 1e-6 * deviation.max(), deviation, np.inf)
  return (train - mean) / deviation, (test - mean) / deviation
