"""Groups of frames that look alike to a model, found without any labels.

For a page of unlabelled video: launch.discover looks closer, and for what is
new. n frames, D features, K groups.
"""

import dataclasses

import numpy as np
import pandas as pd
from scipy.cluster import hierarchy

from psm_jax.data import embedded

_MAX_FRAMES = 600
_COMPONENTS = 16
_GROUPS = 6
EXEMPLARS = 8


@dataclasses.dataclass(frozen=True)
class Groups:
  """The groups of one model's frames.

  Attributes:
    frames: n rows: person_id, video_id, frame, time_s and what else the table
      has; by video and time.
    label: [n] int, the group of each frame from 0.
    exemplars: K times [m] int, rows that stand for a group, the best first.
    tree: [K - 1, 4] float, how groups join, see `scipy.cluster.hierarchy`.
  """

  frames: pd.DataFrame
  label: np.ndarray
  exemplars: list[np.ndarray]
  tree: np.ndarray

  @property
  def order(self) -> np.ndarray:
    """The groups, those that are alike beside one another."""
    return hierarchy.leaves_list(self.tree)


def find(table: pd.DataFrame) -> Groups | None:
  """Returns the groups of a model's frames, None for too few frames.

  Ward's method (1963) on the leading principal components of frames evenly
  spread over the videos.

  Args:
    table: Embeddings of one model, as launch.embed writes them.
  """
  table = table.sort_values(['person_id', 'video_id', 'time_s'])
  num = min(len(table), _MAX_FRAMES)
  if num < 2 * _GROUPS:
    return None
  rows = np.linspace(0, len(table) - 1, num).round().astype(int)
  frames = table.iloc[rows].reset_index(drop=True)
  columns = embedded.units_of(frames)
  values = frames[columns].to_numpy(np.float64)
  values = values - values.mean(axis=0)
  left, scale, _ = np.linalg.svd(values, full_matrices=False)
  place = (left * scale)[:, :_COMPONENTS]
  if not scale[0] > 0:
    return None
  label = hierarchy.fcluster(
    hierarchy.linkage(place, 'ward'), _GROUPS, 'maxclust'
  )
  names = np.unique(label)
  centres = np.stack([place[label == name].mean(axis=0) for name in names])
  label = np.searchsorted(names, label)
  exemplars = [
    _nearest(place, np.flatnonzero(label == group), centre)
    for group, centre in enumerate(centres)
  ]
  tree = hierarchy.linkage(centres, 'average', optimal_ordering=True)
  return Groups(frames.drop(columns=columns), label, exemplars, tree)


def _nearest(place, rows, centre):
  """Returns the rows nearest to a centre, far apart in time where it can be."""
  order = rows[np.argsort(np.linalg.norm(place[rows] - centre, axis=1))]
  half = order[: max(EXEMPLARS, len(order) // 2)]
  chosen = [half[0]]
  while len(chosen) < min(EXEMPLARS, len(half)):
    gaps = np.abs(half[:, None] - np.array(chosen)[None]).min(axis=1)
    chosen.append(half[gaps.argmax()])
  return np.array(chosen)
