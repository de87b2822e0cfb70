"""Tables from outside, read in one way and against what they should hold.

  table = tabular.read('scores.csv', {'person_id': str, 'frame': int})

A table is a Parquet file (.parquet) or text. Columns of text may be separated
by commas, semicolons, tabs or bars, the file may be in UTF-8 or UTF-16 and
begin with a line `sep=;`, and decimals may have commas where these do not
separate columns, or cells are in quotes. Whatever else a file is, is named. One
that claims to be much larger than it is, is refused before memory is taken for
it.
"""

import collections
import csv
import io
import os
import pathlib
import re
import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
from absl import logging

from psm_jax import parquet_files, paths

_SUFFIX = '.parquet'
_HEAD_BYTES = 1 << 20
_MAX_BYTES = 4 << 30
_MAX_COLUMNS = 1 << 14
# A table may have so many cells, or as many as it has bytes.
_MAX_CELLS = 1 << 22
_KINDS = {
  b'PK\x03\x04': 'an Excel workbook (.xlsx) or another zip archive',
  b'\xd0\xcf\x11\xe0': 'an Excel workbook (.xls)',
  b'\x1f\x8b': 'compressed by gzip',
  b'\x89HDF': 'an HDF5 file',
  b'PAR1': 'a Parquet file',
  b'\x93NUMPY': 'a NumPy file',
  b'%PDF': 'a PDF file',
  b'{\\rtf': 'a text with formats (RTF)',
  b'<': 'a page of HTML or XML',
  b'{': 'JSON',
  b'[': 'JSON',
  b'MATLAB': 'a MATLAB file',
  b'SQLite': 'a data base',
  b'\xff\xfe\0\0': 'in UTF-32',
}
_REMEDY = 'Save it as "CSV UTF-8", comma separated'
_SEPARATORS = ',;\t|'
_LINE_END = re.compile('\r\n|\r|\n')
_DECIMAL_COMMA = r'\s*[-+]?\d+,\d+(?:[eE][-+]?\d+)?\s*'
# Among commas in quotes, 1,234 may be a thousand: no decimal comma.
_THOUSANDS = r'\s*[-+]?[1-9]\d{0,2},\d{3}\s*'
# Columns read beyond the head's, to see that they are empty; rarely so many.
_SURPLUS = (1, 32)
_MISSING = ('', 'nan', 'na', '<na>')
_NAMES = {
  str: 'text',
  int: 'a whole number',
  float: 'a number',
  bool: 'true or false',
}

_DTYPES = {int: np.int64, float: np.float64}


def read(
  path: str | os.PathLike,
  shape: Mapping[str, type],
  *,
  only: bool = False,
  num_rows: int | None = None,
  is_growing: bool = False,
) -> pd.DataFrame:
  """Reads a table.

  Args:
    path: The file.
    shape: See `fit`.
    only: Whether other columns than those of the shape are left out.
    num_rows: Of the rows of text to be read; None for all.
    is_growing: Whether another program may be writing the text's last line; it
      is then left out, and a file without a whole line is an empty table.

  Returns:
    A column for each name of the head, which are unique, without spaces around
    them, and tell capitals from small letters; R rows, numbered from 0. Cells
    of text that a row lacks at its end are empty; a last row of text that was
    cut short is left out. Of a Parquet file also `attrs`.

  Raises:
    ValueError: If the file cannot be read, is no table, two columns have one
      name, a row has more cells than the head, or it is of another shape.
  """
  path = pathlib.Path(path)
  columns = list(shape) if only else None
  try:
    if path.suffix == _SUFFIX:
      table = parquet_files.read(path, columns)
    else:
      table = _read_text(path, shape, num_rows, is_growing)
  except OSError as error:
    reason = error.strerror or error
    raise ValueError(f'{path} cannot be read as a table: {reason}.') from error
  table = fit(table, shape, path)
  return table if columns is None else table[columns]


def head(path: str | os.PathLike) -> tuple[list[str], dict]:
  """Returns the names of a table's columns, and a Parquet file's attrs.

  Raises:
    ValueError: If the file cannot be read or is no table.
  """
  path = pathlib.Path(path)
  if path.suffix != _SUFFIX:
    return list(read(path, {}, num_rows=0)), {}
  return parquet_files.head(path)


def fit(
  table: pd.DataFrame, shape: Mapping[str, type], path: str | os.PathLike
) -> pd.DataFrame:
  """Returns a table with its columns as numbers and texts.

  Args:
    table: From `read`.
    shape: Column to str, int (int64), float (float64, NaN where a cell is
      empty, nan or NA) or, of Parquet files, bool; others stay as they are,
      those of a table of text as text.
    path: For messages.

  Raises:
    ValueError: If a column is missing or a cell is of another kind; names the
      column, the row, what was expected and what is.
  """
  if lacks := [name for name in shape if name not in table]:
    raise ValueError(
      f'{path} lacks the columns {lacks}; it has {list(table)[:40]}.'
    )
  made = {}
  for name, kind in shape.items():
    column = table[name]
    values, wrong = _fitted(column, kind)
    if wrong.any():
      row = int(wrong.argmax())
      seen = repr(column.iloc[row])
      raise ValueError(
        f'{path}, row {row + 1} of data: {name} should be {_NAMES[kind]}, but '
        f'is {seen if len(seen) < 60 else seen[:57] + "..."}.'
      )
    made[name] = values.astype(_DTYPES.get(kind, values.dtype))
  return table.assign(**made)


def _fitted(column, kind):
  """Returns a column as another kind, and where that is wrong."""
  is_text = pd.api.types.is_string_dtype(column)
  values, is_kind = column, pd.api.types.is_numeric_dtype(column)
  wrong = np.zeros(len(column), bool)
  if kind is str:
    if is_text:
      cells = column.astype(object)
      wrong = ~cells.map(lambda cell: isinstance(cell, str)).to_numpy(bool)
    is_kind = is_text
  elif kind is bool:
    is_kind = pd.api.types.is_bool_dtype(column) and column.notna().all()
  elif is_text:
    cells = column.str.strip()
    values, is_kind = pd.to_numeric(cells, errors='coerce'), True
    wrong = (values.isna() & ~cells.str.lower().isin(_MISSING)).to_numpy(bool)
  if not is_kind or pd.api.types.is_complex_dtype(column):
    # Of no cells any kind may be made, but not from any other.
    values = values.astype(object)
    return values, np.ones(len(column), bool)
  if kind is int and not wrong.any():
    whole = values.to_numpy(np.float64, na_value=np.nan)
    wrong = ~((np.abs(whole) < 2**53) & (whole == np.floor(whole)))
  return values, wrong


def numbers(column: pd.Series) -> np.ndarray:
  """Returns a column of text as [R] float64, NaN where it is no number."""
  values = pd.to_numeric(column, errors='coerce').to_numpy(np.float64)
  return np.where(np.isfinite(values), values, np.nan)


def num_wrong(column: pd.Series) -> int:
  """Returns how many cells are neither numbers nor said to be empty."""
  text = column.str.strip().str.lower()
  is_empty = text.isin([*_MISSING, 'n/a', 'none', 'null'])
  return int((np.isnan(numbers(column)) & ~is_empty).sum())


def _read_text(path, shape, num_rows, is_growing):
  """Returns a table of text; an empty one has the columns of the shape."""
  if num_rows == 0:
    with open(path, 'rb') as file:
      content = file.read(_HEAD_BYTES)
  else:
    content = paths.read_bytes(path, _MAX_BYTES)
  if is_growing:
    content = content[: content.rfind(b'\n') + 1]
    if not content.strip():
      return pd.DataFrame(columns=list(shape), dtype=str)
  names, separator, first, encoding = _head(content[:_HEAD_BYTES], path)
  counts = collections.Counter(filter(None, names))
  if twice := sorted(name for name, count in counts.items() if count > 1):
    raise ValueError(f'{path} has more than one column {twice[:8]}.')
  num_lines = content.count(b'\n') + content.count(b'\r')
  is_short = num_lines * len(names) > max(_MAX_CELLS, 2 * len(content))
  if num_rows != 0 and is_short:
    raise ValueError(
      f'{path} has a head of {len(names)} names, but most of its {num_lines} '
      'lines are far shorter: it is no table.'
    )
  table = _rows(content, path, num_rows, names, separator, first, encoding)
  if num_rows is None and _is_cut(content, separator, len(names)):
    logging.warning('%s: its last row is cut short; left out.', path)
    table = table[:-1]
  table = table.fillna('')
  surplus = table.iloc[:, len(names) :]
  surplus = (surplus.apply(lambda cells: cells.str.strip()) != '').any(axis=1)
  table = table.iloc[:, : len(names)]
  if surplus.any():
    row = surplus.idxmax()
    raise ValueError(
      f'{path}, row {row + 1} of data: more cells than the {len(names)} names '
      f'of the head; it begins with {", ".join(table.loc[row][:6])}. Are there '
      'decimal commas among comma separated columns?'
    )
  table.columns = names
  table = table[[name for name in names if name]]
  # Hundreds of columns take a second to look at.
  if (b'"' if separator == ',' else b',') not in content:
    return table
  for name in table:
    commas = table[name].str.fullmatch(_DECIMAL_COMMA)
    if separator == ',' and table[name][commas].str.fullmatch(_THOUSANDS).all():
      continue
    table[name] = table[name].str.replace(',', '.').where(commas, table[name])
  return table


def _rows(content, path, num_rows, names, separator, first, encoding):
  """Returns the rows below a head, with columns for what is too much."""
  for surplus in _SURPLUS:
    try:
      with warnings.catch_warnings():
        warnings.simplefilter('error', pd.errors.ParserWarning)
        return pd.read_csv(
          io.BytesIO(content),
          sep=separator,
          header=None,
          names=range(len(names) + surplus),
          skiprows=first + 1,
          nrows=num_rows,
          dtype=str,
          keep_default_na=False,
          index_col=False,
          encoding=encoding,
          skipinitialspace=True,
        )
    except (ValueError, pd.errors.ParserWarning) as error:
      reason = error
  raise ValueError(
    f'{path} cannot be read as a table: {str(reason).strip()}. '
    'Do rows have more cells than the head?'
  ) from reason


def _is_cut(content, separator, num_names):
  """Whether a writer was stopped in the last row of a text in UTF-8."""
  if content.endswith((b'\n', b'\r')) or content[:2] in (
    b'\xff\xfe',
    b'\xfe\xff',
  ):
    return False
  rest, _, last = content.replace(b'\r', b'\n').rpartition(b'\n')
  cells = next(
    csv.reader([last.decode('utf-8', 'ignore')], delimiter=separator), []
  )
  return bool(rest.strip()) and len(cells) < num_names


def _head(content, path):
  """(names, separator, lines before the names, encoding) of a file's start."""
  for mark, kind in _KINDS.items():
    if content.startswith(mark):
      raise ValueError(f'{path} is {kind}, no table of text. {_REMEDY}.')
  is_wide = content.startswith((b'\xff\xfe', b'\xfe\xff'))
  encoding = 'utf-16' if is_wide else 'utf-8-sig'
  if not is_wide and b'\0' in content:
    raise ValueError(
      f'{path} is no table of text: it has zero bytes, as UTF-16 without its '
      f'mark has. {_REMEDY}.'
    )
  try:
    # A character may be cut at the end of what was read.
    is_whole = len(content) < _HEAD_BYTES
    text = content.decode(encoding, 'strict' if is_whole else 'ignore')
  except UnicodeDecodeError as error:
    raise ValueError(
      f'{path} is in another alphabet than UTF-8: {error.reason} at byte '
      f'{error.start}. {_REMEDY}.'
    ) from error
  if not text.strip():
    raise ValueError(f'{path} is empty.')
  lines = _LINE_END.split(text)
  first = next(i for i, line in enumerate(lines) if line.strip())
  said = lines[first].strip().strip('"')
  separator = max(_SEPARATORS, key=lines[first].count)
  if said.lower().startswith('sep='):
    separator, first = said[4:5] or '\t', first + 1
  if separator not in _SEPARATORS:
    raise ValueError(
      f'{path} says {said[:8]!r} in its first line; expected a comma, a '
      f'semicolon, a tab or a bar between columns. {_REMEDY}.'
    )
  rows = csv.reader(lines[first:], delimiter=separator, skipinitialspace=True)
  try:
    names = [name.strip() for name in next(rows, [])]
  except csv.Error as error:
    raise ValueError(f'{path} has no head of names: {error}.') from error
  if rows.line_num > 1 or not 0 < len(names) <= _MAX_COLUMNS:
    raise ValueError(
      f'{path} has a head of {len(names)} names over {rows.line_num} lines; '
      f'expected 1 to {_MAX_COLUMNS} in one line.'
    )
  return names, separator, first, encoding
