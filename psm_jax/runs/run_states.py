"""The states of a run's models, found among the checkpoints of its waves.

A model's checkpoints are those of the wave that it trains in now, or of those
in which it trained before it began.
"""

import contextlib
import math
import operator
import pathlib
from collections.abc import Sequence

import jax
import numpy as np
from absl import logging

from psm_jax.engine import update
from psm_jax.methods import interface
from psm_jax.runs import checkpoint, run, shards


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
      self._run.workdir,
      members,
      self._run.models,
      self._method,
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
  return contextlib.closing(
    checkpoint.Checkpoints(workdir, wave=wave, read_only=True)
  )


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
    until: As in `checkpoint.Checkpoints.restore`.

  Returns:
    Its step and states [M, ...].

  Raises:
    ValueError: If the checkpoint is of other models, or none can be read.
  """
  for number in reversed(members[0].waves):
    ids = [model.model_id for model in models if number in model.waves]
    with _reading(workdir, number) as checkpoints:
      restored = checkpoints.restore(
        checkpoint.template(method, len(ids)), ids, until=until
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
