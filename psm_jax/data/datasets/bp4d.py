"""BP4D-Spontaneous (Zhang et al., 2014): presence and some intensities.

Pictures in PERSON/TASK/FRAME.jpg anywhere below the root (F001, M018; T1..T8).
Presence is AUCoding/AU_OCC/F001_T1.csv (older copies: AUCoding/F001_T1.csv), a
row a frame under a header of codes, of which the first is the frame. Intensity
is AU-Intensity-Codes3.0/AU06/F001_T1_*.csv with lines `frame,intensity`. A
picture and its labels carry the same number.

Presence becomes AU06_c (0 or 1), intensity AU06 (0 to 5). BP4D+ has the same
form with other people.
"""

import re

import pandas as pd

from psm_jax.data import sources
from psm_jax.data.datasets import trees

BENCHMARK = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
GRADED = (6, 10, 12, 14, 17)
_VIDEO = re.compile(r'(?:^|[/_])([FM]\d{3})[/_](T\d+)(?=$|[/_])')
_CODE = re.compile(r'(?:AU)?0*([1-9]\d?)', re.IGNORECASE)
_CODES_FOLDERS = ('AUCoding/AU_OCC', 'AUCoding', 'AU_OCC')
_GRADES_FOLDERS = (
  'AU-Intensity-Codes3.0',
  'AUCoding/AU_INT',
  'AU_INT',
)


def _read_labels(root, options, videos, report):
  codes = trees.label_folder(root, options, _CODES_FOLDERS, report)
  grades = _grades_folder(root, codes)
  tables = {}
  for video in videos:
    name = f'{video.person_id}_{video.video_id}'
    parts = []
    if codes is not None:
      path = codes / f'{name}.csv'
      with sources.reporting(path, report):
        parts.append(
          trees.read_codes(path, options, report, is_frame_first=True)
        )
    if grades is not None:
      parts += _read_intensity(grades, name, options, report)
    if parts:
      tables[video.key] = trees.as_labels(pd.concat(parts, axis=1).sort_index())
  return tables


def _grades_folder(root, codes):
  """The folder of intensities, near the root or near the presence codes."""
  places = [root] if codes is None else [root, codes, codes.parent]
  folders = (place / name for place in places for name in _GRADES_FOLDERS)
  return next((folder for folder in folders if folder.is_dir()), None)


def _read_intensity(folder, name, options, report):
  """[series AU06, ...] of one video, those that have a file."""
  series = []
  for unit_folder in sorted(folder.iterdir()):
    code = _CODE.fullmatch(unit_folder.name)
    if code is None or not unit_folder.is_dir():
      continue
    files = sorted(
      path
      for path in unit_folder.glob(f'{name}*.csv')
      if re.fullmatch(rf'{name}(_.*)?', path.stem)
    )
    if not files:
      report(unit_folder / f'{name}*.csv', 'there is no such file')
      continue
    with sources.reporting(files[0], report):
      frames, values = trees.read_pairs(files[0])
      unit = int(code[1])
      # A header of codes, as in the files of presence, looks like a row.
      if frames[0] == 0 and values[0] == unit:
        frames, values = frames[1:], values[1:]
      values = trees.checked_labels(
        values, files[0], options, report, high=5, what='intensities'
      )
      graded = pd.Series(values, frames, name=f'AU{unit:02d}')
      series.append(trees.once(graded, files[0], report))
  return series


DATASET = trees.Dataset(
  kind='bp4d',
  columns=(
    *(f'AU{unit:02d}' for unit in GRADED),
    *(f'AU{unit:02d}_c' for unit in BENCHMARK),
  ),
  fps=25.0,
  is_fps_known=False,
  expected='F001/T1/2440.jpg: person, task, frame number',
  identify=lambda where, stem: (_VIDEO.findall(f'{where}/{stem}') or [None])[
    -1
  ],
  read_labels=_read_labels,
  is_shift_possible=True,
)
