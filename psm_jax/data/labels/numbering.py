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

  Pictures cut from a video may be numbered from 0 or from 1. What the numbers
  of one table tell, counts for the others of the same tool.

  Args:
    pairs: every video with its table; base is None where nothing is known.

  Raises:
    ValueError: If the numbers do not tell, or speak against the tool's habit.
  """
  bases, open_tables = set(), []
  for target, table in pairs:
    if not target.is_whole or not np.isfinite(table.numbers).any():
      continue
    fitting, possible = _bases(target, table)
    if table.are_pictures and table.base is None:
      if fitting or len(possible) == 1:
        bases.add((fitting or possible)[0])
      else:
        open_tables.append((target, table))
    elif not table.is_base_said and fitting and table.base not in fitting:
      raise ValueError(_explain_bases(target, table, [table.base, *fitting]))
  if open_tables and len(bases) != 1:
    raise ValueError(_explain_bases(*open_tables[0], [0, 1]))
  checked = []
  for target, table in pairs:
    if target.is_whole and table.are_pictures and table.base is None:
      fitting, possible = _bases(target, table)
      base = (fitting or [b for b in possible if b in bases] or [*bases])[0]
      table = dataclasses.replace(table, base=base)
    checked.append(table)
  return checked


def _bases(target, table):
  """(numbers that the first frame has if all fits, those it may have)."""
  numbers = table.numbers[np.isfinite(table.numbers)]
  low, high = numbers.min(), numbers.max() - len(target.frames) + 1
  fitting = [base for base in (0, 1) if low == high == base]
  return fitting, [base for base in (0, 1) if high <= base <= low]


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
