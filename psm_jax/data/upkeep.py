"""Makes frame stores, checks them, adds people and removes one.

with upkeep.writing(path, size_px=64) as writer:
  writer.add(frames, index, fps={'video01': 20.0})
for sentence in upkeep.verify('/data/store-1'): print(sentence)
upkeep.add_people('/data/store-1', '/data/store-2')
upkeep.remove_person('/data/store-1', 'P007')

A change happens when store.json is replaced; after a kill the store is as it
was before or as it is to be. Whoever has the store open goes on with what it
was.
"""

import contextlib
import errno
import os
import pathlib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent import futures

import numpy as np
import pandas as pd
from absl import logging

from psm_jax import paths
from psm_jax.data import store, store_files

_TFDS_INFO = 'dataset_info.json'
_TEMPORARY = re.compile(r'\..*\.tmp')


class StoreWriter:
  """A store being made, a person at a time.

  Attributes:
    people: the entries of those who are done, see `store_files.write_person`.
    problems: see `store.FrameStore`; may be added to.
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

  @property
  def index(self) -> pd.DataFrame:
    """The index of all who are done."""
    return store_files.join(
      [
        store_files.open_person(self._folder, entry, self._size_px).index
        for entry in self.people
      ]
    )

  def spool(self, parts: Iterable[np.ndarray]) -> np.ndarray:
    """Returns one person's frames from parts, through the disk.

    Args:
      parts: [n, size_px * size_px * 3] uint8 each.

    Returns:
      [num_frames, size_px * size_px * 3] uint8, mapped until the next call.
    """
    path = self._folder / '.frames.tmp'
    path.unlink(missing_ok=True)
    with paths.naming(path), open(path, 'xb') as file:
      for part in parts:
        file.write(np.ascontiguousarray(part))
    return np.memmap(path, np.uint8, 'r').reshape(-1, self._size_px**2 * 3)

  def add(
    self,
    frames: np.ndarray,
    index: pd.DataFrame,
    *,
    fps: Mapping[str, float],
    problems: Sequence[Mapping[str, str]] = (),
  ) -> None:
    """Writes a person, who is then done whatever happens.

    Args:
      frames: see `store_files.write_person`, and its errors.
      index: likewise.
      fps: likewise.
      problems: the person's.
    """
    self.people.append(
      store_files.write_person(self._folder, frames, index, fps=fps)
    )
    self.problems += [p for p in problems if p not in self.problems]
    self._save()

  def clean(self) -> None:
    """Leaves what store.json names, and nothing else."""
    self._save()
    for stray in strays(self._folder):
      stray.unlink()

  def _save(self):
    _write_manifest(
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

  with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    return [text for text in pool.map(damage, manifest['people']) if text]


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


def add_people(path: str | os.PathLike, other: str | os.PathLike) -> list[str]:
  """Adds all people of another store to a store: copies their files.

  Label columns that one of the stores lacks are empty in its rows. Whose very
  file is there already is left out, so that the call may be repeated.

  Args:
    path: the store that grows.
    other: the store whose people are added; it stays as it is.

  Returns:
    The ids of the people added.

  Raises:
    ValueError: If the stores do not go together (another size or alignment, a
      person in both with other frames), one is damaged, or another process
      changes this one.
    OSError: If the disk is too full or the store cannot be written.
  """
  path, other = pathlib.Path(path), pathlib.Path(other)
  with _changing(path) as mine:
    theirs = store_files.read_manifest(other)
    entries = [e for e in theirs['people'] if e not in mine['people']]
    _check_addable(path, mine, other, theirs, entries)
    if damaged := verify(other):
      raise ValueError(store.list_some(damaged, limit=3))
    check_space(path, sum(entry['num_bytes'] for entry in entries))
    for entry in entries:
      with (
        open(
          store_files.person_path(other, entry['person_id']), 'rb'
        ) as original,
        paths.writing_atomic(
          store_files.person_path(path, entry['person_id'])
        ) as copy,
      ):
        shutil.copyfileobj(original, copy, 1 << 24)
    if entries:
      mine['people'] += entries
      mine['problems'] += [
        p for p in theirs['problems'] if p not in mine['problems']
      ]
      mine['source'].setdefault('added', []).append(theirs['source'])
  return [entry['person_id'] for entry in entries]


def remove_person(
  path: str | os.PathLike, person_id: str
) -> list[pathlib.Path]:
  """Deletes a person's frames, rows and videos from a store.

  The TFDS records that `prepare` made the store from hold the person's pictures
  too: those in `tfds` beside the store are deleted whole, and are made again
  when they are needed. What else was made from the person's videos is not
  touched.

  Args:
    path: the store.
    person_id: whom to remove; the file may be damaged or missing.

  Returns:
    The folders of records that were deleted.

  Raises:
    ValueError: If the store has no such person or nobody else, or another
      process changes it.
    OSError: If the store cannot be written.
  """
  path = pathlib.Path(path)
  with _changing(path) as manifest:
    people = {entry['person_id']: entry for entry in manifest['people']}
    if person_id not in people:
      raise ValueError(
        f'{path} has no person {person_id!r}. It has '
        f'{store.list_some(list(people))}.'
      )
    if len(people) == 1:
      raise ValueError(
        f'{path} would be empty without {person_id}. Delete the folder.'
      )
    source = manifest['source']
    # First: the person is in the store until nothing else is left to delete.
    deleted = _delete_records(path, source)
    manifest['people'].remove(people[person_id])
    manifest['problems'] = [
      problem
      for problem in manifest['problems']
      if problem['path'].split('/')[0] != person_id
    ]
    manifest['source'] = _source_without(person_id, source)
  return deleted


@contextlib.contextmanager
def _changing(path) -> Iterator[dict]:
  """Gives the manifest to change, then writes it and deletes what it drops."""
  store_files.read_manifest(path)
  with paths.locked(
    path / '.lock', busy=f'Another process is changing {path}. Wait for it.'
  ):
    manifest = store_files.read_manifest(path)
    del manifest['schema_version']
    try:
      yield manifest
      _write_manifest(path, **manifest)
    finally:
      for stray in strays(path):
        stray.unlink()


def _write_manifest(path, **manifest):
  """Makes a change valid, at one moment."""
  paths.write_atomic(
    path / store_files.MANIFEST, store_files.make_manifest(**manifest)
  )


def _check_addable(path, mine, other, theirs, entries):
  known = {entry['person_id'].lower() for entry in mine['people']}
  people = [entry['person_id'] for entry in entries]
  twice = [person for person in people if person.lower() in known]
  ways = [_way(manifest['source']) for manifest in (mine, theirs)]
  for is_wrong, message in (
    (
      theirs['size_px'] != mine['size_px'],
      f'{other} holds frames of {theirs["size_px"]} px, {path} of '
      f'{mine["size_px"]} px. Prepare it again with that size.',
    ),
    (
      twice,
      f'{path} has {store.list_some(twice)} already. Remove them first, or '
      'choose people by data.persons.',
    ),
    (
      None not in ways and ways[0] != ways[1],
      f'{other} was made with {ways[1]}, {path} with {ways[0]}. Prepare it '
      'again like that.',
    ),
  ):
    if is_wrong:
      raise ValueError(message)


def _way(source):
  """How frames were cut, None if it is not known; a store has one way."""
  if 'align' not in source:
    return None
  way = f'data.align={source["align"]}'
  if source['align'] != 'none':
    way += f', data.eye_distance={source.get("eye_distance")}'
  return way


def _source_without(person_id, source):
  """What a store was made from, without naming somebody."""
  source = dict(source)
  if folds := source.get('folds'):
    source['folds'] = {p: folds[p] for p in folds if p != person_id}
  if 'added' in source:
    source['added'] = [
      _source_without(person_id, added) for added in source['added']
    ]
  return source


def _delete_records(path, source):
  """Deletes the TFDS records that a store was made from, if they are there."""
  deleted = []
  for made_from in [source, *source.get('added', [])]:
    # A store may come from elsewhere: only TFDS's own folders are deleted.
    kind, _, name = made_from.get('records', '').partition('/')
    try:
      folder = paths.child(path.parent, 'tfds', kind, name)
    except ValueError:
      continue
    if any(folder.glob(f'*/{_TFDS_INFO}')):
      # By its description it is known for TFDS's: that goes last.
      for file in folder.rglob('*'):
        if file.is_file() and file.name != _TFDS_INFO:
          file.unlink()
      shutil.rmtree(folder)
      deleted.append(folder)
  return deleted
