"""What is compared: approaches and controls, a row each.

Of a run they are what its results are of, of a comparison what launch.compare
says of them in approaches.csv.
"""

import pathlib

import pandas as pd

from psm_jax.evaluation import features
from psm_jax.report import formats, reading

APPROACHES = 'approaches.csv'
CONTROL = 'control'
_COLUMNS = (
  'num_persons num_models num_seeds has_shared_coordinates aligned_retrieval '
  'steps steps_per_model examples images seconds note'
).split()


def of_results(table: pd.DataFrame) -> pd.DataFrame:
  """Returns the sources of a run's results; the first approach is its baseline.

  Args:
    table: See evaluation/results.py.

  Returns:
    Index: source; kind, is_baseline and columns of approaches.csv.
  """
  rows = []
  for name in formats.in_order(table['source'], formats.SOURCES):
    ids = table.loc[table['source'] == name, ['model_id', 'person_id']]
    people = ids.drop_duplicates().groupby('model_id').size()
    is_control = name in features.CONTROLS
    rows.append(
      {
        'approach': name,
        'kind': CONTROL if is_control else 'run',
        'is_baseline': not is_control
        and not any(row['is_baseline'] for row in rows),
        'num_persons': ids['person_id'].nunique(),
        'num_models': None if is_control else len(people),
        'has_shared_coordinates': str(people.max() > 1),
        'note': '',
      }
    )
  columns = ['approach', 'kind', 'is_baseline', *_COLUMNS]
  numbers = [c for c in _COLUMNS if c not in reading.TEXT_COLUMNS]
  made = pd.DataFrame(rows, columns=columns).astype({'is_baseline': bool})
  return made.astype(dict.fromkeys(numbers, float)).set_index('approach')


def read(folder: pathlib.Path) -> pd.DataFrame:
  """Returns the sources of a comparison, see `of_results`.

  Args:
    folder: The --out of launch.compare.

  Raises:
    ValueError: If approaches.csv cannot be read, names an approach twice, or
      has not one baseline.
  """
  path = folder / APPROACHES
  columns = ('approach', 'kind', 'is_baseline')
  table = reading.read_table(path, columns, optional=_COLUMNS)
  names = table['approach']
  if twice := sorted(set(names[names.duplicated()])):
    raise ValueError(
      f'{path} names {formats.listing(twice)} more than once. Make it again '
      'with launch.compare.'
    )
  is_baseline = table['is_baseline'] == 'True'
  if is_baseline.sum() != 1:
    raise ValueError(
      f'{path} has {is_baseline.sum()} rows whose is_baseline is True, '
      'expected 1. Make it again with launch.compare.'
    )
  return table.assign(is_baseline=is_baseline).set_index('approach')
