"""Linear probes: how well an action unit can be read off a frame's features.

n frames, D features.
"""

import dataclasses

import numpy as np
import pandas as pd
import scipy.linalg
import scipy.stats
from sklearn import linear_model
from sklearn import metrics as sklearn_metrics

from psm_jax.evaluation import features, splits

METRICS = (
  'f1',
  'f1_bootstrap',
  'balanced_accuracy',
  'auc',
  'ap',
  'mcc',
)
_PIXEL_COMPONENTS = 64
# A column whose spread is below this share of its size is float32 rounding.
_CONSTANT = 1e-6


@dataclasses.dataclass(frozen=True)
class ProbeConfig:
  """How action-unit probes are split, fitted and scored.

  Attributes:
    splits: Which of splits.SPLITS.
    threshold: An action unit is active at this intensity or above. 2 fits
      DISFA's published base rates; use 1 for labels that are 0 or 1.
    min_base_rate: Action units active in this share of frames or less are left
      out, see splits.make_splits. Published.
    guard_s: Seconds between training and test frames of the blocked split.
    inverse_penalty: C of the logistic regression (the published classifier is
      unknown).
    l2_normalise: Scale every embedding to length 1 first, as published. Grey
      pixels are never scaled.
    num_components: Reduce embeddings to this many whitened principal
      components; None keeps all units.
    num_frame_resamples: Draws of the test frames behind f1_bootstrap.
      Published.
    seed: Of the splits and the draws of test frames.

  Raises:
    ValueError: If a value is out of its range.
  """

  splits: tuple[str, ...] = splits.SPLITS
  threshold: float = 2.0
  min_base_rate: float = 0.02
  guard_s: float = 2.0
  inverse_penalty: float = 1.0
  l2_normalise: bool = True
  num_components: int | None = None
  num_frame_resamples: int = 100
  seed: int = 0

  def __post_init__(self):
    unknown = set(self.splits) - set(splits.SPLITS)
    if unknown or not self.splits:
      raise ValueError(
        f'splits {self.splits} should be one or more of {splits.SPLITS}.'
      )
    if not 0 <= self.min_base_rate < 1:
      raise ValueError(f'min_base_rate {self.min_base_rate} is not in [0, 1).')
    if self.guard_s < 0:
      raise ValueError(f'guard_s {self.guard_s} is negative.')
    if self.inverse_penalty <= 0:
      raise ValueError(
        f'inverse_penalty {self.inverse_penalty} is not positive.'
      )
    for field in ('num_components', 'num_frame_resamples'):
      value = getattr(self, field)
      if value is not None and value < 1:
        raise ValueError(f'{field} {value} is less than 1.')


DEFAULT = ProbeConfig()


def probe(
  table: features.FeatureTable,
  labels: pd.DataFrame,
  split: splits.Split,
  *,
  config: ProbeConfig,
) -> tuple[list[dict], list[str]]:
  """Fits and scores one probe for each kept action unit.

  An L2 logistic regression with balanced classes on standardised features,
  threshold 0.5. Everything is fitted on the training part alone. Frames on
  which an action unit is not labelled take no part in its probe.

  Args:
    table: The features of one person.
    labels: [n, A] from splits.action_unit_labels for the same frames.
    split: Training and test frames.
    config: See ProbeConfig.

  Returns:
    A dict for each action unit with au, n_train, n_test, n_positive (active
    test frames), base_rate (their share, which is the AP of chance) and
    METRICS; and the action units that could not be fitted, because their
    training part has one class or their test part is empty.
  """
  train, test = prepare(
    table.features[split.train],
    table.features[split.test],
    source=table.source,
    config=config,
  )
  rows, impossible = [], []
  for au in split.action_units:
    train_label = labels[au].to_numpy()[split.train]
    test_label = labels[au].to_numpy()[split.test]
    train_known = ~np.isnan(train_label)
    test_known = ~np.isnan(test_label)
    if not test_known.any() or len(np.unique(train_label[train_known])) < 2:
      impossible.append(au)
      continue
    score = _decision(
      train[train_known],
      train_label[train_known],
      test[test_known],
      inverse_penalty=config.inverse_penalty,
    )
    truth = test_label[test_known] == 1
    rows.append(
      {
        'au': au,
        'n_train': int(train_known.sum()),
        'n_test': len(truth),
        'n_positive': int(truth.sum()),
        'base_rate': truth.mean(),
        **score_metrics(
          truth,
          score,
          num_frame_resamples=config.num_frame_resamples,
          seed=config.seed,
        ),
      }
    )
  return rows, impossible


def prepare(
  train: np.ndarray, test: np.ndarray, *, source: str, config: ProbeConfig
) -> tuple[np.ndarray, np.ndarray]:
  """Returns features ready for a linear model, fitted on the training part.

  Embeddings are scaled to length 1 if config.l2_normalise and reduced to
  config.num_components; the pixels of 'pixel_pca' are reduced to 64 principal
  components. Then every column gets mean 0 and standard deviation 1 on the
  training part (so components are whitened). Columns that are constant there
  become 0. There are never more components than the training part has.

  Args:
    train: [n_train, D] float.
    test: [n_test, D] float.
    source: The source of the features.
    config: See ProbeConfig.

  Returns:
    The two parts, float64.
  """
  train, test = train.astype(np.float64), test.astype(np.float64)
  num_components = config.num_components
  if source == features.PIXEL_PCA:
    num_components = _PIXEL_COMPONENTS
  elif config.l2_normalise:
    train, test = _unit_length(train), _unit_length(test)
  mean = train.mean(axis=0)
  size = np.abs(train).max(axis=0)
  train, test = train - mean, test - mean
  if num_components is not None:
    axes = _principal_axes(train, num_components)
    train, test = train @ axes, test @ axes
    # Directions beyond the rank are rounding; compare with the widest one.
    size = np.full(train.shape[1], np.abs(train).max(initial=0.0))
  std = train.std(axis=0)
  is_constant = std <= _CONSTANT * size
  scale = np.where(is_constant, 0.0, 1.0 / np.where(is_constant, 1.0, std))
  return train * scale, test * scale


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
  generator = np.random.default_rng([seed, len(truth)])
  drawn = generator.integers(len(truth), size=(num_frame_resamples, len(truth)))
  resampled = _f1(
    *(event[drawn].sum(axis=1) for event in (hit, false_alarm, miss))
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


def _decision(train, label, test, *, inverse_penalty) -> np.ndarray:
  """Returns the log odds of the test frames."""
  model = linear_model.LogisticRegression(
    C=inverse_penalty,
    class_weight='balanced',
    # Of the solvers the fastest here: 960 x 256 in 14-23 ms, lbfgs 31-40 ms.
    solver='newton-cholesky',
    tol=1e-6,  # At the default 1e-4 single F1 values are off by up to 0.03.
  )
  return model.fit(train, label).decision_function(test)


def _unit_length(data: np.ndarray) -> np.ndarray:
  """Returns rows of length 1; a row of zeros stays."""
  norm = np.linalg.norm(data, axis=1, keepdims=True)
  return data / np.where(norm == 0, 1.0, norm)


def _principal_axes(centred: np.ndarray, num_components: int) -> np.ndarray:
  """Returns [D, k] the axes of greatest variance, k <= num_components."""
  num_frames, num_features = centred.shape
  num_components = min(num_components, num_frames, num_features)
  if num_features <= num_frames:
    chosen = (num_features - num_components, num_features - 1)
    _, axes = scipy.linalg.eigh(centred.T @ centred, subset_by_index=chosen)
    return axes[:, ::-1]
  chosen = (num_frames - num_components, num_frames - 1)
  value, left = scipy.linalg.eigh(centred @ centred.T, subset_by_index=chosen)
  length = np.sqrt(np.maximum(value, 0.0))
  usable = length > _CONSTANT * length.max()
  scale = np.where(usable, 1.0 / np.where(usable, length, 1.0), 0.0)
  return (centred.T @ (left * scale))[:, ::-1]


def _f1(tp, fp, fn):
  """Returns 2 TP / (2 TP + FP + FN), 0 where the denominator is 0."""
  return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


def _auc(truth: np.ndarray, score: np.ndarray) -> float:
  """Returns the share of (active, inactive) pairs in the right order."""
  rank = scipy.stats.rankdata(score)
  num_active = int(truth.sum())
  pairs = num_active * (len(truth) - num_active)
  return float((rank[truth].sum() - num_active * (num_active + 1) / 2) / pairs)
