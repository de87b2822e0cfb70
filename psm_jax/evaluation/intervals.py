"""How sure one person's scores are: intervals from blocks of time.

Neighbouring frames are alike, so blocks of time are drawn whole (Carlstein
1986). n test frames, B blocks, R draws. What such an interval leaves out is
that the probe was fitted on one training part.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.special
import scipy.stats

from psm_jax.evaluation import asking, probes, scores

_LEAST_ODDS = 0.01


def within_person(
  answers: Sequence[asking.Answer],
  frames: pd.DataFrame,
  *,
  mean: str,
  config: probes.ProbeConfig,
) -> dict[tuple[str, str], dict[str, float]]:
  """Returns intervals of one person's F1 and AUC from blocks of time.

  All action units are drawn together, so that the interval of their mean knows
  how they go together.

  Args:
    answers: One for each action unit, all of one source and split.
    frames: n rows with video_id and time_s.
    mean: What the mean of all action units is called.
    config: block_s, num_block_resamples and seed.

  Returns:
    (Action unit or `mean`, 'f1' or 'auc') to value, ci_low and ci_high.
  """
  if not answers:
    return {}
  rows = np.unique(np.concatenate([answer.rows for answer in answers]))
  blocks = np.full(len(frames), -1)
  blocks[rows] = time_blocks(
    frames['video_id'].astype(str).to_numpy()[rows],
    frames['time_s'].to_numpy(np.float64)[rows],
    block_s=config.block_s,
  )
  num_blocks = int(blocks.max()) + 1
  draws = block_draws(
    num_blocks, num_resamples=config.num_block_resamples, seed=config.seed
  )
  # The first draw takes every block once: the value itself.
  draws = np.concatenate([np.ones((1, num_blocks)), draws])
  made = {}
  for metric, draw in (('f1', f1_draws), ('auc', auc_draws)):
    values = {
      a.target: draw(a.truth == 1, a.told, blocks[a.rows], draws)
      for a in answers
      if metric == 'f1' or len(set(a.truth)) == 2
    }
    if values:
      known = np.ma.masked_invalid(np.stack(list(values.values())))
      values[mean] = known.mean(axis=0).filled(np.nan)
    for name, drawn in values.items():
      low, high = block_interval(drawn[0], drawn[1:], num_blocks=num_blocks)
      made[name, metric] = {
        'value': float(drawn[0]),
        'ci_low': low,
        'ci_high': high,
      }
  return made


def time_blocks(
  video: np.ndarray, time_s: np.ndarray, *, block_s: float
) -> np.ndarray:
  """Returns which block of time each frame lies in.

  Every video is cut into blocks of block_s from its first frame given on.

  Args:
    video: [n] str, the frames' videos.
    time_s: [n] float, their times.
    block_s: Length of a block in seconds.

  Returns:
    [n] int, blocks counted from 0 without gaps, in order of video and time.
  """
  video_index = np.unique(video, return_inverse=True)[1]
  start_s = np.full(video_index.max(initial=-1) + 1, np.inf)
  np.minimum.at(start_s, video_index, time_s)
  # A hair more, so that 2.0 s at 20 frames a second begin the next block.
  within = np.floor((time_s - start_s[video_index]) / block_s + 1e-6)
  blocks_a_video = within.max(initial=0) + 1
  return np.unique(video_index * blocks_a_video + within, return_inverse=True)[
    1
  ]


def block_draws(
  num_blocks: int, *, num_resamples: int, seed: int
) -> np.ndarray:
  """Returns how often each block is drawn in each of R draws of B from B.

  Args:
    num_blocks: B.
    num_resamples: R.
    seed: Of the draws, which also depend on B.

  Returns:
    [R, B] float64, rows of sum B.
  """
  generator = np.random.default_rng([seed, num_blocks])
  drawn = generator.integers(num_blocks, size=(num_resamples, num_blocks))
  counts = np.zeros((num_resamples, num_blocks))
  np.add.at(counts, (np.arange(num_resamples)[:, None], drawn), 1)
  return counts


def f1_draws(
  truth: np.ndarray,
  score: np.ndarray,
  blocks: np.ndarray,
  draws: np.ndarray,
) -> np.ndarray:
  """Returns F1 = 2 TP / (2 TP + FP + FN) of every draw.

  Args:
    truth: [n] bool.
    score: [n] float, above 0 where active is predicted.
    blocks: [n] int, the frames' blocks.
    draws: [R, B] from block_draws.

  Returns:
    [R] float64; 0 in draws in which nothing is active or predicted.
  """
  predicted = score > 0
  hit, wrong = (
    draws @ np.bincount(blocks, event, draws.shape[1])
    for event in (truth & predicted, truth != predicted)
  )
  return scores.f1(hit, wrong)


def auc_draws(
  truth: np.ndarray, score: np.ndarray, blocks: np.ndarray, draws: np.ndarray
) -> np.ndarray:
  """Returns the AUC of every draw, exact, ties counting half.

  Args:
    truth: [n] bool.
    score: [n] float.
    blocks: [n] int, the frames' blocks.
    draws: [R, B] from block_draws.

  Returns:
    [R] float64; NaN in draws of one class only.
  """
  num_blocks = draws.shape[1]
  inactive = np.eye(num_blocks)[blocks[~truth]]
  order = np.argsort(score[~truth])
  # Inactive frames of every block below each rank.
  below = np.pad(inactive[order].cumsum(axis=0), ((1, 0), (0, 0)))
  ordered = score[~truth][order]
  won = sum(
    below[np.searchsorted(ordered, score[truth], side)] / 2
    for side in ('left', 'right')
  )
  # [B, B]: pairs of an active frame of a block and an inactive one of another
  # in the right order, so that a draw is a sum over pairs of blocks.
  pairs = np.zeros((num_blocks, num_blocks))
  np.add.at(pairs, blocks[truth], won)
  active = draws @ np.bincount(blocks[truth], minlength=num_blocks)
  total = active * (draws @ inactive.sum(axis=0))
  right = ((draws @ pairs) * draws).sum(axis=1)
  return np.where(total > 0, right / np.maximum(total, 1), np.nan)


def block_interval(
  value: float, draws: np.ndarray, *, num_blocks: int, level: float = 0.95
) -> tuple[float, float]:
  """Returns an interval of a score in [0, 1] from its draws of blocks.

  The value +- Student's t with B - 1 degrees of freedom times the standard
  deviation of the draws, widened by B / (B - 1), on the scale of log odds:
  scores of few events are skewed, and percentiles were found to cover less
  (docs/evaluation.md).

  Args:
    value: The score on the test frames.
    draws: [R] float; NaN draws are left out.
    num_blocks: B.
    level: Share of cases in which the interval should hold the true score.

  Returns:
    The two ends; NaN with a single block, or without two draws or a value.
  """
  draws = draws[np.isfinite(draws)]
  if num_blocks < 2 or len(draws) < 2 or not np.isfinite(value):
    return float('nan'), float('nan')
  spread = np.std(_log_odds(draws)) * (num_blocks / (num_blocks - 1)) ** 0.5
  reach = spread * scipy.stats.t.ppf((1 + level) / 2, num_blocks - 1)
  low, high = scipy.special.expit(_log_odds(value) + [-reach, reach])
  # At 0 and 1 the log odds were kept finite.
  return float(min(low, value)), float(max(high, value))


def _log_odds(score):
  """Returns log odds of scores, those of 0 and 1 taken a little inside."""
  return scipy.special.logit(np.clip(score, _LEAST_ODDS, 1 - _LEAST_ODDS))
