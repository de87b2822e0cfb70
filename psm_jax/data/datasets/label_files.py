"""Files of labels: where they lie, their numbers and their missing codes."""

import pathlib
from collections.abc import Callable

import numpy as np
import pandas as pd

from psm_jax.data.datasets import trees


def label_folder(
  root: pathlib.Path,
  options: trees.Options,
  usual: tuple[str, ...],
  report: Callable,
) -> pathlib.Path | None:
  """Returns the folder of the labels: the user's, or the first usual one.

  Without one it is reported and None is returned.

  Raises:
    ValueError: If data.tree.labels is no folder.
  """
  if options.labels:
    folder = root / options.labels
    if not folder.is_dir():
      raise ValueError(f'data.tree.labels: {folder} is not a folder.')
    return folder
  for name in usual:
    if (root / name).is_dir():
      return root / name
  report(
    '.',
    f'no folder of labels ({", ".join(usual)}); set data.tree.labels if they '
    'lie elsewhere',
  )
  return None


def masked(
  values: np.ndarray, options: trees.Options, *, low: float, high: float
) -> tuple[np.ndarray, int]:
  """Returns values with missing codes as NaN, and how many were out of range.

  Args:
    values: any shape, float.
    options: whose missing_codes are NaN.
    low: smallest value allowed; others are NaN and counted.
    high: largest value allowed.
  """
  values = np.where(np.isin(values, options.missing_codes), np.nan, values)
  wrong = (values < low) | (values > high)
  return np.where(wrong, np.nan, values), int(wrong.sum())


def read_pairs(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
  """Returns the frame numbers and values of a file of lines `frame,value`.

  A header is left out.

  Returns:
    [R] int64 and [R] float64, NaN where empty.

  Raises:
    ValueError: If the file holds anything else, or nothing.
  """
  try:
    table = pd.read_csv(
      path,
      header=None,
      names=['frame', 'value'],
      encoding='utf-8-sig',
      skipinitialspace=True,
      dtype=str,
      index_col=False,
    )
  except (OSError, ValueError) as error:
    raise ValueError(f'{path} holds no lines frame,value: {error}') from error
  frame = pd.to_numeric(table['frame'], errors='coerce')
  if len(frame) and np.isnan(frame[0]):
    table, frame = table[1:], frame[1:]
  value = pd.to_numeric(table['value'], errors='coerce')
  wrong = frame.isna() | (frame % 1 != 0)
  wrong |= value.isna() & table['value'].notna()
  if wrong.any() or not len(frame):
    line = f', line {wrong.idxmax() + 1}' if wrong.any() else ' is empty'
    raise ValueError(f'{path}{line}: expected two numbers, frame,value.')
  return frame.to_numpy(np.int64), value.to_numpy(np.float64)
