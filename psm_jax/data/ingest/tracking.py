"""Follows faces from frame to frame, by the overlap of their boxes.

A track is one face in one scene. Faces and tracks are matched so that the sum
of overlaps is largest (Hungarian method). A track ends at a cut and when its
face has not been found for some time; whoever comes later begins a new one.
"""

import array
import dataclasses

import numpy as np
from scipy import optimize

from psm_jax.data.ingest import faces as faces_lib

_MIN_OVERLAP = 0.2  # Of intersection over union.
_WIDTH = 16  # Numbers kept of a face found.


@dataclasses.dataclass
class Track:
  """One face through one scene; filled frame by frame.

  Attributes:
    rows: 16 float64 a face found: frame, box, points, score.
    last_frame: where it was last found.
    last_s: when that was.
    last_box: [4] where it was.
  """

  rows: array.array
  last_frame: int
  last_s: float
  last_box: np.ndarray

  def __len__(self) -> int:
    """In how many frames the face was found."""
    return len(self.rows) // _WIDTH

  @property
  def _table(self):
    return np.frombuffer(self.rows, np.float64).reshape(-1, _WIDTH)

  @property
  def frames(self) -> np.ndarray:
    """[n] int64, increasing: where the face was found."""
    return self._table[:, 0].astype(np.int64)

  @property
  def found(self) -> faces_lib.Faces:
    """The n faces found."""
    table = self._table
    return faces_lib.Faces(
      table[:, 1:5].copy(),
      table[:, 5:15].reshape(-1, 5, 2).copy(),
      table[:, 15].copy(),
    )


class Tracker:
  """Sorts faces into tracks; call `add` frame by frame, then `finish`."""

  def __init__(self, *, gap_s: float):
    self._gap_s = gap_s
    self._open, self._closed = [], []

  def cut(self) -> None:
    """Ends all tracks: what follows is another scene."""
    self._closed += self._open
    self._open = []

  def add(self, frame: int, time_s: float, found: faces_lib.Faces) -> None:
    """Adds the faces of the next frame that was searched."""
    lost = [t for t in self._open if time_s - t.last_s > self._gap_s]
    if lost:
      self._closed += lost
      self._open = [t for t in self._open if time_s - t.last_s <= self._gap_s]
    taken = set()
    if self._open and len(found):
      boxes = np.stack([track.last_box for track in self._open])
      overlap = faces_lib.intersection_over_union(boxes, found.boxes)
      pairs = optimize.linear_sum_assignment(
        np.where(overlap >= _MIN_OVERLAP, overlap, 0.0), maximize=True
      )
      for track, face in zip(*pairs, strict=True):
        if overlap[track, face] >= _MIN_OVERLAP:
          taken.add(face)
          _append(self._open[track], frame, time_s, found, face)
    for face in range(len(found)):
      if face not in taken:
        track = Track(array.array('d'), 0, 0.0, np.zeros(4))
        _append(track, frame, time_s, found, face)
        self._open.append(track)

  def finish(self, *, min_frames: int) -> tuple[list[Track], int]:
    """Returns the tracks, and how many faces were in shorter ones.

    Args:
      min_frames: in how many frames a track's face must have been found.

    Returns:
      Tracks in order of their first frame, then from left to right; and the
      number of faces that belong to none of them.
    """
    self.cut()
    long = [t for t in self._closed if len(t) >= min_frames]
    dropped = sum(len(t) for t in self._closed if len(t) < min_frames)
    long.sort(key=lambda track: (track.rows[0], track.rows[1]))
    return long, dropped


def _append(track, frame, time_s, found, face):
  track.rows.append(frame)
  track.rows.extend(found.boxes[face])
  track.rows.extend(found.points[face].ravel())
  track.rows.append(found.scores[face])
  track.last_frame, track.last_s = frame, time_s
  track.last_box = found.boxes[face]


def fill(
  frames: np.ndarray, found: faces_lib.Faces, *, every: int
) -> tuple[np.ndarray, faces_lib.Faces, np.ndarray]:
  """Puts faces between those found where not every frame was searched.

  Boxes and points move in a straight line from one face found to the next, if
  they are at most `every` frames apart; over longer gaps nothing is made up.

  Args:
    frames: [n] int64, increasing.
    found: n faces.
    every: every how many frames faces were sought.

  Returns:
    [m] int64 frames, m faces, and [m] bool: which were made up. Their scores
    are NaN.
  """
  steps = np.diff(frames)
  if every == 1 or not (steps > 1).any():
    return frames, found, np.zeros(len(frames), bool)
  filled = np.where((steps > 1) & (steps <= every), steps - 1, 0)
  made_up = np.concatenate(
    [frames[i] + 1 + np.arange(n) for i, n in enumerate(filled)]
  ).astype(np.int64)
  frames_now = np.sort(np.concatenate([frames, made_up]))
  values = np.concatenate([found.boxes, found.points.reshape(-1, 10)], axis=1)
  values = np.stack(
    [np.interp(frames_now, frames, column) for column in values.T], axis=1
  )
  is_made_up = np.isin(frames_now, made_up)
  scores = np.full(len(frames_now), np.nan)
  scores[~is_made_up] = found.scores
  faces_now = faces_lib.Faces(
    values[:, :4], values[:, 4:].reshape(-1, 5, 2), scores
  )
  return frames_now, faces_now, is_made_up
