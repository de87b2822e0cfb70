"""Means of the scores of an evaluation, with intervals.

Over persons (summarise), and of each person by blocks of time (within_person).
The columns are described in tables.py.
"""

import types
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from psm_jax.evaluation import bootstrap, features, probes

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
CONTROLS = (
  features.RANDOM_ENCODER,
  features.PIXEL_PCA,
  features.HEAD_POSE,
  features.NEAREST_IN_TIME,
)
PAIRS = tuple((features.PSM, control) for control in CONTROLS)
INTERVAL_COLUMNS = (
  'source',
  'model_id',
  'person_id',
  'split',
  'direction',
  'au',
  'metric',
  'value',
  'ci_low',
  'ci_high',
  'num_blocks',
)
MEAN = 'mean'  # The au of a row that is of all action units.


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
        rows.append(_summary_row(source, split, metric, interval))
  for first, second in pairs:
    if {first, second} <= set(scores['source']):
      rows += _paired_rows(scores, first, second, metrics, options)
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


def within_person(
  decisions: Sequence[probes.Decision],
  frames: pd.DataFrame,
  *,
  config: probes.ProbeConfig,
) -> list[dict]:
  """Returns intervals of one person's F1 and AUC from blocks of time.

  All action units are drawn together, so that the interval of their mean knows
  how they go together.

  Args:
    decisions: One for each action unit, all of one probe and split.
    frames: n rows with video_id and time_s.
    config: block_s, num_block_resamples and seed.

  Returns:
    A dict with the columns au to num_blocks of INTERVAL_COLUMNS for every
    action unit and for their mean, au 'mean'.
  """
  if not decisions:
    return []
  rows = np.unique(np.concatenate([d.test for d in decisions]))
  blocks = np.full(len(frames), -1)
  blocks[rows] = bootstrap.time_blocks(
    frames['video_id'].astype(str).to_numpy()[rows],
    frames['time_s'].to_numpy(np.float64)[rows],
    block_s=config.block_s,
  )
  num_blocks = int(blocks.max()) + 1
  draws = bootstrap.block_draws(
    num_blocks, num_resamples=config.num_block_resamples, seed=config.seed
  )
  found = []
  for metric, draw in (('f1', _f1_draws), ('auc', bootstrap.auc_draws)):
    # The first draw takes every block once: the value itself.
    everything = np.concatenate([np.ones((1, num_blocks)), draws])
    drawn = [d for d in decisions if metric == 'f1' or len(set(d.truth)) == 2]
    if not drawn:
      continue
    values = np.stack(
      [draw(d.truth, d.score, blocks[d.test], everything) for d in drawn]
    )
    for au, own in zip([d.au for d in drawn], values, strict=True):
      found.append(_interval_row(au, metric, own, num_blocks))
    found.append(_interval_row(MEAN, metric, _known_mean(values), num_blocks))
  return found


def _f1_draws(truth, score, blocks, draws):
  """Returns the F1 of draws of blocks, 0 where its denominator is 0."""
  drawn = bootstrap.f1_draws(truth, score > 0, blocks, draws)
  return np.where(np.isnan(drawn), 0.0, drawn)


def _known_mean(values):
  """Returns the mean over rows of what is not NaN, NaN if nothing is."""
  known = np.isfinite(values)
  total = np.where(known, values, 0.0).sum(axis=0)
  count = known.sum(axis=0)
  return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _interval_row(au, metric, values, num_blocks):
  """Returns a row from a score and its draws, [1 + R]."""
  low, high = bootstrap.block_interval(
    values[0], values[1:], num_blocks=num_blocks
  )
  return {
    'au': au,
    'metric': metric,
    'value': float(values[0]),
    'ci_low': low,
    'ci_high': high,
    'num_blocks': num_blocks,
  }


def _paired_rows(scores, first, second, metrics, options) -> list[dict]:
  """Returns the summary rows of first - second over the rows of both."""
  keys = ['split', 'person_id', 'direction', 'au']
  columns = sorted(set(metrics.values()))
  one, other = (
    scores[scores['source'] == source].groupby(keys)[columns].mean()
    for source in (first, second)
  )
  one, other = one.align(other, join='inner')
  one, other = one.where(other.notna()), other.where(one.notna())
  rows = []
  for split in scores['split'].unique():
    (mean, count), (other_mean, _) = (
      _by_person(side[side.index.get_level_values('split') == split])
      for side in (one, other)
    )
    for metric, column in metrics.items():
      known = count[column] > 0
      if known.any():
        interval = bootstrap.paired_interval(
          mean.loc[known, column],
          other_mean.loc[known, column],
          weights=_weights(metric, count.loc[known, column]),
          **options,
        )
        rows.append(
          _summary_row(f'{first} - {second}', split, metric, interval)
        )
  return rows


def _by_person(values: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
  """Returns each person's means and how many rows of each column they have."""
  groups = values.groupby('person_id')
  return groups.mean(), groups.count()


def _weights(metric: str, count: pd.Series) -> np.ndarray:
  """Returns what each person counts: its rows for M_flat, else 1."""
  count = count.to_numpy(np.float64)
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
