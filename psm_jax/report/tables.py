"""Tables as a template writes them, and the cells that are more than text.

Whatever is no `markupsafe.Markup` is escaped, so a hostile id stays text.
"""

import dataclasses
import functools
from collections.abc import Sequence

import markupsafe

from psm_jax.report import formats

_LONG = 15  # Rows; longer tables are folded away.


def columns(kind: str, *heads: str) -> list[tuple[str, str]]:
  """Returns (head, kind) of columns.

  Args:
    kind: 'number' (to the right), 'name' (on one line) or 'text' (may wrap).
    *heads: What is above them.
  """
  return [(head, kind) for head in heads]


names, numbers, texts = (
  functools.partial(columns, kind) for kind in ('name', 'number', 'text')
)


@dataclasses.dataclass(frozen=True)
class Table:
  """A table.

  Attributes:
    caption: What it shows.
    columns: A head and a kind for every cell of a row, see above.
    rows: Cells, row by row. The first `num_headers` of a row head it.
    groups: Instead of rows: (label, rows), the label heading its rows in the
      first column, which the rows then leave out.
    column_groups: (label, number of columns) from the left, above the columns.
    num_headers: How many cells of a row are its header, not counting the label
      of its group.
    of: What its rows are, in the plural: a long table of them is folded away.
    summary: The line under which it is folded away, however short.
  """

  caption: str
  columns: Sequence[tuple[str, str]]
  rows: Sequence[Sequence] = ()
  groups: Sequence[tuple[str, Sequence[Sequence]]] = ()
  column_groups: Sequence[tuple[str, int]] = ()
  num_headers: int = 1
  of: str = ''
  summary: str = ''

  @property
  def bodies(self) -> Sequence[tuple[str, Sequence[Sequence]]]:
    """The groups of rows; one without a label if there are none."""
    return self.groups or [('', self.rows)]

  @property
  def fold(self) -> str:
    """The line under which it is folded away, '' if it is not."""
    number = sum(len(rows) for _, rows in self.bodies)
    if self.summary or not self.of or number <= _LONG:
      return self.summary
    return f'Table of {number:,} {self.of}'


def bold(text) -> markupsafe.Markup:
  """Returns a cell in bold."""
  return markupsafe.Markup('<b>{}</b>').format(text)


def with_interval(
  mean: float, low: float, high: float, *, is_signed: bool = False
) -> markupsafe.Markup:
  """Returns a cell: a mean, below it its 95 % interval if there is one."""
  places = formats.digits(mean, low, high)
  options = {'places': places, 'is_signed': is_signed}
  cell = markupsafe.escape(formats.score(mean, **options))
  interval = formats.interval(low, high, **options)
  if interval != formats.MISSING:
    cell += markupsafe.Markup('<span class="interval">{}</span>').format(
      interval
    )
  return cell
