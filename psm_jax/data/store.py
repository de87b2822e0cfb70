"""The frame store: every frame once, decoded, aligned, resized and indexed.

A store is a folder that any reader of Arrow and JSON can open:

  PERSON.arrow  a row a frame of one person: person_id, video_id, frame, time_s,
                labels, landmarks, and the frame's bytes
  store.json    size, a checksum a person, problems and source

A person's index is compared with its checksum when the store is opened, and the
frames when the first of them are read, always. `upkeep` makes and changes
stores; docs/frame_store.md describes every field.
"""

import dataclasses
import itertools
import numbers
import os
import pathlib
import threading
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from psm_jax import tasks
from psm_jax.data import labels, store_files

KEY_COLUMNS = store_files.KEY_COLUMNS


@dataclasses.dataclass(frozen=True)
class Video:
  """Rows [start, stop) of a store, in temporal order; fps is in 1/s."""

  video_id: str
  start: int
  stop: int
  fps: float


class Frames:
  """The frames of a store, indexed by row as a NumPy array of uint8 is.

  What indexing returns is a copy. A person's frames are compared with their
  checksum when the first of them is read.

  Attributes:
    shape: (num_frames, size_px * size_px * 3).
  """

  dtype = np.dtype(np.uint8)

  def __init__(self, people: Sequence[store_files.Person], size_px: int):
    self._people = people
    self._starts = np.cumsum([0, *(len(person.frames) for person in people)])
    self.shape = (int(self._starts[-1]), size_px * size_px * 3)
    self._verified, self._lock = set(), threading.Lock()

  def __len__(self):
    return self.shape[0]

  def __array__(self, dtype=None, copy=None):
    return np.asarray(self[:], dtype=dtype)

  def __getitem__(self, rows: int | slice | Sequence[int] | np.ndarray):
    """Returns [..., size_px * size_px * 3] uint8, the frames of some rows.

    Raises:
      ValueError: If a person's frames are damaged; names the file.
      IndexError: If there is no such row; an array's count from 0.
    """
    if isinstance(rows, slice):
      rows = np.arange(*rows.indices(len(self)))
    elif isinstance(rows, numbers.Integral):
      rows = np.asarray(range(len(self))[rows])
    elif not isinstance(rows, np.ndarray) or rows.dtype == bool:
      rows = np.arange(len(self))[rows]
    flat = np.ravel(rows)
    if flat.size and not 0 <= flat.min() <= flat.max() < len(self):
      raise IndexError(f'Rows {flat.min()} to {flat.max()} of {len(self)}.')
    person = np.searchsorted(self._starts, flat, side='right') - 1
    borders = np.flatnonzero(np.diff(person, prepend=-1, append=-1))
    self._verify({int(p) for p in person[borders[:-1]]})
    taken = np.empty((flat.size, self.shape[1]), np.uint8)
    for first, stop in itertools.pairwise(borders):
      number = person[first]
      # `clip`, as `raise` would copy once more; rows are checked above. Other
      # threads run meanwhile.
      np.take(
        self._people[number].frames,
        flat[first:stop] - self._starts[number],
        axis=0,
        out=taken[first:stop],
        mode='clip',
      )
    return taken.reshape(*np.shape(rows), self.shape[1])

  def _verify(self, people):
    if people <= self._verified:
      return
    with self._lock:
      unread = [self._people[number] for number in people - self._verified]
      list(tasks.in_threads(store_files.Person.check_frames, unread))
      self._verified |= people


# What is indexed by row: a store's frames or those of an array.
AnyFrames = Frames | np.ndarray


@dataclasses.dataclass(frozen=True)
class FrameStore:
  """A finished frame store, opened for reading.

  Attributes:
    path: the store's folder.
    size_px: side of a frame.
    frames: [num_frames, size_px * size_px * 3] uint8, memory-mapped, RGB,
      row-major HWC.
    index: row i describes frames[i]: person_id, video_id (str), frame (int64,
      the source's own number), time_s (float64, 0 at the video's smallest frame
      number), then label columns and, where the source has landmarks, x0, y0,
      ... x67, y67, pixels of the frame from its top left corner, 0 to size_px
      inside it (all float32, NaN where missing).
    person_ids: sorted, as the rows are.
    problems: what was left out or doubtful, each {'path', 'reason'} with the
      path relative to the source.
    source: what the store was made from, with its fingerprint.
    videos_by_person: what `videos` returns.
    checksums: CRC-32 of each person's frames, {} of frames in memory.
  """

  path: pathlib.Path
  size_px: int
  frames: Frames
  index: pd.DataFrame
  person_ids: tuple[str, ...]
  problems: tuple[dict[str, str], ...]
  source: dict
  videos_by_person: Mapping[str, tuple[Video, ...]]
  checksums: Mapping[str, int] = dataclasses.field(default_factory=dict)

  def videos(self, person_id: str) -> tuple[Video, ...]:
    """Returns a person's videos, sorted, one behind the other in the store.

    Raises:
      ValueError: If the store has no such person.
    """
    if person_id not in self.videos_by_person:
      raise ValueError(
        f'{self.path} has no person {person_id!r}. It has '
        f'{list_some(self.person_ids)}.'
      )
    return self.videos_by_person[person_id]

  def images(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """Returns [n, size_px, size_px, 3] uint8, the frames of n rows."""
    return self.frames[rows].reshape(-1, self.size_px, self.size_px, 3)

  @property
  def label_columns(self) -> list[str]:
    """The index's columns that are labels; landmarks are not."""
    others = {*KEY_COLUMNS, *labels.LANDMARK_COLUMNS}
    return [name for name in self.index.columns if name not in others]

  @property
  def has_landmarks(self) -> bool:
    """Whether the index holds 68 landmarks of a frame."""
    return labels.LANDMARK_COLUMNS[0] in self.index


def open_store(path: str | os.PathLike) -> FrameStore:
  """Opens a finished frame store.

  Frames are mapped, not read, so a store may be larger than memory.

  Raises:
    ValueError: If path is no store, a file is missing or damaged, or it has
      another schema version; names the file.
  """
  path = pathlib.Path(path)
  manifest = store_files.read_manifest(path)
  size_px, entries = manifest['size_px'], manifest['people']
  if not entries:
    raise ValueError(f'{path} holds nobody. Prepare it again.')
  people = [store_files.open_person(path, entry, size_px) for entry in entries]
  videos, start = {}, 0
  for entry, person in zip(entries, people, strict=True):
    videos[entry['person_id']] = ()
    for video_id, num_frames, fps in person.videos:
      video = Video(video_id, start, start + num_frames, fps)
      videos[entry['person_id']] += (video,)
      start = video.stop
  return FrameStore(
    path=path,
    size_px=size_px,
    frames=Frames(people, size_px),
    index=store_files.join([person.index for person in people]),
    person_ids=tuple(videos),
    problems=tuple(manifest['problems']),
    source=manifest['source'],
    videos_by_person=videos,
    checksums={entry['person_id']: entry['frames_crc32'] for entry in entries},
  )


def spread(rows: np.ndarray, num: int) -> np.ndarray:
  """Returns num of [n] rows at equal distances, neither the first nor last."""
  return rows[np.linspace(0, len(rows) - 1, num + 2)[1:-1].astype(int)]


def list_some(names: Sequence[str], *, limit: int = 8) -> str:
  """Returns names joined by commas, for messages; the rest is counted."""
  text = ', '.join(names[:limit])
  more = len(names) - limit
  return f'{text} and {more} more' if more > 0 else text or 'none'
