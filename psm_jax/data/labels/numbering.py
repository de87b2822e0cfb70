"""From which number tables, and pictures cut from videos, count frames.

One frame off is invisible in any score, so what does not follow from the
numbers of all videos and tables is asked.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from psm_jax.data import shifts
from psm_jax.data.labels import joining, readers

FIRST_FRAMES = ('check', '0', '1')


def first_rows(
  pairs: Sequence[tuple[joining.Target, readers.ToolTable]],
) -> list[readers.ToolTable]:
  """Returns the tables, with the number of the first frame checked or found.

  Pictures cut from a video may be numbered from 0 or from 1, and so may the
  rows of tools whose habit is not sure. What the numbers of one table tell,
  counts for the others.

  Args:
    pairs: every video with its table; base is None where nothing is known.

  Raises:
    ValueError: If the numbers do not tell, or speak against the tool's habit.
  """
  bases = [_bases(target, table) for target, table in pairs]
  told = {of_table[0] for of_table in bases if len(of_table) == 1}
  checked = []
  for (target, table), of_table in zip(pairs, bases, strict=True):
    if len(of_table) > 1:
      of_table = [base for base in of_table if {base} == told]
      if not of_table:
        raise ValueError(_explain_bases(target, table, [0, 1]))
    if of_table:
      table = dataclasses.replace(table, base=of_table[0])
    checked.append(table)
  return checked


def check_habit(target: joining.Target, table: readers.ToolTable) -> None:
  """Raises ValueError if a table speaks against its tool's habit.

  Args:
    target: the video's frames; numbers that fit them need no time stamps.
    table: the rows.
  """
  numbers = table.numbers[np.isfinite(table.numbers)]
  if table.is_base_said or not table.is_base_sure or not len(numbers):
    return
  first, low, stamped = table.base, numbers.min(), _number_at_0(table)
  if target.is_whole and low == numbers.max() - target.frames[-1] in (0, 1):
    return
  remedy = f'{table.tool} counts frames from {first}. Name the first number by'
  if low < first:
    raise ValueError(
      f'{table.path} has a frame {low:.0f}, though {remedy} --first_row.'
    )
  if stamped is not None and stamped != first:
    raise ValueError(
      f'{table.path}: its time stamps are 0 at frame {stamped}, but {remedy} '
      '--first_row.'
    )


def _bases(target, table):
  """The numbers that the first frame may have; () to leave the table's base.

  Time stamps are heeded where the numbers alone do not fit the video: those of
  old files can be nonsense.
  """
  numbers = table.numbers[np.isfinite(table.numbers)]
  starts_at_0 = target.is_whole or not (target.frames[0] or table.are_pictures)
  if table.is_base_said or not len(numbers):
    return ()
  low, high = numbers.min(), numbers.max() - target.frames[-1]
  if low < 0:
    raise ValueError(f'{table.path} has a frame {low:.0f}.')
  fits = starts_at_0 and low == high and low in (0, 1)
  if table.is_base_sure and fits and low != table.base:
    raise ValueError(
      _explain_bases(target, table, [table.base, 1 - table.base])
    )
  if fits:
    return (int(low),)
  if table.is_base_sure:
    return ()
  stamped = _number_at_0(table)
  may_be = [base for base in (0, 1) if base <= low]
  if stamped in may_be:
    return (stamped,)
  if not starts_at_0:
    return ()
  return [base for base in may_be if base >= high] or may_be


def _number_at_0(table):
  """The number of the frame that starts at 0 by the time stamps, or None.

  Without a time stamp of 0 they must be known to be of starts, and lie within a
  quarter of a frame of a straight line.
  """
  known = np.isfinite(table.numbers) & np.isfinite(table.time_s)
  numbers, rows = np.unique(table.numbers[known], return_index=True)
  time_s = table.time_s[known][rows]
  if len(numbers) < 3 or not (np.diff(time_s) > 0).all():
    return None
  if (time_s == 0).any():
    return int(numbers[time_s == 0][0])
  rate, start = np.polyfit(time_s, numbers, 1)
  off = np.abs(start + rate * time_s - numbers).max()
  if not table.tells_starts or off > 0.25 or abs(start - round(start)) > 0.25:
    return None
  return round(start)


def _explain_bases(target, table, bases):
  shown = ' '.join(
    joining.shown(
      target,
      table,
      joining.by_number(target, dataclasses.replace(table, base=base), 0),
      f'--first_row={base}',
    )
    for base in bases
  )
  return (
    f'{target.name}: the numbers of {table.path} do not tell whether its first '
    f'frame is {bases[0]} or {bases[1]}. {shown} Say which is right.'
  )


def first_frame(
  pairs: Sequence[tuple[joining.Target, readers.ToolTable]], *, choice: str
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
    (target.frames, table.numbers[np.isfinite(table.numbers)] - table.base)
    for target, table in pairs
    if table.base is not None
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
