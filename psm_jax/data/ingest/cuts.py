"""Where a film goes over to another scene, by the structure of its pictures.

The change from one frame to the next is the share of edges that are elsewhere,
whatever the colours, the brightness and the contrast; parts of the picture may
move a little. At a cut it is large in a good part of the picture, and twice as
large as around it: before movement, blur and noise go on. Fades and dissolves
are not found.
"""

import array

import cv2
import numpy as np

from psm_jax.data.ingest import video

_BLOCK, _REACH = 8, 3  # Side of a part in pixels, and how far it may move.
_FAINT = 0.2  # Energy of edges a pixel, below which they are not enhanced.
_NOISE = 0.05  # Energy a pixel that tells nothing, once they are.
# Within 19 films of people who talk, sign and gesture the change stayed below
# 0.15; over joins of two talkers before one wall it is above 0.28, in colour,
# in grey, at a third of the brightness and at a quarter of the contrast. Two
# tracks of one person cost a look at the sheet, one of two spoils a model.
_LEAST_CHANGE = 0.2
_LEAST_AREA = 1 / 7  # A person who comes in changes one side at once.
_ELSEWHERE = 0.3  # Of a part's energy.
_BEFORE = 8  # Frames.


class CutFinder:
  """Collects the changes of a film; call `add` frame by frame."""

  def __init__(self):
    self._change, self._is_wide = array.array('d'), array.array('b')
    self._last, self._size = None, None

  def add(self, frame: video.Frame) -> None:
    """Adds the next frame that is not damaged."""
    edges = _edges(frame.outline())
    if frame.size == self._size:
      change, area = _compare(self._last, edges)
    else:
      change, area = np.inf, 1.0
    self._change.append(change)
    self._is_wide.append(area >= _LEAST_AREA)
    self._last, self._size = edges, frame.size

  def cuts(self) -> list[int]:
    """Returns which of the frames added begin another scene."""
    change = np.array(self._change)
    begins, first = [], 1
    for frame in range(1, len(change)):
      # The next may belong to the cut: two pictures blended into one.
      around = change[max(first, frame - _BEFORE) : frame].tolist()
      around += change[frame + 2 : frame + 4].tolist()
      least = max(_LEAST_CHANGE, 2 * max(around, default=0.0))
      if self._is_wide[frame] and change[frame] >= least:
        begins.append(frame)
        first = frame + 1
    return begins


def _edges(grey):
  """[48, 64, 2] float32, slopes of a smoothed picture, of mean energy 1."""
  smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
  slopes = [cv2.Sobel(smooth, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1))]
  edges = np.stack(slopes, axis=-1) / 8
  return edges / np.sqrt(max(2 * (edges**2).mean(), _FAINT))


def _parts(energy):
  """Sums over the blocks of a picture."""
  height, width = energy.shape
  shape = height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK
  return energy.reshape(shape).sum(axis=(1, 3))


def _compare(last, edges):
  """(share of the edges' energy that is elsewhere, share of parts changed)."""
  energy = _parts((last**2 + edges**2).sum(axis=-1)) / 2 + _NOISE * _BLOCK**2
  least = _parts(((edges - last) ** 2).sum(axis=-1))
  still = float(least.sum() / energy.sum()) / 2
  if still < _LEAST_CHANGE:
    return still, 0.0
  height, width = edges.shape[:2]
  padded = np.pad(last, ((_REACH,) * 2, (_REACH,) * 2, (0, 0)))
  for down in range(2 * _REACH + 1):
    for right in range(2 * _REACH + 1):
      moved = padded[down : down + height, right : right + width]
      least = np.minimum(least, _parts(((moved - edges) ** 2).sum(axis=-1)))
  change = min(still, float(least.sum() / energy.sum()))
  return change, float((least > _ELSEWHERE * energy).mean())
