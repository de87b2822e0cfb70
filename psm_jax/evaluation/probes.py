"""Linear probes: how well something can be read off a frame's features.

n frames, D features, k components.

Logistic regression for action units and classes, ridge regression for numbers.
asking.py asks them about the test frames of a person.
"""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np
from sklearn import base, decomposition, pipeline

from psm_jax.evaluation import (
  features,
  logistic,
  ridge,
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
    # Field, whether it is as it should be, and what is wrong if it is not.
    for field, is_right, problem in (
      (
        'splits',
        self.splits and set(self.splits) <= set(splits.ALL_SPLITS),
        f'should be one or more of {splits.ALL_SPLITS}',
      ),
      (
        'threshold_from',
        self.threshold_from in THRESHOLDS,
        f'should be one of {THRESHOLDS}',
      ),
      ('min_base_rate', 0 <= self.min_base_rate < 1, 'is not in [0, 1)'),
      (
        'few_labels',
        min(self.few_labels, default=0) >= 0,
        'has a negative number',
      ),
      ('guard_s', self.guard_s >= 0, 'is negative'),
      ('inverse_penalties', min(self.inverse_penalties, default=0) > 0, ''),
      ('pixel_components', min(self.pixel_components, default=0) >= 1, ''),
      ('few_label_draws', self.few_label_draws >= 1, ''),
      ('block_s', self.block_s > 0, ''),
      ('num_frame_resamples', self.num_frame_resamples >= 1, ''),
      ('num_block_resamples', self.num_block_resamples >= 1, ''),
    ):
      if not is_right:
        raise ValueError(
          f'{field} {getattr(self, field)!r} {problem or "is not positive"}.'
        )


DEFAULT = ProbeConfig()


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
  return (
    table.scaled() if config.l2_normalise else table.features.astype(np.float64)
  )


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
  steps = [_Standardise()]
  if source == features.PIXEL_PCA:
    is_tall = train.shape[0] >= train.shape[1]
    pca = decomposition.PCA(
      min(max(config.pixel_components), *train.shape),
      svd_solver='covariance_eigh' if is_tall else 'full',
    )
    # Directions beyond the rank are rounding; compare with the widest one.
    steps = [pca, _Standardise(jointly=True)]
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
  is_pixels = source == features.PIXEL_PCA
  sizes = config.pixel_components if is_pixels else (None,)
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
