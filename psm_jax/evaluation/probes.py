"""Linear probes: how well an action unit can be read off a frame's features.

n frames, D features. `probe` gives a row of scores an action unit; `decide`
gives the log odds behind it.
"""

import dataclasses

import numpy as np
import pandas as pd

from psm_jax.evaluation import controls, features, logistic, scores, splits

THRESHOLDS = ('half', 'validation')
NUM_INNER_FOLDS = 4


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
    scores.METRICS; and the action units that could not be fitted, because
    their training part has one class or their test part is empty.
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
    **scores.score_metrics(
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


def _fitted(train, label, test, folds, config) -> np.ndarray:
  """Returns the log odds of test frames, less the threshold if it is tuned."""
  known = ~np.isnan(label)
  penalty = config.inverse_penalty
  model = logistic.fit(train[known], label[known], inverse_penalty=penalty)
  return model.decision_function(test) - logistic.tuned_threshold(
    train, label, folds, inverse_penalty=penalty
  )


def _nearest(frames, train, test, label):
  """Returns the neighbours' mean label less a half; None if none has any."""
  mean = controls.mean_of_neighbours(frames, train, test, label)
  if np.isnan(mean).all():
    return None
  return np.where(np.isnan(mean), label.mean(), mean) - 0.5
