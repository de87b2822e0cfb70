"""Checkpoints of a population: stacked NumPy trees, written by Orbax.

Whatever the strategy, leaves are [N, ...] with the models in the order of
models.json, so a resumption may change strategy or devices.
"""

import functools
import json
import logging as python_logging
import pathlib
import textwrap

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from psm_jax import run, update
from psm_jax.methods import interface


def _is_no_orbax_chatter(record: python_logging.LogRecord) -> bool:
  """Whether a log record is worth a reader's time: Orbax logs each rename."""
  return (
    record.levelno >= python_logging.WARNING or 'orbax' not in record.pathname
  )


class Checkpoints:
  """The checkpoints of one wave of a run, the newest two kept."""

  def __init__(
    self, workdir: pathlib.Path, *, wave: int = 0, read_only: bool = False
  ):
    """Opens or makes `workdir`/checkpoints/wave<number>.

    Args:
      workdir: The run directory.
      wave: Number of the wave: models that train together.
      read_only: Whether somebody else may be writing: an opener that writes
        removes what looks like the remains of a save that was cut off.
    """
    logging.get_absl_logger().addFilter(_is_no_orbax_chatter)
    self._manager = ocp.CheckpointManager(
      (workdir / 'checkpoints' / f'wave{wave:03d}').absolute(),
      options=ocp.CheckpointManagerOptions(
        max_to_keep=2,
        create=not read_only,
        cleanup_tmp_directories=not read_only,
      ),
    )

  def save(self, step: int, states: update.TrainState, ids: list[str]):
    """Saves states [N, ...] in the background; raises an earlier failure.

    Checkpoints from this step on go first: `restore` found them unreadable and
    gave an older one. With them in place Orbax would save nothing.
    """
    self._manager.check_for_errors()
    for other in self._manager.all_steps():
      if other >= step:
        self._manager.delete(other)
    self._manager.save(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardSave(states),
        models=ocp.args.JsonSave({'model_ids': ids}),
      ),
    )

  def restore(
    self, template: update.TrainState, ids: list[str]
  ) -> tuple[int, update.TrainState] | None:
    """Returns the newest readable checkpoint, None if there is none.

    Args:
      template: A tree of NumPy arrays of the checkpoint's shapes.
      ids: The models that the caller expects.

    Raises:
      ValueError: If the checkpoint is of other models, or none can be read.
    """
    steps = sorted(self._manager.all_steps(), reverse=True)
    problems = []
    for step in steps:
      try:
        restored = self._manager.restore(
          step,
          args=ocp.args.Composite(
            state=ocp.args.StandardRestore(template),
            models=ocp.args.JsonRestore(),
          ),
        )
      except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        # Some of these messages are pages long, some are empty.
        reason = textwrap.shorten(str(error), 200) or type(error).__name__
        logging.warning('Checkpoint %d is unreadable: %s', step, reason)
        problems.append(f'{step}: {reason}')
        continue
      if restored['models']['model_ids'] != ids:
        raise ValueError(
          f'Checkpoint {step} in {self._manager.directory} is of other models '
          'than models.json names.'
        )
      return step, restored['state']
    if steps:
      raise ValueError(
        f'No checkpoint in {self._manager.directory} can be read '
        f'({"; ".join(problems)}). Move the folder away to begin anew.'
      )
    return None

  def close(self):
    """Waits for the background to finish; raises if a save failed."""
    self._manager.wait_until_finished()
    self._manager.check_for_errors()
    self._manager.close()


class RunStates:
  """The newest states of a run's models, read a wave at a time.

  Attributes:
    step: The latest step of a checkpoint.
  """

  def __init__(self, opened: run.Run, method: interface.Method):
    """Looks at all waves, so that a missing one is known at once.

    Args:
      opened: The run.
      method: What its models learned.

    Raises:
      ValueError: If models have no checkpoint.
    """
    self._workdir, self._method = opened.workdir, method
    self._ids = [model.model_id for model in opened.models]
    self._size = opened.config.population.wave or len(self._ids)
    self.step = 0
    for number in range(-(-len(self._ids) // self._size)):
      self._open(number)

  def _open(self, number):
    ids = self._ids[number * self._size : (number + 1) * self._size]
    checkpoints = Checkpoints(self._workdir, wave=number, read_only=True)
    restored = checkpoints.restore(template(self._method, len(ids)), ids)
    checkpoints.close()
    if restored is None:
      raise ValueError(
        f'{self._workdir} has no checkpoint of {ids[0]}. Go on with the same '
        'launch.train command until it has saved one.'
      )
    self.step = max(self.step, restored[0])
    self._number, self._states = number, restored[1]

  def model(self, index: int) -> update.TrainState:
    """Returns the state of one model of the run, NumPy."""
    number, place = divmod(index, self._size)
    if number != self._number:
      self._open(number)
    return jax.tree.map(lambda leaf: leaf[place], self._states)


def template(method: interface.Method, num_models: int) -> update.TrainState:
  """Returns a tree of zeros in the shape of a checkpoint of N models."""
  shapes = jax.eval_shape(
    functools.partial(update.init_model, method=method),
    jax.ShapeDtypeStruct((2,), np.uint32),
  )
  return jax.tree.map(
    lambda leaf: np.zeros((num_models, *leaf.shape), leaf.dtype), shapes
  )
