"""What a group of frames shows: when it occurs, its exemplars, its motion.

n frames, R rows of pixels, C columns of pixels.
"""

import dataclasses

import numpy as np
import pandas as pd

from psm_jax.data import embedded
from psm_jax.discovery import clusters


def episodes(
  frames: pd.DataFrame, inside: np.ndarray, *, gap_s: float
) -> np.ndarray:
  """Numbers the occasions on which a cluster occurs.

  An occasion ends with the video, or where the cluster is away for longer than
  gap_s; with frames further apart than that, for longer than two of them.

  Args:
    frames: n rows with video_id and time_s, in order of video and time.
    inside: [n] bool, the cluster's frames.
    gap_s: Seconds.

  Returns:
    [n] int: occasion from 0, -1 outside of the cluster.
  """
  number = np.full(len(frames), -1)
  where = np.flatnonzero(inside)
  if not where.size:
    return number
  video = frames['video_id'].astype(str).to_numpy()
  time_s = frames['time_s'].to_numpy(np.float64)
  step = np.diff(time_s)[video[1:] == video[:-1]]
  reach = max(gap_s, 2 * float(np.median(step)) if step.size else 0.0)
  begins = (video[where][1:] != video[where][:-1]) | (
    np.diff(time_s[where]) > reach * (1 + 1e-6)
  )
  number[where] = np.concatenate([[0], np.cumsum(begins)])
  return number


def occasions(
  frames: pd.DataFrame, labels: np.ndarray, *, gap_s: float
) -> dict[int, np.ndarray]:
  """Returns each cluster's, and noise's, [n] int from `episodes`.

  Args:
    frames: n rows, see `episodes`.
    labels: [n] int.
    gap_s: Seconds.
  """
  return {
    label: episodes(frames, labels == label, gap_s=gap_s)
    for label in np.unique(labels).tolist()
  }


def purity(
  distances: np.ndarray, occasion: np.ndarray, *, num_neighbours: int = 5
) -> float:
  """Returns how much a cluster's frames keep to themselves in an embedding.

  The mean over its frames of the share of their nearest frames that are in the
  cluster too. Frames of the same occasion are not looked at: they are alike
  because they are neighbours in time.

  Args:
    distances: [n, n] float32, in any model's embedding.
    occasion: [n] int from episodes.
    num_neighbours: Nearest frames; fewer if the cluster has fewer on its other
      occasions.

  Returns:
    In [0, 1]; NaN for a cluster of less than two occasions.
  """
  where = np.flatnonzero(occasion >= 0)
  num = np.bincount(occasion[where], minlength=1)
  if len(num) < 2:
    return float('nan')
  num_neighbours = min(num_neighbours, len(where) - int(num.max()))
  near = distances[where]
  near[occasion[where][:, None] == occasion] = np.inf
  nearest = np.argpartition(near, num_neighbours - 1, axis=1)
  return float((occasion[nearest[:, :num_neighbours]] >= 0).mean())


def exemplars(
  distances: np.ndarray, occasion: np.ndarray, *, num_exemplars: int
) -> list[tuple[int, float]]:
  """Returns a cluster's most central frames, one an occasion.

  The first is the medoid: the frame with the least mean distance to the
  cluster's frames.

  Args:
    distances: [n, n] float32.
    occasion: [n] int from episodes.
    num_exemplars: At most so many.

  Returns:
    (row, mean distance to the cluster's other frames), the most central first.
  """
  where = np.flatnonzero(occasion >= 0)
  total = distances[np.ix_(where, where)].sum(axis=1, dtype=np.float64)
  mean = total / max(1, len(where) - 1)
  order = np.argsort(mean, kind='stable')
  _, first = np.unique(occasion[where[order]], return_index=True)
  chosen = order[np.sort(first)[:num_exemplars]]
  return list(zip(where[chosen].tolist(), mean[chosen].tolist(), strict=True))


def occupancy(
  frames: pd.DataFrame, labels: np.ndarray, *, bin_s: float
) -> list[dict]:
  """Returns the share of frames in each cluster over time.

  Args:
    frames: n rows with video_id and time_s.
    labels: [n] int, -1 is noise.
    bin_s: Length of a bin in seconds; bins begin at multiples of it.

  Returns:
    A dict for each video, bin with frames, and cluster of the person:
    video_id, bin_start_s, cluster, num_frames (of the bin), share.
  """
  rows = []
  labels_there = np.unique(labels)
  start = np.floor(frames['time_s'].to_numpy(np.float64) / bin_s) * bin_s
  video = frames['video_id'].astype(str).to_numpy()
  for video_id in np.unique(video):
    for begin in np.unique(start[video == video_id]):
      here = labels[(video == video_id) & (start == begin)]
      rows += [
        {
          'video_id': video_id,
          'bin_start_s': begin,
          'cluster': int(label),
          'num_frames': len(here),
          'share': float((here == label).mean()),
        }
        for label in labels_there
      ]
  return rows


def flow_difference(flows: np.ndarray, inside: np.ndarray) -> list[dict]:
  """Returns how a cluster's mean flow differs from that of the other frames.

  This needs no labels: it says where in the face the movement is.

  Args:
    flows: [n, R, C, 2] float, (dy, dx), R and C at least 8, in any unit.
    inside: [n] bool, the cluster's frames, some but not all.

  Returns:
    A dict for each of 8 x 8 cells: row, column, dy, dx, in the flows' unit;
    averaged over the cell.
  """
  difference = flows[inside].mean(axis=0, dtype=np.float64)
  difference -= flows[~inside].mean(axis=0, dtype=np.float64)
  return [
    {
      'row': row,
      'column': column,
      'dy': float(cell[..., 0].mean()),
      'dx': float(cell[..., 1].mean()),
    }
    for row, band in enumerate(
      np.array_split(difference, embedded.FLOW_CELLS, axis=0)
    )
    for column, cell in enumerate(
      np.array_split(band, embedded.FLOW_CELLS, axis=1)
    )
  ]


def stability(
  distances: np.ndarray,
  labels: np.ndarray,
  setting: clusters.Setting,
  *,
  config: clusters.ClusterConfig,
) -> dict[int, float]:
  """Returns how well each cluster is found again among a part of the frames.

  The mean over subsamples of the largest Jaccard index between the cluster's
  frames in the subsample and the clusters found there (Hennig, 2007, without
  replacement). 0.75 and more is called stable. Its min_samples shrinks with
  the number of frames, for the density does too, but not below 2.

  Args:
    distances: [n, n] float32.
    labels: [n] int, found at the setting.
    setting: The setting.
    config: The method and the subsamples.

  Returns:
    Cluster to mean index; noise is left out. NaN for a cluster that no
    subsample met.
  """
  generator = np.random.default_rng(config.seed)
  labels_there = [
    label for label in np.unique(labels) if label != clusters.NOISE
  ]
  size = max(2, round(config.subsample_share * len(labels)))
  min_samples = max(2, round(config.subsample_share * setting.min_samples))
  setting = dataclasses.replace(setting, min_samples=min_samples)
  indices = np.full((config.num_subsamples, len(labels_there)), np.nan)
  for row in range(config.num_subsamples):
    kept = np.sort(generator.choice(len(labels), size, replace=False))
    part = distances[np.ix_(kept, kept)]
    again = clusters.label_frames(
      part,
      clusters.neighbour_distances(part, num_neighbours=min_samples),
      [setting],
      config=config,
    )[0]
    overlap = overlaps(labels[kept], again)
    for column, label in enumerate(labels_there):
      if label in overlap:
        indices[row, column] = overlap[label][1]
  means = np.ma.masked_invalid(indices).mean(axis=0).filled(np.nan)
  return dict(zip(map(int, labels_there), means.tolist(), strict=True))


def overlaps(
  labels: np.ndarray, others: np.ndarray
) -> dict[int, tuple[int, float]]:
  """Returns, for each cluster, the other labelling's cluster most like it.

  Args:
    labels: [n] int.
    others: [n] int, another labelling of the same frames.

  Returns:
    Cluster to (other cluster, Jaccard index of their frames). Noise is no
    cluster on either side; where others have none the other is -1 and the
    index 0.
  """
  clusters_here = np.unique(labels[labels != clusters.NOISE])
  other = np.unique(others[others != clusters.NOISE])
  inside = labels[:, None] == clusters_here
  beside = others[:, None] == other
  shared = inside.T.astype(np.float64) @ beside
  index = shared / (inside.sum(axis=0)[:, None] + beside.sum(axis=0) - shared)
  return {
    int(label): (int(other[row.argmax()]), float(row.max()))
    if len(other)
    else (clusters.NOISE, 0.0)
    for label, row in zip(clusters_here, index, strict=True)
  }
