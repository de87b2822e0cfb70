"""The clusters of two models of one person, side by side.

n frames, A action units, I clusters, S settings, J counterparts.

  rows = comparison.compare_person(psm_tables, gm_tables, config=config)

psm_jax/discovery/search.py does this for every person and names the
columns.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from psm_jax.data import embedded
from psm_jax.discovery import (
  clusters,
  descriptions,
  movements,
  novelty,
  verdicts,
)
from psm_jax.evaluation import features, splits

# The features of some frames of a person to [n, H, W, 2] float, (dy, dx), the
# flow of each frame, or None; splits.Impossible says why there is none.
Flows = Callable[[features.FeatureTable], np.ndarray | None]

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
  """

  clusters: clusters.ClusterConfig = clusters.DEFAULT
  novelty: novelty.NoveltyConfig = novelty.DEFAULT
  gap_s: float = 1.0
  bin_s: float = 10.0
  num_exemplars: int = 3
  truth: str = 'signature'


DEFAULT = DiscoveryConfig()


def compare_person(
  firsts: Sequence[features.FeatureTable],
  seconds: Sequence[features.FeatureTable],
  *,
  config: DiscoveryConfig,
  flows: Flows | None = None,
) -> dict[str, list[dict]]:
  """Compares the clusters of two models of one person, both ways.

  Args:
    firsts: The first model's features, then those of its other seeds.
    seconds: The second model's, of the same frames, then other seeds.
    config: See DiscoveryConfig.
    flows: Asked for the frames that are used of a model with novel clusters.

  Returns:
    Table name to rows, as described in discovery.py.

  Raises:
    splits.Impossible: If the person cannot be compared; names the reason.
    ValueError: If flows are not one for each frame.
  """
  tables = [
    clusters.select(table, config=config.clusters)
    for table in (*firsts, *seconds)
  ]
  labelled = _labelled(tables, config.novelty.threshold)
  (first, *more_firsts), (second, *more_seconds) = (
    tables[: len(firsts)],
    tables[len(firsts) :],
  )
  measured = [
    clusters.measure(table.features, config=config.clusters)
    for table in (first, second)
  ]
  settings = clusters.make_settings(
    [neighbours for _, neighbours in measured], config=config.clusters
  )
  grids = [
    clusters.label_frames(*both, settings, config=config.clusters)
    for both in measured
  ]
  working = clusters.working_setting(grids, min_size=config.clusters.min_size)
  sides = [
    descriptions.Grouped(
      table,
      distances,
      grid,
      grid[working],
      movements.occasions(table.frames, grid[working], gap_s=config.gap_s),
    )
    for table, (distances, _), grid in zip(
      (first, second), measured, grids, strict=True
    )
  ]
  seeds = [
    [_seed(table, sides, settings, working, config.clusters) for table in more]
    for more in (more_firsts, more_seconds)
  ]
  rows = collections.defaultdict(list)
  for index, (model, other) in enumerate((sides, sides[::-1])):
    compared = _compare(
      model,
      other,
      [views[index] for views in seeds[index]],
      [views[index] for views in seeds[1 - index]],
      labelled,
      settings,
      working,
      config,
    )
    if index == 0:  # The other way round it is the same matrix, turned.
      compared['similarities'] = _similarity_rows(model, other, labelled)
    try:
      compared['flows'] = _flow_rows(model, flows, compared['clusters'])
    except splits.Impossible as reason:
      compared['skipped'] = [{'part': 'flows', 'reason': str(reason)}]
    ids = {**model.table.ids, 'against': other.table.model_id}
    for name, rows_of_model in compared.items():
      rows[name] += [{**ids, **row} for row in rows_of_model]
  return rows


def _compare(
  model, other, seeds, other_seeds, labelled, settings, working, config
) -> dict[str, list[dict]]:
  """Returns the rows of one model's tables, but for those of both."""
  described = descriptions.each(
    model,
    other,
    settings[working],
    config=config.clusters,
    truth=config.truth,
  )
  purity = _purity(other.distances, model)
  rival = verdicts.Rival(other.labels, other.grid, purity)
  verdict_of, profiles, judged_person = verdicts.judge(
    model.table.person_id,
    model.labels,
    [rival, *other_seeds],
    seeds,
    labelled,
    described,
    config=config.novelty,
    min_size=config.clusters.min_size,
  )
  described_person = descriptions.person(
    model,
    other,
    settings[working],
    known=labelled.known,
    active=labelled.active,
    truth=config.truth,
  )
  return {
    'persons': [described_person | judged_person],
    'settings': descriptions.settings(
      model, settings, working=working, method=config.clusters.method
    ),
    'clusters': [
      {**row, **verdict_of.get(row['cluster'], {})} for row in described
    ],
    'profiles': profiles,
    'exemplars': descriptions.exemplars(
      model, num_exemplars=config.num_exemplars
    ),
    'occupancy': movements.occupancy(
      model.table.frames, model.labels, bin_s=config.bin_s
    ),
  }


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
  given = [i for i, model in enumerate(labels) if model.shape[1]]
  for index in given[1:]:
    if not labels[index].equals(labels[given[0]]):
      raise splits.Impossible(
        f'{tables[given[0]].model_id} and {tables[index].model_id} have '
        'different action-unit labels'
      )
  model = labels[given[0] if given else 0]
  known = model.notna().all(axis=1).to_numpy() & bool(given)
  return verdicts.Labelled(
    known, model[known].to_numpy() == 1, tuple(model.columns)
  )


def _purity(distances, model) -> dict[int, float]:
  """Returns the purity of a model's clusters in another model's embedding."""
  return {
    label: movements.purity(distances, occasion)
    for label, occasion in model.occasions.items()
  }


def _seed(table, sides, settings, working, config) -> list[verdicts.Rival]:
  """Returns what another seed makes of the frames, for either model."""
  distances, neighbours = clusters.measure(table.features, config=config)
  grid = clusters.label_frames(distances, neighbours, settings, config=config)
  return [
    verdicts.Rival(grid[working], grid, _purity(distances, model))
    for model in sides
  ]


def _similarity_rows(model, other, labelled) -> list[dict]:
  """Returns the published matrix of two models' clusters."""
  if not labelled.active.size:
    return []
  return descriptions.similarities(
    *(
      novelty.profiles(side.labels[labelled.known], labelled.active)
      for side in (model, other)
    )
  )


def _flow_rows(model, flows, rows) -> list[dict]:
  """Returns the motion of the clusters that either rule calls novel."""
  novel = [
    row['cluster']
    for row in rows
    if row.get('is_novel') or row.get('is_strictly_novel')
  ]
  if flows is None or not novel:
    return []
  table = model.table
  flow = flows(table)
  if flow is None:
    return []
  if (
    flow.ndim != 4
    or (flow.shape[0], flow.shape[3]) != (len(table.frames), 2)
    or min(flow.shape[1:3]) < embedded.FLOW_CELLS
  ):
    raise ValueError(
      f'The flows of {table.model_id} and person {table.person_id} have shape '
      f'{flow.shape}; expected [{len(table.frames)}, H, W, 2] with H and W at '
      f'least {embedded.FLOW_CELLS}.'
    )
  return [
    {'cluster': label, **cell}
    for label in novel
    for cell in movements.flow_difference(flow, model.labels == label)
  ]
