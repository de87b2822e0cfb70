"""How well a code drives another canonical face than its frame's own.

A code says how a face moved only if it moves the face of another video of the
person in the same way. Frames of one video are compared with their codes drawn
on the canonical face of another, after the colours of the one are matched to
the other's. n frames, S pixels a side; images are float in any one scale.
"""

import numpy as np

# Of an aligned frame: rows and columns from, to, as shares of the side.
_FACE = (slice(0.06, 0.94), slice(0.16, 0.84))
REGIONS = {
  'face': _FACE,
  'mouth': (slice(0.59, 0.88), slice(0.28, 0.72)),
  'eyes': (slice(0.22, 0.41), slice(0.19, 0.81)),
}


def r2(
  driven: np.ndarray,
  frames: np.ndarray,
  *,
  canonical: np.ndarray,
  target: np.ndarray,
  region: str = 'face',
) -> float:
  """Returns 1 - SS(driven - frames) / SS(target - frames) over a region.

  Args:
    driven: [n, S, S, 3], `target` moved by the codes of the frames.
    frames: [n, S, S, 3], of one video.
    canonical: [S, S, 3], the canonical face of that video.
    target: [S, S, 3], the canonical face of another video of the person.
    region: Key of `REGIONS`.
  """
  cut = _cut(region, frames.shape[1])
  match = _colours(
    target[_cut('face', len(target))], canonical[_cut('face', len(target))]
  )
  rest = match(driven)[:, *cut] - frames[:, *cut]
  whole = match(target)[cut] - frames[:, *cut]
  return float(1 - (rest**2).sum() / (whole**2).sum())


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
