"""Ridge regression from features to intensities, head pose and landmarks.

n frames, D features, T targets.

A penalty is chosen for each target on the training part alone: of ALPHAS the
one with the smallest squared error over 4 blocks of time, each predicted from
the other three. The 136 coordinates of landmarks have one in common.

r2 is 1 - squared error / squared distance from the test mean, NaN if the angle
does not vary; mae_deg the mean absolute error in degrees; nme see `nme`.
"""

import dataclasses

import numpy as np
import pandas as pd
from sklearn import metrics as sklearn_metrics

from psm_jax.evaluation import controls, features, probes, ridge, splits

ALPHAS = (1.0, 10.0, 100.0, 1000.0, 10000.0)
INTENSITY_METRICS = ('icc', 'pearson', 'mse')
INTENSITY_COLUMNS = (
  'au',
  'n_train',
  'n_test',
  'label_std',
  'alpha',
  *INTENSITY_METRICS,
)
REGRESSION_METRICS = ('r2', 'mae_deg', 'nme')
REGRESSION_COLUMNS = (
  'target',
  'n_train',
  'n_test',
  'alpha',
  *REGRESSION_METRICS,
)
LANDMARKS = 'landmarks'
_NUM_POINTS = 68
_OUTER_EYE_CORNERS = (36, 45)
_LANDMARK_COLUMNS = [f'{axis}{k}' for k in range(_NUM_POINTS) for axis in 'xy']


def graded(frames: pd.DataFrame, units: tuple[str, ...]) -> list[str]:
  """Returns the action units whose labels have more than two values.

  Args:
    frames: n rows with columns of action units.
    units: Names of such columns; presence, AU01_c, is never graded.
  """
  return [
    unit
    for unit in units
    if not unit.endswith('_c') and frames[unit].dropna().nunique() > 2
  ]


def target_columns(frames: pd.DataFrame) -> list[str]:
  """Returns the columns of head pose and landmarks that hold any value.

  Landmarks are x0, y0, ... x67, y67, in any unit of length; all or none.
  """
  pose = list(controls.pose_angles(frames))
  if not all(c in frames for c in _LANDMARK_COLUMNS):
    return pose
  known = frames[_LANDMARK_COLUMNS].notna().all(axis=1)
  return pose + (_LANDMARK_COLUMNS if known.any() else [])


def score(
  table: features.FeatureTable,
  split: splits.Split,
  *,
  units: tuple[str, ...],
  config: probes.ProbeConfig,
  prepared: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[list[dict], list[dict]]:
  """Predicts intensities, head pose and landmarks of one person.

  Frames on which a target is not labelled take no part in its prediction, and
  predictions are not clipped. 'nearest_in_time' predicts the mean of the two
  training frames next to a test frame, see controls.py, or in videos without
  one the mean of all; 'head_pose' is not asked for itself.

  Args:
    table: The features of one person.
    split: Training and test frames.
    units: Action units whose intensity is wanted, if their labels are graded.
    config: How features are prepared.
    prepared: What probes.prepare makes of the two parts, if known already.

  Returns:
    A dict with INTENSITY_COLUMNS for each action unit, where label_std is of
    the test part (its square is the mse of guessing the test mean), and one
    with REGRESSION_COLUMNS for each of yaw, pitch, roll and landmarks. Targets
    that one of the parts lacks have none.
  """
  columns = target_columns(table.frames)
  units = graded(table.frames, units)
  wanted = {unit: [unit] for unit in units}
  if table.source != features.HEAD_POSE:
    poses = {pose: f'pose_{pose}' for pose in controls.POSES}
    wanted |= {p: [c] for p, c in poses.items() if c in columns}
  if _LANDMARK_COLUMNS[0] in columns:
    wanted[LANDMARKS] = _LANDMARK_COLUMNS
  found = _predict(table, split, wanted, config, prepared)
  return (
    [_intensity_row(unit, found[unit]) for unit in units if unit in found],
    [
      _regression_row(name, found[name])
      for name in (*controls.POSES, LANDMARKS)
      if name in found
    ],
  )


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


def nme(truth: np.ndarray, predicted: np.ndarray) -> float:
  """Returns the normalised mean error of 68 landmarks.

  The mean over frames of the mean distance of a point from the true one, over
  the distance of the true outer eye corners. Frames whose corners coincide are
  left out; NaN if none is left.

  Args:
    truth: [n, 68, 2] float.
    predicted: [n, 68, 2] float, in the same unit of length.
  """
  first, second = (truth[:, corner] for corner in _OUTER_EYE_CORNERS)
  between = np.linalg.norm(first - second, axis=-1)
  distance = np.linalg.norm(truth - predicted, axis=-1).mean(axis=-1)
  usable = between > 0
  if not usable.any():
    return float('nan')
  return float((distance[usable] / between[usable]).mean())


@dataclasses.dataclass(frozen=True)
class _Prediction:
  """[n_test, T] test labels and what was predicted for them from n_train."""

  truth: np.ndarray
  predicted: np.ndarray
  n_train: int
  alpha: float


def _predict(table, split, wanted, config, prepared) -> dict[str, _Prediction]:
  """Returns the predictions of named groups of columns that can be made.

  Groups labelled on the same frames are fitted together.
  """
  is_nearest = table.source == features.NEAREST_IN_TIME
  if wanted and not is_nearest:
    parts = prepared or probes.prepare_split(table, split, config=config)
    folds = probes.inner_rows(table.frames, split, config=config)
  known = {
    name: table.frames[columns].notna().all(axis=1).to_numpy()
    for name, columns in wanted.items()
  }
  found = {}
  for mask in {own.tobytes(): own for own in known.values()}.values():
    names = [name for name, own in known.items() if (own == mask).all()]
    train_rows = np.flatnonzero(split.train & mask)
    test_rows = np.flatnonzero(split.test & mask)
    if len(train_rows) < 2 or not len(test_rows):
      continue
    columns = [column for name in names for column in wanted[name]]
    target = table.frames[columns].to_numpy(np.float64)
    if is_nearest:
      alphas = np.full(len(columns), np.nan)
      predicted = controls.mean_of_neighbours(
        table.frames, train_rows, test_rows, target[train_rows]
      )
      if np.isnan(predicted).all():
        continue
      mean = target[train_rows].mean(axis=0)
      predicted = np.where(np.isnan(predicted), mean, predicted)
    else:
      train, test = parts[0][mask[split.train]], parts[1][mask[split.test]]
      inner = [tuple(x[mask[split.train]] for x in fold) for fold in folds]
      predicted, alphas = ridge.predict(
        train,
        target[train_rows],
        test,
        penalties=ALPHAS,
        folds=inner,
        sizes=[len(wanted[name]) for name in names],
      )
    for name in names:
      own = [columns.index(column) for column in wanted[name]]
      found[name] = _Prediction(
        truth=target[test_rows][:, own],
        predicted=predicted[:, own],
        n_train=len(train_rows),
        alpha=float(alphas[own[0]]),
      )
  return found


def _intensity_row(unit, found):
  """Returns a row of INTENSITY_COLUMNS."""
  truth, predicted = found.truth[:, 0], found.predicted[:, 0]
  return {
    'au': unit,
    'n_train': found.n_train,
    'n_test': len(truth),
    'label_std': float(truth.std()),
    'alpha': found.alpha,
    'icc': icc(np.stack([truth, predicted], axis=1)),
    'pearson': pearson(truth, predicted),
    'mse': float(((truth - predicted) ** 2).mean()),
  }


def _regression_row(target, found):
  """Returns a row of REGRESSION_COLUMNS."""
  row = {
    'target': target,
    'n_train': found.n_train,
    'n_test': len(found.truth),
    'alpha': found.alpha,
  }
  if target == LANDMARKS:
    return {**row, 'nme': nme(_points(found.truth), _points(found.predicted))}
  return {
    **row,
    'r2': _r2(found.truth[:, 0], found.predicted[:, 0]),
    'mae_deg': float(np.abs(found.truth - found.predicted).mean()),
  }


def _r2(truth, predicted):
  if np.ptp(truth) == 0:
    return float('nan')
  return float(sklearn_metrics.r2_score(truth, predicted))


def _points(flat):
  """Returns [n, 68, 2] from columns x0, y0, x1, ..."""
  return flat.reshape(len(flat), _NUM_POINTS, 2)
