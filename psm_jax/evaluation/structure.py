"""What an embedding holds: how many dimensions, how much head pose.

n frames, D features.
"""

import numpy as np
from sklearn import linear_model

from psm_jax.evaluation import controls, features, probes, regression

POSES = controls.POSES
_RIDGE_PENALTY = 1.0


def describe(
  table: features.FeatureTable, *, config: probes.ProbeConfig
) -> dict[str, float]:
  """Returns effective rank, spread of a unit and pose correlations.

  Args:
    table: The features of one person.
    config: How features are prepared for the ridge regression of the pose.

  Returns:
    effective_rank, unit_std, yaw_correlation, pitch_correlation and
    roll_correlation.
  """
  return {
    'effective_rank': effective_rank(table.features),
    'unit_std': unit_std(table.features),
    **pose_correlations(table, config=config),
  }


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


def pose_correlations(
  table: features.FeatureTable, *, config: probes.ProbeConfig
) -> dict[str, float]:
  """Returns how well a ridge regression tells the head pose in a new video.

  Fitted on the first labelled video in order of video_id, on features prepared
  as for the probes, penalty 1; Pearson's correlation of its predictions with
  the labels of the second. Frames count where every labelled one of pose_yaw,
  pose_pitch and pose_roll (degrees) is labelled.

  Args:
    table: The features of one person.
    config: How features are prepared.

  Returns:
    yaw_correlation, pitch_correlation and roll_correlation; NaN without that
    label or two labelled videos, or if labels or predictions do not vary.
  """
  correlations = {f'{pose}_correlation': float('nan') for pose in POSES}
  angles = controls.pose_angles(table.frames)
  video = table.frames['video_id'].astype(str).to_numpy()
  labelled = angles.notna().all(axis=1).to_numpy()
  video_ids = np.unique(video[labelled])
  if angles.empty or len(video_ids) < 2:
    return correlations
  first, second = (labelled & (video == v) for v in video_ids[:2])
  train, test = probes.prepare(
    table.features[first],
    table.features[second],
    source=table.source,
    config=config,
  )
  angle = angles.to_numpy()
  model = linear_model.Ridge(alpha=_RIDGE_PENALTY).fit(train, angle[first])
  predicted = model.predict(test).reshape(-1, angle.shape[1])
  for column, name in enumerate(angles.columns):
    correlations[f'{name.removeprefix("pose_")}_correlation'] = (
      regression.pearson(predicted[:, column], angle[second, column])
    )
  return correlations


def _centred(data: np.ndarray) -> np.ndarray:
  """Returns columns of mean 0; exactly 0 where a column is constant."""
  data = data.astype(np.float64) - data[:1]
  return data - data.mean(axis=0)
