"""A store that is being decoded; what is done survives a kill.

Beside the store that is to be, in .STORE.part, lie

  lock         held by the process that decodes
  frames.npy   as in the store
  sizes.npy    [num_frames, 2] int32, height and width of each picture; 0 where
               it was not read
  done.jsonl   a line for each block of rows that is done, with its checksums

Rows are done in their order. Whoever comes next checks the blocks and goes on
behind the last good one.
"""

import contextlib
import json
import os
import pathlib
import shutil
import zlib
from collections.abc import Iterator

import numpy as np
from absl import logging

from psm_jax import paths
from psm_jax.data import store_files

try:
  import fcntl
except ImportError:  # Windows: two processes may decode the same frames.
  fcntl = None

# Changes when the same pictures give other frames.
DECODER_VERSION = 2
_LOCK, _SIZES, _DONE = 'lock', 'sizes.npy', 'done.jsonl'
_BLOCK = 1024


class Progress:
  """The frames and picture sizes of a store, as far as they are done.

  Attributes:
    folder: where they are until the store is finished.
    frames: [num_frames, size_px * size_px * 3] uint8, to be filled.
    sizes: [num_frames, 2] int32, to be filled; 0 for what cannot be read.
    num_done: rows that are noted as done.
  """

  def __init__(self, folder: pathlib.Path, num_frames: int, size_px: int):
    """Goes on with what the folder holds, or begins.

    Args:
      folder: private, held against other processes.
      num_frames: of the store.
      size_px: side of a frame.

    Raises:
      OSError: If the disk is too full.
    """
    self.folder = folder
    self._head = {
      'decoder': DECODER_VERSION,
      'num_frames': num_frames,
      'size_px': size_px,
    }
    self.num_done = 0
    lines = self._read_lines()
    if lines is None:
      lines = []
      self._begin(num_frames, size_px)
    else:
      logging.info('%s: going on at frame %d.', folder, self.num_done)
    (folder / _DONE).write_text('', encoding='utf-8')
    for line in [self._head, *lines]:
      self._write(line)

  def note(self, stop: int, *, is_last: bool = False) -> None:
    """Notes that all rows before one are done, once a block is full.

    Args:
      stop: the first row that is not done.
      is_last: whether the block ends here, full or not.
    """
    if stop - self.num_done >= _BLOCK or (is_last and stop > self.num_done):
      self._write(self._line(self.num_done, stop))
      self.num_done = stop

  def clean(self) -> None:
    """Leaves only the frames and the lock; nothing is noted afterwards."""
    for name in (_SIZES, _DONE):
      (self.folder / name).unlink()

  def _begin(self, num_frames, size_px):
    for entry in self.folder.iterdir():
      if entry.name != _LOCK:
        entry.unlink()
    self.frames = store_files.make_frames(
      self.folder, num_frames=num_frames, size_px=size_px
    )
    self.sizes = np.lib.format.open_memmap(
      self.folder / _SIZES, mode='w+', dtype=np.int32, shape=(num_frames, 2)
    )

  def _read_lines(self):
    """The lines of the good blocks, None if there is nothing to go on with."""
    try:
      text = (self.folder / _DONE).read_text(encoding='utf-8')
      head, *lines = [json.loads(line) for line in text.split('\n')[:-1]]
      self.frames = np.lib.format.open_memmap(
        self.folder / store_files.FRAMES, mode='r+'
      )
      self.sizes = np.lib.format.open_memmap(self.folder / _SIZES, mode='r+')
    except (OSError, ValueError):
      return None
    if head != self._head or len(self.frames) != head['num_frames']:
      return None
    good = []
    for line in lines:
      stop = line.get('stop', 0)
      if stop <= self.num_done or line != self._line(self.num_done, stop):
        break
      good.append(line)
      self.num_done = stop
    return good

  def _line(self, start, stop):
    return {
      'stop': stop,
      'frames_crc32': store_files.checksums(self.frames, [(start, stop)])[0],
      'sizes_crc32': zlib.crc32(np.asarray(self.sizes[start:stop])),
    }

  def _write(self, line):
    with open(self.folder / _DONE, 'a', encoding='utf-8') as file:
      file.write(json.dumps(line) + '\n')


@contextlib.contextmanager
def decoding(
  path: pathlib.Path, *, num_frames: int, size_px: int
) -> Iterator[Progress | None]:
  """Gives the progress of a store that is to be; waits if others decode it.

  After an interruption what is done is kept; after a ValueError or
  RuntimeError, which tell that the data are bad, it is deleted.

  Args:
    path: the store's folder; its parent must exist.
    num_frames: how many frames there will be at most.
    size_px: side of a frame.

  Yields:
    The progress, whose folder the caller makes a store of and publishes; None
    if somebody else has finished the store meanwhile.

  Raises:
    OSError: If the folder cannot be written, or the disk is too full.
  """
  folder = part_folder(path)
  lock = _hold(folder, path)
  if lock is None:
    yield None
    return
  progress = None
  try:
    progress = Progress(folder, num_frames, size_px)
    yield progress
    (path / _LOCK).unlink(missing_ok=True)
  except (ValueError, RuntimeError):
    shutil.rmtree(folder, ignore_errors=True)
    raise
  finally:
    if progress is None:
      shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def part_folder(path: pathlib.Path) -> pathlib.Path:
  """Returns where the unfinished frames of a store lie."""
  return path.with_name(f'.{path.name}.part')


def _hold(folder, path):
  """The descriptor of a folder's held lock; None once the store is there."""
  while True:
    paths.make_private_dir(folder)
    try:
      lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
      continue  # Finished, or given up, at this moment.
    _wait_for(lock, path)
    # Whoever held it may have finished or given up, and taken it away.
    is_there = (folder / _LOCK).exists() and os.path.samestat(
      os.fstat(lock), (folder / _LOCK).stat()
    )
    is_finished = (path / store_files.DESCRIPTION).is_file()
    if is_there and not is_finished:
      return lock
    if is_there:
      shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)
    if is_finished:
      return None


def _wait_for(lock, path):
  if not fcntl:
    return
  try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    logging.info('Another process is decoding %s; waiting for it.', path)
    fcntl.flock(lock, fcntl.LOCK_EX)
