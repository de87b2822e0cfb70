"""Intervals of means over persons, by resampling persons.

Frames of one person are not independent, persons are: so the persons are
drawn, never their frames. P persons.

Percentile intervals are too narrow with few persons: of simulated normal data
they cover the mean in 86 % of cases at 6 persons, 91 % at 12 and 93 % at 27
where 95 % is meant.
"""

import dataclasses

import numpy as np

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


@dataclasses.dataclass(frozen=True)
class PairedInterval(Interval):
  """A mean difference A - B over persons.

  Attributes:
    wins: Persons on whom A is strictly greater.
    losses: Persons on whom B is strictly greater.
  """

  wins: int
  losses: int


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
