"""VoxCeleb1 and VoxCeleb2 (Nagrani et al., 2017; Chung et al., 2018): faces.

VoxCeleb1's frames lie in NAME/1.6/VIDEO/*.jpg (one a second) or
NAME/1.6/VIDEO/TRACK/*.jpg (dense), newer copies in id10001/VIDEO/TRACK/;
VoxCeleb2's in id00012/VIDEO/TRACK/*.jpg. There are no labels of movement.

The videos' own names may begin with '-', so a video_id is `v` and the name, and
one track is one video: v21Uxsk56VDQ_00001. With vox1_meta.csv a person is
called by id, not by name. Folds are the corpora's `dev` and `test`.
"""

import functools
import re

import pandas as pd

from psm_jax import tabular
from psm_jax.data import sources
from psm_jax.data.datasets import trees

_TRACK = r'([^/]+)(?:/([^/]+))?$'
_NAMED = re.compile(rf'(?:^|/)([^/]+)/1\.6/{_TRACK}')
_NUMBERED = re.compile(rf'(?:^|/)(id\d{{5}})/{_TRACK}')
_SKIPPED = ('VISITED',)
_SETS = ('dev', 'test')


def _identify(where, stem, *, number):
  match = _NUMBERED.search(where)
  if match is None and number == 1:
    match = _NAMED.search(where)
  if stem or match is None or match[2] in _SKIPPED:
    return None
  return match[1], f'v{match[2]}' + (f'_{match[3]}' if match[3] else '')


def _person_ids(root, options, report):
  """From the names that VoxCeleb1 has for people on disk to their ids."""
  table = _read_meta(root, options, 1, report)
  if table is None:
    return {}
  return dict(zip(table['name'], table['person_id'], strict=True))


def _read_meta(root, options, number, report):
  """The table of people with person_id, name and set, None if not there."""
  file = f'vox{number}_meta.csv'
  places = [root / options.labels, root, root.parent, root.parent.parent]
  path = next((p / file for p in places if (p / file).is_file()), None)
  if path is None:
    report(file, 'not found; people have no fold, and are called as on disk')
    return None
  with sources.reporting(path, report):
    table = tabular.read(path, {}).rename(columns=str.lower)
    wanted = {
      'person_id': f'voxceleb{number} id',
      'name': f'vggface{number} id',
      'set': 'set',
    }
    if absent := [name for name in wanted.values() if name not in table]:
      raise ValueError(f'it has no column {absent[0]!r}')
    return pd.DataFrame(
      {column: table[name].str.strip() for column, name in wanted.items()}
    )
  return None


def _find_folds(root, options, videos, *, number):
  """Folds dev and test, by the table of people or else by folder."""
  table = _read_meta(root, options, number, lambda *_: None)
  if table is not None:
    sets = dict(zip(table['person_id'], table['set'].str.lower(), strict=True))
    people = sorted({video.person_id for video in videos})
    return {p: sets[p] for p in people if sets.get(p) in _SETS}
  set_of = {}
  for video in videos:
    # Folders above the root may be called anything.
    if video.folder.is_relative_to(root):
      for name in set(_SETS).intersection(video.folder.relative_to(root).parts):
        set_of.setdefault(video.person_id, name)
  return set_of


def _find_fps(videos):
  """1 if no video has tracks: the release of a frame a second."""
  return 1.0 if all(v.folder.parent.name == '1.6' for v in videos) else None


def _dataset(number, expected, **rules):
  return trees.Dataset(
    kind=f'voxceleb{number}',
    columns=(),
    fps=25.0,
    is_fps_known=False,
    expected=expected,
    identify=functools.partial(_identify, number=number),
    find_folds=functools.partial(_find_folds, number=number),
    **rules,
  )


VOXCELEB1 = _dataset(
  1,
  'NAME/1.6/VIDEO/*.jpg, NAME/1.6/VIDEO/TRACK/*.jpg or id10001/VIDEO/TRACK/',
  find_fps=_find_fps,
  person_ids=_person_ids,
)
VOXCELEB2 = _dataset(2, 'id00012/VIDEO/TRACK/*.jpg')
