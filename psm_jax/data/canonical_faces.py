"""Canonical faces: what each video of a store shows but for its movements.

  canonical = canonical_faces.of_store(store)
  faces = canonical.of_rows(rows)

V videos, S pixels a side.
"""

import dataclasses

import numpy as np

from psm_jax.data import store as store_lib

# Of a video, at equal distances. An odd number has a median among its values.
_MOST_FRAMES = 101
# Likewise, of the frames of which a network makes neutral faces.
_MOST_MADE = 33


@dataclasses.dataclass(frozen=True)
class CanonicalFaces:
  """The canonical faces of a store's videos.

  Attributes:
    faces: [V, S * S * 3] uint8.
    video: [num_frames] int32, which video each row of the store is of.
  """

  faces: np.ndarray
  video: np.ndarray

  def of_rows(self, rows: np.ndarray) -> np.ndarray:
    """Returns [..., S * S * 3] uint8, the faces of the videos of rows."""
    return self.faces.take(self.video[rows], axis=0)


def of_store(store: store_lib.FrameStore) -> CanonicalFaces:
  """Returns the canonical faces of all videos, in the order of the store."""
  videos = [v for person in store.person_ids for v in store.videos(person)]
  videos.sort(key=lambda video: video.start)
  return CanonicalFaces(
    faces=np.stack([median(store.frames[v.start : v.stop]) for v in videos]),
    video=np.repeat(
      np.arange(len(videos), dtype=np.int32), [v.stop - v.start for v in videos]
    ),
  )


def median(frames: np.ndarray) -> np.ndarray:
  """Returns the median over time of a video's aligned frames.

  Args:
    frames: [n, ...] uint8, n at least 1.

  Returns:
    [...] uint8.
  """
  rows = np.linspace(0, len(frames) - 1, min(len(frames), _MOST_FRAMES))
  shown = frames[rows.round().astype(int)]
  return np.median(shown, axis=0).round().astype(np.uint8)


def spread(num_frames: int) -> np.ndarray:
  """Returns [k] int, rows of frames whose neutral faces are made."""
  return np.linspace(0, num_frames - 1, min(num_frames, _MOST_MADE)).astype(int)


def neutral(made: np.ndarray) -> np.ndarray:
  """Returns a person's neutral face.

  Args:
    made: [k, S, S, 3] float32 in [0, 1], what a network makes of `spread`
      frames.

  Returns:
    [S, S, 3] uint8, the median.
  """
  return np.rint(255 * np.median(made, axis=0)).astype(np.uint8)
