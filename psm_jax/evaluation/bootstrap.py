"""Intervals by resampling: persons, and stretches of one person's video.

Means over persons: frames of one person are not independent, persons are: so
the persons are drawn, never their frames. P persons. Percentile intervals are
too narrow with few persons: of simulated normal data they cover the mean in
86 % of cases at 6 persons, 91 % at 12 and 93 % at 27 where 95 % is meant.

Scores of one person: neighbouring frames are alike, so blocks of time are drawn
whole (Carlstein 1986). n test frames, B blocks, R draws. What such an interval
leaves out is that the probe was fitted on one training part.
"""

import dataclasses

import numpy as np
import scipy.special
import scipy.stats

_LEAST_ODDS = 0.01
_DRAWS_AT_ONCE = 1_000_000  # Bounds the memory, 16 bytes a draw.


@dataclasses.dataclass(frozen=True)
class Interval:
  """A mean over persons and how far other persons would move it.

  Attributes:
    mean: The weighted mean over the persons.
    low: Lower end; NaN for a single person, who says nothing about others.
    high: Upper end, likewise.
    num_persons: P, persons with a value.
  """

  mean: float
  low: float
  high: float
  num_persons: int

  def row(self, name: str) -> dict[str, float]:
    """Returns the interval as columns of a table, the mean under a name."""
    return {
      name: self.mean,
      'ci_low': self.low,
      'ci_high': self.high,
      'num_persons': self.num_persons,
    }


@dataclasses.dataclass(frozen=True)
class PairedInterval(Interval):
  """A mean difference A - B over persons.

  Attributes:
    wins: Persons on whom A is strictly greater.
    losses: Persons on whom B is strictly greater.
  """

  wins: int
  losses: int

  def row(self, name: str) -> dict[str, float]:
    """Returns what Interval.row does, and wins and losses."""
    return {**super().row(name), 'wins': self.wins, 'losses': self.losses}


def mean_interval(
  values: np.ndarray,
  *,
  weights: np.ndarray | None = None,
  num_resamples: int = 2000,
  level: float = 0.95,
  seed: int = 0,
) -> Interval:
  """Returns the mean over persons and its percentile bootstrap interval.

  Args:
    values: [P] float, one a person; NaN is left out.
    weights: [P] positive float, a person's weight in the mean, which moves
      with the person when persons are drawn; None weighs all alike.
    num_resamples: Draws of P persons with replacement.
    level: Share of the draws inside the interval, in (0, 1).
    seed: Of the draws.

  Raises:
    ValueError: If no person has a value, or an argument is out of its range.
  """
  values = np.asarray(values, np.float64)
  weights = np.ones_like(values) if weights is None else np.asarray(weights)
  if num_resamples < 1 or not 0 < level < 1:
    raise ValueError(
      f'num_resamples {num_resamples} should be at least 1 and level {level} '
      'in (0, 1).'
    )
  if values.ndim != 1 or values.shape != weights.shape:
    raise ValueError(
      f'values have shape {values.shape}, weights {weights.shape}; expected '
      'one of each for every person.'
    )
  known = ~np.isnan(values)
  values, weights = values[known], weights[known]
  if not values.size:
    raise ValueError('No person has a value to average.')
  if not (weights > 0).all():
    raise ValueError(f'weights {weights} are not all positive.')
  mean = float(np.average(values, weights=weights))
  if values.size == 1:
    return Interval(mean, float('nan'), float('nan'), 1)
  means = _resampled_means(values, weights, num_resamples, seed)
  low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
  return Interval(mean, float(low), float(high), values.size)


def paired_interval(
  first: np.ndarray,
  second: np.ndarray,
  *,
  weights: np.ndarray | None = None,
  num_resamples: int = 2000,
  level: float = 0.95,
  seed: int = 0,
) -> PairedInterval:
  """Returns the mean difference first - second over the same persons.

  Persons are drawn in pairs. A person with NaN on either side is left out.

  Args:
    first: [P] float.
    second: [P] float, the same persons in the same order.
    weights: See mean_interval.
    num_resamples: See mean_interval.
    level: See mean_interval.
    seed: See mean_interval.

  Raises:
    ValueError: See mean_interval; also if the two differ in shape.
  """
  first, second = np.asarray(first), np.asarray(second)
  if first.shape != second.shape:
    raise ValueError(
      f'Pairs need the same persons on both sides; shapes are {first.shape} '
      f'and {second.shape}.'
    )
  difference = first - second
  interval = mean_interval(
    difference,
    weights=weights,
    num_resamples=num_resamples,
    level=level,
    seed=seed,
  )
  return PairedInterval(
    **dataclasses.asdict(interval),
    wins=int((difference > 0).sum()),
    losses=int((difference < 0).sum()),
  )


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
  drawn += num_blocks * np.arange(num_resamples)[:, None]
  counts = np.bincount(drawn.ravel(), minlength=num_resamples * num_blocks)
  return counts.reshape(num_resamples, num_blocks).astype(np.float64)


def f1_draws(
  truth: np.ndarray,
  predicted: np.ndarray,
  blocks: np.ndarray,
  draws: np.ndarray,
) -> np.ndarray:
  """Returns F1 = 2 TP / (2 TP + FP + FN) of every draw.

  Args:
    truth: [n] bool.
    predicted: [n] bool.
    blocks: [n] int, the frames' blocks.
    draws: [R, B] from block_draws.

  Returns:
    [R] float64; NaN in draws in which nothing is active or predicted.
  """
  num_blocks = draws.shape[1]
  hit, wrong = (
    draws @ np.bincount(blocks, event, num_blocks)
    for event in (truth & predicted, truth != predicted)
  )
  total = 2 * hit + wrong
  return np.where(total > 0, 2 * hit / np.maximum(total, 1), np.nan)


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
  below = np.zeros((len(order) + 1, num_blocks))
  np.cumsum(inactive[order], axis=0, out=below[1:])
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


def _resampled_means(values, weights, num_resamples, seed) -> np.ndarray:
  """Returns [num_resamples] weighted means of P persons drawn from P."""
  generator = np.random.default_rng(seed)
  means = np.empty(num_resamples)
  step = max(1, _DRAWS_AT_ONCE // len(values))
  for start in range(0, num_resamples, step):
    stop = min(start + step, num_resamples)
    drawn = generator.integers(len(values), size=(stop - start, len(values)))
    total = (values * weights)[drawn].sum(axis=1)
    means[start:stop] = total / weights[drawn].sum(axis=1)
  return means
