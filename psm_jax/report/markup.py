"""HTML from Python values, escaped unless it was made here.

  markup.tag('p', 'Person ', markup.tag('b', person_id), class_='note')

Everything that is not `Html` is escaped, so a hostile id stays text.
"""

import dataclasses
import html
from collections.abc import Iterable, Sequence

_LONG = 15  # Rows; longer tables are folded away.
_VOID = frozenset(('br', 'img', 'meta'))


class Html(str):
  """Markup that is safe to put into a page as it is."""

  __slots__ = ()

  def __html__(self) -> str:
    """Tells a template that it is no text to be escaped."""
    return self


@dataclasses.dataclass(frozen=True)
class Column:
  """A column of a table.

  Attributes:
    name: What its header says.
    kind: 'number' (to the right), 'name' (one line) or 'text' (may wrap).
  """

  name: str
  kind: str = 'number'


def tag(name: str, /, *children, **attributes) -> Html:
  """Returns an element; text children and attribute values are escaped.

  Args:
    name: The element's name.
    *children: Html, text, numbers, nested iterables of them; None is left out.
    **attributes: 'class_' becomes class and 'aria_label' aria-label; None and
      False are left out, True gives the bare attribute.
  """
  parts = [f'<{name}']
  for key, value in attributes.items():
    if value is None or value is False:
      continue
    key = key.rstrip('_').replace('_', '-')
    parts.append(
      f' {key}' if value is True else f' {key}="{html.escape(str(value))}"'
    )
  parts.append('>')
  if name not in _VOID:
    parts += [join(children), f'</{name}>']
  return Html(''.join(parts))


def join(children: Iterable, *, separator: str = '') -> Html:
  """Returns children as one piece of markup, escaped where they are text."""
  return Html(
    separator.join(_markup(child) for child in children if child is not None)
  )


def table(
  caption: str,
  columns: Sequence[Column],
  *,
  rows: Sequence[Sequence] = (),
  groups: Sequence[tuple[str, Sequence[Sequence]]] = (),
  column_groups: Sequence[tuple[str, int]] = (),
  num_headers: int = 1,
) -> Html:
  """Returns a table in a box of its own that scrolls when it is too wide.

  Args:
    caption: What the table shows.
    columns: One for every cell of a row.
    rows: Cells, row by row. The first `num_headers` of a row head it.
    groups: Instead of rows: (label, rows), the label heading its rows in the
      first column, which the rows then leave out.
    column_groups: (label, number of columns) from the left, above the columns.
    num_headers: How many cells of a row are its header, not counting the label
      of its group.
  """
  head = []
  if column_groups:
    head.append(
      tag(
        'tr',
        [
          tag('th', label, colspan=span, scope='colgroup')
          if label
          else tag('td', colspan=span)
          for label, span in column_groups
        ],
      )
    )
  head.append(
    tag(
      'tr',
      [tag('th', c.name, scope='col', class_=c.kind) for c in columns],
    )
  )
  if groups:
    bodies = [
      _body(columns[1:], rows, num_headers, label) for label, rows in groups
    ]
  else:
    bodies = [_body(columns, rows, num_headers, None)]
  return tag(
    'div',
    tag(
      'table', tag('caption', tag('span', caption)), tag('thead', head), bodies
    ),
    class_='scroll',
    role='region',
    aria_label=caption,
    tabindex=0,
  )


def fold(summary: str, *children) -> Html:
  """Returns content that is folded away under one line until it is opened."""
  return tag('details', tag('summary', summary), children)


def fold_long(table: Html, num_rows: int, what: str) -> Html:
  """Returns a table, folded away if it is long.

  Args:
    table: The table.
    num_rows: Its rows.
    what: What the rows are, in the plural.
  """
  if num_rows <= _LONG:
    return table
  return fold(f'Table of {num_rows:,} {what}', table)


def _markup(child) -> str:
  """Returns one child as markup."""
  if isinstance(child, Html):
    return child
  if isinstance(child, str):
    return html.escape(child)
  if isinstance(child, Iterable):
    return join(child)
  return html.escape(str(child))


def _body(columns, rows, num_headers, label) -> Html:
  """Returns one group of rows, headed by its label if there is one."""
  lines = []
  for row_index, row in enumerate(rows):
    cells = [
      tag('th', cell, scope='row', class_=column.kind)
      if column_index < num_headers
      else tag('td', cell, class_=column.kind)
      for column_index, (column, cell) in enumerate(
        zip(columns, row, strict=True)
      )
    ]
    if label is not None and row_index == 0:
      cells.insert(0, tag('th', label, scope='rowgroup', rowspan=len(rows)))
    lines.append(tag('tr', cells))
  return tag('tbody', join(lines, separator='\n'))
