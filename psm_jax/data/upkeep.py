"""Makes frame stores and checks them; `store_changes` changes finished ones.

with upkeep.writing(path, size_px=64) as writer:
  writer.add(frames, index, fps={'video01': 20.0})
for sentence in upkeep.verify('/data/store-1'): print(sentence)
"""

import contextlib
import errno
import os
import pathlib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from absl import logging

from psm_jax import paths, tasks
from psm_jax.data import store_files

_TEMPORARY = re.compile(r'\..*\.tmp')


class StoreWriter:
  """A store being made, a person at a time.

  Attributes:
    people: the entries of those who are done, see `store_files.write_person`.
    problems: see `store.FrameStore`.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    size_px: int,
    problems: Sequence[Mapping[str, str]],
    source: Mapping,
  ):
    """Goes on with the people that a folder holds, or begins."""
    self._folder, self._size_px, self._source = folder, size_px, dict(source)
    self.people, self.problems = [], list(problems)
    paths.make_private_dir(folder)
    with contextlib.suppress(ValueError):
      manifest = store_files.read_manifest(folder)
      if (manifest['size_px'], manifest['source']) == (size_px, self._source):
        self.problems = manifest['problems']
        for entry in manifest['people']:
          store_files.open_person(folder, entry, size_px).check_frames()
          self.people.append(entry)
    if self.people:
      logging.info('%s: %d people are done.', folder, len(self.people))
    self.clean()

  @property
  def person_ids(self) -> set[str]:
    """Who is done."""
    return {entry['person_id'] for entry in self.people}

  def spool(self, frames: Iterable[np.ndarray]) -> np.ndarray:
    """Returns one person's frames, given one by one, through the disk.

    Args:
      frames: uint8 each, of size_px * size_px * 3 values in any shape.

    Returns:
      [num_frames, size_px * size_px * 3] uint8, mapped until the next call.
    """
    path, num_values = self._folder / '.frames.tmp', self._size_px**2 * 3
    path.unlink(missing_ok=True)
    with paths.naming(path), open(path, 'xb') as file:
      for frame in frames:
        file.write(np.ascontiguousarray(frame))
      if not file.tell():  # Which cannot be mapped.
        return np.zeros((0, num_values), np.uint8)
    return np.memmap(path, np.uint8, 'r').reshape(-1, num_values)

  def note(self, problems: Sequence[Mapping[str, str]]) -> None:
    """Adds problems, see `store.FrameStore`, each once."""
    self.problems += [p for p in problems if p not in self.problems]

  def add(
    self,
    frames: np.ndarray,
    index: pd.DataFrame,
    *,
    fps: Mapping[str, float],
  ) -> None:
    """Writes a person, who is then done whatever happens.

    What was noted of the person before is kept too.

    Args:
      frames: see `store_files.write_person`, and its errors.
      index: likewise.
      fps: likewise.
    """
    self.people.append(
      store_files.write_person(self._folder, frames, index, fps=fps)
    )
    self._save()

  def clean(self) -> None:
    """Leaves what store.json names, and nothing else."""
    self._save()
    for stray in strays(self._folder):
      stray.unlink()

  def _save(self):
    write_manifest(
      self._folder,
      size_px=self._size_px,
      people=self.people,
      problems=self.problems,
      source=self._source,
    )


@contextlib.contextmanager
def writing(
  path: str | os.PathLike,
  *,
  size_px: int,
  num_frames: int = 0,
  problems: Sequence[Mapping[str, str]] = (),
  source: Mapping | None = None,
) -> Iterator[StoreWriter | None]:
  """Makes a store in `part_folder` and names it when the block ends.

  After an interruption the people who are done are kept, and the next call goes
  on behind them; after a ValueError or RuntimeError, which tell that the data
  are bad, they are deleted. If another process makes the same store, it is
  waited for.

  Args:
    path: the store's folder, which must not exist; its parent must.
    size_px: side of a frame.
    num_frames: how many there will be, to check the space on the disk.
    problems: see `store.FrameStore`.
    source: what the store is made from, as JSON.

  Yields:
    The writer; None if there is a finished store of that name.

  Raises:
    ValueError: If no person was added.
    FileExistsError: If path exists and is not a finished store.
    OSError: If the folder cannot be written, or the disk is too full.
  """
  path = pathlib.Path(path)
  folder = part_folder(path)
  busy = f'Another process is making {path}; waiting for it.'
  path.parent.mkdir(parents=True, exist_ok=True)
  with paths.locked(path.with_name(f'.{path.name}.lock'), busy=busy, wait=True):
    if (path / store_files.MANIFEST).is_file():
      yield None
      return
    if path.exists():
      raise FileExistsError(errno.EEXIST, 'This is no frame store', str(path))
    check_space(path.parent, num_frames * size_px * size_px * 3)
    writer = StoreWriter(folder, size_px, problems, source or {})
    try:
      yield writer
      writer.clean()
      if not writer.people:
        raise ValueError(f'{path} would be empty: a store needs frames.')
      folder.rename(path)
    except BaseException as error:
      if isinstance(error, ValueError | RuntimeError) or not writer.people:
        shutil.rmtree(folder, ignore_errors=True)
      raise


def part_folder(path: pathlib.Path) -> pathlib.Path:
  """Returns where the people of an unfinished store lie."""
  return path.with_name(f'.{path.name}.part')


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


def verify(path: str | os.PathLike) -> list[str]:
  """Reads all of a store and returns what is damaged, a sentence a person.

  Raises:
    ValueError: If its store.json cannot be read.
  """
  path = pathlib.Path(path)
  manifest = store_files.read_manifest(path)

  def damage(entry):
    try:
      store_files.open_person(path, entry, manifest['size_px']).check_frames()
    except ValueError as error:
      return str(error)
    return None

  return list(filter(None, tasks.in_threads(damage, manifest['people'])))


def strays(path: str | os.PathLike) -> list[pathlib.Path]:
  """Returns files that a killed change left in a store; they may hold faces."""
  path = pathlib.Path(path)
  named = {
    store_files.person_path(path, entry['person_id'])
    for entry in store_files.read_manifest(path)['people']
  }
  return sorted(
    entry
    for entry in path.iterdir()
    if _TEMPORARY.fullmatch(entry.name)
    or (entry.suffix == store_files.SUFFIX and entry not in named)
  )


def write_manifest(path: pathlib.Path, **manifest: Any) -> None:
  """Makes a change of a store valid, at one moment.

  Args:
    path: the store's folder.
    **manifest: see `store_files.make_manifest`.
  """
  paths.write_atomic(
    path / store_files.MANIFEST, store_files.make_manifest(**manifest)
  )
