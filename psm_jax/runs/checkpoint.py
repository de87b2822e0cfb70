"""Checkpoints of a population: stacked NumPy trees, written by Orbax.

Whatever the strategy, leaves are [N, ...] with the models in the order of
models.json, so a resumption may change strategy or devices.

A checkpoint is sealed (`seal`) before it gets its name, and holds the checksum
of each array as it lay in memory: what comes back is what was saved.
"""

import contextlib
import functools
import hashlib
import json
import logging as python_logging
import math
import operator
import pathlib
import textwrap
import zlib
from collections.abc import Sequence

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from psm_jax.engine import update
from psm_jax.methods import interface
from psm_jax.runs import run, seal, shards

# Orbax changes this file after all others are written, and does without it.
_UNSEALED = ('_CHECKPOINT_METADATA',)


def _is_no_orbax_chatter(record: python_logging.LogRecord) -> bool:
  """Whether a log record is worth a reader's time: Orbax logs each rename."""
  return (
    record.levelno >= python_logging.WARNING or 'orbax' not in record.pathname
  )


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
    logging.get_absl_logger().addFilter(_is_no_orbax_chatter)
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
      jax.tree_util.keystr(path, simple=True, separator='/'): [
        str(leaf.dtype),
        list(leaf.shape),
        zlib.crc32(np.ascontiguousarray(leaf)),
      ]
      for path, leaf in jax.tree.leaves_with_path(states)
    },
  }
  text = json.dumps(described, sort_keys=True)
  return {**described, 'sha256': hashlib.sha256(text.encode()).hexdigest()}


class RunStates:
  """The states of a run's models at some step, read a wave at a time.

  Attributes:
    step: The latest step of a checkpoint.
  """

  def __init__(
    self,
    opened: run.Run,
    method: interface.Method,
    *,
    until: int | None = None,
    indices: Sequence[int] | None = None,
  ):
    """Looks at all waves, so that a missing one is known at once.

    Args:
      opened: The run.
      method: What its models learned.
      until: Step whose checkpoint is meant, or the last before it; None: the
        newest.
      indices: Models that will be asked for; None: all.

    Raises:
      ValueError: If models have no checkpoint.
    """
    self._run, self._method, self._until = opened, method, until
    self._waves = shards.waves_of(opened.models)
    self.step = 0
    if indices is None:
      indices = range(len(opened.models))
    for number in sorted({opened.models[i].waves[-1] for i in indices}):
      self._open(number)

  def _open(self, number):
    members = self._waves[number]
    restored = read_newest(
      *(self._run.workdir, members, self._run.models, self._method),
      until=self._until,
    )
    if restored is None:
      raise ValueError(
        f'{self._run.workdir} has no checkpoint of {members[0].model_id}. Go '
        'on with the same launch.train command until it has saved one.'
      )
    self.step = max(self.step, restored[0])
    self._number, self._states = number, restored[1]

  def model(self, index: int) -> update.TrainState:
    """Returns the state of one model of the run, NumPy."""
    model = self._run.models[index]
    if model.waves[-1] != self._number:
      self._open(model.waves[-1])
    place = self._waves[self._number].index(model)
    return jax.tree.map(lambda leaf: leaf[place], self._states)


def _reading(workdir, wave):
  """Returns a context that gives a wave's checkpoints, to be read alone."""
  return contextlib.closing(Checkpoints(workdir, wave=wave, read_only=True))


def read_newest(
  workdir: pathlib.Path,
  members: Sequence[run.Model],
  models: Sequence[run.Model],
  method: interface.Method,
  *,
  until: int | None = None,
) -> tuple[int, update.TrainState] | None:
  """Returns the newest checkpoint of models that train together, if any.

  Of a wave that was divided and has none yet, it is part of the wave's.

  Args:
    workdir: The run directory.
    members: M models of one wave.
    models: All models of the run.
    method: What they learn.
    until: As in `Checkpoints.restore`.

  Returns:
    Its step and states [M, ...].

  Raises:
    ValueError: If the checkpoint is of other models, or none can be read.
  """
  for number in reversed(members[0].waves):
    ids = [model.model_id for model in models if number in model.waves]
    with _reading(workdir, number) as checkpoints:
      restored = checkpoints.restore(
        template(method, len(ids)), ids, until=until
      )
    if restored is not None:
      places = np.array([ids.index(member.model_id) for member in members])
      step, states = restored
      return step, jax.tree.map(operator.itemgetter(places), states)
  return None


def reopen(workdir: pathlib.Path, models: Sequence[run.Model]):
  """Has models train on that have ended without a checkpoint to show for it.

  Args:
    workdir: The run directory.
    models: Of the run; those of a wave whose newest sound checkpoint is missing
      or of an earlier step than they ended at are given status 'running'.
  """
  for number, members in shards.waves_of(models).items():
    if any(model.status == 'running' for model in members):
      continue
    with _reading(workdir, number) as checkpoints:
      step = checkpoints.newest_sound()
    ended = max(model.steps_done for model in members)
    if step >= ended:
      continue
    logging.warning(
      'The checkpoint of step %d, at which %s ended, is gone or damaged: going '
      'on from step %d.',
      ended,
      members[0].model_id,
      step,
    )
    for model in members:
      model.status, model.failed_step = 'running', None


def kept_steps(opened: run.Run) -> list[int]:
  """Returns the steps, ascending, at which all of a run's models are known.

  At a step, each wave has a checkpoint or has ended before.
  """
  waves = []
  for members in shards.waves_of(opened.models).values():
    steps = set()
    for number in members[0].waves:
      with _reading(opened.workdir, number) as checkpoints:
        steps |= set(checkpoints.steps)
    has_ended = all(model.status != 'running' for model in members)
    waves.append((steps, max(steps) if steps and has_ended else math.inf))
  return [
    step
    for step in sorted(set().union(*(steps for steps, _ in waves)))
    if all(step in steps or step > end for steps, end in waves)
  ]


def template(method: interface.Method, num_models: int) -> update.TrainState:
  """Returns a tree of zeros in the shape of a checkpoint of N models."""
  shapes = jax.eval_shape(
    functools.partial(update.init_model, method=method),
    jax.ShapeDtypeStruct((2,), np.uint32),
  )
  return jax.tree.map(
    lambda leaf: np.zeros((num_models, *leaf.shape), leaf.dtype), shapes
  )
