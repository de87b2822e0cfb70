"""What is known of a model's clusters of one person, verdicts aside.

n frames, S settings, I and J clusters of two models.

Rows of the tables that psm_jax/discovery/search.py describes.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn import metrics

from psm_jax.discovery import clusters, movements, novelty
from psm_jax.evaluation import features


@dataclasses.dataclass(frozen=True)
class Grouped:
  """One model's clusters of the frames of a person that are used.

  Attributes:
    table: The features of these frames, in order of video and time.
    distances: [n, n] float32, from clusters.frame_distances.
    grid: [S, n] int32, labels at every setting.
    labels: [n] int32, labels at the working setting.
    occasions: Cluster, noise too, to [n] int from movements.episodes.
  """

  table: features.FeatureTable
  distances: np.ndarray
  grid: np.ndarray
  labels: np.ndarray
  occasions: dict[int, np.ndarray]


def settings(
  model: Grouped,
  grid: Sequence[clusters.Setting],
  *,
  working: int,
  method: str,
) -> list[dict]:
  """Returns how many clusters a model has at each setting.

  Args:
    model: The model.
    grid: S settings.
    working: Which of them is worked with.
    method: How frames are grouped.
  """
  return [
    {
      'method': method,
      **dataclasses.asdict(setting),
      **clusters.count(model.grid[index]),
      'is_working': index == working,
    }
    for index, setting in enumerate(grid)
  ]


def person(
  model: Grouped,
  other: Grouped,
  setting: clusters.Setting,
  *,
  known: np.ndarray,
  active: np.ndarray,
  truth: str,
) -> dict:
  """Returns a person's counts over the grid and the working setting.

  Args:
    model: The model.
    other: The model it is compared with.
    setting: The working setting.
    known: [n] bool, frames of which every action unit is labelled.
    active: [frames that are known, A] bool.
    truth: Column of the movement under way, see comparison.DiscoveryConfig.
  """
  mine, theirs = (
    pd.DataFrame(map(clusters.count, side.grid)).mean()
    for side in (model, other)
  )
  with_noise = mine['num_clusters_with_noise']
  return {
    'num_frames': len(model.labels),
    **dataclasses.asdict(setting),
    **clusters.count(model.labels),
    'grid_mean': mine['num_clusters'],
    'grid_mean_with_noise': with_noise,
    'grid_difference': theirs['num_clusters_with_noise'] - with_noise,
    **_agreement(model, known, active, truth),
  }


def each(
  model: Grouped,
  other: Grouped,
  setting: clusters.Setting,
  *,
  config: clusters.ClusterConfig,
  truth: str,
) -> list[dict]:
  """Returns what is known of every cluster without action units.

  Args:
    model: The model.
    other: The model it is compared with.
    setting: The working setting.
    config: How frames are grouped.
    truth: Column of the movement under way, see comparison.DiscoveryConfig.
  """
  stable = movements.stability(
    model.distances, model.labels, setting, config=config
  )
  overlap = movements.overlaps(model.labels, other.labels)
  frames = model.table.frames
  rows = []
  for label, occasion in model.occasions.items():
    inside = model.labels == label
    beside, index = overlap.get(label, (clusters.NOISE, np.nan))
    rows.append(
      {
        'cluster': label,
        'size': int(inside.sum()),
        'share': float(inside.mean()),
        'num_episodes': int(occasion.max()) + 1,
        'jaccard': stable.get(label, np.nan),
        'purity': movements.purity(model.distances, occasion),
        'overlap_cluster': beside,
        'overlap': index,
        **_truth(frames, inside, truth),
      }
    )
  return rows


def exemplars(model: Grouped, *, num_exemplars: int) -> list[dict]:
  """Returns the exemplar frames of every cluster but noise.

  Args:
    model: The model.
    num_exemplars: At most so many a cluster.
  """
  frames, distances = model.table.frames, model.distances
  rows = []
  for label, occasion in model.occasions.items():
    if label == clusters.NOISE:
      continue
    chosen = movements.exemplars(
      distances, occasion, num_exemplars=num_exemplars
    )
    rows += [
      {
        'cluster': label,
        'rank': rank,
        'video_id': frames['video_id'].iloc[row],
        'frame': int(frames['frame'].iloc[row]),
        'time_s': float(frames['time_s'].iloc[row]),
        'mean_distance': mean,
      }
      for rank, (row, mean) in enumerate(chosen)
    ]
  return rows


def similarities(
  first: novelty.Profiles, second: novelty.Profiles
) -> list[dict]:
  """Returns the published metric of every pair of two models' clusters.

  Args:
    first: I clusters.
    second: J clusters, on the same action units.
  """
  compared = novelty.compare(first, second)
  return [
    {
      'cluster': label,
      'against_cluster': against,
      'similarity': compared.metric[i, j],
      'normalised': compared.normalised[i, j],
    }
    for i, label in enumerate(first.labels.tolist())
    for j, against in enumerate(second.labels.tolist())
  ]


def _truth(frames, inside, column) -> dict:
  """Returns the given movement that fills a cluster most, but for none."""
  truth = frames.get(column, pd.Series(0.0, frames.index)).to_numpy(np.float64)
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


def _agreement(model, known, active, truth_column) -> dict:
  """Returns the adjusted mutual information with labels and given movements."""
  result = {}
  if len(active):
    _, pattern = np.unique(active, axis=0, return_inverse=True)
    result['ami_action_units'] = metrics.adjusted_mutual_info_score(
      pattern, model.labels[known]
    )
  if truth_column in model.table.frames:
    truth = model.table.frames[truth_column].to_numpy(np.float64)
    known = np.isfinite(truth)
    if known.any():
      result['ami_truth'] = metrics.adjusted_mutual_info_score(
        truth[known].astype(np.int64), model.labels[known]
      )
  return result
