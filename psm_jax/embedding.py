"""Embeddings of a run's frames: tables a lab can join with its own."""

import copy
import functools
import pathlib

import jax
import numpy as np
import pandas as pd
import tqdm
from absl import logging

from psm_jax import methods, paths
from psm_jax.data import canonical_faces, prepare
from psm_jax.data import store as store_lib
from psm_jax.engine import inference, update
from psm_jax.runs import checkpoint, planning, run, zoo


class Trained:
  """A run opened for use: its models' parameters and its frames.

  Attributes:
    run: The run directory's content.
    store: The frames it was trained on.
    method: The method.
    plans: The models' plans.
    canonical: The canonical faces of the store, if the method uses them.
    step: The latest step of a checkpoint.
  """

  def __init__(self, workdir: str | pathlib.Path):
    """Opens the newest checkpoint of a run directory.

    Raises:
      ValueError: If there is no run, no checkpoint or no frame store.
    """
    self.run = run.open_run(workdir)
    config = self.run.config
    self.store = store_lib.open_store(
      prepare.prepare(config.data, directory=self.run.data_dir)
    )
    self.plans = planning.plans_of(self.run.models, config, self.store)
    self.method = methods.make(config)
    self._states = checkpoint.RunStates(self.run, self.method)
    self.step = self._states.step
    self._embed = inference.embedder(self.method)
    self._init = update.initialiser(self.method, jax.local_devices()[0])
    self.canonical = None
    if self.method.uses_canonical:
      self.canonical = canonical_faces.of_store(self.store)

  def at_step(self, step: int) -> 'Trained':
    """Returns the same run with its models as they were at a step.

    Args:
      step: One of `checkpoint.kept_steps`.

    Raises:
      ValueError: If a checkpoint is missing or cannot be read.
    """
    earlier = copy.copy(self)
    earlier._states = checkpoint.RunStates(self.run, self.method, until=step)
    earlier.step = earlier._states.step
    return earlier

  def rows_of(self, person: str) -> np.ndarray:
    """Returns the rows of the store that show a person."""
    videos = self.store.videos(person)
    return np.concatenate([np.arange(v.start, v.stop) for v in videos])

  def model_state(self, index: int) -> update.TrainState:
    """Returns the state of one model."""
    return self._states.model(index)

  def embed(self, index: int, rows: np.ndarray) -> np.ndarray:
    """Returns [n, D] float32 embeddings of rows of the store by a model."""
    state = self.model_state(index)
    return self._embed_rows(state.params, state.method_state, rows)

  def embed_untrained(self, index: int, rows: np.ndarray) -> np.ndarray:
    """Returns embeddings by the random weights from which a model began."""
    state = self._init(self.plans[index].clock.key)
    return self._embed_rows(state.params, state.method_state, rows)

  def pictures(self, index: int, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Returns `Method.pictures` of rows of the store by a model."""
    state = self.model_state(index)
    make = jax.jit(self.method.pictures)
    return jax.device_get(
      make(
        jax.random.key(0),
        state.params,
        state.method_state,
        self.method.shared,
        np.asarray(self.store.frames[rows]),
        () if self.canonical is None else self.canonical.of_rows(rows),
      )
    )

  def _embed_rows(self, params, method_state, rows):
    return inference.in_batches(
      self._embed, params, method_state, self.store.frames, rows
    )


def write_embeddings(workdir: str | pathlib.Path) -> list[pathlib.Path]:
  """Embeds every frame of every model's cohort and writes the tables.

  One Parquet file a model, person and video, below `workdir`/embeddings:
  model_id, person_id, video_id, frame, time_s, e000..e255 float32, labels and
  landmarks.

  Returns:
    The files written.
  """
  trained = Trained(workdir)
  root = trained.run.workdir / 'embeddings'
  written = []
  for index, model in enumerate(tqdm.tqdm(trained.run.models, unit='model')):
    embed = functools.partial(trained.embed, index)
    written += _write(
      root, trained.store, embed, model.model_id, people=model.cohort
    )
  logging.info(
    'Wrote %d tables of %d models at step %d to %s',
    len(written),
    len(trained.run.models),
    trained.step,
    root,
  )
  return written


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
  written = _write(
    pathlib.Path(out) / 'embeddings',
    store,
    lambda rows: model.embed(store.frames[rows]),
    model.model_id,
    people=store.person_ids,
  )
  logging.info('Wrote %d tables to %s', len(written), out)
  return written


def _write(root, store, embed, model_id, *, people):
  """Writes one model's tables of people, a video at a time.

  Args:
    root: Folder of the models.
    store: The frames.
    embed: rows of the store -> [n, D] float32.
    model_id: Names the folder.
    people: Person ids.

  Returns:
    The files.
  """
  written = []
  for person in people:
    folder = paths.child(root, model_id, person)
    paths.make_private_dir(folder)
    for video in store.videos(person):
      rows = np.arange(video.start, video.stop)
      path = paths.child(folder, f'{video.video_id}.parquet')
      partial = paths.child(folder, f'{video.video_id}.partial')
      # Dictionaries would only add to numbers that hardly repeat.
      _table(store, rows, embed(rows), model_id).to_parquet(
        partial,
        index=False,
        use_dictionary=['model_id', *store_lib.KEY_COLUMNS],
      )
      partial.replace(path)
      written.append(path)
  return written


def _table(store, rows, values, model_id):
  """Returns the embeddings of rows beside what the store says of them."""
  names = [f'e{unit:03d}' for unit in range(values.shape[1])]
  described = store.index.iloc[rows].reset_index(drop=True)
  keys = list(store_lib.KEY_COLUMNS)
  return pd.concat(
    [
      described[keys].assign(model_id=model_id)[['model_id', *keys]],
      pd.DataFrame(values, columns=names),
      described.drop(columns=keys),
    ],
    axis=1,
  )
