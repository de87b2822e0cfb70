"""Aligns the faces of a track by many landmarks: data.align=landmarks.

The eyes, the nose and the mouth, each the mean of many landmarks, are fitted by
a similarity to those of a mean head turned as the head is (weak perspective),
so that turning and nodding do not zoom.
"""

import numpy as np
import pandas as pd

from psm_jax.data.ingest import crops, landmarker

# The middles of these, and their weights: a mouth moves more than eyes do.
_GROUPS = (*landmarker.EYES, landmarker.NOSE_RIDGE, landmarker.LIPS)
_WEIGHTS = np.array([0.35, 0.35, 0.2, 0.1])
# Where they lie in the face of the model file, from the middle of the eyes in
# distances of the eyes: right, down, away from the camera.
_HEAD = np.array(
  [
    [-0.5, 0.0, 0.0],
    [0.5, 0.0, 0.0],
    [0.0, 0.194, -0.449],
    [0.0, 1.096, -0.208],
  ]
)


def align(
  times_s: np.ndarray,
  landmarks: np.ndarray,
  pose_deg: np.ndarray,
  *,
  eye_distance: float,
) -> np.ndarray:
  """Returns the crops of a track, steady in time as those of `crops.align`.

  Args:
    times_s: [n] float64 seconds, increasing.
    landmarks: [n, 478, 2] float, (x, y) pixels; NaN where there are none: the
      crop then moves in a straight line.
    pose_deg: [n, 3] float, see `head_pose.pose`; NaN likewise.
    eye_distance: distance of the eyes as a share of the crop's side, when the
      head is not turned.

  Raises:
    ValueError: If no face has landmarks.
  """
  seen = np.stack(
    [landmarks[:, list(group)].mean(axis=1) for group in _GROUPS], axis=1
  )
  place = pd.DataFrame(_fit(seen, _turned(pose_deg)), index=times_s)
  if place.isna().all(axis=None):
    raise ValueError('No face has landmarks to align by.')
  place = place.interpolate('index', limit_direction='both').to_numpy()
  return crops.steady(
    times_s,
    place[:, :2],
    place[:, 2:4],
    place[:, 4],
    eye_distance=eye_distance,
  )


def _turned(pose_deg):
  """[n, 4, 2] the head's points, turned by yaw and then by pitch."""
  yaw, pitch, _ = np.radians(pose_deg.T)[..., None]
  across, down, away = _HEAD.T
  # Yaw brings what is near (away < 0) to the right, pitch brings it down.
  turned_away = away * np.cos(yaw) + across * np.sin(yaw)
  return np.stack(
    [
      across * np.cos(yaw) - away * np.sin(yaw),
      down * np.cos(pitch) - turned_away * np.sin(pitch),
    ],
    axis=-1,
  )


def _fit(seen, head):
  """[n, 5]: middle of the eyes, direction of their line, their distance."""
  seen, head = (points[..., 0] + 1j * points[..., 1] for points in (seen, head))
  middle_seen, middle_head = seen @ _WEIGHTS, head @ _WEIGHTS
  seen, head = seen - middle_seen[:, None], head - middle_head[:, None]
  with np.errstate(invalid='ignore'):  # NaN where there are no landmarks.
    turn = (head.conj() * seen) @ _WEIGHTS / ((np.abs(head) ** 2) @ _WEIGHTS)
    size = np.abs(turn)
    along = turn / size
  eyes = middle_seen - turn * middle_head
  return np.stack([eyes.real, eyes.imag, along.real, along.imag, size], axis=1)
