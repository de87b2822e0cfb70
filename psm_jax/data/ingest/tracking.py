"""Follows faces from frame to frame, by the overlap of their boxes.

A track is one face in one scene. Faces and tracks are matched so that the sum
of overlaps is largest (Hungarian method). A track ends at a cut and when its
face has not been found for some time; whoever comes later begins a new one.

Ours rather than a library's: these know neither cuts nor times in seconds, and
carry tracks on through a motion model where we want an end.
"""

import numpy as np
from scipy import optimize

from psm_jax.data.ingest import faces as faces_lib

_MIN_OVERLAP = 0.2  # Of intersection over union.


def follow(
  frames: np.ndarray,
  boxes: np.ndarray,
  time_s: np.ndarray,
  cuts: np.ndarray,
  *,
  gap_s: float,
  step_s: float,
) -> list[np.ndarray]:
  """Returns the tracks, each the rows of its faces, increasing.

  In order of their first frame, then from left to right.

  Args:
    frames: [F] int64, the frame of each face found, in order.
    boxes: [F, 4] float64, where it is.
    time_s: [T] float64, when each frame is shown.
    cuts: int64, the frames that begin another scene.
    gap_s: for how long a face may be lost and still be the same track.
    step_s: seconds from one frame that is searched to the next; where that is
      more than gap_s, no frame may lack the face.
  """
  limit_s = max(gap_s, 1.5 * step_s)
  scene = np.searchsorted(cuts, frames, side='right')
  tracks, open_tracks = [], []
  starts = np.flatnonzero(np.diff(frames, prepend=-1))
  ends = np.append(starts, len(frames))[1:]
  for start, end in zip(starts, ends, strict=True):
    now_s = time_s[frames[start]]
    open_tracks = [
      track
      for track in open_tracks
      if scene[track[-1]] == scene[start]
      and now_s - time_s[frames[track[-1]]] <= limit_s
    ]
    rows = np.arange(start, end)
    last = boxes[np.array([track[-1] for track in open_tracks], int)]
    overlap = faces_lib.intersection_over_union(last[:, None], boxes[rows])
    overlap = np.where(overlap >= _MIN_OVERLAP, overlap, 0.0)
    pairs = optimize.linear_sum_assignment(overlap, maximize=True)
    matched = {
      face: open_tracks[track]
      for track, face in zip(*pairs, strict=True)
      if overlap[track, face]
    }
    for face, row in enumerate(rows.tolist()):
      if face in matched:
        matched[face].append(row)
      else:
        tracks.append([row])
        open_tracks.append(tracks[-1])
  tracks.sort(key=lambda rows: (frames[rows[0]], boxes[rows[0], 0]))
  return [np.array(rows) for rows in tracks]


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
    are NaN, and so is whatever else was told of the face.
  """
  is_near = np.diff(frames) <= every
  stops = np.where(is_near, frames[1:], frames[:-1] + 1)
  spans = map(np.arange, frames[:-1], stops)
  frames_now = np.concatenate([*spans, frames[-1:]])
  values = np.concatenate([found.boxes, found.points.reshape(-1, 10)], axis=1)
  values = np.stack(
    [np.interp(frames_now, frames, column) for column in values.T], axis=1
  )
  is_made_up = ~np.isin(frames_now, frames)

  def spread(values):
    """Rows of the faces found at their new places, NaN elsewhere."""
    spaced = np.full((len(frames_now), *values.shape[1:]), np.nan, values.dtype)
    spaced[~is_made_up] = values
    return spaced

  faces_now = faces_lib.Faces(
    values[:, :4],
    values[:, 4:].reshape(-1, 5, 2),
    spread(found.scores),
    found.details and found.details.map(spread),
  )
  return frames_now, faces_now, is_made_up
