"""Which pixels of an eye-aligned frame count most in a loss."""

import numpy as np
from jaxtyping import Float32

# Height of the eyes, as in psm_jax/data/alignment.py.
_EYE_HEIGHT = 0.30
# Boxes around the middle of the eyes, in eye distances: top, bottom, reach to
# both sides; and what a pixel in them counts where it is 1 elsewhere.
_REGIONS = (
  (-0.60, -0.12, 0.94, 3.0),  # Brows.
  (-0.20, 0.28, 0.78, 6.0),  # Eyes.
  (0.73, 1.44, 0.55, 6.0),  # Mouth.
)


def weights(
  size_px: int, *, eye_distance: float
) -> Float32[np.ndarray, '{size_px} {size_px}']:
  """Returns weights of pixels, 1 on average.

  Args:
    size_px: S.
    eye_distance: Share of the side between the eyes, `data.eye_distance`.

  Returns:
    [S, S] float32.
  """
  centre = (np.arange(size_px) + 0.5) / size_px
  down = (centre[:, None] - _EYE_HEIGHT) / eye_distance
  across = np.abs(centre[None, :] - 0.5) / eye_distance
  made = np.ones((size_px, size_px), np.float32)
  for top, bottom, reach, weight in _REGIONS:
    made[(down >= top) & (down < bottom) & (across < reach)] = weight
  return made / made.mean()
