"""How well groups of frames hold, and how much two groupings have in common.

n frames.
"""

import dataclasses

import numpy as np

from psm_jax.discovery import clusters


def of_clusters(
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
  met = ~np.isnan(indices)
  total = np.where(met, indices, 0).sum(axis=0)
  with np.errstate(invalid='ignore'):
    means = total / met.sum(axis=0)
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
  union = inside.sum(axis=0)[:, None] + beside.sum(axis=0) - shared
  index = np.divide(shared, union)
  return {
    int(label): (int(other[row.argmax()]), float(row.max()))
    if len(other)
    else (clusters.NOISE, 0.0)
    for label, row in zip(clusters_here, index, strict=True)
  }
