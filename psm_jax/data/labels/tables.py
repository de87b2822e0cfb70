"""Tables of text as tools and spreadsheets write them, read in one way.

Columns may be separated by commas, semicolons, tabs or bars, the file may be in
UTF-8 or UTF-16 and begin with a line `sep=;`, and decimals may have commas
where these do not separate columns, or cells are in quotes. Whatever else it
is, is named.
"""

import csv
import pathlib
import warnings

import numpy as np
import pandas as pd
from absl import logging

_HEAD_BYTES = 1 << 20
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
_DECIMAL_COMMA = r'\s*[-+]?\d+,\d+(?:[eE][-+]?\d+)?\s*'
# Among commas in quotes, 1,234 may be a thousand: no decimal comma.
_THOUSANDS = r'\s*[-+]?[1-9]\d{0,2},\d{3}\s*'
_SURPLUS = 32  # Columns read beyond the head's, to see that they are empty.


def read(
  path: str | pathlib.Path, *, num_rows: int | None = None
) -> pd.DataFrame:
  """Reads a table as text.

  Args:
    path: the file.
    num_rows: of the rows to be read; None for all.

  Returns:
    A column of text for each name of the head, which are unique, without
    spaces around them, and tell capitals from small letters; R rows, numbered
    from 0. Cells that a row lacks at its end are empty; a last row that was cut
    short is left out.

  Raises:
    ValueError: If the file is no table, two columns have one name, or a row has
      more cells than the head.
  """
  path = pathlib.Path(path)
  with open(path, 'rb') as file:
    names, separator, first, encoding = _head(file.read(_HEAD_BYTES), path)
  twice = sorted({name for name in names if name and names.count(name) > 1})
  if twice:
    raise ValueError(f'{path} has more than one column {twice[:8]}.')
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('error', pd.errors.ParserWarning)
      table = pd.read_csv(
        path,
        sep=separator,
        header=None,
        names=range(len(names) + _SURPLUS),
        skiprows=first + 1,
        nrows=num_rows,
        dtype=str,
        keep_default_na=False,
        index_col=False,
        encoding=encoding,
        skipinitialspace=True,
      )
  except (ValueError, pd.errors.ParserWarning) as error:
    raise ValueError(
      f'{path} cannot be read as a table: {str(error).strip()}. '
      'Do rows have more cells than the head?'
    ) from error
  if encoding != 'utf-16' and _is_cut(path, separator, len(names)):
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
  for name in table:
    commas = table[name].str.fullmatch(_DECIMAL_COMMA)
    if separator == ',' and table[name][commas].str.fullmatch(_THOUSANDS).all():
      continue
    table[name] = table[name].str.replace(',', '.').where(commas, table[name])
  return table


def _is_cut(path, separator, num_names):
  """Whether a writer was stopped in the last row."""
  with open(path, 'rb') as file:
    size = file.seek(0, 2)
    file.seek(max(0, size - _HEAD_BYTES))
    lines = file.read().decode('utf-8', 'ignore').splitlines(keepends=True)
  last = lines[-1]
  cells = next(csv.reader([last], delimiter=separator), [])
  return (
    last == last.rstrip('\r\n') and len(lines) > 1 and len(cells) < num_names
  )


def names(content: bytes) -> list[str]:
  """Returns the names in a table's head.

  Args:
    content: of the file; only its beginning matters.

  Raises:
    ValueError: If it is no table of text.
  """
  return _head(content[:_HEAD_BYTES], 'The table')[0]


def numbers(column: pd.Series) -> np.ndarray:
  """Returns a column of text as [R] float64, NaN where it is no number."""
  values = pd.to_numeric(column, errors='coerce').to_numpy(np.float64)
  return np.where(np.isfinite(values), values, np.nan)


def num_wrong(column: pd.Series) -> int:
  """Returns how many cells are neither numbers nor said to be empty."""
  text = column.str.strip().str.lower()
  is_empty = text.isin(['', 'nan', 'na', 'n/a', 'none', 'null'])
  return int((np.isnan(numbers(column)) & ~is_empty).sum())


def _head(content, path):
  """(names, separator, lines before the names, encoding) of a file's start."""
  if not content.strip():
    raise ValueError(f'{path} is empty.')
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
  lines = text.splitlines()
  first = next(i for i, line in enumerate(lines) if line.strip())
  said = lines[first].strip().strip('"')
  separator = max(_SEPARATORS, key=lines[first].count)
  if said.lower().startswith('sep='):
    separator, first = said[4:5] or '\t', first + 1
  rows = csv.reader(lines[first:], delimiter=separator, skipinitialspace=True)
  return [name.strip() for name in next(rows, [])], separator, first, encoding
