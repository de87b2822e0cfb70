"""Embeddings of a run's frames: tables a lab can join with its own."""

import pathlib
from collections.abc import Iterator

import jax
import numpy as np
import pandas as pd
import tqdm
from absl import logging

from psm_jax import checkpoint, methods, paths, planning, run
from psm_jax import population as population_lib
from psm_jax.data import prepare
from psm_jax.data import store as store_lib

_BATCH_FRAMES = 256


class Trained:
  """A run opened for use: its models' parameters and its frames.

  Attributes:
    run: The run directory's content.
    store: The frames it was trained on.
    method: The method.
    plans: The models' plans.
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
    self._states = checkpoint.RunStates(
      self.run.workdir,
      [model.model_id for model in self.run.models],
      wave=config.population.wave,
      method=self.method,
      clock=self.plans[0].clock,
    )
    self.step = self._states.step
    self._embed = jax.jit(self.method.embed)
    self._init = population_lib.initialiser(self.method)

  def model_state(self, index: int) -> population_lib.TrainState:
    """Returns the state of one model."""
    return self._states.model(index)

  def embed(self, index: int, rows: np.ndarray) -> np.ndarray:
    """Returns [n, D] float32 embeddings of rows of the store by a model."""
    state = self.model_state(index)
    return self._embed_rows(state.params, state.method_state, rows)

  def embed_untrained(self, index: int, rows: np.ndarray) -> np.ndarray:
    """Returns embeddings by the random weights from which a model began."""
    state = self._init(self.plans[index].clock)
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
      )
    )

  def _embed_rows(self, params, method_state, rows):
    params, method_state = jax.device_put((params, method_state))
    parts = []
    for start in range(0, len(rows), _BATCH_FRAMES):
      frames = self.store.frames[rows[start : start + _BATCH_FRAMES]]
      # The last batch is filled up, so that one program serves all.
      missing = _BATCH_FRAMES - len(frames)
      full = np.concatenate([frames, np.repeat(frames[:1], missing, axis=0)])
      embedded = np.asarray(self._embed(params, method_state, full))
      parts.append(embedded[: len(frames)])
    return np.concatenate(parts).astype(np.float32)


def write_embeddings(workdir: str | pathlib.Path) -> list[pathlib.Path]:
  """Embeds every frame of every model's cohort and writes the tables.

  One Parquet file a model, person and video, below `workdir`/embeddings:
  model_id, person_id, video_id, frame, time_s, e000..e255 float32, labels.

  Returns:
    The files written.
  """
  trained = Trained(workdir)
  root = trained.run.workdir / 'embeddings'
  written = []
  for index, table in _tables(trained):
    model_id = trained.run.models[index].model_id
    person_id, video_id = table.person_id.iloc[0], table.video_id.iloc[0]
    folder = paths.child(root, model_id, person_id)
    paths.make_private_dir(folder)
    path = paths.child(folder, f'{video_id}.parquet')
    partial = paths.child(folder, f'{video_id}.partial')
    table.to_parquet(partial, index=False)
    partial.replace(path)
    written.append(path)
  logging.info(
    'Wrote %d tables of %d models at step %d to %s',
    len(written),
    len(trained.run.models),
    trained.step,
    root,
  )
  return written


def _tables(trained: Trained) -> Iterator[tuple[int, pd.DataFrame]]:
  """Yields (model index, table) for every model and video of its cohort."""
  for index, model in enumerate(tqdm.tqdm(trained.run.models, unit='model')):
    for person in model.cohort:
      for video in trained.store.videos(person):
        rows = np.arange(video.start, video.stop)
        values = trained.embed(index, rows)
        names = [f'e{unit:03d}' for unit in range(values.shape[1])]
        described = trained.store.index.iloc[rows].reset_index(drop=True)
        keys = list(store_lib.KEY_COLUMNS)
        yield (
          index,
          pd.concat(
            [
              described[keys].assign(model_id=model.model_id)[
                ['model_id', *keys]
              ],
              pd.DataFrame(values, columns=names),
              described.drop(columns=keys),
            ],
            axis=1,
          ),
        )
