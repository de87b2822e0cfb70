"""What probes say of a person's test frames, and how good that is.

n frames.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from psm_jax.evaluation import (
  controls,
  features,
  probes,
  scores,
  splits,
  targets,
)


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

  def score(self, config: probes.ProbeConfig) -> dict[str, float]:
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


def ask(
  table: features.FeatureTable,
  split: splits.Split,
  asked: Sequence[targets.Target],
  *,
  config: probes.ProbeConfig,
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
    config: See probes.ProbeConfig.

  Returns:
    Answers, and the names of targets whose training part has one class or
    whose test part is empty. A 'nearest_in_time' without a training frame in
    any video of the test part says nothing and is not named either.
  """
  train, test = np.flatnonzero(split.train), np.flatnonzero(split.test)
  if table.source == features.NEAREST_IN_TIME:

    def tell_nearest(*question):
      return _nearest(table.frames, *question), np.nan

    return answers(asked, train, test, tell_nearest)
  if table.source == features.HEAD_POSE:
    asked = [target for target in asked if target.name not in controls.POSES]
  folds = splits.inner_folds(
    table.frames,
    split.train,
    num_folds=probes.NUM_INNER_FOLDS,
    guard_s=config.guard_s,
  )
  data = probes.scaled(table, config)
  fitted = probes.fit(
    data[train],
    [target.take(train) for target in asked],
    folds,
    source=table.source,
    config=config,
  )
  told = fitted.tell(data[test])

  def tell(target, *_):
    said, alpha = told[target.kind, target.name]
    return said[target.known[test]], alpha

  return answers(asked, train, test, tell)


def answers(
  asked: Sequence[targets.Target],
  train: np.ndarray,
  test: np.ndarray,
  tell: Callable[
    [targets.Target, np.ndarray, np.ndarray], tuple[np.ndarray | None, float]
  ],
) -> tuple[list[Answer], list[str]]:
  """Returns the answers to questions, and which have none, see `ask`.

  Args:
    asked: What is asked, on some frames.
    train: [n_train] int, the training frames.
    test: [n_test] int.
    tell: Of a target, and of the training and test frames on which it is known:
      what is said of these test frames, None for nothing, and the penalty.
  """
  made, impossible = [], []
  for target in asked:
    known, is_number = target.known, target.kind == targets.NUMBERS
    rows, labelled = test[known[test]], train[known[train]]
    labels = target.values[labelled]
    if not len(rows) or len(labels if is_number else set(labels)) < 2:
      impossible += [] if is_number else [target.name]
      continue
    told, alpha = tell(target, labelled, rows)
    if told is not None:
      truth = target.values[rows]
      made.append(
        Answer(target.name, target.kind, labels, rows, truth, told, alpha)
      )
  return made, impossible


def _nearest(frames, target, train, test):
  """Returns what the training frames next in time say, None if none can."""
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
