"""The frame store: every frame once, decoded, aligned, resized and indexed.

A store is a folder that NumPy, pandas and PyArrow can read:

  frames.npy     [num_frames, size_px * size_px * 3] uint8, RGB, row-major HWC
  index.parquet  a row a frame: person_id, video_id, frame, time_s, labels,
                 landmarks
  store.json     schema version, size, videos, checksums, source and problems

It appears under its name only when complete; `writing` makes one, and `upkeep`
checks and changes one. docs/frame_store.md describes every field.
"""

import contextlib
import dataclasses
import io
import pathlib
import secrets
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from psm_jax import paths
from psm_jax.data import labels, store_files

KEY_COLUMNS = store_files.KEY_COLUMNS


@dataclasses.dataclass(frozen=True)
class Video:
  """Rows [start, stop) of a store, in temporal order; fps is in 1/s."""

  video_id: str
  start: int
  stop: int
  fps: float


@dataclasses.dataclass(frozen=True)
class FrameStore:
  """A finished frame store, opened for reading.

  Attributes:
    path: the store's folder.
    size_px: side of a frame.
    frames: [num_frames, size_px * size_px * 3] uint8, memory-mapped, RGB.
    index: row i describes frames[i]: person_id, video_id (str), frame (int64,
      the source's own number), time_s (float64, 0 at the video's smallest frame
      number), then label columns and, where the source has landmarks, x0, y0,
      ... x67, y67, pixels of the frame from its top left corner, 0 to size_px
      inside it (all float32, NaN where missing).
    person_ids: sorted; people who were added later lie behind the others.
    problems: what was left out or doubtful, each {'path', 'reason'} with the
      path relative to the source.
    source: what the store was made from, with its fingerprint.
    videos_by_person: what `videos` returns.
  """

  path: pathlib.Path
  size_px: int
  frames: np.ndarray
  index: pd.DataFrame
  person_ids: tuple[str, ...]
  problems: tuple[dict[str, str], ...]
  source: dict
  videos_by_person: Mapping[str, tuple[Video, ...]]

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

  @property
  def label_columns(self) -> list[str]:
    """The index's columns that are labels; landmarks are not."""
    return store_files.label_columns(self.index)

  @property
  def has_landmarks(self) -> bool:
    """Whether the index holds 68 landmarks of a frame."""
    return labels.LANDMARK_COLUMNS[0] in self.index


def open_store(path: str | pathlib.Path) -> FrameStore:
  """Opens a finished frame store.

  Frames are mapped, not read, so a store may be larger than memory. Everything
  is checked but the frames' bytes, which `upkeep.verify` reads.

  Raises:
    ValueError: If path is no store, is damaged, or has another schema version.
  """
  path = pathlib.Path(path)
  described = store_files.read_description(path)
  remedy = f'Delete {path} and prepare it again.'
  try:
    num_frames, size_px = described['num_frames'], described['size_px']
    frames_name, index_name = described['frames'], described['index']
    frames = np.load(
      paths.child(path, frames_name), mmap_mode='r', allow_pickle=False
    )
    encoded = paths.child(path, index_name).read_bytes()
    if zlib.crc32(encoded) != described['index_crc32']:
      raise ValueError(f'the checksum of {index_name} is wrong')
    index = pd.read_parquet(io.BytesIO(encoded), engine='pyarrow')
    videos_by_person = _group_videos(described['videos'], num_frames)
    problems, source = tuple(described['problems']), described['source']
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise ValueError(f'{path} is damaged: {error}. {remedy}') from error
  expected = (num_frames, size_px * size_px * 3)
  # While people are being added, the file is longer than the store.
  fits = frames.shape[1:] == expected[1:] and len(frames) >= num_frames
  if not fits or frames.dtype != np.uint8:
    raise ValueError(
      f'{path}/{frames_name} is {frames.dtype}{frames.shape}, expected '
      f'uint8{expected}. {remedy}'
    )
  if len(index) != num_frames:
    raise ValueError(
      f'{path}/{index_name} has {len(index)} rows for {num_frames} frames. '
      f'{remedy}'
    )
  return FrameStore(
    path=path,
    size_px=size_px,
    frames=frames[:num_frames],
    index=index,
    person_ids=tuple(sorted(videos_by_person)),
    problems=problems,
    source=source,
    videos_by_person=videos_by_person,
  )


def list_some(names: Sequence[str], *, limit: int = 8) -> str:
  """Returns names joined by commas, for messages; the rest is counted."""
  text = ', '.join(names[:limit])
  more = len(names) - limit
  return f'{text} and {more} more' if more > 0 else text or 'none'


class StoreWriter:
  """A store being made: fill `frames`, then call `finish` once.

  Attributes:
    frames: [num_frames, size_px * size_px * 3] uint8, to be filled.
  """

  def __init__(self, folder: pathlib.Path, frames: np.memmap, size_px: int):
    """Takes over a folder that is to become the store.

    Args:
      folder: holds frames.npy.
      frames: that file, from `store_files.make_frames`.
      size_px: side of a frame.
    """
    self.frames = frames
    self._folder = folder
    self._size_px = size_px

  def finish(
    self,
    index: pd.DataFrame,
    *,
    fps: Mapping[tuple[str, str], float],
    keep: np.ndarray | None = None,
    problems: Sequence[Mapping[str, str]] = (),
    source: Mapping | None = None,
  ):
    """Writes all but the frames.

    Args:
      index: a row a kept frame, columns as in `FrameStore.index`, sorted: each
        person in one piece, in it each video, and in a video the frames.
      fps: frames a second of each (person_id, video_id).
      keep: [num_frames] bool, which frames stay; None for all.
      problems: see `FrameStore`.
      source: what the store was made from, as JSON.

    Raises:
      ValueError: If there is no frame, or the index is unsorted, repeats a
        frame or has another number of rows than there are frames kept.
    """
    self.frames.flush()
    if keep is not None and not keep.all():
      self._compact(keep)
    index = _checked_index(index, len(self.frames))
    videos = _list_videos(index, fps)
    spans = [(video['start'], video['stop']) for video in videos]
    found = store_files.checksums(self.frames, spans)
    for video, crc32 in zip(videos, found, strict=True):
      video['crc32'] = crc32
    store_files.write_description(
      self._folder,
      index,
      videos=videos,
      problems=[dict(problem) for problem in problems],
      source=dict(source or {}),
      size_px=self._size_px,
    )
    store_files.mark_verified(self._folder, store_files.FRAMES)

  def _compact(self, keep):
    """Leaves out frames that could not be read; rare, so a plain copy."""
    old, path = self.frames, self._folder / store_files.FRAMES
    short = path.with_name('kept.npy')
    rows = np.flatnonzero(keep)
    new = np.lib.format.open_memmap(
      short, mode='w+', dtype=np.uint8, shape=(len(rows), old.shape[1])
    )
    for start in range(0, len(rows), 4096):
      new[start : start + 4096] = old[rows[start : start + 4096]]
    new.flush()
    short.replace(path)
    self.frames = new


@contextlib.contextmanager
def writing(
  path: str | pathlib.Path, *, num_frames: int, size_px: int
) -> Iterator[StoreWriter]:
  """Makes a store under a temporary name and names it when complete.

  After an error nothing is left. If another process has finished the same store
  meanwhile, theirs stays and ours is dropped.

  Args:
    path: the store's folder, which must not exist; its parent must.
    num_frames: how many frames there will be at most.
    size_px: side of a frame.

  Yields:
    The writer; `finish` must be called before the block ends.

  Raises:
    ValueError: If there are no frames to write.
    FileExistsError: If path exists and is not a finished store.
    OSError: If the folder cannot be written, or the disk is too full.
  """
  path = pathlib.Path(path)
  temporary = path.with_name(f'.{path.name}.{secrets.token_hex(4)}.tmp')
  paths.make_private_dir(temporary)
  try:
    frames = store_files.make_frames(
      temporary, num_frames=num_frames, size_px=size_px
    )
    yield StoreWriter(temporary, frames, size_px)
    store_files.publish(temporary, path)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def _checked_index(index, num_frames):
  """The index in its dtypes and column order, or a ValueError."""
  missing = [name for name in KEY_COLUMNS if name not in index.columns]
  if missing:
    raise ValueError(f'The index lacks the columns {missing}.')
  if len(index) != num_frames or not num_frames:
    raise ValueError(f'{len(index)} index rows for {num_frames} frames.')
  others = [name for name in index.columns if name not in KEY_COLUMNS]
  index = index[[*KEY_COLUMNS, *others]].reset_index(drop=True)
  index = index.astype(
    {'person_id': str, 'video_id': str, 'frame': 'int64', 'time_s': 'float64'}
    | dict.fromkeys(others, 'float32')
  )
  if not _is_sorted(index):
    raise ValueError(
      'The index must be sorted: each person in one piece, in it each video, '
      'and in a video each frame once and in order.'
    )
  return index


def _is_sorted(index):
  persons = _piece_starts(index[['person_id']])
  videos = _piece_starts(index[['person_id', 'video_id']])
  is_first = np.zeros(len(index), bool)
  is_first[videos] = True
  steps = np.diff(index['frame'].to_numpy(), prepend=0)
  return bool(
    index['person_id'].iloc[persons].is_unique
    and not index[['person_id', 'video_id']].iloc[videos].duplicated().any()
    and (is_first | (steps > 0)).all()
  )


def _piece_starts(keys):
  """Rows in which any of the keys is another than in the row before."""
  codes = [pd.factorize(keys[name])[0] for name in keys.columns]
  changes = [np.diff(code, prepend=-1) != 0 for code in codes]
  return np.flatnonzero(np.any(changes, axis=0))


def _list_videos(index, fps):
  """The store.json entries of the index's videos, in the index's order."""
  starts = _piece_starts(index[['person_id', 'video_id']])
  stops = np.append(starts[1:], len(index))
  videos = []
  for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
    person_id = index['person_id'].iloc[start]
    video_id = index['video_id'].iloc[start]
    videos.append(
      {
        'person_id': paths.check_id(person_id, what='person_id'),
        'video_id': paths.check_id(video_id, what='video_id'),
        'start': start,
        'stop': stop,
        'fps': float(fps[person_id, video_id]),
      }
    )
  return videos


def _group_videos(entries, num_frames):
  grouped, stop = {}, 0
  for entry in entries:
    # A store may come from elsewhere, and its ids become file names.
    person_id = paths.check_id(entry['person_id'], what='person_id')
    video = Video(
      paths.check_id(entry['video_id'], what='video_id'),
      int(entry['start']),
      int(entry['stop']),
      float(entry['fps']),
    )
    if video.start != stop or video.stop <= stop:
      raise ValueError(
        f'video {person_id}/{video.video_id} has rows {video.start} to '
        f'{video.stop}, but the one before ends at {stop}'
      )
    stop = video.stop
    grouped.setdefault(person_id, []).append(video)
  if stop != num_frames:
    raise ValueError(f'its videos hold {stop} frames of {num_frames}')
  return {person: tuple(videos) for person, videos in grouped.items()}
