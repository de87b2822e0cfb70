"""Means over persons of the scores of an evaluation, with intervals.

The columns are described where the tables are: in tables.py, leakage.py and
retrieval.py.
"""

import types
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from psm_jax.evaluation import bootstrap, features

SUMMARY_COLUMNS = tuple(
  'source split metric mean ci_low ci_high num_persons wins losses'.split()
)
# Metric of the summary -> column of the scores.
_SUMMARY_METRICS = {
  'f1': 'f1_bootstrap',
  'f1_flat': 'f1_bootstrap',
  'auc': 'auc',
  'ap': 'ap',
  'balanced_accuracy': 'balanced_accuracy',
  'mcc': 'mcc',
  'base_rate': 'base_rate',
}
CONTROLS = (
  features.RANDOM_ENCODER,
  features.PIXEL_PCA,
  features.HEAD_POSE,
  features.NEAREST_IN_TIME,
)
PAIRS = tuple((features.TRAINED, control) for control in CONTROLS)
_CELL = ['split', 'person_id', 'direction', 'au']  # What sources are paired by.


def summarise(
  scores: pd.DataFrame,
  *,
  pairs: Sequence[tuple[str, str]] = PAIRS,
  metrics: Mapping[str, str] = types.MappingProxyType(_SUMMARY_METRICS),
  num_person_resamples: int = 2000,
  seed: int = 0,
) -> pd.DataFrame:
  """Returns the summary of scores; columns as in the module's description.

  Args:
    scores: A row a source, split, person_id, direction, au and model.
    pairs: See evaluate.
    metrics: From the metric's name in the summary to its column of scores.
    num_person_resamples: See evaluate.
    seed: Of the draws of persons.
  """
  options = {'num_resamples': num_person_resamples, 'seed': seed}
  columns = sorted(set(metrics.values()))
  rows = []
  for (source, split), part in scores.groupby(['source', 'split'], sort=False):
    mean, count = _by_person(part.set_index('person_id')[columns])
    for metric, column in metrics.items():
      known = count[column] > 0
      if known.any():
        interval = bootstrap.mean_interval(
          mean.loc[known, column],
          weights=_weights(metric, count.loc[known, column]),
          **options,
        )
        place = {'source': source, 'split': split, 'metric': metric}
        rows.append({**place, **interval.row('mean')})
  cells = {
    source: own.groupby(_CELL)[columns].mean()
    for source, own in scores.groupby('source')
    if any(source in pair for pair in pairs)
  }
  for first, second in pairs:
    if first in cells and second in cells:
      rows += [
        {'source': f'{first} - {second}', 'split': split, **row}
        for split in scores['split'].unique()
        for row in _paired_rows(
          *(_of_split(cells[source], split) for source in (first, second)),
          metrics,
          options,
        )
      ]
  summary = pd.DataFrame(rows, columns=SUMMARY_COLUMNS)
  return summary.astype({'wins': 'Int64', 'losses': 'Int64'})


def summarise_targets(
  intensity: pd.DataFrame,
  regression: pd.DataFrame,
  expressions: pd.DataFrame,
  *,
  pairs: Sequence[tuple[str, str]] = PAIRS,
  num_person_resamples: int = 2000,
  seed: int = 0,
) -> pd.DataFrame:
  """Returns the summary of what is not a binary action unit.

  Args:
    intensity: See tables.py, likewise the next two.
    regression: Its metrics are called after the target: yaw_r2, yaw_mae_deg.
    expressions: Classes of expression.
    pairs: See evaluate.
    num_person_resamples: See evaluate.
    seed: Of the draws of persons.
  """
  parts = [(intensity, ('icc', 'pearson', 'mse'))]
  for target in regression['target'].unique():
    own = regression[regression['target'] == target]
    names = [m for m in ('r2', 'mae_deg', 'nme') if own[m].notna().any()]
    named = own.rename(columns={m: f'{target}_{m}' for m in names})
    parts.append((named, [f'{target}_{m}' for m in names]))
  parts.append((expressions, ('accuracy', 'balanced_accuracy', 'macro_f1')))
  found = [
    summarise(
      # Without action units every row of a person is of the same thing.
      table if 'au' in table else table.assign(au=''),
      pairs=pairs,
      metrics={name: name for name in names},
      num_person_resamples=num_person_resamples,
      seed=seed,
    )
    for table, names in parts
  ]
  found = [table for table in found if len(table)] or found[:1]
  return pd.concat(found, ignore_index=True)


def summarise_by_source(
  persons: pd.DataFrame,
  notes: Mapping[str, Sequence[str]],
  *,
  columns: Sequence[str],
  keys: Sequence[str],
  values: Sequence[str],
  joined: Sequence[str] = (),
  num_person_resamples: int,
  seed: int,
  no_value: str = '',
) -> pd.DataFrame:
  """Returns means over persons for every source, or why it has none.

  Args:
    persons: A row a source, model_id, person_id and combination of keys.
    notes: Source to what has to be said of it.
    columns: Of the summary: source, keys, values, joined, ci_low, ci_high,
      num_persons, num_models and reason, in any order.
    keys: Columns of persons, each combination of which has its own row.
    values: Columns of persons to average, over a person's rows first. The
      interval is that of the first; a row without it does not count.
    joined: Text columns of persons, whose values are joined by '+'.
    num_person_resamples: Draws of persons behind the intervals.
    seed: Of the draws.
    no_value: The reason of a source of which nothing is said, nor known.
  """
  rows = []
  for source, own_notes in notes.items():
    own = persons[persons['source'] == source].dropna(subset=values[0])
    reason = '; '.join(own_notes)
    if own.empty:
      rows.append({'source': source, 'reason': reason or no_value})
    for key, part in own.groupby(list(keys), sort=False):
      by_person = part.groupby('person_id')[list(values)].mean()
      interval = bootstrap.mean_interval(
        by_person[values[0]].to_numpy(),
        num_resamples=num_person_resamples,
        seed=seed,
      )
      rows.append(
        {
          'source': source,
          **dict(zip(keys, key, strict=True)),
          **{c: '+'.join(sorted(part[c].unique())) for c in joined},
          **by_person.mean(),
          **interval.row(values[0]),
          'num_models': part['model_id'].nunique(),
          'reason': reason,
        }
      )
  table = pd.DataFrame(rows, columns=columns)
  return table.astype({'num_persons': 'Int64', 'num_models': 'Int64'})


def _of_split(cells: pd.DataFrame, split: str) -> pd.DataFrame:
  """Returns the cells of one split."""
  return cells[cells.index.get_level_values('split') == split]


def _paired_rows(one, other, metrics, options) -> list[dict]:
  """Returns the rows of one - other over the cells that both have."""
  one, other = one.align(other, join='inner')
  one, other = one.where(other.notna()), other.where(one.notna())
  (mean, count), (other_mean, _) = (_by_person(side) for side in (one, other))
  rows = []
  for metric, column in metrics.items():
    known = count[column] > 0
    if known.any():
      interval = bootstrap.paired_interval(
        mean.loc[known, column],
        other_mean.loc[known, column],
        weights=_weights(metric, count.loc[known, column]),
        **options,
      )
      rows.append({'metric': metric, **interval.row('mean')})
  return rows


def _by_person(values: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
  """Returns each person's means and how many rows of each column they have."""
  groups = values.groupby('person_id')
  return groups.mean(), groups.count()


def _weights(metric: str, count: pd.Series) -> np.ndarray:
  """Returns what each person counts: its rows for M_flat, else 1."""
  count = count.to_numpy(np.float64)
  return count if metric == 'f1_flat' else np.ones_like(count)
