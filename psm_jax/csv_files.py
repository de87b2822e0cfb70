"""CSV tables of text that comes from outside: nothing in them is a formula.

Spreadsheets run a cell that begins with =, +, - or @. Such text is written
behind an apostrophe, as spreadsheets themselves do; numbers stay as they are.
"""

import pandas as pd

_BEGINNINGS = ('=', '+', '-', '@', '\t', '\r')


def safe(text: str) -> str:
  """Returns a cell's text, which no spreadsheet takes for a formula."""
  if not text.startswith(_BEGINNINGS):
    return text
  try:
    float(text)
  except ValueError:
    return f"'{text}"
  return text


def text_of(
  table: pd.DataFrame,
  *,
  float_format: str | None = None,
  separator: str = ',',
) -> str:
  """Returns a table as CSV, without its index.

  Args:
    table: The table; texts in cells and names of columns are made `safe`.
    float_format: Of numbers, such as '%.6g'.
    separator: Between cells.
  """

  def safe_cell(value):
    return safe(value) if isinstance(value, str) else value

  def safe_column(column):
    # Numbers are many, and no formulas.
    is_text = column.dtype == object or pd.api.types.is_string_dtype(column)
    if isinstance(column.dtype, pd.CategoricalDtype):
      column, is_text = column.astype(object), True
    return column.map(safe_cell) if is_text else column

  table = table.apply(safe_column) if len(table) else table
  return table.rename(columns=safe_cell).to_csv(
    sep=separator,
    index=False,
    float_format=float_format,
    lineterminator='\n',
  )
