"""Frames as grey pixels, the control that no model makes.

n frames, H W pixels.
"""

import numpy as np

GREY_PX = 32
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601.
_CHUNK = 256  # Frames turned grey at once; bounds the memory.


def grey_pixels(frames: np.ndarray) -> np.ndarray:
  """Returns frames as 32 x 32 grey pixels, averaged over equal areas.

  A pixel that lies in two cells counts in each by its share, so any size is
  averaged exactly.

  Args:
    frames: [n, H, W, 3] uint8, RGB.

  Returns:
    [n, 1024] float32 in [0, 1], row-major, BT.601 luma.

  Raises:
    ValueError: If frames are of another shape or type.
  """
  if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
    raise ValueError(
      f'Frames are {frames.dtype} of shape {frames.shape}; expected uint8 of '
      '[n, H, W, 3].'
    )
  rows, columns = map(_area_matrix, frames.shape[1:3])
  grey = np.empty((len(frames), GREY_PX, GREY_PX), np.float32)
  for start in range(0, len(frames), _CHUNK):
    part = frames[start : start + _CHUNK].astype(np.float32) @ _LUMA
    grey[start : start + _CHUNK] = rows @ part @ columns.T
  return np.clip(grey.reshape(len(frames), GREY_PX**2) / 255.0, 0.0, 1.0)


def _area_matrix(size_in: int) -> np.ndarray:
  """Returns [GREY_PX, size_in] float32: share of each input in each cell."""
  edges = np.linspace(0.0, size_in, GREY_PX + 1)
  pixel = np.arange(size_in)
  overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(
    edges[:-1, None], pixel
  )
  return (np.maximum(overlap, 0.0) * GREY_PX / size_in).astype(np.float32)
