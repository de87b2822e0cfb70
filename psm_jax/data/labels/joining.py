"""Brings a tool's table to a video's frames: by number, or else by time."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from psm_jax.data import shifts
from psm_jax.data.labels import readers

FIRST_FRAMES = ('check', '0', '1')
_RATES_AGREE = 0.01
_LAGS = range(-3, 4)
_FEWEST_FOR_LAG = 100
_CLEARLY = 0.01


@dataclasses.dataclass(frozen=True)
class Target:
  """One video's frames, to which labels are brought.

  Attributes:
    name: PERSON/VIDEO.
    frames: [T] int64, their own numbers, increasing.
    fps: frames a second.
  """

  name: str
  frames: np.ndarray
  fps: float


@dataclasses.dataclass(frozen=True)
class Joined:
  """A tool's labels on a video's frames.

  Attributes:
    values: T rows, float32, NaN where no row belongs to the frame.
    landmarks: [T, 68, 2] float64, NaN where missing; None if there are none.
    has_row: [T] bool.
    num_unused: rows that belong to no frame.
    by: 'frame' or 'time'.
  """

  values: pd.DataFrame
  landmarks: np.ndarray | None
  has_row: np.ndarray
  num_unused: int
  by: str


def choose_face(
  table: readers.ToolTable, face: str | None
) -> tuple[readers.ToolTable, str]:
  """Returns the rows of one face, and what is doubtful about it.

  Which face is the person is the user's to say: another tool's face 0 may be
  anybody. Without a name, a table of several faces gives no rows; where the
  tool names none, frames of several rows give none.

  Args:
    table: the table.
    face: the tool's name of the person's face, None if not said.
  """
  if face is not None:
    chosen = table.faces == face
    if not chosen.any():
      there = ', '.join(sorted(set(table.faces.tolist()))[:8])
      return table.take(chosen), f'no row of face {face!r}; there are {there}'
    return table.take(chosen), ''
  names = sorted(set(table.faces.tolist()))
  if len(names) > 1:
    return table.take(np.zeros(len(table.faces), bool)), (
      f'{len(names)} faces ({", ".join(names[:8])}), and nobody says which of '
      'them is the person; not used'
    )
  # Positions alone tell rows of one frame apart; times may differ by rounding.
  several = pd.Series(table.numbers).duplicated(keep=False).to_numpy()
  several = several & np.isfinite(table.numbers)
  if several.any():
    count = len(np.unique(table.numbers[several]))
    return table.take(~several), (
      f'{count} frames have several faces without a name; not used'
    )
  return table, ''


def first_frame(
  pairs: Sequence[tuple[Target, readers.ToolTable]], *, choice: str
) -> tuple[int, str]:
  """Returns the number of the first frame of a video, and how that is known.

  Args:
    pairs: every video with its table.
    choice: '0', '1' or 'check': from the numbers of all videos together.

  Raises:
    ValueError: If the choice is unknown, or 'check' cannot tell.
  """
  if choice not in FIRST_FRAMES:
    raise ValueError(f'first_frame {choice!r} is none of {list(FIRST_FRAMES)}.')
  numbers = [
    (target.frames, table.numbers[np.isfinite(table.numbers)])
    for target, table in pairs
    if not table.are_pictures
  ]
  matches = shifts.count_matches(numbers)
  facts = (
    f'{matches[0]} frames find a row if frames are numbered from 0, '
    f'{matches[1]} if from 1'
  )
  if choice != 'check':
    first = int(choice)
    doubt = '; the other would fit better' * (
      matches[1 - first] > matches[first]
    )
    return first, f'first_frame is {first}: {facts}{doubt}'
  if any((frames == 0).any() for frames, _ in numbers):
    return 0, f'there is a frame 0, so frames are numbered from 0: {facts}'
  if not numbers:
    return 0, 'rows name their pictures'
  if matches[0] == matches[1]:
    raise ValueError(
      'The numbers do not tell whether frames are numbered from 0 or 1: '
      f'{facts}. Say which by --first_frame.'
    )
  first = int(matches[1] > matches[0])
  return first, f'frames are taken to be numbered from {first}: {facts}'


def join(
  target: Target, table: readers.ToolTable, *, first: int
) -> tuple[Joined, str]:
  """Brings rows to frames by number; by time where numbers cannot serve.

  Times serve if the table has no numbers, or comes at another rate than the
  frames: each frame then takes the row nearest in time, within half a frame.

  Args:
    target: the video's frames.
    table: one row a frame, see `choose_face`.
    first: number of the video's first frame, see `first_frame`.

  Returns:
    The labels, and what is doubtful about them, '' if nothing.

  Raises:
    ValueError: If neither numbers nor times can serve.
  """
  rate = readers.rate(table)
  numbered = np.isfinite(table.numbers)
  differ = (
    not table.are_pictures
    and np.isfinite(rate)
    and abs(rate / target.fps - 1) > _RATES_AGREE
  )
  if numbered.any() and not differ:
    own = target.frames if table.are_pictures else target.frames - first
    rows = pd.Series(np.flatnonzero(numbered), table.numbers[numbered])
    position = rows.reindex(own.astype(np.float64)).to_numpy()
    return _take(table, position, 'frame'), ''
  if not np.isfinite(table.time_s).any():
    raise ValueError(f'{target.name}: the table has no usable frame or time.')
  position = _nearest(
    (target.frames - first) / target.fps, table.time_s, 0.5 / target.fps
  )
  remark = 'rows have no frame numbers; joined by time'
  if differ:
    remark = (
      f'{rate:.4g} rows a second for {target.fps:.4g} frames a second; joined '
      'by time'
    )
  return _take(table, position, 'time'), remark


def lag(
  own: pd.DataFrame, joined: pd.DataFrame
) -> tuple[str, int, float, float] | None:
  """Returns the shift at which two sources of one action unit agree better.

  A sign that rows were joined to the wrong frames, and no proof: a tool may
  smooth over time, and people code late.

  Args:
    own: T rows of consecutive frames, columns AU12, ...
    joined: T rows, columns AU12_r, ...

  Returns:
    (unit, frames by which the tool is late, correlation there, correlation as
    joined) of the unit that agrees best; None if it agrees best as joined, or
    there is too little to tell.
  """
  best = None
  for column in joined:
    unit, _, kind = str(column).partition('_')
    if kind not in (readers.INTENSITY, readers.PRESENCE, readers.PROBABILITY):
      continue
    if unit not in own:
      continue
    correlations = {
      shift: _correlation(own[unit], joined[column].shift(-shift))
      for shift in _LAGS
    }
    peak = max(correlations, key=lambda s: (correlations[s], -abs(s)))
    if best is None or correlations[peak] > best[2]:
      best = (unit, peak, correlations[peak], correlations[0])
  if best is None or best[1] == 0 or best[2] - best[3] < _CLEARLY:
    return None
  return best


def _correlation(one, other):
  known = one.notna().to_numpy() & other.notna().to_numpy()
  one, other = (
    one.to_numpy(np.float64)[known],
    other.to_numpy(np.float64)[known],
  )
  if len(one) < _FEWEST_FOR_LAG or not one.std() or not other.std():
    return -1.0
  return float(np.corrcoef(one, other)[0, 1])


def _nearest(wanted, given, tolerance):
  """[T] float64, the row nearest in time or NaN."""
  rows = np.flatnonzero(np.isfinite(given))
  rows = rows[np.argsort(given[rows], kind='stable')]
  times = given[rows]
  after = np.searchsorted(times, wanted).clip(1, max(len(times) - 1, 1))
  if len(times) == 1:
    nearest = np.zeros(len(wanted), int)
  else:
    nearest = after - (wanted - times[after - 1] <= times[after] - wanted)
  close = np.abs(times[nearest] - wanted) <= tolerance + 1e-9
  return np.where(close, rows[nearest], np.nan)


def _take(table, position, by):
  """The labels of rows by position, NaN for none."""
  has_row = np.isfinite(position)
  rows = np.where(has_row, position, 0).astype(np.int64)
  if len(table.values):
    values = table.values.iloc[rows].reset_index(drop=True)
    values.loc[~has_row] = np.nan
  else:
    values = table.values.reindex(range(len(rows)))
  landmarks = None
  if table.landmarks is not None and len(table.values):
    landmarks = np.where(has_row[:, None, None], table.landmarks[rows], np.nan)
  used = len(np.unique(rows[has_row]))
  return Joined(values, landmarks, has_row, len(table.values) - used, by)
