"""How far driven faces are from the frames whose movement they show.

n frames, S pixels a side; images are float in any one scale.
"""

import numpy as np

# Of an aligned frame: rows and columns from, to, as shares of the side.
_FACE = (slice(0.06, 0.94), slice(0.16, 0.84))
REGIONS = {
  'face': _FACE,
  'mouth': (slice(0.59, 0.88), slice(0.28, 0.72)),
  'eyes': (slice(0.22, 0.41), slice(0.19, 0.81)),
}


def squares(
  driven: np.ndarray,
  frames: np.ndarray,
  *,
  canonical: np.ndarray,
  target: np.ndarray,
) -> dict[str, np.ndarray]:
  """Returns sums of squares of each frame over each region.

  Args:
    driven: [n, S, S, 3], `target` moved by the codes of the frames.
    frames: [n, S, S, 3], of one video.
    canonical: [S, S, 3], the canonical face of that video.
    target: [S, S, 3], the canonical face of another video of the person.

  Returns:
    rest_<region>, of driven less frames, and still_<region>, of the target less
    frames, [n] each.
  """
  size_px = len(target)
  face = _cut('face', size_px)
  match = _colours(target[face], canonical[face])
  made = {}
  for region in REGIONS:
    cut = _cut(region, size_px)
    shown = frames[:, *cut]
    for name, image in (
      ('rest', match(driven)[:, *cut]),
      ('still', match(target)[cut]),
    ):
      made[f'{name}_{region}'] = ((image - shown) ** 2).sum(axis=(1, 2, 3))
  return made


def num_values(region: str, size_px: int) -> int:
  """Returns how many values, three a pixel, are summed over a region."""
  return np.zeros((size_px, size_px, 3))[_cut(region, size_px)].size


def _cut(region, size_px):
  """Returns the slices of pixels of a region."""
  return tuple(
    slice(round(side.start * size_px), round(side.stop * size_px))
    for side in REGIONS[region]
  )


def _colours(source, target):
  """Returns a map of colours, a line a channel, by least squares."""
  lines = [
    np.polyfit(source[..., c].ravel(), target[..., c].ravel(), 1)
    for c in range(source.shape[-1])
  ]
  gain, bias = np.array(lines).T
  return lambda image: image * gain + bias
