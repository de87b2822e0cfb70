"""The files of a frame store, below what `store` and `upkeep` make of them.

store.json is written last and names the files of frames and of the index, so a
store changes at one moment, however long the change took.
"""

import contextlib
import errno
import io
import json
import os
import pathlib
import shutil
import zlib
from collections.abc import Sequence
from concurrent import futures

import numpy as np
import pandas as pd

from psm_jax import paths
from psm_jax.data import labels

SCHEMA_VERSION = 2
KEY_COLUMNS = ('person_id', 'video_id', 'frame', 'time_s')
FRAMES, INDEX, DESCRIPTION = 'frames.npy', 'index.parquet', 'store.json'
# Which file of frames was found undamaged: made here, so not part of the store.
VERIFIED = 'verified.json'
_PIECE_BYTES = 1 << 24


def read_description(path: pathlib.Path) -> dict:
  """Returns what a store's store.json says.

  Raises:
    ValueError: If path is no store, or one of another schema version.
  """
  if not (path / DESCRIPTION).is_file():
    raise ValueError(
      f'{path} is not a finished frame store: it has no store.json. Give the '
      'folder that holds frames.npy, index.parquet and store.json.'
    )
  remedy = f'Delete {path} and prepare it again.'
  try:
    described = json.loads((path / DESCRIPTION).read_text(encoding='utf-8'))
    version = described['schema_version']
  except (ValueError, KeyError, TypeError) as error:
    raise ValueError(f'{path}/store.json is damaged. {remedy}') from error
  if version != SCHEMA_VERSION:
    raise ValueError(
      f'{path} has schema version {version!r}, this program reads '
      f'{SCHEMA_VERSION}. {remedy}'
    )
  return described


def label_columns(index: pd.DataFrame) -> list[str]:
  """Returns the names of an index's columns that hold labels, in order."""
  others = {*KEY_COLUMNS, *labels.LANDMARK_COLUMNS}
  return [name for name in index.columns if name not in others]


def encode_index(index: pd.DataFrame) -> bytes:
  """Returns an index as a Parquet file."""
  encoded = io.BytesIO()
  # Coordinates hardly repeat: dictionaries would cost space and time. All else
  # repeats a lot.
  repeated = [c for c in index.columns if c not in labels.LANDMARK_COLUMNS]
  index.to_parquet(encoded, engine='pyarrow', use_dictionary=repeated)
  return encoded.getvalue()


def write_description(
  folder: pathlib.Path,
  index: pd.DataFrame,
  *,
  videos: Sequence[dict],
  problems: Sequence[dict],
  source: dict,
  size_px: int,
  frames_name: str = FRAMES,
  index_name: str = INDEX,
) -> None:
  """Writes a store's index and then store.json, which makes both valid.

  Args:
    folder: the store's.
    index: see `store.FrameStore.index`.
    videos: person_id, video_id, start, stop, fps and crc32 of each, in the
      order of the frames.
    problems: see `store.FrameStore`.
    source: see `store.FrameStore`.
    size_px: side of a frame.
    frames_name: the file of frames.
    index_name: the index's file.
  """
  encoded = encode_index(index)
  paths.write_atomic(paths.child(folder, index_name), encoded)
  described = {
    'schema_version': SCHEMA_VERSION,
    'size_px': size_px,
    'num_frames': len(index),
    'frames': frames_name,
    'index': index_name,
    'index_crc32': zlib.crc32(encoded),
    'counts': {
      'persons': len({video['person_id'] for video in videos}),
      'videos': len(videos),
      'frames': len(index),
      'problems': len(problems),
    },
    'label_columns': label_columns(index),
    'source': source,
    'videos': list(videos),
    'problems': list(problems),
  }
  paths.write_atomic(
    folder / DESCRIPTION, json.dumps(described, indent=1) + '\n'
  )


def make_frames(
  folder: pathlib.Path, *, num_frames: int, size_px: int, name: str = FRAMES
) -> np.memmap:
  """Returns a new file of frames, [num_frames, size_px * size_px * 3] uint8.

  Args:
    folder: where the file is made.
    num_frames: how many frames.
    size_px: side of a frame.
    name: the file's.

  Raises:
    ValueError: If there are no frames to write.
    OSError: If the disk is too full.
  """
  if num_frames < 1 or size_px < 1:
    raise ValueError(
      f'A store needs frames; got num_frames {num_frames}, size_px {size_px}.'
    )
  path = paths.child(folder, name)
  num_bytes = num_frames * size_px * size_px * 3
  check_space(folder, num_bytes)
  frames = np.lib.format.open_memmap(
    path,
    mode='w+',
    dtype=np.uint8,
    shape=(num_frames, size_px * size_px * 3),
  )
  # The space is taken now: a disk that is full when a mapped file is written
  # kills the process.
  if hasattr(os, 'posix_fallocate'):
    with open(path, 'r+b') as file:
      try:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
      except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
          raise
  return frames


def check_space(folder: pathlib.Path, num_bytes: int) -> None:
  """Raises OSError with both numbers if a disk has too little space."""
  free = shutil.disk_usage(folder).free
  if num_bytes > free:
    raise OSError(
      errno.ENOSPC,
      f'The frame store needs {num_bytes / 1e9:.2f} GB, but {free / 1e9:.2f} '
      'GB are free',
      str(folder),
    )


def publish(folder: pathlib.Path, path: pathlib.Path) -> None:
  """Names a finished store; if there is one of that name already, it stays.

  Raises:
    FileExistsError: If path exists and is not a finished store.
    RuntimeError: If the store is not finished.
  """
  if not (folder / DESCRIPTION).is_file():
    raise RuntimeError(f'The writer of {path} was not finished.')
  try:
    folder.rename(path)
  except OSError:
    if not (path / DESCRIPTION).is_file():
      raise


def checksums(
  frames: np.ndarray, spans: Sequence[tuple[int, int]]
) -> list[int]:
  """Returns the CRC-32 of the bytes of frames[start:stop] of each span.

  Args:
    frames: [num_frames, size_px * size_px * 3] uint8, memory-mapped or not.
    spans: (start, stop) rows.
  """
  step = max(1, _PIECE_BYTES // max(1, frames.shape[1]))
  # A plain view: slices of a memmap are slow to make.
  frames = np.asarray(frames)

  def checksum(span):
    value = 0
    for start in range(span[0], span[1], step):
      value = zlib.crc32(frames[start : min(start + step, span[1])], value)
    return value

  with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    return list(pool.map(checksum, spans))


def mark_verified(folder: pathlib.Path, frames_name: str) -> None:
  """Notes that a file of frames was found undamaged.

  A copy of the file, or a change of it, is another file: it will be verified
  anew. Without leave to write, nothing is noted.
  """
  noted = json.dumps(_state(folder, frames_name))
  with contextlib.suppress(OSError):
    paths.write_atomic(folder / VERIFIED, noted)


def is_verified(folder: pathlib.Path, frames_name: str) -> bool:
  """Tells whether `mark_verified` was called for the very file there is."""
  try:
    noted = json.loads((folder / VERIFIED).read_text(encoding='utf-8'))
  except (OSError, ValueError):
    return False
  return noted == _state(folder, frames_name)


def _state(folder, frames_name):
  """What tells a file from its copies and from what it was before."""
  status = paths.child(folder, frames_name).stat()
  return {
    'frames': frames_name,
    'file': status.st_ino,
    'bytes': status.st_size,
    'changed_ns': status.st_mtime_ns,
  }
