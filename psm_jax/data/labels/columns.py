"""Tables of labels: one CSV a video, a row a frame.

A column `frame` holds the frame's own number. Action units may be called `au1`,
`AU01`, `AU1_r`; head pose `yaw`, `pitch`, `roll` in degrees; 68-point landmarks
`x0`..`x67`, `y0`..`y67` in pixels of the picture, from its top left corner.
Other numeric columns keep their names. Empty cells are missing.
"""

import dataclasses
import pathlib
import re

import numpy as np
import pandas as pd

from psm_jax import tabular

NUM_LANDMARKS = 68
_ACTION_UNIT = re.compile(r'au0?(\d+)(_[rc])?', re.IGNORECASE)
_POSE = ('yaw', 'pitch', 'roll')
# Flat [68, 2] landmarks; the same names in labels.csv and in a store's index.
LANDMARK_COLUMNS = tuple(
  f'{axis}{point}' for point in range(NUM_LANDMARKS) for axis in 'xy'
)


@dataclasses.dataclass(frozen=True)
class LabelTable:
  """The labels of one video, R rows.

  Attributes:
    values: indexed by frame number (int64, unique), columns float32, NaN where
      missing; landmarks left out.
    landmarks: [R, 68, 2] float64, (x, y) pixels; None if there are none.
    problems: what was wrong with the table, a sentence each.
  """

  values: pd.DataFrame
  landmarks: np.ndarray | None
  problems: tuple[str, ...]


def column_name(name: str) -> str:
  """Returns the store's name of a label column: `AU01`, `pose_yaw`, ...

  OpenFace's suffixes `_r` (intensity) and `_c` (presence) are kept.
  """
  name = name.strip()
  if match := _ACTION_UNIT.fullmatch(name):
    return f'AU{int(match[1]):02d}{(match[2] or "").lower()}'
  return f'pose_{name.lower()}' if name.lower() in _POSE else name


def read_columns(path: pathlib.Path) -> list[str]:
  """Returns the names of a table's label columns, without reading its rows.

  Those of landmarks are among them if all 136 are there.

  Raises:
    ValueError: If the file is no table with unique columns and a frame column.
  """
  table = _read(path, num_rows=0)
  has_landmarks = set(LANDMARK_COLUMNS) <= set(table)
  return _label_names(table, path) + list(LANDMARK_COLUMNS) * has_landmarks


def read_labels(path: pathlib.Path) -> LabelTable:
  """Reads the label table of one video.

  Rows without a whole frame number are dropped, of several rows for one frame
  the first is kept, and cells that are no numbers become missing; each is
  counted in `problems`. Landmarks are used if all 136 columns are there.

  Raises:
    ValueError: If the file is no table with unique columns and a frame column.
  """
  table = _read(path, num_rows=None)
  names = _label_names(table, path)
  problems = []
  numbers = table.apply(pd.to_numeric, errors='coerce').astype(np.float64)
  numbers = numbers.where(np.isfinite(numbers))
  doubtful = numbers.columns[numbers.isna().any()]
  if dropped := sum(tabular.num_wrong(table[name]) for name in doubtful):
    problems.append(f'{dropped} cells are not numbers')
  frame = numbers['frame'].to_numpy()
  usable = (frame == np.floor(frame)) & (np.abs(frame) < 2**53)
  if not usable.all():
    problems.append(f'{(~usable).sum()} rows have no whole frame number')
  table = numbers[usable].set_axis(frame[usable].astype(np.int64))
  repeated = table.index.duplicated()
  if repeated.any():
    problems.append(f'{repeated.sum()} rows repeat a frame number')
  table = table[~repeated].rename_axis('frame')
  landmarks = None
  there = [name for name in LANDMARK_COLUMNS if name in table.columns]
  if len(there) == len(LANDMARK_COLUMNS):
    landmarks = table[there].to_numpy().reshape(-1, NUM_LANDMARKS, 2)
  elif there:
    problems.append(
      f'{len(there)} of 136 landmark columns x0, y0, ... y67; none is used'
    )
  return LabelTable(table[names].astype(np.float32), landmarks, tuple(problems))


def _read(path, num_rows):
  """The table with its columns renamed, as text."""
  table = tabular.read(path, {}, num_rows=num_rows)
  table.columns = [column_name(name) for name in table]
  if twice := sorted(set(table.columns[table.columns.duplicated()])):
    raise ValueError(f'{path} has more than one column for {twice}.')
  if 'frame' not in table:
    raise ValueError(
      f'{path} has no column `frame`; its columns are '
      f'{", ".join(table.columns[:8])}...'
    )
  return table


def _label_names(table, path):
  if reserved := {'person_id', 'video_id', 'time_s'} & set(table.columns):
    raise ValueError(
      f'{path} has columns named {sorted(reserved)}, which the frame store '
      'uses itself. Rename them.'
    )
  skip = {'frame', *LANDMARK_COLUMNS}
  return [name for name in table.columns if name not in skip and name]
