"""Which clusters of one model have no counterpart in another model's.

n frames, A action units, I and J clusters of the two models, R draws.

Two rules stand beside each other. The published one (Tazi, Berger and
Freiwald, 2022) compares clusters by the action units active in them and calls
a cluster novel if no similarity, rescaled to [0, 1] over the person's pairs,
exceeds 0.8:

  first = novelty.profiles(labels, active)
  compared = novelty.compare(first, second)  # compared.novel, ...

Rescaling makes it relative: among pairs that are all alike the least alike is
0, so that it finds novel clusters in random groups too. The stricter rule
therefore works with an absolute distance and asks what chance would give:

  residual = novelty.residuals(values, counterparts)
  chance = novelty.residuals(
      novelty.chance_profiles(labels, active, orders=...), counterparts)
  p = novelty.adjusted_p(residual, chance)
"""

import dataclasses

import numpy as np
from scipy.spatial import distance

# Normalised similarity above which the published rule calls clusters alike.
THRESHOLD = 0.8
_CELLS_AT_ONCE = 4_000_000  # Of frames x units x draws; bounds the memory.
_EQUAL = 1e-12  # Means of 0 and 1 that differ by less are rounding.


@dataclasses.dataclass(frozen=True)
class NoveltyConfig:
  """What a cluster must be to count as strictly novel.

  Attributes:
    threshold: An action unit is active at this intensity or above.
    num_draws: Draws of each null.
    level: Largest p of each null, adjusted for the person's clusters.
    min_residual: Least distance from the other model's clusters, in action
      units. Our choice.
    max_purity: Largest purity of the cluster's frames in the other model's
      embedding, as a share of that in its own. Our choice.
    min_jaccard: Least stability among a part of the frames.
    min_episodes: Least number of occasions: what occurs once may be a change
      of light.
    seed: Of the nulls.
  """

  threshold: float = 2.0
  num_draws: int = 1000
  level: float = 0.05
  min_residual: float = 0.5
  max_purity: float = 0.5
  min_jaccard: float = 0.75
  min_episodes: int = 2
  seed: int = 0


DEFAULT = NoveltyConfig()


@dataclasses.dataclass(frozen=True)
class Profiles:
  """How often each action unit is active in each cluster.

  Attributes:
    labels: [I] int, ascending; noise (-1) is one of them.
    sizes: [I] int, frames.
    values: [I, A] float64 in [0, 1].
  """

  labels: np.ndarray
  sizes: np.ndarray
  values: np.ndarray


@dataclasses.dataclass(frozen=True)
class Comparison:
  """The published comparison of two models' clusters.

  Attributes:
    metric: [I, J] float64, correlation less the sum of absolute differences.
    normalised: [I, J] float64 in [0, 1], rescaled over the whole matrix.
    novel: [I] bool, which clusters of the first model are.
  """

  metric: np.ndarray
  normalised: np.ndarray
  novel: np.ndarray


def profiles(
  labels: np.ndarray, active: np.ndarray, *, keep_silent: bool = False
) -> Profiles:
  """Returns the share of frames with each action unit, cluster by cluster.

  Args:
    labels: [n] int, -1 is noise, which counts as a cluster.
    active: [n, A] bool.
    keep_silent: Keep clusters in which no action unit is ever active; they are
      left out, as published.
  """
  labels_there, inverse, sizes = np.unique(
    labels, return_inverse=True, return_counts=True
  )
  counts = np.zeros((len(labels_there), active.shape[1]))
  np.add.at(counts, inverse, active)
  kept = counts.any(axis=1) | keep_silent
  return Profiles(
    labels=labels_there[kept],
    sizes=sizes[kept],
    values=counts[kept] / sizes[kept, None],
  )


def similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """Returns M: correlation over action units less the absolute differences.

  M[i, j] = corr(P_i, G_j) - sum_a |P_ia - G_ja|. A profile that is the same in
  every action unit has no correlation; 0 stands for it (our choice).

  Args:
    first: [..., I, A] float64.
    second: [J, A] float64.

  Returns:
    [..., I, J] float64, 1 for equal profiles, at least -1 - A.
  """
  first, second = (np.asarray(side, np.float64) for side in (first, second))
  correlation = _standardised(first) @ _standardised(second).T
  return correlation - city_block(first, second)


def normalise(
  metric: np.ndarray, *, rows: np.ndarray | bool = True
) -> np.ndarray:
  """Returns matrices rescaled to [0, 1], each over all of its entries.

  Where all entries are equal the result is 1 (our choice: nothing is novel).

  Args:
    metric: [..., I, J] float64, possibly empty.
    rows: [..., I] bool, the rows that there are: of others nothing is asked,
      and they may leave the range.
  """
  there = np.broadcast_to(rows, metric.shape[:-1])[..., None]
  of_matrix = {'axis': (-2, -1), 'keepdims': True, 'where': there}
  low = metric.min(initial=np.inf, **of_matrix)
  high = metric.max(initial=-np.inf, **of_matrix)
  varies = high > low
  return np.where(varies, (metric - low) / np.where(varies, high - low, 1), 1)


def compare(
  first: Profiles, second: Profiles, *, threshold: float = THRESHOLD
) -> Comparison:
  """Applies the published rule to the clusters of a model, against another's.

  If the other has no cluster with an active action unit, all clusters of the
  first are novel (our choice).

  Args:
    first: I clusters.
    second: J clusters, on the same action units.
    threshold: A cluster is novel if no normalised similarity exceeds this.
  """
  metric = similarity(first.values, second.values)
  normalised = normalise(metric)
  return Comparison(metric, normalised, ~(normalised > threshold).any(axis=1))


def city_block(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """Returns sum_a |P_ia - G_ja|, in action units.

  1 is one action unit that is always active in one cluster and never in the
  other.

  Args:
    first: [..., I, A] float64.
    second: [J, A] float64.

  Returns:
    [..., I, J] float64.
  """
  flat = first.reshape(-1, first.shape[-1])
  shape = (*first.shape[:-1], len(second))
  if not flat.size or not second.size:
    return np.zeros(shape)
  return distance.cdist(flat, second, 'cityblock').reshape(shape)


def residuals(values: np.ndarray, counterparts: np.ndarray) -> np.ndarray:
  """Returns each profile's distance from its nearest counterpart.

  Several clusters may have the same counterpart: a model that splits a
  movement in two has not found a new one. The distance is city_block, not
  rescaled, so that it means the same for every person.

  Args:
    values: [..., I, A] float64.
    counterparts: [J, A] float64, J at least 1.

  Returns:
    [..., I] float64, in action units.
  """
  return city_block(values, counterparts).min(axis=-1)


def shuffles(
  num_frames: int, *, num_draws: int, generator: np.random.Generator
) -> np.ndarray:
  """Returns [R, n] int: frames in random order.

  Labels that are dealt to frames in such an order keep their numbers and lose
  everything else.
  """
  order = np.broadcast_to(np.arange(num_frames), (num_draws, num_frames))
  return generator.permuted(order, axis=1)


def shifts(
  num_frames: int, *, num_draws: int, generator: np.random.Generator
) -> np.ndarray:
  """Returns [R, n] int: the frames turned round in time.

  Labels keep their runs, so this asks whether they follow the action units
  more than another sequence as slow would. Frames near the right place tell
  nothing, so turns of less than a twentieth are not drawn. There are no more
  draws than turns: fewer than num_draws with few frames.
  """
  least = max(1, num_frames // 20)
  turns = np.arange(least, max(least + 1, num_frames - least + 1))
  if len(turns) > num_draws:
    turns = generator.choice(turns, num_draws, replace=False)
  return (np.arange(num_frames) + turns[:, None]) % num_frames


def chance_profiles(
  labels: np.ndarray, active: np.ndarray, *, orders: np.ndarray
) -> np.ndarray:
  """Returns the profiles of clusters whose labels were dealt out again.

  Args:
    labels: [n] int.
    active: [n, A] bool.
    orders: [R, n] int from shuffles or shifts.

  Returns:
    [R, I, A] float64, a profile for each label, ascending; rows may be all 0.
  """
  place = np.argsort(labels, kind='stable')
  _, starts, sizes = np.unique(
    labels[place], return_index=True, return_counts=True
  )
  active = np.asarray(active, np.float32)  # Counts stay exact.
  num_draws = len(orders)
  counts = np.empty((num_draws, len(starts), active.shape[1]))
  step = max(1, _CELLS_AT_ONCE // max(1, active.size))
  for start in range(0, num_draws, step):
    dealt = active[orders[start : start + step, place]]
    counts[start : start + step] = np.add.reduceat(dealt, starts, axis=1)
  return counts / sizes[:, None]


def chance_counts(
  chance: np.ndarray, second: Profiles, *, threshold: float = THRESHOLD
) -> np.ndarray:
  """Returns how many clusters the published rule calls novel by chance.

  Args:
    chance: [R, I, A] from chance_profiles of the first model.
    second: The clusters of the other model, left as they are.
    threshold: See compare.

  Returns:
    [R] int: what compare would find in each draw.
  """
  counts = np.empty(len(chance), np.int64)
  num_cells = max(1, chance.shape[1] * max(1, second.values.size))
  step = max(1, _CELLS_AT_ONCE // num_cells)
  for start in range(0, len(chance), step):
    part = chance[start : start + step]
    spoken = part.any(axis=-1)
    normalised = normalise(similarity(part, second.values), rows=spoken)
    alike = (normalised > threshold).any(axis=-1)
    counts[start : start + step] = (spoken & ~alike).sum(axis=1)
  return counts


def adjusted_p(observed: np.ndarray, chance: np.ndarray) -> np.ndarray:
  """Returns how often chance exceeds a residual, for all clusters together.

  Westfall and Young's (1993) single step on the maximum: each cluster's
  residuals are first centred and scaled by their spread over the draws, for a
  small cluster's residual is large by chance. p below a level for any cluster
  happens by chance in that share of the persons, however many clusters there
  are. (1 + exceeding draws) / (1 + draws), so never 0.

  Args:
    observed: [I] float64.
    chance: [R, I] float64, residuals of the same clusters by chance.

  Returns:
    [I] float64 in (0, 1].
  """
  if not len(observed):
    return np.empty(0)
  centre, spread = chance.mean(axis=0), chance.std(axis=0)
  spread = np.maximum(spread, _EQUAL)
  highest = ((chance - centre) / spread).max(axis=1)
  score = (observed - centre) / spread
  exceeding = (highest[:, None] >= score - _EQUAL).sum(axis=0)
  return (1 + exceeding) / (1 + len(chance))


def _standardised(values: np.ndarray) -> np.ndarray:
  """Returns profiles of mean 0 and length 1; 0 where a profile is constant."""
  if not values.shape[-1]:
    return values
  centred = values - values.mean(axis=-1, keepdims=True)
  constant = np.ptp(values, axis=-1, keepdims=True) <= _EQUAL
  length = np.linalg.norm(centred, axis=-1, keepdims=True)
  return np.where(constant, 0, centred / np.where(constant, 1, length))
