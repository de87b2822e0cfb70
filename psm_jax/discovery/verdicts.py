"""Which clusters of one model of a person are novel, by both rules.

n frames, m labelled frames, A action units, I clusters, S settings, J
counterparts.

psm_jax/discovery/novelty.py has the formulas; this puts them together for one
model against a rival. Rows are described in psm_jax/discovery/search.py.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from psm_jax.discovery import clusters, novelty

_BLENDS = np.linspace(0, 1, 9)  # Shares of a movement mixed with rest.


@dataclasses.dataclass(frozen=True)
class Labelled:
  """The labelled frames of a person.

  Attributes:
    known: [n] bool: every action unit is labelled.
    active: [m, A] bool: which are active.
    units: A names.
  """

  known: np.ndarray
  active: np.ndarray
  units: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Rival:
  """Another model's view of the same frames.

  Attributes:
    labels: [n] int, its clusters at the working setting.
    grid: [S, n] int, its clusters at every setting.
    purity: Cluster of the judged model to its purity in this embedding.
  """

  labels: np.ndarray
  grid: np.ndarray
  purity: Mapping[int, float]


def judge(
  person_id: str,
  labels: np.ndarray,
  rivals: Sequence[Rival],
  seeds: Sequence[Rival],
  labelled: Labelled,
  described: Sequence[dict],
  *,
  config: novelty.NoveltyConfig,
  min_size: int,
) -> tuple[dict[int, dict], list[dict], dict]:
  """Applies both rules to the clusters of one model.

  Args:
    person_id: The nulls are drawn for this person.
    labels: [n] int, the model's clusters at the working setting.
    rivals: The model it is compared with, then other seeds of that. The
      published rule sees the first; what any of them has is not strictly
      novel.
    seeds: Other seeds of the same model.
    labelled: The labels.
    described: A row a cluster with cluster, num_episodes, jaccard and purity.
    config: The rules.
    min_size: Labelled frames below which a cluster does not count.

  Returns:
    Cluster to its columns of clusters.csv, rows of profiles.csv, and columns of
    persons.csv; all empty without labels.
  """
  if not labelled.active.size:
    return {}, [], {}
  told = labels[labelled.known]
  groups = novelty.profiles(told, labelled.active, keep_silent=True)
  counterparts = _counterparts(rivals, labelled, min_size)
  apart = novelty.city_block(groups.values, counterparts)
  p, counts = _nulls(
    groups, told, rivals[0], labelled, counterparts, person_id, config, min_size
  )
  rows, num_strict_seed = _strict(
    groups,
    apart.min(axis=1),
    p,
    rivals,
    seeds,
    labelled,
    described,
    config,
    min_size,
  )
  num_novel, num_novel_seed = _published(
    labels, rivals[0], seeds, labelled, rows
  )
  p_novel = (1 + int((counts >= num_novel).sum())) / (1 + len(counts))
  person = {
    'num_novel': num_novel,
    'chance_mean': float(counts.mean()),
    'chance_95': float(np.quantile(counts, 0.95)),
    'p_novel': p_novel,
    'num_novel_seed': max(num_novel_seed, default=None),
    'is_above_null': p_novel <= config.level
    and num_novel > max(num_novel_seed, default=-1),
    'num_strictly_novel': sum(r['is_strictly_novel'] for r in rows.values()),
    'num_strictly_novel_seed': max(num_strict_seed, default=None),
  }
  profiles = _profile_rows(groups, counterparts, apart, labelled.units)
  return rows, profiles, person


def _strict(
  groups, residual, p, rivals, seeds, labelled, described, config, min_size
) -> tuple[dict[int, dict], list[int]]:
  """Returns the strict verdicts, and how many each other seed would give."""
  seed_residuals = [
    novelty.residuals(groups.values, _counterparts([seed], labelled, min_size))
    for seed in seeds
  ]
  rows, num_strict_seed = {}, [0] * len(seeds)
  of_cluster = {row['cluster']: row for row in described}
  for i, label in enumerate(groups.labels.tolist()):
    row = {
      'residual': residual[i],
      'purity_against': max(rival.purity[label] for rival in rivals),
      **{name: values[i] for name, values in p.items()},
    }
    facts = {**of_cluster[label], **row, 'size': groups.sizes[i]}
    fails = _fails(facts, config, min_size)
    again = []
    for index, seed in enumerate(seeds):
      facts['residual'] = seed_residuals[index][i]
      facts['purity_against'] = seed.purity[label]
      fails_seed = _fails(facts, config, min_size)
      num_strict_seed[index] += not fails_seed
      # Either condition says that the other seed has the cluster too.
      again.append('residual' in fails_seed or 'unseen' in fails_seed)
    is_noise = label == clusters.NOISE
    if not is_noise and not all(again):
      fails.append('replication')
    rows[label] = {
      **row,
      'replicated': float(np.mean(again)) if seeds and not is_noise else None,
      'is_strictly_novel': not fails,
      'fails': '+'.join(fails),
    }
  return rows, num_strict_seed


def _counterparts(rivals, labelled, min_size) -> np.ndarray:
  """Returns the profiles that models offer, whatever the setting.

  The clusters of at least min_size labelled frames at every setting of the
  grid; the person's frames as a whole; and blends of each with rest, for a
  group that holds a movement's beginning and end is no other movement.

  Returns:
    [J, A] float64.
  """
  profiles = [labelled.active.mean(axis=0, dtype=np.float64)[None]]
  grids = np.concatenate([rival.grid[:, labelled.known] for rival in rivals])
  for labels in grids:
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    inside = labels[:, None] == np.flatnonzero(sizes >= min_size)
    counts = inside.T.astype(np.float64) @ labelled.active
    profiles.append(counts / inside.sum(axis=0)[:, None])
  # Settings share most of their clusters.
  whole = np.unique(np.concatenate(profiles).round(9), axis=0)
  blends = _BLENDS[:, None, None] * whole
  return np.unique(blends.reshape(-1, whole.shape[1]), axis=0)


def _nulls(
  groups, told, rival, labelled, counterparts, person_id, config, min_size
):
  """Returns p of each null by cluster, and the published rule's counts."""
  theirs = novelty.profiles(rival.labels[labelled.known], labelled.active)
  tested = np.flatnonzero(
    (groups.labels != clusters.NOISE) & (groups.sizes >= min_size)
  )
  observed = novelty.residuals(groups.values[tested], counterparts)
  generator = np.random.default_rng([config.seed, *person_id.encode()])
  p = {}
  for name, draw in (
    ('p_shuffle', novelty.shuffles),
    ('p_shift', novelty.shifts),
  ):
    orders = draw(len(told), num_draws=config.num_draws, generator=generator)
    chance = novelty.chance_profiles(told, labelled.active, orders=orders)
    if name == 'p_shuffle':
      counts = novelty.chance_counts(chance, theirs)
    p[name] = np.full(len(groups.labels), np.nan)
    p[name][tested] = novelty.adjusted_p(
      observed, novelty.residuals(chance[:, tested], counterparts)
    )
  return p, counts


def _fails(facts, config, min_size) -> list[str]:
  """Returns the conditions of strict novelty that a cluster does not meet."""
  if facts['cluster'] == clusters.NOISE:
    return ['noise']
  met = {
    'size': facts['size'] >= min_size,
    'episodes': facts['num_episodes'] >= config.min_episodes,
    'residual': facts['residual'] >= config.min_residual,
    'shuffle': facts['p_shuffle'] <= config.level,
    'shift': facts['p_shift'] <= config.level,
    'unseen': facts['purity_against'] <= config.max_purity * facts['purity'],
    'stability': facts['jaccard'] >= config.min_jaccard,
  }
  return [name for name, is_met in met.items() if not is_met]


def _published(labels, rival, seeds, labelled, rows) -> tuple[int, list[int]]:
  """Adds the published verdicts to rows; returns their counts."""
  mine, theirs, *others = (
    novelty.profiles(another[labelled.known], labelled.active)
    for another in (labels, rival.labels, *(seed.labels for seed in seeds))
  )
  compared = novelty.compare(mine, theirs)
  for row in rows.values():
    row['is_novel'] = False
  for i, label in enumerate(mine.labels.tolist()):
    rows[label]['is_novel'] = bool(compared.novel[i])
    if len(theirs.labels):
      best = compared.normalised[i].argmax()
      rows[label]['similarity'] = compared.normalised[i, best]
      rows[label]['nearest'] = theirs.labels[best]
  return int(compared.novel.sum()), [
    int(novelty.compare(mine, another).novel.sum()) for another in others
  ]


def _profile_rows(groups, counterparts, apart, units) -> list[dict]:
  """Returns each cluster's profile beside its nearest counterpart."""
  nearest = counterparts[apart.argmin(axis=1)]
  return [
    {
      'cluster': label,
      'au': unit,
      'active': groups.values[i, a],
      'counterpart': nearest[i, a],
      'residual': groups.values[i, a] - nearest[i, a],
    }
    for i, label in enumerate(groups.labels.tolist())
    for a, unit in enumerate(units)
  ]
