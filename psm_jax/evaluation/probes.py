"""Linear probes: how well an action unit can be read off a frame's features.

n frames, D features. `probe` gives a row of scores an action unit; `decide`
gives the log odds behind it.
"""

import dataclasses

import numpy as np
import pandas as pd
import scipy.stats
from sklearn import linear_model
from sklearn import metrics as sklearn_metrics

from psm_jax.evaluation import controls, features, splits

METRICS = (
  'f1',
  'f1_bootstrap',
  'balanced_accuracy',
  'auc',
  'ap',
  'mcc',
)
THRESHOLDS = ('half', 'validation')
NUM_INNER_FOLDS = 4
_LARGEST_IN_FLOAT32 = 2e6


@dataclasses.dataclass(frozen=True)
class ProbeConfig:
  """How action-unit probes are split, fitted and scored.

  Attributes:
    splits: Which of splits.ALL_SPLITS.
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
    threshold_from: 'half': a frame is called active from even odds on.
      'validation': from the odds that give the largest F1 on the training part,
      whose 4 blocks of time are each decided by a probe of the other three.
    num_frame_resamples: Draws of the test frames behind f1_bootstrap.
      Published.
    block_s: Seconds of video that are drawn together for the intervals of one
      person's scores.
    num_block_resamples: Draws behind them.
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
  threshold_from: str = 'half'
  num_frame_resamples: int = 100
  block_s: float = 4.0
  num_block_resamples: int = 500
  seed: int = 0

  def __post_init__(self):
    unknown = set(self.splits) - set(splits.ALL_SPLITS)
    if unknown or not self.splits:
      raise ValueError(
        f'splits {self.splits} should be one or more of {splits.ALL_SPLITS}.'
      )
    if self.threshold_from not in THRESHOLDS:
      raise ValueError(
        f'threshold_from {self.threshold_from!r} should be one of {THRESHOLDS}.'
      )
    if not 0 <= self.min_base_rate < 1:
      raise ValueError(f'min_base_rate {self.min_base_rate} is not in [0, 1).')
    if self.guard_s < 0:
      raise ValueError(f'guard_s {self.guard_s} is negative.')
    for field in ('inverse_penalty', 'block_s'):
      if getattr(self, field) <= 0:
        raise ValueError(f'{field} {getattr(self, field)} is not positive.')
    for field in (
      'num_components',
      'num_frame_resamples',
      'num_block_resamples',
    ):
      value = getattr(self, field)
      if value is not None and value < 1:
        raise ValueError(f'{field} {value} is less than 1.')


DEFAULT = ProbeConfig()


@dataclasses.dataclass(frozen=True)
class Decision:
  """What a probe says about an action unit on the test frames.

  Attributes:
    au: The action unit.
    n_train: Labelled training frames.
    test: [n_test] int, rows of the labelled test frames.
    truth: [n_test] bool, active.
    score: [n_test] float, above 0 where the probe says active.
  """

  au: str
  n_train: int
  test: np.ndarray
  truth: np.ndarray
  score: np.ndarray


def probe(
  table: features.FeatureTable,
  labels: pd.DataFrame,
  split: splits.Split,
  *,
  config: ProbeConfig,
) -> tuple[list[dict], list[str]]:
  """Fits and scores one probe for each kept action unit.

  An L2 logistic regression with balanced classes on standardised features.
  Everything is fitted on the training part alone. Frames on which an action
  unit is not labelled take no part in its probe. 'nearest_in_time' is not
  fitted: its score is the mean label of the two training frames next to a test
  frame, see controls.py, or in videos without one the mean label of all.

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
  decisions, impossible = decide(table, labels, split, config=config)
  return [score_row(d, config=config) for d in decisions], impossible


def decide(
  table: features.FeatureTable,
  labels: pd.DataFrame,
  split: splits.Split,
  *,
  config: ProbeConfig,
  prepared: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[list[Decision], list[str]]:
  """Fits the probes of `probe` and returns what they say.

  Args:
    table: See probe.
    labels: See probe.
    split: See probe.
    config: See ProbeConfig.
    prepared: What `prepare` makes of the two parts, if it is known already.

  Returns:
    A decision for each action unit, and those that could not be fitted. A
    'nearest_in_time' without a training frame in any video of the test part
    says nothing and is not named either.
  """
  train_rows = np.flatnonzero(split.train)
  test_rows = np.flatnonzero(split.test)
  is_nearest = table.source == features.NEAREST_IN_TIME
  parts, folds = None, []
  if not is_nearest:
    parts = prepared or prepare_split(table, split, config=config)
    if config.threshold_from == 'validation':
      folds = inner_rows(table.frames, split, config=config)
  decisions, impossible = [], []
  for au in split.action_units:
    label = labels[au].to_numpy()
    known = ~np.isnan(label)
    train_known, test_known = known[train_rows], known[test_rows]
    rows = train_rows[train_known], test_rows[test_known]
    if not len(rows[1]) or len(np.unique(label[rows[0]])) < 2:
      impossible.append(au)
      continue
    if is_nearest:
      score = _nearest(table.frames, *rows, label[rows[0]])
    else:
      score = _fitted(
        parts[0], label[train_rows], parts[1][test_known], folds, config
      )
    if score is not None:
      truth = label[rows[1]] == 1
      decisions.append(Decision(au, len(rows[0]), rows[1], truth, score))
  return decisions, impossible


def score_row(decision: Decision, *, config: ProbeConfig) -> dict:
  """Returns the row of `probe` of one action unit."""
  truth = decision.truth
  return {
    'au': decision.au,
    'n_train': decision.n_train,
    'n_test': len(truth),
    'n_positive': int(truth.sum()),
    'base_rate': truth.mean(),
    **score_metrics(
      truth,
      decision.score,
      num_frame_resamples=config.num_frame_resamples,
      seed=config.seed,
    ),
  }


def prepare_split(
  table: features.FeatureTable, split: splits.Split, *, config: ProbeConfig
) -> tuple[np.ndarray, np.ndarray]:
  """Returns `prepare` of a table's training and test part."""
  return prepare(
    table.features[split.train],
    table.features[split.test],
    source=table.source,
    config=config,
  )


def prepare(
  train: np.ndarray, test: np.ndarray, *, source: str, config: ProbeConfig
) -> tuple[np.ndarray, np.ndarray]:
  """Returns both parts prepared as the training part asks, float64.

  Args:
    train: [n_train, D] float.
    test: [n_test, D] float.
    source: The source of the features.
    config: See ProbeConfig and features.fit_preparation.
  """
  preparation = fit_preparation(train, source=source, config=config)
  return preparation.apply(train), preparation.apply(test)


def fit_preparation(
  train: np.ndarray, *, source: str, config: ProbeConfig
) -> features.Preparation:
  """Returns features.fit_preparation as the configuration has it."""
  return features.fit_preparation(
    train,
    source=source,
    l2_normalise=config.l2_normalise,
    num_components=config.num_components,
  )


def fit_logistic(
  train: np.ndarray, label: np.ndarray, *, inverse_penalty: float
) -> linear_model.LogisticRegression:
  """Returns an L2 logistic regression with balanced classes, fitted.

  Args:
    train: [n_train, D] float64, prepared.
    label: [n_train] float, 1 active, 0 not, both there.
    inverse_penalty: C.
  """
  model = linear_model.LogisticRegression(
    C=inverse_penalty,
    class_weight='balanced',
    # Its time depends little on how alike the features are, unlike lbfgs'.
    solver='newton-cholesky',
    tol=1e-6,  # At the default 1e-4 single F1 values are off by up to 0.03.
  )
  # float32 takes half the time and moves log odds by 1e-5 (3876 x 256), but
  # only where the Hessian, of condition D n C / 4 at most, lets it.
  if train.size * inverse_penalty < _LARGEST_IN_FLOAT32:
    train = train.astype(np.float32)
  return model.fit(train, label)


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


def inner_rows(
  frames: pd.DataFrame, split: splits.Split, *, config: ProbeConfig
) -> list[tuple[np.ndarray, np.ndarray]]:
  """Returns splits.inner_folds of a training part, as rows of that part.

  Args:
    frames: n rows, of the whole person.
    split: Its training part is cut.
    config: Seconds of the guard.

  Returns:
    (fit, validate), [n_train] bool each.
  """
  folds = splits.inner_folds(
    frames, split.train, num_folds=NUM_INNER_FOLDS, guard_s=config.guard_s
  )
  return [(fit[split.train], check[split.train]) for fit, check in folds]


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
    train: [n_train, D] float, prepared.
    label: [n_train] float, 1 active, 0 not, NaN unknown.
    folds: (fit, validate), [n_train] bool each.
    inverse_penalty: C of the probes.

  Returns:
    The threshold, halfway between two scores; 0 if no fold can be fitted or
    none has an active frame.
  """
  known = ~np.isnan(label)
  truths, scores = [], []
  for fit, validate in folds:
    fit, validate = fit & known, validate & known
    if validate.any() and len(np.unique(label[fit])) == 2:
      truths.append(label[validate] == 1)
      model = fit_logistic(
        train[fit], label[fit], inverse_penalty=inverse_penalty
      )
      scores.append(model.decision_function(train[validate]))
  if not truths or not np.concatenate(truths).any():
    return 0.0
  return best_threshold(np.concatenate(truths), np.concatenate(scores))


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


def _fitted(train, label, test, folds, config) -> np.ndarray:
  """Returns the log odds of test frames, less the threshold if it is tuned."""
  known = ~np.isnan(label)
  penalty = config.inverse_penalty
  model = fit_logistic(train[known], label[known], inverse_penalty=penalty)
  score = model.decision_function(test)
  if folds:
    score -= tuned_threshold(train, label, folds, inverse_penalty=penalty)
  return score


def _nearest(frames, train, test, label):
  """Returns the neighbours' mean label less a half; None if none has any."""
  mean = controls.mean_of_neighbours(frames, train, test, label)
  if np.isnan(mean).all():
    return None
  return np.where(np.isnan(mean), label.mean(), mean) - 0.5


def _f1(tp, fp, fn):
  """Returns 2 TP / (2 TP + FP + FN), 0 where the denominator is 0."""
  return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


def _auc(truth: np.ndarray, score: np.ndarray) -> float:
  """Returns the share of (active, inactive) pairs in the right order."""
  rank = scipy.stats.rankdata(score)
  num_active = int(truth.sum())
  pairs = num_active * (len(truth) - num_active)
  return float((rank[truth].sum() - num_active * (num_active + 1) / 2) / pairs)
