"""Means over persons of the scores of an evaluation, with intervals.

The columns are described in tables.py.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from psm_jax.evaluation import bootstrap, features

SUMMARY_COLUMNS = (
  'source',
  'split',
  'metric',
  'mean',
  'ci_low',
  'ci_high',
  'num_persons',
  'wins',
  'losses',
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
PAIRS = (
  (features.PSM, features.RANDOM_ENCODER),
  (features.PSM, features.PIXEL_PCA),
)


def summarise(
  scores: pd.DataFrame,
  *,
  pairs: Sequence[tuple[str, str]] = PAIRS,
  num_person_resamples: int = 2000,
  seed: int = 0,
) -> pd.DataFrame:
  """Returns the summary of scores; columns as in the module's description.

  Args:
    scores: The scores of evaluate.
    pairs: See evaluate.
    num_person_resamples: See evaluate.
    seed: Of the draws of persons.
  """
  options = {'num_resamples': num_person_resamples, 'seed': seed}
  rows = []
  for (source, split), part in scores.groupby(['source', 'split'], sort=False):
    for metric, column in _SUMMARY_METRICS.items():
      person = part.groupby('person_id')[column].agg(['mean', 'count'])
      person = person[person['count'] > 0]
      if len(person):
        interval = bootstrap.mean_interval(
          person['mean'], weights=_weights(metric, person), **options
        )
        rows.append(_summary_row(source, split, metric, interval))
  for first, second in pairs:
    rows += _paired_rows(scores, first, second, options)
  summary = pd.DataFrame(rows, columns=SUMMARY_COLUMNS)
  return summary.astype({'wins': 'Int64', 'losses': 'Int64'})


def _paired_rows(scores, first, second, options) -> list[dict]:
  """Returns the summary rows of first - second over the rows of both."""
  keys = ['split', 'person_id', 'direction', 'au']
  columns = sorted(set(_SUMMARY_METRICS.values()))
  one, other = (
    scores[scores['source'] == source].groupby(keys)[columns].mean()
    for source in (first, second)
  )
  one, other = one.align(other, join='inner')
  one, other = one.where(other.notna()), other.where(one.notna())
  rows = []
  for split in scores['split'].unique():
    for metric, column in _SUMMARY_METRICS.items():
      one_person, other_person = (
        side.loc[side.index.get_level_values('split') == split, column]
        .groupby('person_id')
        .agg(['mean', 'count'])
        .query('count > 0')
        for side in (one, other)
      )
      if len(one_person):
        interval = bootstrap.paired_interval(
          one_person['mean'],
          other_person['mean'],
          weights=_weights(metric, one_person),
          **options,
        )
        rows.append(
          _summary_row(f'{first} - {second}', split, metric, interval)
        )
  return rows


def _weights(metric: str, person: pd.DataFrame) -> np.ndarray:
  """Returns what each person counts: its rows for M_flat, else 1."""
  count = person['count'].to_numpy(np.float64)
  return count if metric == 'f1_flat' else np.ones_like(count)


def _summary_row(
  source: str, split: str, metric: str, interval: bootstrap.Interval
) -> dict:
  """Returns one row of the summary."""
  return {
    'source': source,
    'split': split,
    'metric': metric,
    'mean': interval.mean,
    'ci_low': interval.low,
    'ci_high': interval.high,
    'num_persons': interval.num_persons,
    'wins': getattr(interval, 'wins', pd.NA),
    'losses': getattr(interval, 'losses', pd.NA),
  }
