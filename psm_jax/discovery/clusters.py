"""Groups of similar frames of one person: DBSCAN over a grid of settings.

n frames, D features, S settings, K neighbours.

  table = clusters.select(table, config=config)
  distances, neighbours = clusters.measure(table.features, config=config)
  grid = clusters.make_settings([neighbours], config=config)
  labels = clusters.label_frames(distances, neighbours, grid, config=config)

DBSCAN is that of Ester et al. (1996), and its labels are those of
scikit-learn, number by number. What is our own is that a grid shares its work:
the frames that DBSCAN joins at a radius are those that a minimum spanning tree
of mutual reachability (Campello et al., 2013, definition 3) joins below it, so
one tree serves all radii of a min_samples, and one matrix of distances serves
everything.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn import cluster
from sklearn.metrics import pairwise

from psm_jax.evaluation import features, splits

METHODS = DBSCAN, HDBSCAN = 'dbscan', 'hdbscan'
SCALES = SPREAD, UNIT = 'spread', 'unit'
CENTRES = AUTO, VIDEO, NONE = 'auto', 'video', 'none'
NOISE = -1

MAX_FRAMES = 16_000  # Two matrices of distances are then 2 GiB.
_ROWS_AT_ONCE = 1024  # Of a matrix of distances; bounds the memory.


@dataclasses.dataclass(frozen=True)
class ClusterConfig:
  """How the frames of one person are grouped.

  Attributes:
    method: 'dbscan', or 'hdbscan' (Campello et al., 2013), which needs no
      radius, so that its grid is min_samples alone.
    frame_stride: Every video's frames are used whose number is a multiple of
      this: the same numbers for every person. 10 gives the published tenth.
    quantiles: Radii of the grid, as quantiles over frames of the distance to
      the min_samples-th neighbour, the frame itself counted as the first. The
      values of this and the next are our choice; the published grid has as
      many settings.
    min_samples: Frames within the radius, itself included, that make a frame
      the core of a cluster.
    centre: 'video' takes the median embedding of a video from its frames, so
      that a direction is that of a movement away from the video's rest, and
      what a whole video shares sets no frames apart; 'none', as published, does
      not. 'auto' is 'video' where the length of an embedding tells something.
    scale: All embeddings are scaled to length 1. 'spread' divides distances
      also by their root mean square over the person's frames, so that one
      radius means the same to models that use a wide or a narrow part of the
      sphere; 'unit' does not.
    min_size: Frames below which a cluster does not count when the working
      setting is chosen, and smallest cluster of HDBSCAN.
    num_subsamples: Draws of frames behind a cluster's stability.
    subsample_share: Share of the frames in each.
    seed: Of these draws.
  """

  method: str = DBSCAN
  frame_stride: int = 10
  quantiles: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 8).tolist())
  min_samples: tuple[int, ...] = (4, 5, 6, 7, 8)
  centre: str = AUTO
  scale: str = SPREAD
  min_size: int = 10
  num_subsamples: int = 20
  subsample_share: float = 0.8
  seed: int = 0


DEFAULT = ClusterConfig()


@dataclasses.dataclass(frozen=True)
class Setting:
  """One setting of the grid.

  Attributes:
    min_samples: See ClusterConfig.
    quantile: Which quantile the radius is; NaN for HDBSCAN.
    eps: The radius, in the units of frame_distances; NaN for HDBSCAN.
  """

  min_samples: int
  quantile: float
  eps: float


def select(
  table: features.FeatureTable, *, config: ClusterConfig
) -> features.FeatureTable:
  """Returns the frames that are grouped, in time order, centred if asked."""
  table = table.in_order()
  is_auto = config.centre == AUTO
  if table.has_length if is_auto else config.centre == VIDEO:
    data = pd.DataFrame(table.features)
    median = data.groupby(table.frames['video_id']).transform('median')
    table = dataclasses.replace(table, features=(data - median).to_numpy())
  number = table.frames['frame'].to_numpy(np.int64)
  return table.take(number % config.frame_stride == 0)


def frame_distances(data: np.ndarray, *, scale: str = SPREAD) -> np.ndarray:
  """Returns the Euclidean distances between embeddings scaled to length 1.

  Args:
    data: [n, D] float, finite; a row of zeros, a frame at rest, stays.
    scale: One of SCALES, see ClusterConfig.

  Returns:
    [n, n] float32, symmetric, 0 on the diagonal.

  Raises:
    splits.Impossible: If there are too many frames for the memory, or
      embeddings do not vary.
  """
  if len(data) > MAX_FRAMES:
    raise splits.Impossible(
      f'{len(data)} frames are more than {MAX_FRAMES}; take a larger stride'
    )
  unit = features.unit_length(data).astype(np.float32)
  centred = unit - unit.mean(axis=0, dtype=np.float64)
  spread = np.sqrt(2 * (centred**2).sum(axis=1).mean())
  if spread < 1e-6:  # Float32 resolves no less.
    raise splits.Impossible('embeddings do not vary over frames')
  # Exact differences of near-equal frames: scikit-learn sums in float64.
  distances = pairwise.euclidean_distances(unit)
  if scale == SPREAD:
    distances /= np.float32(spread)
  return distances


def neighbour_distances(
  distances: np.ndarray, *, num_neighbours: int
) -> np.ndarray:
  """Returns the distances to each frame's nearest frames, itself the first.

  Args:
    distances: [n, n] float32.
    num_neighbours: K, at most n.

  Returns:
    [n, K] float32, ascending.

  Raises:
    splits.Impossible: If there are fewer than K frames.
  """
  if len(distances) < num_neighbours:
    raise splits.Impossible(
      f'{len(distances)} frames are fewer than min_samples {num_neighbours}'
    )
  nearest = [
    np.partition(part, num_neighbours - 1, axis=1)[:, :num_neighbours]
    for part in (
      distances[start : start + _ROWS_AT_ONCE]
      for start in range(0, len(distances), _ROWS_AT_ONCE)
    )
  ]
  return np.sort(np.concatenate(nearest), axis=1)


def measure(
  data: np.ndarray, *, config: ClusterConfig
) -> tuple[np.ndarray, np.ndarray]:
  """Returns frame_distances, and neighbour_distances for all of a grid.

  Args:
    data: [n, D] float, embeddings.
    config: The grid and the scale.

  Raises:
    splits.Impossible: If there are too few or too many frames, or embeddings do
      not vary.
  """
  distances = frame_distances(data, scale=config.scale)
  most = max(config.min_samples)
  return distances, neighbour_distances(distances, num_neighbours=most)


def make_settings(
  neighbours: Sequence[np.ndarray], *, config: ClusterConfig
) -> tuple[Setting, ...]:
  """Returns the grid, one for all models that are compared on a person.

  Args:
    neighbours: [n, K] of every model, from neighbour_distances; a radius is a
      quantile over the frames of all, each an observed distance.
    config: The grid.
  """
  if config.method == HDBSCAN:
    return tuple(Setting(m, np.nan, np.nan) for m in config.min_samples)
  grid = []
  for min_samples in config.min_samples:
    reach = np.concatenate([part[:, min_samples - 1] for part in neighbours])
    radii = np.quantile(reach, config.quantiles, method='inverted_cdf')
    grid += [
      Setting(min_samples, quantile, float(eps))
      for quantile, eps in zip(config.quantiles, radii, strict=True)
    ]
  return tuple(grid)


def label_frames(
  distances: np.ndarray,
  neighbours: np.ndarray,
  settings: Sequence[Setting],
  *,
  config: ClusterConfig,
) -> np.ndarray:
  """Groups the frames at every setting.

  Args:
    distances: [n, n] float32.
    neighbours: [n, K] float32 of the same frames, K at least every
      min_samples.
    settings: S of them.
    config: The method, and min_size for HDBSCAN.

  Returns:
    [S, n] int32: clusters from 0 in the order of their first core frame, -1
    is noise.
  """
  labels = np.empty((len(settings), len(distances)), np.int32)
  trees = {}
  for row, setting in enumerate(settings):
    if config.method == HDBSCAN:
      labels[row] = _hdbscan(distances, setting.min_samples, config.min_size)
      continue
    core = neighbours[:, setting.min_samples - 1]
    if setting.min_samples not in trees:
      trees[setting.min_samples] = _spanning_tree(distances, core)
    labels[row] = _cut(
      distances, core, trees[setting.min_samples], np.float32(setting.eps)
    )
  return labels


def count(labels: np.ndarray) -> dict[str, float]:
  """Returns the number of clusters without and with noise, and its share.

  Args:
    labels: [n] int. Noise counts as one cluster if there is any.

  Returns:
    num_clusters, num_clusters_with_noise and noise_share.
  """
  with_noise = len(np.unique(labels))
  noise = labels == NOISE
  return {
    'num_clusters': with_noise - bool(noise.any()),
    'num_clusters_with_noise': with_noise,
    'noise_share': float(noise.mean()),
  }


def working_setting(labels: Sequence[np.ndarray], *, min_size: int) -> int:
  """Returns which setting to work with, the same for all models.

  The one with the largest sum over models of the number of clusters of
  min_size frames or more times the share of frames in clusters; of several the
  first. A small radius splits clusters and loses frames, a large one joins
  clusters: the product falls on both sides. Our choice; the published rule is
  unknown.

  Args:
    labels: [S, n] of every model.
    min_size: See ClusterConfig.
  """
  score = np.zeros(len(labels[0]))
  for of_model in labels:
    for index, at_setting in enumerate(of_model):
      inside = at_setting[at_setting != NOISE]
      sizes = np.bincount(inside, minlength=1)
      score[index] += (
        (sizes >= min_size).sum() * len(inside) / of_model.shape[1]
      )
  return int(score.argmax())


def _hdbscan(distances, min_samples, min_size) -> np.ndarray:
  """Returns scikit-learn's labels of HDBSCAN."""
  if len(distances) <= max(min_samples, min_size):
    return np.full(len(distances), NOISE, np.int32)
  model = cluster.HDBSCAN(
    min_cluster_size=min_size,
    min_samples=min_samples,
    metric='precomputed',
    copy=True,
  )
  return model.fit(distances).labels_.astype(np.int32)


def _spanning_tree(distances, core) -> tuple[np.ndarray, np.ndarray]:
  """Returns Prim's order of the frames and the edge by which each was joined.

  Frames that are joined below a radius follow each other in that order, so a
  cut at a radius is a cut of the order.

  Args:
    distances: [n, n] float32.
    core: [n] float32, distance to the min_samples-th neighbour.

  Returns:
    [n] int64 and [n] float32; the first frame's edge is infinite.
  """
  num_frames = len(distances)
  order = np.empty(num_frames, np.int64)
  edge = np.empty(num_frames, np.float32)
  outside = np.ones(num_frames, bool)
  reach = np.full(num_frames, np.inf, np.float32)
  step, current = np.float32(np.inf), 0
  for position in range(num_frames):
    order[position], edge[position] = current, step
    outside[current] = False
    joined = np.maximum(distances[current], core)
    np.maximum(joined, core[current], out=joined)
    np.minimum(reach, joined, out=reach, where=outside)
    reach[current] = np.inf
    current = int(reach.argmin())
    step = reach[current]
  return order, edge


def _cut(distances, core, tree, eps) -> np.ndarray:
  """Returns the labels of DBSCAN at one radius."""
  order, edge = tree
  is_core = core <= eps
  labels = np.full(len(core), NOISE, np.int32)
  if not is_core.any():
    return labels
  part = np.empty(len(core), np.int64)
  part[order] = np.cumsum(edge > eps)
  _, first, part_of_core = np.unique(
    part[is_core], return_index=True, return_inverse=True
  )
  labels[is_core] = np.argsort(np.argsort(first))[part_of_core]
  # A frame at the border of several clusters belongs to the first of them.
  core_labels = labels[is_core]
  border = np.flatnonzero(~is_core)
  unreached = np.int32(len(core))
  for start in range(0, len(border), _ROWS_AT_ONCE):
    rows = border[start : start + _ROWS_AT_ONCE]
    near = distances[rows][:, is_core] <= eps
    label = np.where(near, core_labels, unreached).min(axis=1)
    labels[rows] = np.where(label == unreached, NOISE, label)
  return labels
