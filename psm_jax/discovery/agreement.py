"""Agreement of the groups that models find with movements somebody named.

n frames.

  movements = named_movements.read('movements.csv')
  found = agreement.agreement(tables, movements)

agreement(), a row per source, model and person:
  source,model_id,person_id,ami,ami_moving,num_clusters,noise_share,num_frames,
  num_movements,num_movement_frames,min_samples,quantile,eps,reason
  ami is the adjusted mutual information (Vinh et al., 2010) between clusters,
  noise being one, and movements, none being one: 0 is chance, 1 the same
  grouping. ami_moving is of the frames with a movement alone. All sources of a
  person are grouped at one setting.
summarise(), a row per source, and per pair of sources for the difference:
  source,metric,mean,ci_low,ci_high,num_persons,wins,losses
"""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
import threadpoolctl
from sklearn import metrics

from psm_jax.discovery import clusters, named_movements
from psm_jax.evaluation import bootstrap, coordinates, features, splits

COLUMNS = tuple(
  (
    'source model_id person_id ami ami_moving num_clusters noise_share '
    'num_frames num_movements num_movement_frames min_samples quantile eps '
    'reason'
  ).split()
)
SUMMARY_COLUMNS = tuple(
  'source metric mean ci_low ci_high num_persons wins losses'.split()
)
METRICS = ('ami', 'ami_moving')
_KEYS = named_movements.KEYS


def agreement(
  tables: Sequence[features.FeatureTable],
  movements: pd.DataFrame,
  *,
  config: clusters.ClusterConfig = clusters.DEFAULT,
) -> pd.DataFrame:
  """Groups every person's frames and compares the groups with movements.

  Grid and working setting are those of clusters.py, one setting for all tables
  of a person. A person of whom that is impossible has a reason instead of
  values.

  Args:
    tables: Features of several sources; those of a person with equal frames.
      Tables without a feature are left out.
    movements: Rows of person_id, video_id, frame, movement.
    config: How frames are grouped.

  Returns:
    See the module's description.
  """
  by_person = collections.defaultdict(list)
  for table in tables:
    if table.features.shape[1]:
      by_person[table.person_id].append(table)
  movements = movements.astype({'video_id': str, 'person_id': str})
  named = movements.set_index(_KEYS)['movement']
  rows = []
  with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
    for person_id in sorted(by_person):
      own = [
        _chosen(table, config.frame_stride) for table in by_person[person_id]
      ]
      try:
        found = _compare(own, named, config)
      except splits.Impossible as reason:
        found = [{'reason': str(reason)} for _ in own]
      rows += [
        {**table.ids, **row} for table, row in zip(own, found, strict=True)
      ]
  table = pd.DataFrame(rows, columns=COLUMNS)
  whole = [c for c in table if c.startswith('num_')] + ['min_samples']
  return table.astype(dict.fromkeys(whole, 'Int64'))


def summarise(
  table: pd.DataFrame,
  *,
  pairs: Sequence[tuple[str, str]] = (),
  num_person_resamples: int = 2000,
  seed: int = 0,
) -> pd.DataFrame:
  """Returns means over persons of `agreement`, and paired differences.

  Args:
    table: What agreement returned; a person's models are averaged first.
    pairs: (A, B) sources whose difference A - B is asked for.
    num_person_resamples: Draws of persons behind the intervals.
    seed: Of the draws.
  """
  options = {'num_resamples': num_person_resamples, 'seed': seed}
  rows = []
  for metric in METRICS:
    value = table.groupby(['source', 'person_id'], sort=False)[metric].mean()
    value = value.unstack('source').dropna(axis=1, how='all')
    for source in value:
      found = bootstrap.mean_interval(value[source].to_numpy(), **options)
      rows.append({'source': source, 'metric': metric, **found.row('mean')})
    for first, second in pairs:
      both = value.reindex(columns=[first, second]).dropna()
      if len(both):
        found = bootstrap.paired_interval(
          both[first].to_numpy(), both[second].to_numpy(), **options
        )
        place = {'source': f'{first} - {second}', 'metric': metric}
        rows.append({**place, **found.row('mean')})
  found = pd.DataFrame(rows, columns=SUMMARY_COLUMNS)
  return found.astype({'wins': 'Int64', 'losses': 'Int64'})


def _chosen(table, stride) -> features.FeatureTable:
  """Returns the frames of a table that are grouped, in order of time."""
  table = coordinates.in_order(table)
  kept = clusters.select_frames(table.frames, stride=stride)
  return dataclasses.replace(
    table,
    features=table.features[kept],
    frames=table.frames[kept].reset_index(drop=True),
  )


def _compare(tables, named, config) -> list[dict]:
  """Returns what agreement says of each table of one person."""
  frames = tables[0].frames[_KEYS].astype({'video_id': str})
  for table in tables[1:]:
    if not table.frames[_KEYS].astype({'video_id': str}).equals(frames):
      raise splits.Impossible(
        f'{tables[0].source} and {table.source} have different frames'
      )
  truth = named.reindex(pd.MultiIndex.from_frame(frames)).fillna(
    named_movements.NONE
  )
  truth = truth.to_numpy(str)
  moves = truth != named_movements.NONE
  if not moves.any():
    raise splits.Impossible('none of the frames grouped shows a movement')
  neighbours = [
    clusters.neighbour_distances(
      clusters.frame_distances(table.features, scale=config.scale),
      num_neighbours=max(config.min_samples),
    )
    for table in tables
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
    num_clusters, _, noise_share = clusters.count(grid[working])
    rows.append(
      {
        'ami': _ami(truth, grid[working]),
        'ami_moving': _ami(truth[moves], grid[working][moves]),
        'num_clusters': num_clusters,
        'noise_share': noise_share,
        'num_frames': len(truth),
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
