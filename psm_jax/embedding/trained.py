"""A run opened for use: its models and the frames they were trained on.

n frames, D features.
"""

import copy
import pathlib
from collections.abc import Callable

import jax
import numpy as np

from psm_jax.data import store as store_lib
from psm_jax.engine import feed, programs, update
from psm_jax.runs import planning, run, run_states, shards


def open_frames(workdir: str | pathlib.Path) -> store_lib.FrameStore:
  """Returns the frames that a run was trained on.

  Raises:
    ValueError: If there is no run or no frame store.
  """
  opened = run.open_run(workdir)
  return planning.open_frames(opened.config, opened.data_dir)


class Trained:
  """A run opened for use: its models' parameters and its frames.

  Attributes:
    run: The run directory's content.
    store: The frames it was trained on.
    programs: What its models compute of frames.
    method: The method.
    plans: The models' plans.
    canonical: The canonical faces of the store, if the method uses them.
    step: The latest step of a checkpoint.
    model_state: Index of a model to its state.
    indices: Models that are used here: a shard's, of a run that is shared.
  """

  def __init__(
    self,
    workdir: str | pathlib.Path,
    *,
    shard: shards.Shard = shards.ALONE,
  ):
    """Opens the newest checkpoint of a run directory.

    Args:
      workdir: The run directory.
      shard: Which of the machines that share its models this one is: those it
        trained, if as many trained them, or a part of about as many frames.

    Raises:
      ValueError: If there is no run, no checkpoint or no frame store.
    """
    self.run = run.open_run(workdir)
    config = self.run.config
    self.store = open_frames(workdir)
    self.plans = planning.plans_of(self.run.models, config, self.store)
    self.programs = programs.of(config)
    self.method = self.programs.method
    self.indices = shards.indices_of(self.run, shard)
    states = run_states.RunStates(self.run, self.method, indices=self.indices)
    self.step, self.model_state = states.step, states.model
    self._init = update.initialiser(self.method, jax.local_devices()[0])
    self.canonical = feed.canonical_of(self.method, self.store)

  def at_step(self, step: int) -> 'Trained':
    """Returns the same run with its models as they were at a step.

    Args:
      step: One of `run_states.kept_steps`, or 0: the weights they began with.

    Raises:
      ValueError: If a checkpoint is missing or cannot be read.
    """
    earlier = copy.copy(self)
    if step == 0:
      earlier.step = 0
      earlier.model_state = lambda i: self._init(self.plans[i].clock.key)
    else:
      states = run_states.RunStates(
        self.run, self.method, until=step, indices=self.indices
      )
      earlier.step, earlier.model_state = states.step, states.model
    return earlier

  def rows_of(self, person: str) -> np.ndarray:
    """Returns the rows of the store that show a person."""
    videos = self.store.videos(person)
    return np.concatenate([np.arange(v.start, v.stop) for v in videos])

  def embed(self, index: int, rows: np.ndarray) -> np.ndarray:
    """Returns [n, D] float32 embeddings of rows of the store by a model."""
    return self.apply(self.model_state(index), rows)

  def apply(
    self,
    state: update.TrainState,
    rows: np.ndarray,
    *,
    function: Callable[..., jax.Array] | None = None,
  ) -> np.ndarray:
    """Returns what a function makes of rows of the store, a batch at a time.

    Args:
      state: Of one model.
      rows: [n] int.
      function: Of (params, method_state, frames) and, if the method uses them,
        canonical faces; `Method.embed` by default.

    Returns:
      [n, ...] float32.
    """
    return programs.in_batches(
      function or self.programs.embed,
      state.params,
      state.method_state,
      self.store.frames,
      rows,
      canonical=self.canonical,
    )

  def pictures(self, index: int, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Returns `Method.pictures` of rows of the store by a model."""
    state = self.model_state(index)
    return jax.device_get(
      jax.jit(self.method.pictures)(
        jax.random.key(0),
        state.params,
        state.method_state,
        self.method.shared,
        np.asarray(self.store.frames[rows]),
        () if self.canonical is None else self.canonical.of_rows(rows),
      )
    )
