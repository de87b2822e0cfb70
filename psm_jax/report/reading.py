"""Tables that other programs wrote, read with their types checked.

Ids stay text (a person may be called 001 or NA), other columns are numbers.
"""

import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from psm_jax import tabular

TEXT_COLUMNS = frozenset(
  (
    'approach au direction fails first has_shared_coordinates is_baseline '
    'is_novel is_strictly_novel kind metric model_id note person_id reason '
    'second source split starts_from status target video_id'
  ).split()
)


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
  table = pd.DataFrame()
  if path.is_file():
    table = tabular.read(path, {}, is_growing=True)
  if table.columns.empty:
    return pd.DataFrame({c: pd.Series(dtype=_dtype(c)) for c in wanted})
  taken = [c for c in table if optional is None or c in wanted]
  shape = {c: _dtype(c) for c in (*taken, *required)}
  table = tabular.fit(table, shape, path)[taken]
  for column in set(wanted).difference(table):
    table[column] = '' if _dtype(column) is str else np.nan
  return table


def _dtype(column: str) -> type:
  """Returns what the cells of a column are."""
  return str if column in TEXT_COLUMNS else float
