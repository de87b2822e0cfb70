"""Checkpoints of a population: stacked NumPy trees, written by Orbax.

Whatever the strategy, leaves are [N, ...] with the models in the order of
models.json, so a resumption may change strategy or devices.

A checkpoint is sealed (`seal`) before it gets its name, and holds the checksum
of each array as it lay in memory: what comes back is what was saved.
"""

import functools
import hashlib
import json
import pathlib
import textwrap
import zlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from psm_jax.engine import update
from psm_jax.methods import interface
from psm_jax.runs import seal

# Orbax changes this file after all others are written, and does without it.
_UNSEALED = ('_CHECKPOINT_METADATA',)


def _alone():
  """Returns what tells Orbax that this process of several acts by itself."""
  index = jax.process_index()
  if jax.process_count() == 1:
    return ocp.options.MultiprocessingOptions()
  return ocp.options.MultiprocessingOptions(
    primary_host=index,
    active_processes={index},
    barrier_sync_key_prefix=f'process{index}',
  )


class Checkpoints:
  """The checkpoints of a wave of a run: the newest two, and some that stay."""

  def __init__(
    self,
    workdir: pathlib.Path,
    *,
    wave: int = 0,
    read_only: bool = False,
    keep_steps: int = 0,
  ):
    """Opens or makes `workdir`/checkpoints/wave<number>.

    Args:
      workdir: The run directory.
      wave: Number of the wave: models that train together.
      read_only: Whether somebody else may be writing: an opener that writes
        removes what looks like the remains of a save that was cut off.
      keep_steps: Checkpoints of multiples of this step stay; 0: none does.
    """
    self._folder = (workdir / 'checkpoints' / f'wave{wave:03d}').absolute()
    if not read_only:
      self._folder.mkdir(parents=True, exist_ok=True)
    alone = _alone()
    self._manager = ocp.CheckpointManager(
      self._folder,
      item_handlers={
        # Compressing numbers like these takes most of a save for a tenth of
        # its size.
        'state': ocp.PyTreeCheckpointHandler(
          use_compression=False, multiprocessing_options=alone
        ),
        'models': ocp.JsonCheckpointHandler(multiprocessing_options=alone),
      },
      options=ocp.CheckpointManagerOptions(
        max_to_keep=2,
        keep_period=keep_steps or None,
        create=False,
        cleanup_tmp_directories=not read_only,
        multiprocessing_options=alone,
        async_options=ocp.AsyncOptions(post_finalization_callback=self._seal),
      ),
    )

  def _seal(self):
    """Seals the save that all of is on the disk but for its name."""
    (written,) = self._folder.glob('*.orbax-checkpoint-tmp')
    seal.write(written, leave_out=_UNSEALED)

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
        state=ocp.args.PyTreeSave(states),
        models=ocp.args.JsonSave(_describe(step, states, ids)),
      ),
    )

  @property
  def steps(self) -> list[int]:
    """The steps of which there are checkpoints, ascending."""
    return sorted(self._manager.all_steps())

  def model_ids(self, step: int) -> list[str]:
    """Returns of which models a checkpoint says that it is.

    Whether it is sound is checked by `restore`, which reads all of it.

    Raises:
      ValueError: If it cannot be read.
    """
    try:
      restored = self._manager.restore(
        step, args=ocp.args.Composite(models=ocp.args.JsonRestore())
      )
      return list(restored['models']['model_ids'])
    except (OSError, KeyError, TypeError) as error:
      raise ValueError(f'it does not say whose it is: {error}') from error

  def newest_sound(self) -> int:
    """Returns the newest step whose files are undamaged, 0 if none is."""
    for step in reversed(self.steps):
      try:
        seal.check(self._folder / str(step))
      except ValueError:
        continue
      return step
    return 0

  def restore(
    self,
    template: update.TrainState,
    ids: list[str],
    *,
    until: int | None = None,
  ) -> tuple[int, update.TrainState] | None:
    """Returns the newest readable checkpoint, None if there is none.

    Args:
      template: A tree of NumPy arrays of the checkpoint's shapes.
      ids: The models that the caller expects.
      until: Step whose checkpoint is meant, or the last before it, and no
        older one in its place.

    Raises:
      ValueError: If the checkpoint is of other models, or none can be read.
    """
    steps = self.steps
    if until is not None:
      steps = [step for step in steps if step <= until][-1:]
    problems = []
    for step in reversed(steps):
      try:
        described, states = self._read(step, template)
      except (OSError, ValueError, KeyError, TypeError) as error:
        # Some of these messages are pages long, some are empty.
        reason = textwrap.shorten(str(error), 200) or type(error).__name__
        logging.warning('Checkpoint %d is unreadable: %s', step, reason)
        problems.append(f'{step}: {reason}')
        continue
      if described['model_ids'] != ids:
        raise ValueError(
          f'Checkpoint {step} in {self._manager.directory} is of other models '
          'than models.json names.'
        )
      return step, states
    if steps:
      raise ValueError(
        f'No checkpoint in {self._manager.directory} can be read '
        f'({"; ".join(problems)}). Move the folder away to begin anew.'
      )
    return None

  def _read(self, step, template):
    """Returns what a checkpoint says of itself, and its states.

    Raises:
      ValueError: If it is not what was written.
    """
    seal.check(self._folder / str(step))
    restored = self._manager.restore(
      step,
      args=ocp.args.Composite(
        state=ocp.args.PyTreeRestore(
          template,
          restore_args=ocp.checkpoint_utils.construct_restore_args(template),
        ),
        models=ocp.args.JsonRestore(),
      ),
    )
    described, states = restored['models'], restored['state']
    if described != _describe(step, states, described['model_ids']):
      raise ValueError('its arrays are not those that were saved.')
    return described, states

  def wait(self):
    """Waits for the background to finish; raises if a save failed."""
    self._manager.wait_until_finished()
    self._manager.check_for_errors()

  def close(self):
    """Waits, and lets the folder go."""
    self.wait()
    self._manager.close()


def _describe(step, states, ids):
  """Returns what a checkpoint says of itself: models, arrays, their hash."""
  described = {
    'step': step,
    'model_ids': list(ids),
    'arrays': {
      name: [
        str(leaf.dtype),
        list(leaf.shape),
        zlib.crc32(np.ascontiguousarray(leaf)),
      ]
      for name, leaf in named_leaves(states).items()
    },
  }
  text = json.dumps(described, sort_keys=True)
  return {**described, 'sha256': hashlib.sha256(text.encode()).hexdigest()}


def template(method: interface.Method, num_models: int) -> update.TrainState:
  """Returns a tree of zeros in the shape of a checkpoint of N models."""
  shapes = jax.eval_shape(
    functools.partial(update.init_model, method=method),
    jax.ShapeDtypeStruct((2,), np.uint32),
  )
  return jax.tree.map(
    lambda leaf: np.zeros((num_models, *leaf.shape), leaf.dtype), shapes
  )


def named_leaves(tree: interface.Tree) -> dict[str, Any]:
  """Returns the leaves of a tree by name, such as params/encoder/kernel."""
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): leaf
    for path, leaf in jax.tree.leaves_with_path(tree)
  }
