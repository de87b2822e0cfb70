"""Tables that other programs wrote, read with their types checked.

Ids stay text (a person may be called 001 or NA), other columns are numbers.
"""

import csv
import io
import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

TEXT_COLUMNS = frozenset(
  (
    'approach au direction fails first has_shared_coordinates is_baseline '
    'is_novel is_strictly_novel kind metric model_id note person_id reason '
    'second source split starts_from status target video_id'
  ).split()
)
_NOT_A_NUMBER = ('', 'nan', 'NaN', 'NA', '<NA>')


def read_table(
  path: pathlib.Path,
  required: Sequence[str],
  *,
  optional: Sequence[str] | None = None,
) -> pd.DataFrame:
  """Returns a table, with its columns but no rows if the file is missing.

  Args:
    path: A CSV file. Its last line is left out while it is being written.
    required: Columns that it has to have.
    optional: Columns that are empty where the file lacks them, all others being
      left out; None takes all columns of the file.

  Raises:
    ValueError: If a required column is missing or the file cannot be read.
  """
  wanted = [*required, *(c for c in optional or () if c not in required)]
  content = path.read_bytes() if path.is_file() else b''
  content = content[: content.rfind(b'\n') + 1]
  if not content.strip():
    return pd.DataFrame({c: pd.Series(dtype=_dtype(c)) for c in wanted})
  header = content[: content.find(b'\n')].decode('utf-8-sig')
  columns = next(csv.reader([header.rstrip('\r')]))
  if lacks := [c for c in required if c not in columns]:
    raise ValueError(f'{path} lacks the columns {lacks}; it has {columns}.')
  taken = columns
  if optional is not None:
    taken = [c for c in columns if c in wanted]
  try:
    table = pd.read_csv(
      io.BytesIO(content),
      encoding='utf-8-sig',
      usecols=taken,
      dtype={c: _dtype(c) for c in taken},
      keep_default_na=False,
      na_values={c: _NOT_A_NUMBER for c in taken if _dtype(c) is float},
    )
  except ValueError as error:  # pandas' parser errors are ValueErrors.
    raise ValueError(f'{path} cannot be read as a table: {error}') from error
  for column in set(wanted).difference(table):
    table[column] = '' if _dtype(column) is str else np.nan
  return table


def _dtype(column: str) -> type:
  """Returns what the cells of a column are."""
  return str if column in TEXT_COLUMNS else float
