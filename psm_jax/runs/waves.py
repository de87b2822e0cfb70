"""Waves: the models of a run that train together, and what they need for it.

for wave in waves.plan(models, plans, store, config):
step, states = waves.restore(wave, workdir)
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import ml_collections
import numpy as np
from absl import logging

from psm_jax import methods, sampling
from psm_jax.data import canonical_faces, store as store_lib
from psm_jax.engine import (
  dispatch,
  feed,
  layout,
  memory,
  population,
  processes,
  update,
  validation,
)
from psm_jax.methods import interface
from psm_jax.ops import precision
from psm_jax.runs import (
  checkpoint,
  planning,
  run,
  run_states,
  shards,
  warm_start,
)


@dataclasses.dataclass(frozen=True)
class Wave:
  """Models that train together, and what they need.

  Attributes:
    number: Of the folder of their checkpoints.
    method: What they learn.
    population: The models on the devices.
    models: N models of the run.
    plans: Theirs.
    run_models: All models of the run.
    store: The frames.
    canonical: Their canonical faces, if the method uses them.
    config: The experiment.
  """

  number: int
  method: interface.Method
  population: population.Population
  models: list[run.Model]
  plans: list[sampling.Plan]
  run_models: Sequence[run.Model]
  store: store_lib.FrameStore
  canonical: canonical_faces.CanonicalFaces | None
  config: ml_collections.ConfigDict

  @property
  def program(self) -> str:
    """What names the program of its step, for how long that took to compile."""
    config, device = self.config, self.population.devices[0]
    return (
      f'{self.population.slot_models} models a program, {config.method.name} '
      f'of width {config.method.width:g}, {config.data.size_px} px, '
      f'{config.train.batch_size} examples, on {device.device_kind}'
    )


def plan(
  models: Sequence[run.Model],
  plans: Sequence[sampling.Plan],
  store: store_lib.FrameStore,
  config: ml_collections.ConfigDict,
  *,
  shard: shards.Shard = shards.ALONE,
) -> list[Wave]:
  """Returns the waves of a shard's models that are still to be trained.

  Models that a CPU would compute side by side are fewer if the memory wants
  that; what the fullest wave needs is logged.

  Args:
    models: The run's.
    plans: Theirs.
    store: The frames.
    config: The experiment.
    shard: Whose.

  Raises:
    ValueError: If a wave does not fit a device.
  """
  waves = {
    number: members
    for number, members in shards.waves_of(models).items()
    if members[0].shard == shard.index
    and any(model.status == 'running' for model in members)
  }
  if not waves:
    return []
  devices = layout.devices_of(config)
  method = methods.make(precision.settled(config, devices[0].platform))
  plan_of = dict(zip((m.model_id for m in models), plans, strict=True))
  plans_of = [
    [plan_of[model.model_id] for model in members] for members in waves.values()
  ]
  populations = population.build_waves(
    method,
    sum(plans_of, []),
    config,
    devices=devices,
    sizes=list(map(len, plans_of)),
  )
  populations = _fit_memory(method, populations, store, config)
  canonical = feed.canonical_of(method, store)
  return [
    Wave(
      number=number,
      method=method,
      population=built,
      models=members,
      plans=theirs,
      run_models=models,
      store=store,
      canonical=canonical,
      config=config,
    )
    for (number, members), theirs, built in zip(
      waves.items(), plans_of, populations, strict=True
    )
  ]


def _fit_memory(method, waves, store, config):
  """Returns populations that a device can hold, or raises an error."""
  limit = memory.limit_of(waves[0].devices[0])
  frames = max(frame_bytes(wave, store, config) for wave in waves)
  needed = memory.estimate(method, waves[0], frames, config)
  at_once = min(waves[0].lanes.size, max(1, needed.steps_that_fit(limit)))
  if at_once < waves[0].lanes.size and not config.population.chunk:
    lanes = dispatch.Lanes(at_once)
    waves = [
      dataclasses.replace(wave, models_at_once=at_once, lanes=lanes)
      for wave in waves
    ]
    needed = dataclasses.replace(needed, models_at_once=at_once)
  logging.info('%s', memory.describe(needed, limit))
  memory.check(needed, limit, num_devices=len(waves[0].devices))
  return waves


def frame_bytes(
  built: population.Population,
  store: store_lib.FrameStore,
  config: ml_collections.ConfigDict,
) -> int:
  """Returns the bytes of frames that lie on a device of a population."""
  per_frame = store.frames.shape[1]
  if feed.choose(built, config, bytes_per_frame=per_frame) != 'resident':
    return 0
  return memory.frame_bytes(built, bytes_per_frame=per_frame)


def restore(
  wave: Wave, workdir: pathlib.Path
) -> tuple[int, list[update.TrainState]]:
  """Returns the steps taken and the states of a wave, on the devices.

  They are those of its checkpoint, or how it starts. Of several processes the
  first one reads.

  Args:
    wave: The wave.
    workdir: The run directory.

  Raises:
    ValueError: If there are checkpoints that cannot be read, or nothing to
      start from.
  """
  step, states = 0, checkpoint.template(wave.method, len(wave.models))
  if processes.is_first():
    restored = run_states.read_newest(
      workdir, wave.models, wave.run_models, wave.method
    )
    if restored is not None:
      step, states = restored
      logging.info('Going on from step %d.', step)
    else:
      states = wave.population.to_host(wave.population.init())
      pool = warm_start.open_pool(wave.config)
      if pool is not None:
        starts = [model.init_from for model in wave.models]
        states = warm_start.start(states, starts, pool=pool)
  step, states = processes.from_first((np.int64(step), states))
  return int(step), wave.population.from_host(states)


def validation_of(wave: Wave) -> validation.Validation | None:
  """Returns the validation of a wave, None if its method does not validate."""
  if wave.method.validate is None:
    return None
  return validation.Validation(
    wave.population,
    wave.plans,
    planning.plan_validation(wave.config, wave.store, wave.models),
    wave.store.frames,
    wave.config,
    canonical=wave.canonical,
  )
