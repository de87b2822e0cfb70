"""The clusters of two models of one person, side by side.

n frames, A action units, I clusters, S settings, J counterparts.

  rows = comparison.compare_person(psm_tables, gm_tables, config=config)

psm_jax/evaluation/discovery.py does this for every person and names the
columns.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from sklearn import metrics

from psm_jax.evaluation import (
  clusters,
  features,
  movements,
  novelty,
  splits,
  verdicts,
)

_KEYS = ['video_id', 'frame', 'time_s']


@dataclasses.dataclass(frozen=True)
class DiscoveryConfig:
  """How clusters of two models are found, compared and described.

  Attributes:
    clusters: How frames are grouped.
    novelty: What makes a cluster strictly novel.
    gap_s: Seconds of absence that end an occasion of a cluster.
    bin_s: Seconds of a bin of the occupancy.
    num_exemplars: Exemplar frames a cluster, at most one an occasion.
    truth: Column of the frames that numbers the movement under way, 0 for
      none; clusters are scored against it where it exists.

  Raises:
    ValueError: If a value is out of its range.
  """

  clusters: clusters.ClusterConfig = clusters.DEFAULT
  novelty: novelty.NoveltyConfig = novelty.DEFAULT
  gap_s: float = 1.0
  bin_s: float = 10.0
  num_exemplars: int = 3
  truth: str = 'signature'

  def __post_init__(self):
    if self.gap_s < 0:
      raise ValueError(f'gap_s {self.gap_s} is negative.')
    if not self.bin_s > 0:
      raise ValueError(f'bin_s {self.bin_s} is not positive.')
    if self.num_exemplars < 1:
      raise ValueError(f'num_exemplars {self.num_exemplars} is less than 1.')


DEFAULT = DiscoveryConfig()


@dataclasses.dataclass
class _Side:
  """One model's clusters of the selected frames of a person."""

  table: features.FeatureTable
  distances: np.ndarray  # [n, n] float32.
  neighbours: np.ndarray  # [n, K] float32.
  grid: np.ndarray | None = None  # [S, n] int32.
  labels: np.ndarray | None = None  # [n] int32, of the working setting.


def compare_person(
  firsts: Sequence[features.FeatureTable],
  seconds: Sequence[features.FeatureTable],
  *,
  config: DiscoveryConfig,
  flows: Mapping[str, np.ndarray] | None = None,
) -> dict[str, list[dict]]:
  """Compares the clusters of two models of one person, both ways.

  Args:
    firsts: The first model's features, then those of its other seeds.
    seconds: The second model's, of the same frames, then other seeds.
    config: See DiscoveryConfig.
    flows: model_id to [rows of its table, H, W, 2] flow of each frame.

  Returns:
    Table name to rows, as described in discovery.py.

  Raises:
    splits.Impossible: If the person cannot be compared; names the reason.
  """
  stride = config.clusters.frame_stride
  tables = [_take(table, stride) for table in (*firsts, *seconds)]
  labelled = _labelled(tables, config.novelty.threshold)
  tables = tables[: len(firsts)], tables[len(firsts) :]
  sides = [_measured(own[0], config.clusters) for own in tables]
  settings = clusters.make_settings(
    [side.neighbours for side in sides], config=config.clusters
  )
  for side in sides:
    side.grid = _grid(side, settings, config)
  working = clusters.working_setting(
    [side.grid for side in sides], min_size=config.clusters.min_size
  )
  for side in sides:
    side.labels = side.grid[working]
  seeds = [
    [_seed(table, sides, settings, working, config) for table in own[1:]]
    for own in tables
  ]
  rows = collections.defaultdict(list)
  for index, given in enumerate((firsts[0], seconds[0])):
    own, other = sides[index], sides[1 - index]
    described = _describe(own, other, settings[working], config)
    judged = verdicts.judge(
      own.table.person_id,
      own.labels,
      [
        verdicts.Rival(other.labels, other.grid, _purity(other, own, config)),
        *(views[index] for views in seeds[1 - index]),
      ],
      [views[index] for views in seeds[index]],
      labelled,
      described,
      config=config.novelty,
      min_size=config.clusters.min_size,
    )
    flow = (flows or {}).get(given.model_id)
    if flow is not None:
      flow = flow[_selected(given.frames, stride)]
    own_rows = _rows(own, other, settings, working, labelled, config)
    own_rows |= {
      'clusters': [
        {**row, **judged.clusters.get(row['cluster'], {})} for row in described
      ],
      'profiles': judged.profiles,
      'flows': _flow_rows(own, flow, judged.clusters),
    }
    own_rows['persons'][0] |= judged.person
    ids = {**_ids(own.table), 'against': other.table.model_id}
    for name, found in own_rows.items():
      rows[name] += [{**ids, **row} for row in found]
  return rows


def _rows(own, other, settings, working, labelled, config):
  """Returns the rows of a model's tables that say nothing of novelty."""
  return {
    'settings': _setting_rows(own, settings, working, config),
    'persons': [
      {
        **_person_row(own, other, settings[working]),
        **_agreement(own, labelled, config.truth),
      }
    ],
    'exemplars': _exemplar_rows(own, config),
    'occupancy': movements.occupancy(
      own.table.frames, own.labels, bin_s=config.bin_s
    ),
  }


def _ids(table):
  """Returns what a table is called in the results."""
  return {
    'source': table.source,
    'model_id': table.model_id,
    'person_id': table.person_id,
  }


def _selected(frames, stride):
  """Returns the rows of the selected frames by video, time and number."""
  order = np.lexsort(
    (frames['frame'], frames['time_s'], frames['video_id'].astype(str))
  )
  return order[clusters.select_frames(frames.iloc[order], stride=stride)]


def _take(table, stride):
  """Returns a table of the selected frames."""
  rows = _selected(table.frames, stride)
  frames = table.frames.iloc[rows].reset_index(drop=True)
  frames['video_id'] = frames['video_id'].astype(str)
  return dataclasses.replace(
    table, features=table.features[rows], frames=frames
  )


def _labelled(tables, threshold) -> verdicts.Labelled:
  """Returns the labels of a person, checked to be those of every table."""
  frames = tables[0].frames
  for table in tables[1:]:
    if not table.frames[_KEYS].equals(frames[_KEYS]):
      raise splits.Impossible(
        f'{tables[0].model_id} and {table.model_id} have different frames'
      )
  labels = [
    splits.action_unit_labels(table.frames, threshold=threshold).dropna(
      axis=1, how='all'
    )
    for table in tables
  ]
  # Features from elsewhere may come without labels.
  given = [i for i, own in enumerate(labels) if own.shape[1]]
  if not given:
    return verdicts.Labelled(
      np.zeros(len(frames), bool), np.zeros((0, 0), bool), ()
    )
  for index in given[1:]:
    if not labels[index].equals(labels[given[0]]):
      raise splits.Impossible(
        f'{tables[given[0]].model_id} and {tables[index].model_id} have '
        'different action-unit labels'
      )
  own = labels[given[0]]
  known = own.notna().all(axis=1).to_numpy()
  return verdicts.Labelled(
    known, own[known].to_numpy() == 1, tuple(own.columns)
  )


def _measured(table, config) -> _Side:
  """Returns a model's distances between the frames of a person."""
  distances = clusters.frame_distances(table.features, scale=config.scale)
  neighbours = clusters.neighbour_distances(
    distances, num_neighbours=max(config.min_samples)
  )
  return _Side(table, distances, neighbours)


def _grid(side, settings, config):
  """Returns [S, n] labels of a model at every setting."""
  return clusters.label_frames(
    side.distances, side.neighbours, settings, config=config.clusters
  )


def _purity(other, own, config) -> dict[int, float]:
  """Returns the purity of a model's clusters in another model's embedding."""
  return {
    label: movements.purity(
      other.distances,
      movements.episodes(
        own.table.frames, own.labels == label, gap_s=config.gap_s
      ),
    )
    for label in np.unique(own.labels).tolist()
  }


def _seed(table, sides, settings, working, config) -> list[verdicts.Rival]:
  """Returns what another seed makes of the frames, for either model."""
  side = _measured(table, config.clusters)
  grid = _grid(side, settings, config)
  return [
    verdicts.Rival(grid[working], grid, _purity(side, own, config))
    for own in sides
  ]


def _setting_rows(own, settings, working, config):
  """Returns how many clusters a model has at each setting."""
  rows = []
  for index, setting in enumerate(settings):
    without, with_noise, noise = clusters.count(own.grid[index])
    rows.append(
      {
        'method': config.clusters.method,
        **dataclasses.asdict(setting),
        'num_clusters': without,
        'num_clusters_with_noise': with_noise,
        'noise_share': noise,
        'is_working': index == working,
      }
    )
  return rows


def _describe(own, other, setting, config) -> list[dict]:
  """Returns what is known of every cluster without action units."""
  stable = clusters.stability(
    own.distances, own.labels, setting, config=config.clusters
  )
  overlap = clusters.overlaps(own.labels, other.labels)
  frames = own.table.frames
  rows = []
  for label in np.unique(own.labels).tolist():
    inside = own.labels == label
    occasion = movements.episodes(frames, inside, gap_s=config.gap_s)
    beside, index = overlap.get(label, (clusters.NOISE, np.nan))
    rows.append(
      {
        'cluster': label,
        'size': int(inside.sum()),
        'share': float(inside.mean()),
        'num_episodes': int(occasion.max()) + 1,
        'jaccard': stable.get(label, np.nan),
        'purity': movements.purity(own.distances, occasion),
        'overlap_cluster': beside,
        'overlap': index,
        **_truth(frames, inside, config.truth),
      }
    )
  return rows


def _truth(frames, inside, column) -> dict:
  """Returns the given movement that fills a cluster most, but for none."""
  if column not in frames:
    return {}
  truth = frames[column].to_numpy(np.float64)
  here = truth[inside & (truth > 0)]
  if not here.size:
    return {}
  names, sizes = np.unique(here, return_counts=True)
  most = sizes.argmax()
  return {
    'truth': int(names[most]),
    'truth_precision': sizes[most] / inside.sum(),
    'truth_recall': sizes[most] / (truth == names[most]).sum(),
  }


def _person_row(own, other, setting) -> dict:
  """Returns a person's counts over the grid and the working setting."""
  num, num_noise = (
    np.array(
      [
        [clusters.count(labels)[i] for labels in side.grid]
        for side in (own, other)
      ]
    ).mean(axis=1)
    for i in (0, 1)
  )
  without, with_noise, noise = clusters.count(own.labels)
  return {
    'num_frames': len(own.labels),
    'min_samples': setting.min_samples,
    'quantile': setting.quantile,
    'eps': setting.eps,
    'num_clusters': without,
    'num_clusters_with_noise': with_noise,
    'noise_share': noise,
    'grid_mean': num[0],
    'grid_mean_with_noise': num_noise[0],
    'grid_difference': num_noise[1] - num_noise[0],
  }


def _agreement(own, labelled, truth_column) -> dict:
  """Returns the adjusted mutual information with labels and given movements."""
  result = {}
  if len(labelled.active):
    _, pattern = np.unique(labelled.active, axis=0, return_inverse=True)
    result['ami_action_units'] = metrics.adjusted_mutual_info_score(
      pattern, own.labels[labelled.known]
    )
  if truth_column in own.table.frames:
    truth = own.table.frames[truth_column].to_numpy(np.float64)
    known = np.isfinite(truth)
    if known.any():
      result['ami_truth'] = metrics.adjusted_mutual_info_score(
        truth[known].astype(np.int64), own.labels[known]
      )
  return result


def _exemplar_rows(own, config) -> list[dict]:
  """Returns the exemplar frames of every cluster but noise."""
  rows = []
  frames = own.table.frames
  for label in np.unique(own.labels[own.labels != clusters.NOISE]).tolist():
    occasion = movements.episodes(
      frames, own.labels == label, gap_s=config.gap_s
    )
    for rank, (row, mean) in enumerate(
      movements.exemplars(
        own.distances, occasion, num_exemplars=config.num_exemplars
      )
    ):
      rows.append(
        {
          'cluster': label,
          'rank': rank,
          'video_id': frames['video_id'].iloc[row],
          'frame': int(frames['frame'].iloc[row]),
          'time_s': float(frames['time_s'].iloc[row]),
          'mean_distance': mean,
        }
      )
  return rows


def _flow_rows(own, flow, judged) -> list[dict]:
  """Returns the motion of the clusters that either rule calls novel."""
  return [
    {'cluster': label, **cell}
    for label, row in judged.items()
    if flow is not None and (row['is_novel'] or row['is_strictly_novel'])
    for cell in movements.flow_difference(flow, own.labels == label)
  ]
