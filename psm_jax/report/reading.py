"""Tables that other programs wrote, read with their types checked.

Ids stay text (a person may be called 001 or NA), other columns are numbers.
"""

import datetime
import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from psm_jax import tabular
from psm_jax.evaluation import splits

_TEXT_COLUMNS = frozenset(
  (
    'against',
    'angle',
    'approach',
    'au',
    'centring',
    'direction',
    'init_from',
    'fails',
    'first',
    'has_shared_coordinates',
    'is_baseline',
    'is_novel',
    'is_strictly_novel',
    'kind',
    'map',
    'metric',
    'model_id',
    'note',
    'part',
    'person_id',
    'probe',
    'reason',
    'second',
    'source',
    'split',
    'starts_from',
    'status',
    'target',
    'video_id',
  )
)
SUMMARY = (
  *('first', 'second', 'split', 'target', 'metric', 'mean', 'ci_low'),
  *('ci_high', 'num_persons', 'wins', 'losses'),
)
SCORES = (
  *('source', 'model_id', 'person_id', 'split', 'target', 'direction'),
  *(
    'effective_rank',
    'unit_std',
    'base_rate',
    'f1_bootstrap',
    'auc',
    'pearson',
  ),
)
# As summaries name them to what the report calls them.
_METRICS = {
  'f1_bootstrap': 'f1',
  **{m: m for m in ('f1_flat', 'auc', 'ap', 'balanced_accuracy', 'mcc')},
  'base_rate': 'base_rate',
}


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


def unit_scores(scores: pd.DataFrame) -> pd.DataFrame:
  """Returns the rows of scores.csv that are of action units, target as `au`."""
  found = scores[scores['target'].str.match(splits.UNIT)]
  return found.rename(columns={'target': 'au'}).reset_index(drop=True)


def structure(scores: pd.DataFrame) -> pd.DataFrame:
  """Returns a row a source, model and person: what its embedding holds.

  Args:
    scores: scores.csv, a row a probe.

  Returns:
    source, model_id, person_id, effective_rank, unit_std and, of videos that
    the probe has not seen, yaw_correlation, ...
  """
  ids = ['source', 'model_id', 'person_id']
  made = scores[scores['target'] == 'embedding'].set_index(ids)
  made = made[['effective_rank', 'unit_std']]
  across = scores[scores['split'] == 'cross_video']
  for pose in ('yaw', 'pitch', 'roll'):
    told = across[across['target'] == pose].groupby(ids)['pearson'].mean()
    made[f'{pose}_correlation'] = told.reindex(made.index)
  return made.reset_index()


def unit_summary(summary: pd.DataFrame) -> pd.DataFrame:
  """Returns the rows of a summary that are of action units.

  Their source is 'first', or 'first - second' of a difference; f1 is the
  published mean over draws of test frames.
  """
  rows = summary[summary['target'] == 'action_units']
  rows = rows[rows['metric'].isin(_METRICS)]
  second = ' - ' + rows['second']
  return rows.assign(
    source=rows['first'] + second.where(rows['second'] != '', ''),
    metric=rows['metric'].replace(_METRICS),
  ).reset_index(drop=True)


def written(
  folder: pathlib.Path, names: Sequence[str]
) -> dict[str, datetime.datetime]:
  """Returns when each file of a folder that exists was last written, in UTC."""
  return {
    name: datetime.datetime.fromtimestamp(
      (folder / name).stat().st_mtime, datetime.UTC
    )
    for name in names
    if (folder / name).is_file()
  }


def _dtype(column: str) -> type:
  """Returns what the cells of a column are."""
  return str if column in _TEXT_COLUMNS else float
