"""Crops: which part of a picture becomes a frame of the store.

A crop is a [2, 3] affine map from the frame's unit square to the picture:
position (x, y) = crop @ (u, v, 1), u and v in [0, 1] from the frame's top left
corner, x and y in pixels from the picture's top left corner. It does not depend
on the frame's size. Positions count from a corner, so the centre of the first
pixel is (0.5, 0.5).
"""

import numpy as np

# Height of the eyes in the frame. With eyes 0.40 of the side apart the chin of
# an average face ends near 0.95, which leaves room for a dropped jaw.
EYE_HEIGHT = 0.30
_LEFT_EYE = slice(36, 42)
_RIGHT_EYE = slice(42, 48)


def eye_centres(landmarks: np.ndarray) -> np.ndarray:
  """Returns both eyes' centres from 68-point (Multi-PIE) landmarks.

  Args:
    landmarks: [..., 68, 2] float, (x, y) pixels.

  Returns:
    [..., 2, 2] float: the eye on the left of the picture (the means of points
    36-41), then the one on the right (42-47); (x, y).
  """
  return np.stack(
    [
      landmarks[..., _LEFT_EYE, :].mean(axis=-2),
      landmarks[..., _RIGHT_EYE, :].mean(axis=-2),
    ],
    axis=-2,
  )


def eye_crop(eyes: np.ndarray, *, eye_distance: float) -> np.ndarray:
  """Returns the upright crop in which the eyes lie at a fixed place.

  A similarity (rotation, one scale, shift): the eyes come to lie level at
  height `EYE_HEIGHT`, symmetric about the middle.

  Args:
    eyes: [..., 2, 2] float from `eye_centres`.
    eye_distance: distance of the eyes as a share of the frame's side.

  Returns:
    [..., 2, 3] float64; NaN where an eye is NaN or both eyes coincide.
  """
  eyes = np.asarray(eyes, np.float64)
  across = eyes[..., 1, :] - eyes[..., 0, :]
  with np.errstate(invalid='ignore'):
    across = np.where(
      np.hypot(*np.moveaxis(across, -1, 0))[..., None] > 0, across, np.nan
    )
  right = across / eye_distance
  down = np.stack([-right[..., 1], right[..., 0]], axis=-1)
  middle = eyes.mean(axis=-2)
  return np.stack(
    [right, down, middle - 0.5 * right - EYE_HEIGHT * down], axis=-1
  )


def centre_crop(width: np.ndarray, height: np.ndarray) -> np.ndarray:
  """Returns the largest upright square in the middle of a picture.

  Args:
    width: [...] int, of pictures in pixels.
    height: [...] int, likewise.

  Returns:
    [..., 2, 3] float64; on whole pixels.
  """
  side = np.minimum(width, height)
  left, top = (width - side) // 2, (height - side) // 2
  none = np.zeros_like(side)
  rows = [(side, none, left), (none, side, top)]
  return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2).astype(
    np.float64
  )


def to_frame(
  points: np.ndarray, crops: np.ndarray, *, size_px: int
) -> np.ndarray:
  """Returns where points of pictures lie in the frames cut out of them.

  Args:
    points: [n, P, 2] float, (x, y) pixels of the picture.
    crops: [n, 2, 3] float, invertible.
    size_px: side of a frame.

  Returns:
    [n, P, 2] float64, (x, y) pixels of the frame from its top left corner, 0 to
    size_px inside it; NaN where a point is NaN.
  """
  crops = np.asarray(crops, np.float64)
  inverse = np.linalg.inv(crops[:, :, :2])
  return size_px * np.einsum(
    'nij,npj->npi', inverse, points - crops[:, None, :, 2]
  )
