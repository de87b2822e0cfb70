"""How sure one person's scores are: intervals from blocks of time.

n frames, R draws. The columns are described in tables.py.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from psm_jax.evaluation import bootstrap, probes

COLUMNS = tuple(
  (
    'source model_id person_id split direction au metric value ci_low ci_high '
    'num_blocks'
  ).split()
)
MEAN = 'mean'  # The au of a row that is of all action units.


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
    A dict with the columns au to num_blocks of COLUMNS for every
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
