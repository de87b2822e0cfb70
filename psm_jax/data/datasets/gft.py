"""GFT, the Group Formation Task (Girard et al., 2017): presence codes.

How the copies are laid out is not documented openly, so this reads the plainest
form: pictures in PERSON/FRAME.jpg or PERSON/VIDEO/FRAME.jpg below the folder of
pictures, and a CSV table a video, `PERSON/VIDEO.csv`, `PERSON_VIDEO.csv` or
`PERSON.csv`, with a column `frame` (or `0`) and columns `AU1` or `1`.

Codes become AU06_c (0 or 1); a column named AU6_r is an intensity, AU06.
"""

import re

import numpy as np
import pandas as pd

from psm_jax import paths, tabular
from psm_jax.data.datasets import trees

ACTION_UNITS = (1, 2, 4, 6, 10, 12, 14, 15, 23, 24)
_COLUMN = re.compile(r'(?:AU)?0*([1-9]\d?)(_[rc])?', re.IGNORECASE)
_LABEL_FOLDERS = ('AUCoding', 'aucoding', 'labels', 'Labels')
_ONLY_VIDEO = 'video'


def _identify(where, stem):
  parts = where.split('/')[1:]  # The first is the folder of pictures itself.
  if stem or len(parts) not in (1, 2):
    return None
  return parts[0], parts[1] if len(parts) == 2 else _ONLY_VIDEO


def _read_labels(root, options, videos, report):
  folder = trees.label_folder(root, options, _LABEL_FOLDERS, report)
  tables = {}
  for video in videos if folder is not None else ():
    path = _find_table(folder, video)
    if path is None:
      report(video.name, f'no table of labels in {folder}; labels missing')
      continue
    try:
      tables[video.key] = _read_table(path, options, report)
    except (OSError, ValueError) as error:
      report(path, f'labels not used: {error}')
  return tables


def _find_table(folder, video):
  """The first table named for a video."""
  names = [
    (video.person_id, f'{video.video_id}.csv'),
    (f'{video.person_id}_{video.video_id}.csv',),
  ]
  if video.video_id == _ONLY_VIDEO:
    names.append((f'{video.person_id}.csv',))
  candidates = (paths.child(folder, *name) for name in names)
  return next((path for path in candidates if path.is_file()), None)


def _read_table(path, options, report):
  """A video's codes by their own frame numbers, float32."""
  table = tabular.read(path, {})
  named = [n for n in table.columns if n.lower() in ('frame', '0')]
  if len(named) != 1:
    raise ValueError(
      f'expected one column `frame` (or `0`), got {list(table.columns)[:8]}'
    )
  frames = tabular.numbers(table[named[0]])
  usable = (frames == np.floor(frames)) & ~pd.Series(frames).duplicated()
  if not usable.all():
    report(
      path,
      f'{(~usable).sum()} rows lack an own frame number; not used',
    )
  columns = {}
  for name in table.columns:
    if match := _COLUMN.fullmatch(name):
      suffix, high = ('', 5) if match[2] in ('_r', '_R') else ('_c', 1)
      columns[f'AU{int(match[1]):02d}{suffix}'] = trees.checked_labels(
        table[name], path, options, report, high=high, what=f'codes of {name}'
      )
  if not columns:
    raise ValueError(f'no column AU<k> or <k>, got {list(table.columns)[:8]}')
  return trees.as_labels(pd.DataFrame(columns, frames)[usable.to_numpy()])


DATASET = trees.Dataset(
  kind='gft',
  columns=tuple(f'AU{unit:02d}_c' for unit in ACTION_UNITS),
  fps=30.0,
  is_fps_known=False,
  expected='PERSON/FRAME.jpg or PERSON/VIDEO/FRAME.jpg',
  identify=_identify,
  read_labels=_read_labels,
  is_shift_possible=True,
)
