"""Head pose from landmarks with depth."""

import numpy as np
from scipy.spatial import transform


def pose(
  points: np.ndarray, mean_face: np.ndarray, weights: np.ndarray
) -> np.ndarray:
  """Returns how a head is turned: the rotation that fits landmarks best.

  Weighted orthogonal Procrustes (Kabsch, 1976) under weak perspective.

  Args:
    points: [P, 3] float, (x, y, depth): right and down in the picture, and away
      from the camera, in one unit.
    mean_face: [P, 3] float, a frontal face: right, up, to the camera.
    weights: [P] float, 0 or more.

  Returns:
    [3] float64 yaw, pitch and roll in degrees: the face turned to the picture's
    right, down, and clockwise; first by yaw, then by pitch, then by roll.
  """
  turned, weights = points * [1, -1, -1], weights / weights.sum()
  rotation, _ = transform.Rotation.align_vectors(
    turned - weights @ turned, mean_face - weights @ mean_face, weights
  )
  # Rz(-roll) Rx(pitch) Ry(yaw), axes to the right, up and to the camera.
  return rotation.as_euler('yxz', degrees=True) * [1, 1, -1]
