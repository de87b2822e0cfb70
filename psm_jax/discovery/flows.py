"""How far a run's models see every part of a face moved from its neutral place.

n frames, h w the flow's own resolution.

  flow_of = flows.of_run(workdir)
  flow = flow_of(table)
"""

import os
from collections.abc import Callable, Mapping

import jax
import numpy as np
import pandas as pd
from absl import logging

from psm_jax import embedding
from psm_jax.engine import inference
from psm_jax.evaluation import features, splits

_LEAST_CELLS = 8  # Fewer a side say too little of a face.
_KEYS = ['video_id', 'frame']


def of_run(
  workdir: str | os.PathLike,
) -> Callable[[features.FeatureTable], np.ndarray]:
  """Opens a run whose method draws a neutral face and flows from it.

  Args:
    workdir: The run, with its checkpoint and its frames.

  Returns:
    A function of a table of embeddings of one of the run's models and people to
    [n, h, w, 2] float32, (dy, dx) in sides of the picture, down and to the
    right: where what the neutral face shows at a place is in the frame, less
    that place. It raises splits.Impossible if the run does not have the model
    or a frame of the table.

  Raises:
    ValueError: If the run cannot be opened, or its method has no such flow.
  """
  trained = embedding.Trained(workdir)
  _check(trained)
  method = trained.method

  # What else is in the pictures is then not computed.
  @jax.jit
  def flow_of_frames(params, method_state, frames, faces=()):
    return method.pictures(
      jax.random.key(0), params, method_state, method.shared, frames, faces
    )['flow']

  index_of = {m.model_id: i for i, m in enumerate(trained.run.models)}

  def flow_of(table: features.FeatureTable) -> np.ndarray:
    if table.model_id not in index_of:
      raise splits.Impossible(f'{workdir} has no model {table.model_id}')
    rows = _rows(trained, table)
    state = trained.model_state(index_of[table.model_id])
    flow = inference.in_batches(
      flow_of_frames,
      state.params,
      state.method_state,
      trained.store.frames,
      rows,
      canonical=trained.canonical,
    )
    return flow[..., ::-1] / 2  # It was (x, y) in halves of the side.

  return flow_of


def of_runs(
  workdirs: Mapping[str, str | os.PathLike],
) -> Callable[[features.FeatureTable], np.ndarray | None] | None:
  """Opens several runs; one that has no flows is named in a warning.

  Args:
    workdirs: Source of tables, see features.FeatureTable, to the run that they
      are of.

  Returns:
    What `of_run` returns, for tables of all sources; None of a table without a
    run. None if no run has flows.
  """
  found = {}
  for source, workdir in workdirs.items():
    try:
      found[source] = of_run(workdir)
    except (ValueError, OSError) as reason:
      logging.warning('No flows of %s: %s', workdir, reason)
  if not found:
    return None
  return lambda t: found[t.source](t) if t.source in found else None


def _check(trained: embedding.Trained) -> None:
  """Raises an error if a run's method has no flow from a neutral face."""
  state = trained.model_state(0)
  frames = trained.store.frames[:2]
  made = jax.eval_shape(
    trained.method.pictures,
    jax.random.key(0),
    state.params,
    state.method_state,
    trained.method.shared,
    frames,
    frames if trained.method.uses_canonical else (),
  )
  name = trained.method.name
  # Without a neutral face a flow leads from one frame to any other.
  if not {'neutral', 'flow'} <= made.keys():
    raise ValueError(f'{name} draws no flow from a neutral face.')
  height, width = made['flow'].shape[1:3]
  if min(height, width) < _LEAST_CELLS:
    raise ValueError(
      f'{name} of {trained.method.size_px} px draws flows of {height} x '
      f'{width}; expected {_LEAST_CELLS} x {_LEAST_CELLS} or more.'
    )


def _rows(trained: embedding.Trained, table: features.FeatureTable):
  """Returns the rows of a run's store that hold the frames of a table."""
  if table.person_id not in trained.store.index['person_id'].values:
    raise splits.Impossible(
      f'the frames of {trained.store.path} are not of this person'
    )
  rows = trained.rows_of(table.person_id)
  held = pd.MultiIndex.from_frame(trained.store.index.iloc[rows][_KEYS])
  wanted = pd.MultiIndex.from_frame(table.frames[_KEYS])
  places = held.get_indexer(wanted)
  if lacking := int((places < 0).sum()):
    raise splits.Impossible(
      f'{trained.store.path} lacks {lacking} of the frames that '
      f'{table.model_id} embedded'
    )
  return rows[places]
