"""Linear probes: how well something can be read off a frame's features.

n frames, D features, k components.

Logistic regression for action units and classes, ridge regression for numbers.
`ask` fits and tests on frames of one person; `fit` is for whoever has the
training part only.
"""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np
from sklearn import base, decomposition, pipeline

from psm_jax.evaluation import (
  controls,
  features,
  logistic,
  ridge,
  scores,
  splits,
  targets,
)

THRESHOLDS = ('half', 'validation')
NUM_INNER_FOLDS = 4
ALPHAS = (1.0, 10.0, 100.0, 1000.0, 10000.0)  # Penalties of ridge regression.
# A column whose spread is below this share of its size is float32 rounding.
_CONSTANT = 1e-6


@dataclasses.dataclass(frozen=True)
class ProbeConfig:
  """How probes are split, fitted and scored.

  Attributes:
    splits: Which of splits.ALL_SPLITS.
    threshold: An action unit is active at this intensity or above. 2 fits
      DISFA's published base rates; use 1 for labels that are 0 or 1.
    min_base_rate: Action units active in this share of frames or less are left
      out, see splits.make_splits. Published.
    guard_s: Seconds between training and test frames of the blocked split, and
      between blocks of the training part by which something is chosen.
    inverse_penalties: C of the logistic regression (the published classifier is
      unknown). Of several the one is taken, probe by probe, that does best on
      4 blocks of the training part, each told by the other three: by the AUC
      (of classes the mean of one against the rest) of ridge regressions of
      penalty 4 / C, which weighs as much where odds are even and takes a
      fraction of the time. The first, if there are no blocks.
    pixel_components: Principal components of 'pixel_pca'; of several the best
      is chosen along with C. Numbers are told from the most.
    l2_normalise: Scale embeddings to length 1 first, as published, where the
      method does not say that their length counts. Grey pixels never are.
    few_labels: Numbers of labelled frames of few_labels.py, 0 for all; () for
      none.
    few_label_draws: Draws of each.
    threshold_from: 'half': a frame is called active from even odds on.
      'validation': from the odds that give the largest F1 on these blocks.
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
  inverse_penalties: tuple[float, ...] = (1.0, 0.1, 0.01, 0.001)
  pixel_components: tuple[int, ...] = (64, 8, 16, 32, 128)
  l2_normalise: bool = True
  few_labels: tuple[int, ...] = (10, 30, 100, 0)
  few_label_draws: int = 3
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
    if min(self.few_labels, default=0) < 0:
      raise ValueError(f'few_labels {self.few_labels} has a negative number.')
    if self.guard_s < 0:
      raise ValueError(f'guard_s {self.guard_s} is negative.')
    for field, is_wrong in (
      ('inverse_penalties', min(self.inverse_penalties, default=0) <= 0),
      ('pixel_components', min(self.pixel_components, default=0) < 1),
      ('few_label_draws', self.few_label_draws < 1),
      ('block_s', self.block_s <= 0),
      ('num_frame_resamples', self.num_frame_resamples < 1),
      ('num_block_resamples', self.num_block_resamples < 1),
    ):
      if is_wrong:
        raise ValueError(f'{field} {getattr(self, field)} is not positive.')


DEFAULT = ProbeConfig()


@dataclasses.dataclass(frozen=True)
class Answer:
  """What a probe says about a target on the test frames.

  Attributes:
    target: The target's name.
    kind: Its kind.
    train: [n_train, ...] labels of the training frames.
    rows: [n_test] int, the test frames.
    truth: [n_test, ...] their labels.
    told: [n_test, ...] what the probe says; of an action unit a score, above 0
      where the probe says active.
    alpha: The penalty of a ridge regression, else NaN.
  """

  target: str
  kind: str
  train: np.ndarray
  rows: np.ndarray
  truth: np.ndarray
  told: np.ndarray
  alpha: float = float('nan')

  def score(self, config: ProbeConfig) -> dict[str, float]:
    """Returns the metrics of its kind, see scores.py."""
    if self.kind == targets.CLASSES:
      return scores.of_classes(self.train, self.truth, self.told)
    if self.kind == targets.UNIT:
      return scores.of_unit(
        self.truth == 1,
        self.told,
        num_frame_resamples=config.num_frame_resamples,
        seed=config.seed,
      )
    alpha = {'alpha': self.alpha}
    if self.target == targets.LANDMARKS:
      points = (
        prepare.reshape(len(prepare), -1, 2)
        for prepare in (self.truth, self.told)
      )
      return alpha | {'nme': scores.nme(*points)}
    if self.target in controls.POSES:
      return alpha | scores.of_angles(self.train, self.truth, self.told)
    return alpha | scores.of_intensity(self.truth[:, 0], self.told[:, 0])


class _Standardise(base.TransformerMixin, base.BaseEstimator):
  """Gives columns mean 0 and standard deviation 1; constant ones become 0."""

  def __init__(self, *, jointly: bool = False):
    self.jointly = jointly  # The widest column says what is rounding in all.

  def fit(self, data: np.ndarray, y: None = None) -> '_Standardise':
    """Fits it on [n, D] float64."""
    self.mean_ = data.mean(axis=0)
    size, std = np.abs(data).max(axis=0), data.std(axis=0)
    is_constant = std <= _CONSTANT * (size.max() if self.jointly else size)
    self.scale_ = np.where(is_constant, 0, 1 / np.where(is_constant, 1, std))
    return self

  def transform(self, data: np.ndarray) -> np.ndarray:
    """Returns [n, D] float64."""
    return (data - self.mean_) * self.scale_


def scaled(table: features.FeatureTable, config: ProbeConfig) -> np.ndarray:
  """Returns [n, D] float64 features, of length 1 if they should be."""
  if config.l2_normalise:
    return table.scaled()
  return table.features.astype(np.float64)


def preparation(
  train: np.ndarray,
  *,
  source: str,
  config: ProbeConfig,
) -> pipeline.Pipeline:
  """Returns what makes features ready for a linear model, fitted.

  Pixels are reduced to principal components, the most of config. Then every
  column gets mean 0 and standard deviation 1 on the training part (so
  components are whitened). There are never more components than the training
  part has.

  Args:
    train: [n_train, D] float, as from `scaled`.
    source: The source of the features.
    config: See ProbeConfig.
  """
  steps = []
  is_pixels = source == features.PIXEL_PCA
  if is_pixels:
    wanted = max(config.pixel_components)
    is_tall = train.shape[0] >= train.shape[1]
    steps.append(
      decomposition.PCA(
        min(wanted, *train.shape),
        svd_solver='covariance_eigh' if is_tall else 'full',
      )
    )
  # Directions beyond the rank are rounding; compare with the widest one.
  steps.append(_Standardise(jointly=is_pixels))
  with np.errstate(invalid='ignore'):  # Shares of no variance.
    return pipeline.make_pipeline(*steps).fit(train)


@dataclasses.dataclass(frozen=True)
class Probes:
  """Fitted probes.

  Attributes:
    preparation: Prepares features.
    models: Kind and name of a target to how many of the first columns its
      model is given (None: all), the model and, of NUMBERS, the columns that
      the model tells and their penalty.
  """

  preparation: pipeline.Pipeline
  models: dict[tuple[str, str], tuple[int | None, object, slice, float]]

  def tell(
    self, data: np.ndarray
  ) -> dict[tuple[str, str], tuple[np.ndarray, float]]:
    """Returns what the probes say, (kind, name) to ([n, ...], alpha).

    Args:
      data: [n, D] float64, as from `scaled`.
    """
    prepared = self.preparation.transform(data)
    told = {}
    for (kind, name), (size, model, columns, alpha) in self.models.items():
      if kind == targets.NUMBERS:
        whole = model.predict(prepared[:, :size]).reshape(len(data), -1)
        told[kind, name] = whole[:, columns], alpha
      else:
        told[kind, name] = logistic.decide(model, prepared[:, :size]), alpha
    return told


def fit(
  data: np.ndarray,
  asked: Sequence[targets.Target],
  folds: Sequence[tuple[np.ndarray, np.ndarray]],
  *,
  source: str,
  config: ProbeConfig,
) -> Probes:
  """Fits a probe for every target that can be fitted.

  Frames on which a target is not known take no part in its probe. Targets known
  on the same frames share their decompositions.

  Args:
    data: [n_train, D] float64, as from `scaled`.
    asked: What is asked, on these frames.
    folds: (fit, validate), [n_train] bool each, by which things are chosen.
    source: The source of the features.
    config: See ProbeConfig.
  """
  prepare = preparation(data, source=source, config=config)
  whole = prepare.transform(data)
  sizes = (None,)
  if source == features.PIXEL_PCA:
    sizes = config.pixel_components
  prepared = {size: whole[:, :size] for size in sizes}
  models, numbers = {}, collections.defaultdict(list)
  classes = collections.defaultdict(list)
  for target in asked:
    known = target.known
    if target.kind == targets.NUMBERS:
      numbers[known.tobytes()].append(target)
    elif len(np.unique(target.values[known].astype(str))) > 1:
      alone = '' if target.kind == targets.UNIT else target.name
      classes[alone, known.tobytes()].append(target)
  for group in classes.values():
    chosen = _choose(prepared, group, folds, config)
    for target, (size, penalty) in zip(group, chosen, strict=True):
      model = _classifier(prepared[size], target, penalty, folds, config)
      models[target.kind, target.name] = size, model, slice(None), np.nan
  for group in numbers.values():
    known = group[0].known
    if known.sum() < 2:
      continue
    lengths = [target.values.shape[1] for target in group]
    model = ridge.fit(
      whole[known],
      np.concatenate([target.values for target in group], axis=1)[known],
      penalties=ALPHAS,
      folds=[tuple(part[known] for part in fold) for fold in folds],
      sizes=lengths,
    )
    ends = np.cumsum(lengths)
    for target, length, end in zip(group, lengths, ends, strict=True):
      columns, alpha = slice(end - length, end), float(model.alpha[end - 1])
      models[target.kind, target.name] = None, model, columns, alpha
  return Probes(prepare, models)


def ask(
  table: features.FeatureTable,
  split: splits.Split,
  asked: Sequence[targets.Target],
  *,
  config: ProbeConfig,
) -> tuple[list[Answer], list[str]]:
  """Fits probes on a split's training part and asks them about its test part.

  Everything is fitted on the training part alone. 'nearest_in_time' is not
  fitted: it says the mean label of the two training frames next to a test
  frame, see controls.py, or in videos without one that of all; of classes the
  nearest's, or the commonest. 'head_pose' is not asked for itself.

  Args:
    table: The features of one person.
    split: Training and test frames.
    asked: What is asked, on the table's frames.
    config: See ProbeConfig.

  Returns:
    Answers, and the names of targets whose training part has one class or
    whose test part is empty. A 'nearest_in_time' without a training frame in
    any video of the test part says nothing and is not named either.
  """
  train, test = np.flatnonzero(split.train), np.flatnonzero(split.test)
  if table.source == features.HEAD_POSE:
    asked = [target for target in asked if target.name not in controls.POSES]
  is_nearest = table.source == features.NEAREST_IN_TIME
  if not is_nearest:
    inner = splits.inner_folds(
      table.frames,
      split.train,
      num_folds=NUM_INNER_FOLDS,
      guard_s=config.guard_s,
    )
    data = scaled(table, config)
    probes = fit(
      data[train],
      [target.take(train) for target in asked],
      [(inside[train], validate[train]) for inside, validate in inner],
      source=table.source,
      config=config,
    )
    told = probes.tell(data[test])
  answers, impossible = [], []
  for target in asked:
    known = target.known
    rows, labelled = test[known[test]], train[known[train]]
    labels, is_number = target.values[labelled], target.kind == targets.NUMBERS
    if not len(rows) or len(labels if is_number else set(labels)) < 2:
      impossible += [] if is_number else [target.name]
      continue
    if is_nearest:
      said, alpha = _nearest(table.frames, target, labelled, rows), np.nan
    else:
      said, alpha = told[target.kind, target.name]
      said = said[known[test]]
    if said is not None:
      place = target.name, target.kind, labels, rows
      answers.append(Answer(*place, target.values[rows], said, alpha))
  return answers, impossible


def _choose(prepared, group, folds, config) -> list[tuple]:
  """Returns the number of components and C that tell the blocks best.

  Args:
    prepared: Number of components to [n, D] float64.
    group: Targets of one kind, known on the same frames; classes alone.
    folds: See `fit`.
    config: See ProbeConfig.

  Returns:
    For each target.
  """
  sizes, known = list(prepared), group[0].known
  penalties = config.inverse_penalties
  if len(sizes) * len(penalties) == 1:
    return [(sizes[0], penalties[0])] * len(group)
  folds = [tuple(part[known] for part in fold) for fold in folds]
  folds = [fold for fold in folds if all(part.any() for part in fold)]
  if group[0].kind == targets.UNIT:
    labels = np.stack([target.values[known] == 1 for target in group], axis=1)
  else:
    named = group[0].values[known].astype(str)
    labels = named[:, None] == np.unique(named)
  quality = np.stack(
    [
      ridge.validation_aucs(
        prepared[size][known],
        labels,
        penalties=[4 / c for c in penalties],
        folds=folds,
      )
      for size in sizes
    ]
  )
  if group[0].kind != targets.UNIT:
    quality = quality.mean(axis=-1, keepdims=True)
  best = quality.reshape(-1, len(group)).argmax(axis=0)
  return [
    (sizes[i // len(penalties)], penalties[i % len(penalties)]) for i in best
  ]


def _classifier(prepared, target, penalty, folds, config):
  """Returns the logistic regression of a target, fitted."""
  known = target.known
  data, label = prepared[known], target.values[known]
  model = logistic.fit(data, label, inverse_penalty=penalty)
  if target.kind == targets.UNIT and config.threshold_from == 'validation':
    model.intercept_ -= logistic.tuned_threshold(
      data,
      label,
      [tuple(part[known] for part in fold) for fold in folds],
      inverse_penalty=penalty,
    )
  return model


def _nearest(frames, target, train, test):
  """Returns what the training frames next in time say; None if none can."""
  values = target.values[train]
  if target.kind == targets.CLASSES:
    near = controls.nearest(frames, train, test)
    classes, counts = np.unique(values.astype(str), return_counts=True)
    commonest = classes[counts.argmax()]
    told = np.where(near < 0, commonest, values[near])
    return None if (near < 0).all() else told.astype(object)
  told = controls.mean_of_neighbours(frames, train, test, values)
  if np.isnan(told).all():
    return None
  told = np.where(np.isnan(told), values.mean(axis=0), told)
  return told - 0.5 if target.kind == targets.UNIT else told
