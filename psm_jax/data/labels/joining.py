"""Which frame each row of a tool's table is of: one rule for all tables.

Frame numbers are used where they fit the video: the first and the last are
those of its first and last frame. Where they do not, rows go to the frame whose
own time, as stored by the file, is nearest, within half a frame. Rates that
either side declares are not used. Where two readings are possible and nothing
tells which is right, both are shown and the user is asked.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from psm_jax.data.labels import readers

JOINS = ('check', 'number', 'time')
TIMES = ('check', 'start', 'end', 'file')
# A table this much longer or shorter than the video is no slip of a few frames.
_FEW_FRAMES, _FEW_SHARE = 5, 0.02


@dataclasses.dataclass(frozen=True)
class Target:
  """One video's frames, to which rows are brought.

  Attributes:
    name: how messages call it.
    frames: [T] int64, their own numbers, increasing.
    time_s: [T] float64, when they are shown; None if only a guessed rate could
      tell.
    is_whole: whether these are all frames of the video, counted from 0.
  """

  name: str
  frames: np.ndarray
  time_s: np.ndarray | None
  is_whole: bool = False


@dataclasses.dataclass(frozen=True)
class Settings:
  """What a user says about tables that could be read in two ways.

  Attributes:
    join: 'number' or 'time' where both could serve, 'check' to be asked.
    times: what time stamps mean: 'start' or 'end' of a frame, in seconds from
      the video's first frame, 'file' its start by the file's clock, 'check' to
      be asked.
  """

  join: str = 'check'
  times: str = 'check'

  def __post_init__(self):
    """Raises ValueError if a setting is unknown."""
    for name, value, known in (
      ('join', self.join, JOINS),
      ('times', self.times, TIMES),
    ):
      if value not in known:
        raise ValueError(f'--{name}={value} is none of {list(known)}.')


@dataclasses.dataclass(frozen=True)
class Reading:
  """Which frame each of R rows is of, by one way to read the table.

  Attributes:
    by: 'number' or 'time'.
    place: [R] int64, positions in the target's frames; -1 for none.
    remark: what is doubtful, '' if nothing.
    difference_s: largest difference between a row's time stamp and its frame's
      time, both from the first frame; NaN if unknown.
  """

  by: str
  place: np.ndarray
  remark: str = ''
  difference_s: float = np.nan

  @property
  def num_frames(self) -> int:
    """How many frames get a row."""
    return len(np.unique(self.place[self.place >= 0]))


_DEFAULTS = Settings()


def read(
  target: Target,
  table: readers.ToolTable,
  *,
  first: int = 0,
  settings: Settings = _DEFAULTS,
) -> Reading:
  """Returns which frame each row of a table is of.

  Args:
    target: the video's frames.
    table: the rows; those of several faces may be of one frame.
    first: number of the video's first frame, see `numbering.first_frame`.
    settings: what the user said.

  Raises:
    ValueError: If neither numbers nor times can serve, or both can, they
      differ, and the settings do not say which.
  """
  number = by_number(target, table, first)
  time = _by_time(target, table, first, settings)
  if number is None and time is None:
    raise ValueError(
      f'{target.name}: the rows have no usable frame numbers or times'
      + ', or nothing tells the rate of the frames (--fps)'
      * bool(np.isfinite(table.time_s).any())
      + '.'
    )
  if time is None:
    chosen = number
  elif number is None:
    chosen = dataclasses.replace(
      time, remark='rows have no frame numbers; joined by time'
    )
  else:
    chosen = _choose(target, table, number, time, first, settings)
  return dataclasses.replace(
    chosen, difference_s=_difference(target, table, first, chosen.place)
  )


def _choose(target, table, number, time, first, settings):
  """One of two readings that are both possible."""
  is_numbered = bool(np.isfinite(table.numbers).any())
  if is_numbered and _fits(target, table, first):
    return number
  if np.array_equal(number.place, time.place):
    return number
  if settings.join != 'check':
    return {'number': number, 'time': time}[settings.join]
  if is_numbered:
    rows = np.nanmax(table.numbers) - table.base + 1
    frames = target.frames[-1] - first + 1
    few = max(_FEW_FRAMES, _FEW_SHARE * frames)
    end = target.time_s[-1] - _origin(target, first)
    covers = abs(np.nanmax(table.time_s) - end) <= 2 * max(
      usual_step(target.time_s), usual_step(np.unique(table.time_s))
    )
    if covers and abs(rows - frames) > few:
      remark = (
        f'the frame numbers, to {np.nanmax(table.numbers):.0f}, do not fit '
        f'{len(target.frames)} frames; joined by time'
      )
      return dataclasses.replace(time, remark=remark)
    if not covers and 2 * time.num_frames < number.num_frames:
      remark = 'the time stamps do not fit the video; joined by number'
      return dataclasses.replace(number, remark=remark)
  apart = number.place != time.place
  places = np.unique(np.append(number.place[apart], time.place[apart]))
  places = places[places >= 0]
  raise ValueError(
    f'{target.name}: the rows of {table.path} can be read in two ways. '
    f'{shown(target, table, number, "--join=number", places=places)} '
    f'{shown(target, table, time, "--join=time", places=places)} Say which is '
    'right.'
  )


def by_number(
  target: Target, table: readers.ToolTable, first: int
) -> Reading | None:
  """Returns the reading by frame numbers, None if there are none.

  Where rows have no numbers, but there are as many moments as frames, these are
  taken in order.

  Args:
    target: the video's frames.
    table: the rows.
    first: number of the video's first frame among the target's.
  """
  numbers = table.numbers
  if not np.isfinite(numbers).any():
    moments, order = np.unique(table.time_s, return_inverse=True)
    is_timed = np.isfinite(table.time_s).all() and target.is_whole
    if not is_timed or len(moments) != len(target.frames):
      return None
    return Reading('number', order.astype(np.int64))
  if table.base is not None:
    numbers = numbers - table.base + first
  places = pd.Series(np.arange(len(target.frames)), target.frames)
  place = places.reindex(np.where(np.isfinite(numbers), numbers, -1)).fillna(-1)
  return Reading('number', place.to_numpy(np.int64))


def _fits(target, table, first):
  """Whether the first and last number are those of the frames."""
  if table.base is None:
    return True
  numbers = table.numbers[np.isfinite(table.numbers)] - table.base + first
  return (
    numbers.min() == target.frames[0] and numbers.max() == target.frames[-1]
  )


def _by_time(target, table, first, settings):
  """The reading by times, None if either side has none."""
  if target.time_s is None or not np.isfinite(table.time_s).any():
    return None
  places = {
    name: _nearest(moments, table.time_s, usual_step(target.time_s))
    for name, moments in _moments(target, first).items()
  }
  name = settings.times if settings.times in places else 'start'
  if settings.times == 'check':
    name = _meaning(target, table, places)
  return Reading('time', places[name])


def _origin(target, first):
  """When the video's first frame is shown, also if it is not among ours."""
  step = np.diff(target.time_s) / np.diff(target.frames)
  before = target.frames[0] - first
  return target.time_s[0] - before * (np.median(step) if len(step) else 0.0)


def _moments(target, first):
  """[T] seconds of each frame, for each meaning that a time stamp may have."""
  origin = _origin(target, first)
  start, step = target.time_s - origin, usual_step(target.time_s)
  moments = {'start': start, 'end': np.append(start[1:], start[-1] + step)}
  if abs(origin) > 0.25 * step:
    moments['file'] = target.time_s
  return moments


def _meaning(target, table, places):
  """What the time stamps mean: what alone reaches both ends, or fits most."""
  last = len(target.frames) - 1
  whole = [n for n, p in places.items() if {0, last} <= set(p.tolist())]
  if len(whole) == 1:
    return whole[0]
  used = {name: int((place >= 0).sum()) for name, place in places.items()}
  best = [n for n in used if used[n] == max(used.values())]
  if len(best) == 1 or table.tells_starts and 'start' in best:
    return 'start' if 'start' in best else best[0]
  both = ' '.join(
    shown(target, table, Reading('time', places[name]), f'--times={name}')
    for name in best
  )
  raise ValueError(
    f'{target.name}: the time stamps of {table.path} may be those of the start '
    f'or the end of each frame, or of another clock. {both} Say which is '
    'right.'
  )


def _nearest(moments, given, step):
  """[R] int64, the frame nearest in time within half a step, or -1.

  Of rows of several times, those nearest to their frame have it.
  """
  place = np.full(len(given), -1)
  rows = np.flatnonzero(np.isfinite(given))
  middles = (moments[1:] + moments[:-1]) / 2
  near = np.searchsorted(middles, given[rows])
  off = np.abs(moments[near] - given[rows])
  close = off <= 0.5 * step + 1e-9
  rows, near, off = rows[close], near[close], off[close]
  least = pd.Series(off).groupby(near).transform('min').to_numpy()
  kept = off <= least + 1e-9
  place[rows[kept]] = near[kept]
  return place


def usual_step(time_s: np.ndarray) -> float:
  """Returns the seconds from one moment to the next, in the middle of all.

  Args:
    time_s: [T] float64, increasing; NaN are left out.
  """
  steps = np.diff(time_s[np.isfinite(time_s)])
  return float(np.median(steps)) if len(steps) else 0.04


def _difference(target, table, first, place):
  has_frame = (place >= 0) & np.isfinite(table.time_s)
  if target.time_s is None or not has_frame.any():
    return np.nan
  shown_s = target.time_s[place[has_frame]] - _origin(target, first)
  return float(np.abs(shown_s - table.time_s[has_frame]).max())


def shown(
  target: Target,
  table: readers.ToolTable,
  reading: Reading,
  flag: str,
  *,
  places: Sequence[int] = (),
) -> str:
  """Returns a sentence on which rows some frames would get.

  Args:
    target: the video's frames.
    table: the rows.
    reading: which frame each is of.
    flag: what asks for this reading.
    places: positions of the frames of which some are shown; () for all.
  """
  places = places if len(places) else np.arange(len(target.frames))
  parts = []
  for place in dict.fromkeys(places[[0, len(places) // 2, -1]].tolist()):
    rows = np.flatnonzero(reading.place == place)
    row = f'row {rows[0] + 1}' if len(rows) else 'no row'
    at = ''
    if target.time_s is not None:
      at = f' ({target.time_s[place]:.3f} s)'
    parts.append(f'frame {target.frames[place]}{at} gets {row}')
  return (
    f'{flag}: {", ".join(parts)}; {reading.num_frames} of '
    f'{len(target.frames)} frames get a row.'
  )
