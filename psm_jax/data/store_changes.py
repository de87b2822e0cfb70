"""Changes finished frame stores: adds people to one and removes one.

store_changes.add_people('/data/store-1', '/data/store-2')
store_changes.remove_person('/data/store-1', 'P007')

A change happens when store.json is replaced; after a kill the store is as it
was before or as it is to be. Whoever has the store open goes on with what it
was.
"""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

from psm_jax import paths
from psm_jax.data import store, store_files, upkeep

_TFDS_INFO = 'dataset_info.json'


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
    if damaged := upkeep.verify(other):
      raise ValueError(store.list_some(damaged, limit=3))
    upkeep.check_space(path, sum(entry['num_bytes'] for entry in entries))
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
      upkeep.write_manifest(path, **manifest)
    finally:
      for stray in upkeep.strays(path):
        stray.unlink()


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
