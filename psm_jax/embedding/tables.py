"""Writes what needs a model and frames as tables; data/embedded.py names them.

  embedding.write_embeddings(workdir)

n frames, D features.
"""

import hashlib
import json
import pathlib
import re
from collections.abc import Callable, Sequence

import jax
import ml_collections
import numpy as np
import pandas as pd
import tqdm
from absl import logging

from psm_jax import csv_files, methods, paths, sampling
from psm_jax.data import embedded, store as store_lib
from psm_jax.embedding import driven as driven_lib, grey, trained as trained_lib
from psm_jax.engine import feed, programs
from psm_jax.runs import run_states, shards, zoo

_KEYS = list(store_lib.KEY_COLUMNS)


def write_embeddings(
  workdir: str | pathlib.Path,
  *,
  controls: bool = True,
  flows: bool = False,
  driven: bool = False,
  kept_steps: bool = False,
  shard: shards.Shard = shards.ALONE,
) -> list[pathlib.Path]:
  """Embeds every frame of every model's cohort and writes the tables.

  The tables of embeddings also have labels, landmarks and, where frames were
  held out (train.validation_share), held_out: 1 where the model never saw the
  frame.

  Args:
    workdir: A trained run.
    controls: Write the controls too: untrained weights once for each cohort and
      seed, grey pixels once for each person.
    flows: Write flows, see `_flow_cells`.
    driven: Write driven faces and, of networks that make them, neutral faces.
    kept_steps: Embed the labelled frames at every checkpoint that was kept.
    shard: Which of the machines that share the models this one is.

  Returns:
    The files written.

  Raises:
    ValueError: If the run cannot be opened, or has not what is asked for.
  """
  trained = trained_lib.Trained(workdir, shard=shard)
  root = trained.run.workdir
  _warn_of_unfinished([trained.run.models[i] for i in trained.indices])
  written = _write_models(trained, root / embedded.EMBEDDINGS, with_labels=True)
  if controls:
    written += _write_models(
      trained.at_step(0), root / embedded.RANDOM_ENCODER, once=True
    )
    written += _write_pixels(trained, root / embedded.PIXELS)
  if flows:
    cells_of = _flow_cells(trained.programs)
    written += _write_models(trained, root / embedded.FLOWS, function=cells_of)
  if driven:
    written += _write_driven(trained)
  if kept_steps:
    written += _write_steps(trained, root / embedded.STEPS)
  logging.info(
    'Wrote %d files of %d models at step %d to %s',
    len(written),
    len(trained.indices),
    trained.step,
    root,
  )
  return written


def _warn_of_unfinished(models):
  running = [model for model in models if model.status == 'running']
  if running:
    logging.warning(
      '%d of %d models have steps to train yet (%s to step %d); they are '
      'embedded by their newest checkpoint.',
      len(running),
      len(models),
      running[0].model_id,
      running[0].total_steps,
    )


def write_with(
  model: zoo.Model, store: store_lib.FrameStore, out: str | pathlib.Path
) -> list[pathlib.Path]:
  """Embeds all frames of a store with one exported model.

  Args:
    model: The model.
    store: Frames of its size, aligned as those it learned from.
    out: The tables go to `out`/embeddings, as `write_embeddings` writes them.

  Returns:
    The files written.

  Raises:
    ValueError: If the frames have another size than the model's.
  """
  if store.size_px != model.config.data.size_px:
    raise ValueError(
      f'{store.path} holds frames of {store.size_px} px, but {model.model_id} '
      f'embeds frames of {model.config.data.size_px} px. Prepare them in that '
      'size.'
    )
  root = pathlib.Path(out) / embedded.EMBEDDINGS
  origin = _origin(model.model_id, model.steps, model, model.config)
  method, written = methods.abstract(model.config), []
  embed = programs.embedder(method)
  faces = feed.canonical_of(method, store)
  for rows in _videos(store, store.person_ids):
    values = programs.in_batches(
      embed,
      model.params,
      model.method_state,
      store.frames,
      rows,
      canonical=faces,
    )
    described = store.index.iloc[rows]
    written.append(_write(root, store, rows, values, origin, described))
  logging.info('Wrote %d tables to %s', len(written), out)
  return written


def write_csv(files: Sequence[pathlib.Path]) -> list[pathlib.Path]:
  """Writes Parquet tables as CSV beside them, float32 to the last bit."""
  return [
    paths.write_atomic(
      file.with_suffix('.csv'),
      csv_files.text_of(pd.read_parquet(file), float_format='%.9g'),
    )
    for file in files
  ]


def epochs_at(plan: sampling.Plan, step: int, *, batch_size: int) -> float:
  """Returns the epochs a model has seen after a number of steps.

  Args:
    plan: Of one model, NumPy.
    step: From 0; past the model's end it has seen no more.
    batch_size: Examples of a step.
  """
  starts = plan.clock.epoch_start[: int(plan.clock.num_epochs)]
  step = min(step, int(plan.clock.total_steps))
  epoch = int(np.searchsorted(starts, step, side='right')) - 1
  length = int(plan.num_examples[epoch]) // batch_size
  return epoch + min(1.0, (step - int(starts[epoch])) / length)


def _write_models(
  trained: trained_lib.Trained,
  root: pathlib.Path,
  *,
  function: Callable[..., jax.Array] | None = None,
  with_labels: bool = False,
  usable: np.ndarray | None = None,
  once: bool = False,
) -> list[pathlib.Path]:
  """Writes the tables of all models, a video at a time.

  Args:
    trained: The run.
    root: Folder of the models.
    function: Of (params, method_state, frames); the encoder by default.
    with_labels: Add what the store says of the frames, and held_out.
    usable: [frames of the store] bool, which are embedded; None takes all.
      How much the models had seen is then among the attrs.
    once: One model of each cohort and seed is enough.
  """
  written, starts = [], set()
  config, store = trained.run.config, trained.store
  for index in tqdm.tqdm(trained.indices, unit='model'):
    model = trained.run.models[index]
    if once and (model.cohort, model.seed) in starts:
      continue
    starts.add((model.cohort, model.seed))
    plan, state = trained.plans[index], trained.model_state(index)
    origin = _origin(model.model_id, trained.step, state, config)
    if usable is not None:
      size = config.train.batch_size
      last = min(trained.step, int(plan.clock.total_steps))
      origin['epochs'] = epochs_at(plan, trained.step, batch_size=size)
      origin['examples_seen'] = last * size
    described = store.index if with_labels else None
    if with_labels and config.train.validation_share:
      unseen = ~np.isin(np.arange(len(described)), np.asarray(plan.rows))
      described = described.assign(held_out=unseen * 1.0)
    for rows in _videos(store, model.cohort, usable):
      values = trained.apply(state, rows, function=function)
      columns = None if described is None else described.iloc[rows]
      written.append(_write(root, store, rows, values, origin, columns))
  return written


def _videos(store, people, usable=None):
  """Yields the rows of each video of some people, of those that are usable."""
  for person in people:
    for video in store.videos(person):
      rows = np.arange(video.start, video.stop)
      rows = rows if usable is None else rows[usable[rows]]
      if len(rows):
        yield rows


def _write_pixels(
  trained: trained_lib.Trained, root: pathlib.Path
) -> list[pathlib.Path]:
  """Writes everybody's frames as grey pixels."""
  store = trained.store
  origin = _origin(embedded.GREY, 0, None, trained.run.config)
  models = [trained.run.models[index] for index in trained.indices]
  people = sorted({person for model in models for person in model.cohort})
  return [
    _write(root, store, rows, grey.grey_pixels(store.images(rows)), origin)
    for rows in _videos(store, people)
  ]


def _write_driven(trained: trained_lib.Trained) -> list[pathlib.Path]:
  """Writes driven faces and neutral faces as grey pixels.

  Raises:
    ValueError: If the method draws no face.
  """
  if trained.method.draw is None:
    raise ValueError(
      f'{trained.method.name} draws no face that could be moved.'
    )
  store, root, written = trained.store, trained.run.workdir, []
  for index in tqdm.tqdm(trained.indices, unit='model'):
    model, state = trained.run.models[index], trained.model_state(index)
    origin = _origin(model.model_id, trained.step, state, trained.run.config)
    for person in model.cohort:
      for made in driven_lib.of_person(trained, state, person):
        for folder, values, described in (
          (embedded.DRIVEN, made.driven, made.sums),
          (embedded.NEUTRAL_FACES, made.neutral, None),
        ):
          if values is not None:
            written.append(
              _write(root / folder, store, made.rows, values, origin, described)
            )
  return written


def _write_steps(
  trained: trained_lib.Trained, root: pathlib.Path
) -> list[pathlib.Path]:
  """Writes the labelled frames at every checkpoint that was kept.

  One that cannot be read is left out with a warning. A model that has ended
  stays as it ended.
  """
  kept = run_states.kept_steps(trained.run)
  if len(kept) < 2:
    raise ValueError(
      f'{trained.run.workdir} has kept {len(kept)} checkpoint, too few for a '
      'curve. Train with --config.train.keep_steps=N, which keeps every Nth '
      'step.'
    )
  units = [c for c in trained.store.index if re.fullmatch(r'AU\d{2,3}.*', c)]
  usable = trained.store.index[units].notna().any(axis=1).to_numpy()
  if not usable.any():
    raise ValueError(
      f'{trained.run.workdir} has no frames with action-unit labels to score.'
    )
  # A model that began with another's weights has no start to show here.
  written = []
  for step in kept if trained.run.config.init.path else [0, *kept]:
    try:
      earlier = trained.at_step(step)
    except ValueError as reason:
      logging.warning('Step %d is left out: %s', step, reason)
      continue
    written += _write_models(
      earlier, root / f'{step:09d}', with_labels=True, usable=usable
    )
  return written


def _write(root, store, rows, values, origin, described=None) -> pathlib.Path:
  """Writes one table of frames of one video.

  Args:
    root: Folder of the models.
    store: The frames.
    rows: [n] int, of one video.
    values: [n, D] float32.
    origin: The table's attrs.
    described: n rows, whose other columns are added; None adds none.
  """
  keys = store.index.iloc[rows][_KEYS].reset_index(drop=True)
  folder = paths.child(root, origin['model_id'], keys['person_id'].iloc[0])
  paths.make_private_dir(folder)
  video_id = keys['video_id'].iloc[0]
  values = values.reshape(len(rows), -1)
  parts = [keys, pd.DataFrame(values).rename(columns='e{:03d}'.format)]
  if described is not None:
    parts.append(
      described.reset_index(drop=True).drop(columns=_KEYS, errors='ignore')
    )
  table = pd.concat(parts, axis=1)
  table.insert(0, 'model_id', origin['model_id'])
  table.attrs = origin
  path = paths.child(folder, f'{video_id}.parquet')
  # Two shards may write the same control.
  with paths.writing_atomic(path) as file:
    # Dictionaries would only add to numbers that hardly repeat.
    table.to_parquet(
      file,
      index=False,
      use_dictionary=['model_id', *store_lib.KEY_COLUMNS],
      write_page_checksum=True,
    )
  return path


def _origin(model_id, step, state, config: ml_collections.ConfigDict) -> dict:
  """Returns the attrs of a table; state has params and method_state."""
  content = json.dumps(config.to_dict(), sort_keys=True, default=str)
  digest = hashlib.sha256()
  learned = () if state is None else (state.params, state.method_state)
  for leaf in jax.tree.leaves(learned):
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return {
    'schema_version': embedded.SCHEMA_VERSION,
    'model_id': model_id,
    'step': step,
    'state': digest.hexdigest()[:16],
    'config': hashlib.sha256(content.encode()).hexdigest()[:16],
    'unit_length': methods.abstract(config).unit_length,
  }


def _flow_cells(computed: programs.Programs) -> Callable[..., np.ndarray]:
  """Returns what makes flows of frames, [n, 8, 8, 2] float32, (dy, dx).

  In sides of the picture, down and to the right: where what the neutral face
  shows in a cell is in the frame, less that place.

  Raises:
    ValueError: If the method draws no flow from a neutral face, or a coarse
      one.
  """
  method, drawn = computed.method, computed.drawn
  # Without a neutral face a flow leads from one frame to any other.
  if not {'neutral', 'flow'} <= drawn.keys():
    raise ValueError(f'{method.name} draws no flow from a neutral face.')
  height, width = drawn['flow'].shape[1:3]
  if min(height, width) < embedded.FLOW_CELLS:
    raise ValueError(
      f'{method.name} of {method.size_px} px draws flows of {height} x '
      f'{width}; expected {embedded.FLOW_CELLS} or more a side.'
    )

  def cells_of(*args):
    # It was (x, y) in halves of the side.
    flow = np.asarray(computed.picture('flow')(*args))[..., ::-1] / 2
    for axis in (1, 2):
      parts = np.array_split(flow, embedded.FLOW_CELLS, axis=axis)
      flow = np.stack([part.mean(axis=axis) for part in parts], axis=axis)
    return flow

  return cells_of
