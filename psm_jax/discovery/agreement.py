"""Agreement of the groups that models find with movements somebody named.

n frames.

  movements = named_movements.read('movements.csv')
  rows, skipped = agreement.agreement(tables, movements)

Rows of results, of the target movements. Metrics: ami is the adjusted mutual
information (Vinh et al., 2010) between clusters, noise being one, and
movements, none being one: 0 is chance, 1 the same grouping; ami_moving is of
the frames with a movement alone; num_clusters, noise_share, num_movements and
num_movement_frames; and the setting: min_samples, quantile, eps. All sources of
a person are grouped at one setting.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
import threadpoolctl
from sklearn import metrics

from psm_jax.discovery import clusters, named_movements
from psm_jax.evaluation import features, results, splits

TARGET = 'movements'
_KEYS = named_movements.KEYS


def agreement(
  tables: Sequence[features.FeatureTable],
  movements: pd.DataFrame,
  *,
  config: clusters.ClusterConfig = clusters.DEFAULT,
) -> tuple[list[dict], list[dict]]:
  """Groups every person's frames and compares the groups with movements.

  Grid and working setting are those of clusters.py, one setting for all tables
  of a person.

  Args:
    tables: Features of several sources; those of a person with equal frames.
      Tables without a feature are left out.
    movements: Rows of person_id, video_id, frame, movement.
    config: How frames are grouped.

  Returns:
    Rows of results, and of skipped: persons of whom that is impossible.
  """
  by_person = features.by_person([t for t in tables if t.features.shape[1]])
  movements = movements.astype({'video_id': str, 'person_id': str})
  named = movements.set_index(_KEYS)['movement']
  made, skipped = [], []
  with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
    for person_id in sorted(by_person):
      chosen = [
        clusters.select(table, config=config) for table in by_person[person_id]
      ]
      try:
        values_of = _compare(chosen, named, config)
      except splits.Impossible as reason:
        place = {'person_id': person_id, 'target': TARGET}
        skipped.append({**place, 'reason': str(reason)})
        continue
      for table, values in zip(chosen, values_of, strict=True):
        made += results.rows(
          table.ids, TARGET, values, n_test=len(table.frames)
        )
  return made, skipped


def _compare(tables, named, config) -> list[dict]:
  """Returns what agreement says of each table of one person."""
  frames = tables[0].frames[_KEYS].astype({'video_id': str})
  for table in tables[1:]:
    if not table.frames[_KEYS].astype({'video_id': str}).equals(frames):
      raise splits.Impossible(
        f'{tables[0].source} and {table.source} have different frames'
      )
  truth = named.reindex(pd.MultiIndex.from_frame(frames))
  truth = truth.fillna(named_movements.NONE).to_numpy(str)
  moves = truth != named_movements.NONE
  if not moves.any():
    raise splits.Impossible('none of the frames grouped shows a movement')
  neighbours = [
    clusters.measure(table.features, config=config)[1] for table in tables
  ]
  settings = clusters.make_settings(neighbours, config=config)
  # Distances are computed again: those of all models at once may not fit.
  grids = [
    clusters.label_frames(
      clusters.frame_distances(table.features, scale=config.scale),
      near,
      settings,
      config=config,
    )
    for table, near in zip(tables, neighbours, strict=True)
  ]
  working = clusters.working_setting(grids, min_size=config.min_size)
  rows = []
  for grid in grids:
    counted = clusters.count(grid[working])
    rows.append(
      {
        'ami': _ami(truth, grid[working]),
        'ami_moving': _ami(truth[moves], grid[working][moves]),
        'num_clusters': counted['num_clusters'],
        'noise_share': counted['noise_share'],
        'num_movements': len(np.unique(truth[moves])),
        'num_movement_frames': int(moves.sum()),
        **dataclasses.asdict(settings[working]),
      }
    )
  return rows


def _ami(truth, labels) -> float:
  """Returns adjusted mutual information; NaN if there is one movement only."""
  if len(np.unique(truth)) < 2:
    return float('nan')
  return float(metrics.adjusted_mutual_info_score(truth, labels))
