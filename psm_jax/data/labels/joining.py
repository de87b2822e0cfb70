"""Which frame each row of a tool's table is of: one rule for all tables.

Frame numbers are used where they fit the video: the first and the last are
those of its first and last frame. Where they do not, rows go to the frame whose
own time, as stored by the file, is nearest, within half a frame. Rates that
either side declares are not used. Where two readings are possible and nothing
tells which is right, both are shown and the user is asked. Times alone tell
only if each row has a frame of its own and is near it.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from psm_jax.data import frame_times
from psm_jax.data.labels import readers

JOINS = ('check', 'number', 'time')
TIMES = ('check', 'start', 'end', 'file')
# A table this much longer or shorter than the video is no slip of a few frames.
_FEW_FRAMES, _FEW_SHARE = 5, 0.02
_NEAR = 0.3  # Of a frame: times rounded to hundredths at 60 frames a second.


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
    is_sure: of times: whether every row has a frame of its own and is near it;
      where frames are missing, every row that has one.
  """

  by: str
  place: np.ndarray
  remark: str = ''
  difference_s: float = np.nan
  is_sure: bool = True

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
  table, unit = _in_seconds(target, table)
  number = by_number(target, table, first)
  time = _by_time(target, table, first, settings)
  if number is None and time is None:
    raise ValueError(
      f'{target.name}: the rows have no usable frame numbers or times'
      + ', or nothing tells the rate of the frames (--fps)'
      * bool(np.isfinite(table.time_s).any())
      + '.'
    )
  chosen = (
    number
    if time is None
    else _choose(target, table, number, time, first, settings)
  )
  return dataclasses.replace(
    chosen,
    remark='; '.join(filter(None, [chosen.remark, unit])),
    difference_s=_difference(target, table, first, chosen.place),
  )


def _in_seconds(target, table):
  """(the table, a remark) where steps show time stamps of a smaller unit."""
  given = np.unique(table.time_s[np.isfinite(table.time_s)])
  if target.time_s is None or len(given) < 2:
    return table, ''
  ratio = frame_times.usual_step(given) / frame_times.usual_step(target.time_s)
  power = round(math.log(max(ratio, 1), 1000))
  if not power:
    return table, ''
  table = dataclasses.replace(table, time_s=table.time_s / 1000**power)
  return table, f'time stamps are taken to be in units of 1e-{3 * power} s'


def _choose(target, table, number, time, first, settings):
  """The reading by times or, if there is one, by numbers."""
  is_numbered = bool(np.isfinite(table.numbers).any())
  if number is not None and (
    settings.join == 'number'
    or np.array_equal(number.place, time.place)
    or (is_numbered and _fits(target, table, first))
  ):
    return number
  if settings.join == 'time':
    return time
  if not is_numbered and time.is_sure:
    return dataclasses.replace(
      time, remark='rows have no frame numbers; joined by time'
    )
  if is_numbered:
    rows = np.nanmax(table.numbers) - table.base + 1
    frames = target.frames[-1] - first + 1
    few = max(_FEW_FRAMES, _FEW_SHARE * frames)
    end = target.time_s[-1] - _origin(target, first)
    covers = abs(np.nanmax(table.time_s) - end) <= 2 * max(
      frame_times.usual_step(target.time_s),
      frame_times.usual_step(np.unique(table.time_s)),
    )
    if covers and abs(rows - frames) > few:
      return dataclasses.replace(
        time,
        remark=f'the frame numbers, to {np.nanmax(table.numbers):.0f}, do not '
        f'fit {len(target.frames)} frames; joined by time',
      )
    if not covers and 2 * time.num_frames < number.num_frames:
      return dataclasses.replace(
        number, remark='the time stamps do not fit the video; joined by number'
      )
  by_time = shown(target, table, time, '--join=time', places=_apart(time))
  if number is None:
    raise ValueError(
      f'{target.name}: the time stamps of {table.path} are not those of its '
      f'{len(target.frames)} frames: of {len(table.time_s)} rows some lie '
      f'outside the video, share a frame, or lie between two. {by_time} Mend '
      'them, or say that this is right.'
    )
  places = _apart(number, time)
  raise ValueError(
    f'{target.name}: the rows of {table.path} can be read in two ways. '
    f'{shown(target, table, number, "--join=number", places=places)} '
    f'{shown(target, table, time, "--join=time", places=places)} Say which is '
    'right.'
  )


def _apart(*readings):
  """Positions of the frames to which readings bring rows, but not the same."""
  places = np.stack([reading.place for reading in readings])
  apart = (places != places[0]).any(axis=0) | (len(readings) == 1)
  places = np.unique(places[:, apart])
  return places[places >= 0]


def check_reach(
  target: Target, table: readers.ToolTable, reading: Reading
) -> None:
  """Raises ValueError if rows without times break off long before the video.

  A tool that was stopped leaves such a table, and one that was given every
  fifth frame and counts those.

  Args:
    target: the video's frames.
    table: the rows.
    reading: of them, that nobody asked for.
  """
  places = np.unique(reading.place[reading.place >= 0])
  is_timed = target.time_s is not None and np.isfinite(table.time_s).any()
  if is_timed or not target.is_whole or not len(places):
    return
  rest = len(target.frames) - 1 - places[-1]
  is_gapless = np.ptp(places) + 1 == len(places)
  if is_gapless and rest > max(_FEW_FRAMES, _FEW_SHARE * len(target.frames)):
    raise ValueError(
      f'{target.name}: the rows of {table.path} have no times, and break off '
      f'{rest} frames before the end of the video. If they count other frames '
      'than the video, such as every second one, give them the numbers of the '
      f"video's own. {shown(target, table, reading, '--join=number')}"
    )


def by_number(
  target: Target, table: readers.ToolTable, first: int
) -> Reading | None:
  """Returns the reading by frame numbers, None if there are none.

  Where rows have no numbers, and no more moments than there are frames, they
  are taken in order.

  Args:
    target: the video's frames.
    table: the rows.
    first: number of the video's first frame among the target's.
  """
  numbers = table.numbers
  if not np.isfinite(numbers).any():
    moments, order = np.unique(table.time_s, return_inverse=True)
    is_timed = np.isfinite(table.time_s).all() and target.is_whole
    if not is_timed or len(moments) > len(target.frames):
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
  readings = {
    name: _nearest(target, moments, table.time_s)
    for name, moments in _moments(target, first).items()
  }
  if settings.times == 'check':
    return readings[_meaning(target, table, readings)]
  return readings.get(settings.times, readings['start'])


def _origin(target, first):
  """When the video's first frame is shown, also if it is not among ours."""
  step = np.diff(target.time_s) / np.diff(target.frames)
  before = target.frames[0] - first
  return target.time_s[0] - before * (np.median(step) if len(step) else 0.0)


def _moments(target, first):
  """[T] seconds of each frame, for each meaning that a time stamp may have."""
  origin = _origin(target, first)
  start, step = target.time_s - origin, frame_times.usual_step(target.time_s)
  moments = {'start': start, 'end': np.append(start[1:], start[-1] + step)}
  if abs(origin) > 0.25 * step:
    moments['file'] = target.time_s
  return moments


def _meaning(target, table, readings):
  """What the time stamps mean: what alone fits all, or both ends, or most."""
  places = {name: reading.place for name, reading in readings.items()}
  last = len(target.frames) - 1
  sure = [name for name, reading in readings.items() if reading.is_sure]
  whole = [n for n, p in places.items() if {0, last} <= set(p.tolist())]
  for alone in (sure, whole):
    if len(alone) == 1:
      return alone[0]
  used = {name: int((place >= 0).sum()) for name, place in places.items()}
  if not any(used.values()):
    return 'start'
  best = [n for n in used if used[n] == max(used.values())]
  if len(best) == 1 or table.tells_starts and 'start' in best:
    return 'start' if 'start' in best else best[0]
  both = ' '.join(
    shown(target, table, readings[name], f'--times={name}') for name in best
  )
  raise ValueError(
    f'{target.name}: the time stamps of {table.path} may be those of the start '
    f'or the end of each frame, or of another clock. {both} Say which is '
    'right.'
  )


def _nearest(target, moments, given):
  """The reading by which rows are of the frame nearest, within half a step.

  Of rows of several times, those nearest to their frame have it.
  """
  place, step = np.full(len(given), -1), frame_times.usual_step(target.time_s)
  rows = np.flatnonzero(np.isfinite(given))
  near = np.searchsorted((moments[1:] + moments[:-1]) / 2, given[rows])
  off = np.abs(moments[near] - given[rows])
  close = off <= 0.5 * step + 1e-9
  rows, near, off = rows[close], near[close], off[close]
  least = pd.Series(off).groupby(near).transform('min').to_numpy()
  kept = off <= least + 1e-9
  place[rows[kept]] = near[kept]
  is_sure = kept.all() and (off <= _NEAR * step + 1e-9).all()
  if target.is_whole:
    is_sure &= close.all()
  return Reading('time', place, is_sure=bool(is_sure))


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
    at = '' if target.time_s is None else f' ({target.time_s[place]:.3f} s)'
    parts.append(f'frame {target.frames[place]}{at} gets {row}')
  return (
    f'{flag}: {", ".join(parts)}; {reading.num_frames} of '
    f'{len(target.frames)} frames get a row.'
  )
