"""The frame store: every frame once, decoded, aligned, resized and indexed.

A store is a folder that NumPy, pandas and PyArrow can read:

  frames.npy     [num_frames, size_px * size_px * 3] uint8, RGB, row-major HWC
  index.parquet  a row a frame: person_id, video_id, frame, time_s, labels
  store.json     schema version, size, videos, counts, source and problems

It appears under its name only when complete; `writing` makes one.
"""

import contextlib
import dataclasses
import errno
import json
import pathlib
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from psm_jax import paths

SCHEMA_VERSION = 1
KEY_COLUMNS = ('person_id', 'video_id', 'frame', 'time_s')


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
      number), then label columns (float32, NaN where missing).
    person_ids: sorted.
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
    """The index's columns that are labels."""
    return [name for name in self.index.columns if name not in KEY_COLUMNS]


def open_store(path: str | pathlib.Path) -> FrameStore:
  """Opens a finished frame store.

  Frames are mapped, not read, so a store may be larger than memory.

  Raises:
    ValueError: If path is no store, is damaged, or has another schema version.
  """
  path = pathlib.Path(path)
  if not (path / 'store.json').is_file():
    raise ValueError(
      f'{path} is not a finished frame store: it has no store.json. Give the '
      'folder that holds frames.npy, index.parquet and store.json.'
    )
  remedy = f'Delete {path} and prepare it again.'
  try:
    meta = json.loads((path / 'store.json').read_text(encoding='utf-8'))
    version = meta['schema_version']
  except (ValueError, KeyError, TypeError) as error:
    raise ValueError(f'{path}/store.json is damaged. {remedy}') from error
  if version != SCHEMA_VERSION:
    raise ValueError(
      f'{path} has schema version {version!r}, this program reads '
      f'{SCHEMA_VERSION}. {remedy}'
    )
  try:
    frames = np.load(path / 'frames.npy', mmap_mode='r', allow_pickle=False)
    index = pd.read_parquet(path / 'index.parquet', engine='pyarrow')
    videos_by_person = _group_videos(meta['videos'])
    size_px = meta['size_px']
    expected = (meta['num_frames'], size_px * size_px * 3)
    problems, source = tuple(meta['problems']), meta['source']
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise ValueError(f'{path} is damaged: {error}. {remedy}') from error
  if frames.shape != expected or frames.dtype != np.uint8:
    raise ValueError(
      f'{path}/frames.npy is {frames.dtype}{frames.shape}, expected '
      f'uint8{expected}. {remedy}'
    )
  if len(index) != len(frames):
    raise ValueError(
      f'{path}/index.parquet has {len(index)} rows for {len(frames)} frames. '
      f'{remedy}'
    )
  return FrameStore(
    path=path,
    size_px=size_px,
    frames=frames,
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

  def __init__(self, folder: pathlib.Path, num_frames: int, size_px: int):
    self.frames = np.lib.format.open_memmap(
      folder / 'frames.npy',
      mode='w+',
      dtype=np.uint8,
      shape=(num_frames, size_px * size_px * 3),
    )
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
      index: a row a kept frame, columns as in `FrameStore.index`, sorted by
        person_id, video_id and frame.
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
    index.to_parquet(self._folder / 'index.parquet', engine='pyarrow')
    meta = {
      'schema_version': SCHEMA_VERSION,
      'size_px': self._size_px,
      'num_frames': len(index),
      'counts': {
        'persons': index['person_id'].nunique(),
        'videos': len(videos),
        'frames': len(index),
        'problems': len(problems),
      },
      'label_columns': list(index.columns[len(KEY_COLUMNS) :]),
      'source': dict(source or {}),
      'videos': videos,
      'problems': [dict(problem) for problem in problems],
    }
    paths.write_atomic(
      self._folder / 'store.json', json.dumps(meta, indent=1) + '\n'
    )

  def _compact(self, keep):
    """Leaves out frames that could not be read; rare, so a plain copy."""
    old, path = self.frames, self._folder / 'frames.npy'
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
  if num_frames < 1 or size_px < 1:
    raise ValueError(
      f'A store needs frames; got num_frames {num_frames}, size_px {size_px}.'
    )
  _check_space(path, num_frames * size_px * size_px * 3)
  temporary = path.with_name(f'.{path.name}.{secrets.token_hex(4)}.tmp')
  paths.make_private_dir(temporary)
  try:
    yield StoreWriter(temporary, num_frames, size_px)
    if not (temporary / 'store.json').is_file():
      raise RuntimeError(f'The writer of {path} was not finished.')
    try:
      temporary.rename(path)
    except OSError:
      if not (path / 'store.json').is_file():
        raise
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def _check_space(path, num_bytes):
  """Raises OSError early: writing a mapped file to a full disk kills us."""
  free = shutil.disk_usage(path.parent).free
  if num_bytes > free:
    raise OSError(
      errno.ENOSPC,
      f'The frame store needs {num_bytes / 1e9:.2f} GB, but {free / 1e9:.2f} '
      'GB are free',
      str(path),
    )


def _checked_index(index, num_frames):
  """The index in its dtypes and column order, or a ValueError."""
  missing = [name for name in KEY_COLUMNS if name not in index.columns]
  if missing:
    raise ValueError(f'The index lacks the columns {missing}.')
  if len(index) != num_frames or not num_frames:
    raise ValueError(f'{len(index)} index rows for {num_frames} frames.')
  labels = [name for name in index.columns if name not in KEY_COLUMNS]
  index = index[[*KEY_COLUMNS, *labels]].reset_index(drop=True)
  index = index.astype(
    {'person_id': str, 'video_id': str, 'frame': 'int64', 'time_s': 'float64'}
    | dict.fromkeys(labels, 'float32')
  )
  keys = pd.MultiIndex.from_frame(index[['person_id', 'video_id', 'frame']])
  if not keys.is_monotonic_increasing or not keys.is_unique:
    raise ValueError(
      'The index must be sorted by person_id, video_id and frame, and have '
      'each frame once.'
    )
  return index


def _list_videos(index, fps):
  """The store.json entries of the index's videos, in the index's order."""
  keys = index['person_id'] + '/' + index['video_id']
  starts = np.flatnonzero((keys != keys.shift()).to_numpy())
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


def _group_videos(entries):
  grouped = {}
  for entry in entries:
    # A store may come from elsewhere, and its ids become file names.
    person_id = paths.check_id(entry['person_id'], what='person_id')
    video = Video(
      paths.check_id(entry['video_id'], what='video_id'),
      int(entry['start']),
      int(entry['stop']),
      float(entry['fps']),
    )
    grouped.setdefault(person_id, []).append(video)
  return {person: tuple(videos) for person, videos in grouped.items()}
