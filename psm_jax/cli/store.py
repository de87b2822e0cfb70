r"""Lists, checks and changes a frame store.

  python -m launch.store --path=runs/lab/data/store-0123456789abcdef
  python -m launch.store --path=STORE --verify
  python -m launch.store --path=STORE --add=OTHER_STORE
  python -m launch.store --path=STORE --remove=P007

Without another flag people, videos, frames and seconds are listed. --verify
reads everything and names the people whose files are damaged. --add takes in
all people of another store, of the same size and alignment. --remove deletes a
person's file from the store, and the records beside it that the store was
made from; the person's videos, ingested crops, packs, other stores, models and
embeddings are yours to delete.

Exit codes: 0 done, 1 failed or damaged, 2 wrong usage, 75 stopped by a signal.
"""

import pathlib

from absl import flags, logging

from psm_jax.cli import program
from psm_jax.data import store as store_lib, store_changes, upkeep

_PATH = flags.DEFINE(
  program.PLACE, 'path', None, 'The frame store: a folder with store.json.'
)
_VERIFY = flags.DEFINE_bool('verify', False, 'Read and check all frames.')
_ADD = flags.DEFINE(
  program.PLACE, 'add', None, 'A store whose people are added.'
)
_REMOVE = flags.DEFINE_string('remove', None, 'A person_id to delete.')
REQUIRED = ('path',)


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  path = pathlib.Path(_PATH.value)
  if (_REMOVE.value is not None) + (_ADD.value is not None) + _VERIFY.value > 1:
    raise ValueError('Give one of --verify, --add and --remove.')
  if _REMOVE.value is not None:
    _remove(path, _REMOVE.value)
  elif _ADD.value is not None:
    if added := store_changes.add_people(path, _ADD.value):
      names = store_lib.list_some(added)
      logging.info('Added %d people to %s: %s.', len(added), path, names)
    else:
      logging.info('Everybody of %s is in %s already.', _ADD.value, path)
  elif _VERIFY.value:
    return _verify(path)
  else:
    _list(path)
  return None


def _remove(path, person_id):
  for folder in store_changes.remove_person(path, person_id):
    logging.info('Deleted %s, from which the store was made.', folder)
  logging.info(
    '%s is no longer in %s. Their videos, ingested crops, packs, other stores, '
    'models and embeddings are not touched.',
    person_id,
    path,
  )


def _verify(path):
  problems = [
    *upkeep.verify(path),
    *(
      f'{stray} was left by a killed change; delete it.'
      for stray in upkeep.strays(path)
    ),
  ]
  for problem in problems:
    logging.error('%s', problem)
  if problems:
    return program.FAILED
  logging.info('%s is undamaged.', path)
  return None


def _list(path):
  opened = store_lib.open_store(path)
  print('person_id,videos,frames,seconds')
  for person_id in opened.person_ids:
    videos = opened.videos(person_id)
    frames = sum(video.stop - video.start for video in videos)
    seconds = sum((video.stop - video.start) / video.fps for video in videos)
    print(f'{person_id},{len(videos)},{frames},{seconds:.1f}')
