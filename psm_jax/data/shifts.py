"""Whether pictures and rows of a table count frames from the same number.

Pictures may be numbered from 0 and rows from 1, or the other way. One frame off
is invisible in any score, so it is looked for in the numbers themselves.
"""

from collections.abc import Sequence

import numpy as np

CHOICES = ('check', '-1', '0', '1')
_SHIFTS = (-1, 0, 1)


def count_matches(
  numbers: Sequence[tuple[np.ndarray, np.ndarray]],
) -> dict[int, int]:
  """Returns how many pictures find a row for each shift of -1, 0 and 1.

  Args:
    numbers: a video each, (pictures' numbers, rows' numbers), int, unique.

  Returns:
    From the shift, a picture's number minus its row's, to the number of
    pictures of all videos that have a row.
  """
  return {
    shift: sum(
      int(np.isin(frames, rows + shift).sum()) for frames, rows in (numbers)
    )
    for shift in _SHIFTS
  }


def choose(
  numbers: Sequence[tuple[np.ndarray, np.ndarray]],
  *,
  choice: str,
  field: str,
  is_dense: bool,
) -> tuple[int, str]:
  """Returns the shift to use, and what is doubtful about it.

  The shift is a picture's number minus the number of its row.

  Args:
    numbers: see `count_matches`.
    choice: 'check' is 0, unless another shift finds rows for more pictures;
      '-1', '0' and '1' are taken as they are.
    field: the option's name, for messages.
    is_dense: whether every frame has a row, so that the ends of both counts
      tell the shift; an undecided case is then remarked.

  Returns:
    (shift, remark); the remark is '' if nothing is doubtful.

  Raises:
    ValueError: If the choice is 'check' and another shift than 0 finds rows for
      more pictures.
  """
  matches = count_matches(numbers)
  shift = 0 if choice == 'check' else int(choice)
  best = max(_SHIFTS, key=lambda s: (matches[s], s == shift))
  if not any(matches.values()):
    return shift, ''
  if matches[best] > matches[shift]:
    facts = (
      f'{matches[best]} pictures have a row if a picture is numbered its '
      f'row {best:+d}, {matches[shift]} if it is {shift:+d} '
      f'({_example(numbers)})'
    )
    if choice == 'check':
      raise ValueError(
        f'Pictures and rows seem to count from different numbers: {facts}. '
        f"Set {field}='{best}', or '0' if their numbers agree nevertheless."
      )
    return shift, f'{field} is {choice}, but {facts}'
  ties = [s for s in _SHIFTS if s != shift and matches[s] == matches[shift]]
  if is_dense and ties and choice == 'check':
    others = ' and '.join(map(str, ties))
    return shift, (
      f'{field}: the numbers do not tell whether pictures and rows count from '
      f'the same one; {shift} is assumed, {others} would fit as well '
      f'({_example(numbers)})'
    )
  return shift, ''


def _example(numbers):
  """The ranges of the video with most pictures."""
  frames, rows = max(numbers, key=lambda pair: len(pair[0]))
  return f'e.g. pictures {frames.min()} to {frames.max()}' + (
    f', rows {rows.min()} to {rows.max()}' if len(rows) else ''
  )
