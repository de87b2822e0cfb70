"""Whether a track's crops go over from one face to another.

Each crop is brought down to 16x16 grey levels without brightness and contrast;
the correlation of the means of ten crops before and ten after each frame tells
whether what is seen there changed for good: words, smiles and nods are shorter
or smaller. It recognises nobody and is no measure of likeness.
"""

import collections

import cv2
import numpy as np

_SIDE = 16
_WINDOW = 10
# Within 18 tracks of people who talk, sign, gesture and laugh the distance
# stayed below 0.16; over 292 joins of tracks of two of them it is above 0.18.
_CHANGED = 0.17


class Watch:
  """Watches the crops of one track, in order."""

  def __init__(self, num_crops: int):
    """Takes the number of crops that will come."""
    self._window = min(_WINDOW, num_crops // 2)
    self._last = collections.deque(maxlen=2 * self._window)
    self._count, self._distance, self._row = 0, 0.0, 0

  def add(self, crop: np.ndarray) -> None:
    """Adds the next crop, [S, S, 3] uint8."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    small = small.ravel() - small.mean()
    self._last.append(small / max(np.linalg.norm(small), 1e-6))
    self._count += 1
    if self._window and len(self._last) == 2 * self._window:
      crops = np.array(self._last).reshape(2, self._window, -1).mean(axis=1)
      norms = np.linalg.norm(crops, axis=1)
      distance = 1 - float(crops[0] @ crops[1] / max(norms.prod(), 1e-9))
      if distance > self._distance:
        self._distance = distance
        self._row = self._count - self._window

  @property
  def changed_at(self) -> int | None:
    """The crop, counted from 0, at which another face seems to begin."""
    return self._row if self._distance >= _CHANGED else None
