"""Checks a frame store, adds people to it and removes a person from it.

for sentence in upkeep.verify('/data/store-1'): print(sentence)
upkeep.add_people('/data/store-1', '/data/store-2')
upkeep.remove_person('/data/store-1', 'P007')

A change happens when store.json is replaced; after a kill the store is as it
was before or as it is to be. Whoever has the store open goes on with what it
was.
"""

import contextlib
import io
import os
import pathlib
import re
import secrets
import shutil
from collections.abc import Iterator

import numpy as np
import pandas as pd
from absl import logging

from psm_jax import paths
from psm_jax.data import store, store_files

try:
  import fcntl
except ImportError:  # Windows: two changes at a time are not kept apart.
  fcntl = None

_COPY_ROWS = 4096
_OURS = re.compile(
  r'frames(-[0-9a-f]{8})?\.npy|index(-[0-9a-f]{8})?\.parquet|\..*\.tmp'
)


def verify(path: str | os.PathLike) -> list[str]:
  """Reads all frames of a store and returns what is damaged, a sentence each.

  What is found undamaged is noted in the store, see `verify_once`.

  Raises:
    ValueError: If the store cannot be opened at all.
  """
  path = pathlib.Path(path)
  opened = store.open_store(path)
  described = store_files.read_description(path)
  videos = described['videos']
  spans = [(video['start'], video['stop']) for video in videos]
  found = store_files.checksums(opened.frames, spans)
  damaged = [
    f'{described["frames"]}: frames of person {video["person_id"]}, video '
    f'{video["video_id"]} (rows {video["start"]} to {video["stop"] - 1}) are '
    'not those that were written'
    for video, crc32 in zip(videos, found, strict=True)
    if crc32 != video.get('crc32')
  ]
  if not damaged:
    store_files.mark_verified(path, described['frames'])
  return damaged


def verify_once(path: str | os.PathLike) -> None:
  """Verifies a store unless these very files were found undamaged before.

  That is: after it was copied, moved to another disk or written to.

  Raises:
    ValueError: If the store is damaged; names whose frames.
  """
  path = pathlib.Path(path)
  described = store_files.read_description(path)
  if store_files.is_verified(path, described['frames']):
    return
  logging.info('Verifying %s, which was copied or changed.', path)
  if damaged := verify(path):
    raise ValueError(
      f'{path} is damaged: {store.list_some(damaged, limit=3)}. Copy it again, '
      'or delete it and prepare it again, or remove these people by '
      'launch.store --remove.'
    )


def strays(path: str | os.PathLike) -> list[pathlib.Path]:
  """Returns files that a killed change left in a store; they may hold faces."""
  path = pathlib.Path(path)
  described = store_files.read_description(path)
  named = {described['frames'], described['index']}
  return sorted(
    entry
    for entry in path.iterdir()
    if _OURS.fullmatch(entry.name) and entry.name not in named
  )


def add_people(path: str | os.PathLike, other: str | os.PathLike) -> list[str]:
  """Adds all people of another store behind those that a store has.

  The frames that are there are not written again. Label columns that one of the
  stores lacks are empty in its rows.

  Args:
    path: the store that grows.
    other: the store whose people are added; it stays as it is.

  Returns:
    The ids of the people added.

  Raises:
    ValueError: If the stores do not go together (another size or alignment, a
      person in both), one is damaged, or another process changes this one.
    OSError: If the disk is too full or the store cannot be written.
  """
  path = pathlib.Path(path)
  with _held(path):
    mine, theirs = store.open_store(path), store.open_store(other)
    _check_addable(mine, theirs)
    verify_once(other)
    described = store_files.read_description(path)
    _append(paths.child(path, described['frames']), mine.frames, theirs.frames)
    index = pd.concat([mine.index, theirs.index], ignore_index=True)
    first = len(mine.frames)
    added = [
      video | {'start': video['start'] + first, 'stop': video['stop'] + first}
      for video in store_files.read_description(theirs.path)['videos']
    ]
    source = dict(mine.source)
    source['added'] = [*source.get('added', []), theirs.source]
    _replace(
      path,
      described,
      index,
      videos=[*described['videos'], *added],
      problems=[*mine.problems, *theirs.problems],
      source=source,
    )
  return list(theirs.person_ids)


def remove_person(
  path: str | os.PathLike, person_id: str
) -> list[pathlib.Path]:
  """Deletes a person's frames, rows and videos from a store.

  The frames of the others are copied into a new file and the old file is
  deleted, so there must be space for them. The TFDS records that `prepare` made
  the store from hold the person's pictures too: those in `tfds` beside the
  store are deleted whole, and are made again when they are needed. What else
  was made from the person's videos is not touched.

  Args:
    path: the store.
    person_id: whom to remove.

  Returns:
    The folders of records that were deleted.

  Raises:
    ValueError: If the store has no such person or nobody else, or another
      process changes it.
    OSError: If the disk is too full or the store cannot be written.
  """
  path = pathlib.Path(path)
  with _held(path):
    for stray in strays(path):
      stray.unlink()
    opened = store.open_store(path)
    opened.videos(person_id)
    if len(opened.person_ids) == 1:
      raise ValueError(
        f'{path} would be empty without {person_id}. Delete the folder.'
      )
    described = store_files.read_description(path)
    is_kept = (opened.index['person_id'] != person_id).to_numpy()
    described['frames'] = f'frames-{secrets.token_hex(4)}.npy'
    _copy_rows(path, described['frames'], opened, np.flatnonzero(is_kept))
    _replace(
      path,
      described,
      opened.index[is_kept].reset_index(drop=True),
      videos=_videos_without(person_id, described['videos']),
      problems=[p for p in opened.problems if not _names(p, person_id)],
      source=_source_without(person_id, opened.source),
    )
    return _delete_records(path, opened.source)


def _check_addable(mine, theirs):
  if mine.size_px != theirs.size_px:
    raise ValueError(
      f'{theirs.path} holds frames of {theirs.size_px} px, {mine.path} of '
      f'{mine.size_px} px. Prepare it again with that size.'
    )
  known = {person.lower(): person for person in mine.person_ids}
  twice = [p for p in theirs.person_ids if p.lower() in known]
  if twice:
    raise ValueError(
      f'{mine.path} has {store.list_some(twice)} already. Remove them first, '
      'or choose people by data.persons.'
    )
  ways = [_way(opened.source) for opened in (mine, theirs)]
  if None not in ways and ways[0] != ways[1]:
    raise ValueError(
      f'{theirs.path} was made with {ways[1]}, {mine.path} with {ways[0]}. '
      'Prepare it again like that.'
    )


def _way(source):
  """How frames were cut, None if it is not known; a store has one way."""
  if 'align' not in source:
    return None
  way = f'data.align={source["align"]}'
  if source['align'] == 'eyes':
    way += f', data.eye_distance={source.get("eye_distance")}'
  return way


def _append(path, frames, added):
  """Writes frames behind those of an .npy file and counts them in its head."""
  num_bytes = added.size
  store_files.check_space(path.parent, num_bytes)
  head = io.BytesIO()
  # NumPy leaves room in the head for the number to grow.
  np.lib.format.write_array_header_1_0(
    head,
    {
      'descr': '|u1',
      'fortran_order': False,
      'shape': (len(frames) + len(added), frames.shape[1]),
    },
  )
  with open(path, 'r+b') as file:
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    start = file.tell()
    if start != len(head.getvalue()):
      raise ValueError(
        f'{path} was not written by psm_jax: its head has {start} bytes, '
        f'expected {len(head.getvalue())}. Prepare the store again.'
      )
    end = start + frames.size
    # A killed addition may have left more.
    file.truncate(end)
    file.seek(end)
    try:
      for first in range(0, len(added), _COPY_ROWS):
        file.write(np.ascontiguousarray(added[first : first + _COPY_ROWS]))
      file.flush()
      os.fsync(file.fileno())
    except OSError:
      file.truncate(end)
      raise
    file.seek(0)
    file.write(head.getvalue())
    file.flush()
    os.fsync(file.fileno())


def _copy_rows(path, name, opened, rows):
  """Writes some of a store's frames into a new file."""
  try:
    frames = store_files.make_frames(
      path, num_frames=len(rows), size_px=opened.size_px, name=name
    )
    for start in range(0, len(rows), _COPY_ROWS):
      chosen = rows[start : start + _COPY_ROWS]
      frames[start : start + len(chosen)] = opened.frames[chosen]
    frames.flush()
  except OSError:
    paths.child(path, name).unlink(missing_ok=True)
    raise


def _videos_without(person_id, videos):
  """The others' videos, in the rows that they have now."""
  kept, stop = [], 0
  for video in videos:
    if video['person_id'] != person_id:
      start, stop = stop, stop + video['stop'] - video['start']
      kept.append(video | {'start': start, 'stop': stop})
  return kept


def _names(problem, person_id):
  return problem['path'].split('/')[0] == person_id


def _source_without(person_id, source):
  """What a store was made from, without naming somebody."""
  source = dict(source)
  if 'folds' in source:
    source['folds'] = dict(source['folds'])
    source['folds'].pop(person_id, None)
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
    if any(folder.glob('*/dataset_info.json')):
      shutil.rmtree(folder)
      deleted.append(folder)
  return deleted


def _replace(path, described, index, *, videos, problems, source):
  """Makes a change valid, and deletes the files that it replaces."""
  store_files.write_description(
    path,
    index,
    videos=videos,
    problems=problems,
    source=source,
    size_px=described['size_px'],
    frames_name=described['frames'],
    index_name=f'index-{secrets.token_hex(4)}.parquet',
  )
  for stray in strays(path):
    stray.unlink()


@contextlib.contextmanager
def _held(path) -> Iterator[None]:
  """Keeps other changes of a store out."""
  store_files.read_description(path)
  if not fcntl:
    yield
    return
  descriptor = os.open(path, os.O_RDONLY)
  try:
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise ValueError(
        f'Another process is changing {path}. Wait for it.'
      ) from error
    yield
  finally:
    os.close(descriptor)
