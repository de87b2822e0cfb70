"""A folder as launch.compare writes it, of made-up numbers."""

import pathlib

import numpy as np
import pandas as pd

SPLIT = 'cross_video'
APPROACHES = {'psm': 0.7, 'gm': 0.76, 'gm_to_psm': 0.71, 'ctl': 0.6}
CONTROLS = {'pixel_pca': 0.74, 'random_encoder': 0.6, 'head_pose': 0.7}
SHARED = ('gm', *CONTROLS)
UNITS = ('AU01', 'AU06', 'AU12')


def fill(folder, *, people=('P1', 'P2', 'P3'), changes=None, half_width=0.02):
  """Writes a comparison whose baseline is psm, and returns its folder.

  Args:
    folder: Where to.
    people: Ids of persons.
    changes: {approach: {column: value}} in approaches.csv.
    half_width: Of the intervals of differences.
  """
  folder = pathlib.Path(folder)
  tables = {
    'scores': _scores(people),
    'summary': _summary(len(people), half_width),
    'approaches': _approaches(len(people)),
    'costs': _costs(people),
    'omitted': pd.DataFrame(
      [('gm', people[0], 7, 'not in psm')],
      columns=['approach', 'person_id', 'num_frames', 'reason'],
    ),
    'skipped': pd.DataFrame(columns=['person_id', 'split', 'reason']),
  }
  for approach, values in (changes or {}).items():
    table = tables['approaches']
    for column, value in values.items():
      table.loc[table['approach'] == approach, column] = value
  for name, table in tables.items():
    table.to_csv(folder / f'{name}.csv', index=False)
  return folder


def _scores(people) -> pd.DataFrame:
  """Returns scores that lie around the means."""
  generator = np.random.default_rng(0)
  rows = []
  for source, mean in {**APPROACHES, **CONTROLS}.items():
    for person in people:
      for unit in UNITS:
        for direction in ('forward', 'backward'):
          value = mean + generator.uniform(-0.1, 0.1)
          rows.append(
            (source, f'{source}-m', person, SPLIT, direction, unit, 0.2)
            + (value - 0.1, value)
          )
  columns = ['source', 'model_id', 'person_id', 'split', 'direction', 'target']
  columns += ['base_rate', 'f1_bootstrap', 'auc']
  return pd.DataFrame(rows, columns=columns)


def _summary(num_persons, half_width) -> pd.DataFrame:
  """Returns means and differences as the tables of evaluation do."""
  rows = []
  for metric in ('auc', 'f1_bootstrap'):
    at = SPLIT, 'action_units', metric
    for name, mean in {**APPROACHES, **CONTROLS}.items():
      mean -= 0.1 * (metric != 'auc')
      rows.append((name, '', *at, mean, mean - 0.03, mean + 0.03))
    pairs = [(name, 'psm') for name in APPROACHES if name != 'psm']
    pairs += [(name, control) for name in APPROACHES for control in CONTROLS]
    both = {**APPROACHES, **CONTROLS}
    for first, second in pairs:
      mean = round(both[first] - both[second], 6)
      ends = mean - half_width, mean + half_width
      rows.append((first, second, *at, mean, *ends))
  columns = ['first', 'second', 'split', 'target', 'metric', 'mean', 'ci_low']
  table = pd.DataFrame(rows, columns=[*columns, 'ci_high'])
  is_pair = table['second'] != ''
  table['num_persons'] = num_persons
  table['wins'] = np.where(is_pair, num_persons - 1, np.nan)
  table['losses'] = np.where(is_pair, 1, np.nan)
  return table


def _approaches(num_persons) -> pd.DataFrame:
  """Returns the table of approaches with the columns that have values."""
  rows = []
  for name, mean in {**APPROACHES, **CONTROLS}.items():
    is_control, is_shared = name in CONTROLS, name in SHARED
    row = {
      'approach': name,
      'kind': 'control' if is_control else 'run',
      'is_baseline': name == 'psm',
      'num_persons': num_persons,
      'num_models': None if is_control else 1 if is_shared else num_persons,
      'num_seeds': None if is_control else 1,
      'has_shared_coordinates': is_shared,
      'pose_mae_deg': 4.0,
      'pose_mae_mean_deg': 6.0,
      'note': '' if is_shared else 'each person has a model of their own',
    }
    values = {f'auc_{SPLIT}': mean, f'f1_{SPLIT}': mean - 0.1, 'pose_r2': 0.6}
    if is_shared:
      values |= {'identity': 0.9, 'retrieval': 0.3}
      row |= {'identity_chance': 1 / num_persons, 'identity_centred': 0.5}
    for column, value in values.items():
      row |= {column: value}
      row |= {f'{column}_ci_low': value - 0.03}
      row |= {f'{column}_ci_high': value + 0.03}
    if not is_control:
      number = 1 if is_shared else num_persons
      row |= {'steps': 1000 * number, 'steps_per_model': 1000}
      row |= {'examples': 8000 * number, 'images': 16000 * number}
      row |= {'seconds': 300.0 * number}
    rows.append(row)
  return pd.DataFrame(rows)


def _costs(people) -> pd.DataFrame:
  """Returns a row a model."""
  rows = [
    {
      'approach': name,
      'model_id': f'{name}-{person}',
      'num_people': 1,
      'starts_from': '/secret/runs/gm' if name == 'gm_to_psm' else None,
      'status': 'done',
      'steps': 1000,
      'examples': 8000,
      'images': 16000,
      'num_frames': 1200,
      'seconds': 300.0,
    }
    for name in APPROACHES
    for person in (people if name not in SHARED else ['all'])
  ]
  return pd.DataFrame(rows)
