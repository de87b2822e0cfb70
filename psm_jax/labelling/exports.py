"""Intervals of behaviour that annotation programs exported, as frame labels.

ELAN: File > Export as > Tab-delimited text, with tier, begin and end time in
seconds. BORIS: Observations > Export events > Aggregated events, as CSV or TSV.
Both say when something is seen; where nothing is said it is not.
"""

import csv
import dataclasses
import io
import math
import pathlib
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from psm_jax import paths

_MAX_BYTES = 16 << 20
_BORIS = ('Behavior', 'Start (s)', 'Stop (s)')
_CLOCK = re.compile(r'(?:(\d+):)?(\d+):(\d+(?:[.,]\d+)?)')


@dataclasses.dataclass(frozen=True)
class Interval:
  """When something is seen, seconds of the video's clock, the end left out."""

  name: str
  start_s: float
  stop_s: float


def read(path: str | pathlib.Path) -> list[Interval]:
  """Returns the intervals of one video that ELAN or BORIS exported.

  Raises:
    ValueError: If the file is neither, or a time in it is none.
  """
  try:
    text = paths.read_bytes(path, _MAX_BYTES).decode('utf-8-sig')
    separator = '\t' if '\t' in text.partition('\n')[0] else ','
    # Without a head, or with one behind lines of other things.
    rows = list(csv.reader(io.StringIO(text), delimiter=separator))
  except (UnicodeDecodeError, csv.Error) as error:
    raise ValueError(f'{path} is no table in UTF-8: {error}.') from error
  if rows and set(_BORIS) <= set(rows[0]):
    return _boris(rows, path)
  return _elan(rows, path)


def labels(intervals: Sequence[Interval], times_s: np.ndarray) -> pd.DataFrame:
  """Returns 1 where something is seen, 0 elsewhere, a column a name.

  Args:
    intervals: Of one video.
    times_s: [n] float64, the frames' times by the video's clock.
  """
  names = sorted({interval.name for interval in intervals})
  table = pd.DataFrame(0.0, index=range(len(times_s)), columns=names)
  for one in intervals:
    inside = (times_s >= one.start_s) & (times_s < one.stop_s)
    table.loc[inside, one.name] = 1.0
  return table


def _boris(rows, path):
  """Intervals of BORIS' aggregated events; points last no time."""
  columns = [rows[0].index(name) for name in _BORIS]
  made = []
  for line, row in enumerate(rows[1:], 2):
    if any(row):
      where = f'{path}, line {line}'
      if len(row) <= max(columns):
        raise ValueError(f'{where}: expected {", ".join(_BORIS)}, got {row}.')
      made.append(_interval(*(row[column] for column in columns), where))
  return made


def _elan(rows, path):
  """Intervals of ELAN's tab-delimited text: tier, ..., begin, end, value."""
  made = []
  for line, row in enumerate(rows, 1):
    where = f'{path}, line {line}'
    cells = [cell.strip() for cell in row]
    times = [i for i, cell in enumerate(cells) if _is_time(cell)]
    if not any(cells) or (line == 1 and not times):
      continue
    if len(times) < 2 or not cells[0]:
      raise ValueError(
        f'{where}: expected a tier, a begin and an end time. Export from ELAN '
        'as tab-delimited text, or from BORIS as aggregated events.'
      )
    made.append(_interval(cells[0], *(cells[i] for i in times[:2]), where))
  return made


def _is_time(cell):
  return bool(_CLOCK.fullmatch(cell) or re.fullmatch(r'\d+[.,]\d+', cell))


def _seconds(cell, where):
  """Returns seconds of 12.5, 12,5 or 00:00:12.500."""
  match = _CLOCK.fullmatch(cell.strip())
  try:
    hours, minutes, seconds = match.groups() if match else (0, 0, cell)
    time_s = float(seconds.replace(',', '.'))
    time_s += 3600 * float(hours or 0) + 60 * float(minutes)
  except ValueError:
    time_s = math.nan
  if not math.isfinite(time_s):
    raise ValueError(f'{where}: {cell!r} is no time.')
  return time_s


def _interval(text, start, stop, where):
  """Returns an interval of cells, its label named as a column is."""
  name = re.sub(r'\W+', '_', text.strip()).strip('_')
  return Interval(
    name or 'label', _seconds(start, where), _seconds(stop, where)
  )
