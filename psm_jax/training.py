"""Training, read top to bottom: restore, feed, step, log, save."""

import contextlib
import dataclasses
import pathlib
import signal
import threading
import time
from collections.abc import Iterator

import jax
import ml_collections
import numpy as np
import tqdm
from absl import logging

from psm_jax import config_check, methods, sampling
from psm_jax.data import canonical_faces, prepare
from psm_jax.data import store as store_lib
from psm_jax.engine import compilation, dispatch, memory
from psm_jax.engine import feed as feed_lib
from psm_jax.engine import population as population_lib
from psm_jax.engine import validation as validation_lib
from psm_jax.methods import interface
from psm_jax.runs import checkpoint, metrics, planning, run, warm_start

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


@dataclasses.dataclass(frozen=True)
class Outcome:
  """How a call of `train` ended.

  Attributes:
    models: The run's models with their status.
    was_stopped: Whether a signal ended it before its last step; the same
      command goes on from the checkpoint.
  """

  models: tuple[run.Model, ...]
  was_stopped: bool


def train(
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  *,
  data_dir: str | pathlib.Path | None = None,
) -> Outcome:
  """Trains a population, from its newest checkpoint if there is one.

  Args:
    config: The experiment.
    workdir: The run directory.
    data_dir: Where prepared data lie; `workdir`/data by default.

  Raises:
    ValueError: If the configuration, the data or the run directory cannot be
      used; the message names the field or path.
  """
  config_check.check(config)
  if config.train.compilation_cache:
    compilation.enable_cache()
  workdir = pathlib.Path(workdir).absolute()
  data_dir = pathlib.Path(data_dir or workdir / 'data').absolute()
  with run.locked(workdir):
    store = store_lib.open_store(
      prepare.prepare(config.data, directory=data_dir)
    )
    models, plans = planning.plan_models(config, store)
    run.start(workdir, config, models, data_dir)
    devices = population_lib.devices_of(config)
    method = methods.make(config, platform=devices[0].platform)
    waves = population_lib.build_waves(method, plans, config, devices=devices)
    _log_start(config, workdir, store, models, waves)
    waves = _fit_memory(method, waves, store, config)
    canonical = None
    if method.uses_canonical:
      canonical = canonical_faces.of_store(store)
    with _stop_signals() as stop:
      for number, population in enumerate(waves):
        first = population.first_model
        members = models[first : first + population.num_models]
        if all(model.status != 'running' for model in members):
          continue
        if len(waves) > 1:
          logging.info('Wave %d of %d.', number + 1, len(waves))
        wave = _Wave(
          number,
          method,
          population,
          members,
          plans[first:],
          store,
          canonical,
          config,
        )
        _train_wave(wave, workdir, stop)
        run.write_models(workdir, config.method.name, models, data_dir)
        if stop.is_set():
          break
  is_running = any(model.status == 'running' for model in models)
  return Outcome(tuple(models), was_stopped=is_running and stop.is_set())


@dataclasses.dataclass(frozen=True)
class _Wave:
  """Models that train together, and what they need."""

  number: int
  method: interface.Method
  population: population_lib.Population
  models: list[run.Model]
  plans: list[sampling.Plan]
  store: store_lib.FrameStore
  canonical: canonical_faces.CanonicalFaces | None
  config: ml_collections.ConfigDict


def _train_wave(wave, workdir, stop):
  """Trains the models of a wave to their ends, or until it is stopped."""
  config, models, population = wave.config, wave.models, wave.population
  last_step = max(model.total_steps for model in models)
  ids = [model.model_id for model in models]
  checkpoints = checkpoint.Checkpoints(
    workdir, wave=wave.number, keep_steps=config.train.keep_steps
  )
  first_step, states = _restore(wave, checkpoints)
  feed = feed_lib.make(
    population, wave.store.frames, config, canonical=wave.canonical
  )
  validation = _validation(wave)
  log = metrics.MetricsLog(workdir, ids, step=first_step, wave=wave.number)
  saved_step, saved_at = first_step, time.monotonic()
  logged_step, logged_at, waited = first_step, time.monotonic(), 0.0
  previous = None
  step = first_step
  try:
    with tqdm.tqdm(
      total=last_step, initial=first_step, unit='step', smoothing=0.05
    ) as progress:
      for step in range(first_step + 1, last_step + 1):
        batches = feed.batches_at(step - 1)
        states, step_metrics = population.step(states, batches)
        if validation is not None:
          states = validation.after_step(step, states)
        # One step ahead at most: the queue stays short, memory bounded.
        jax.block_until_ready(previous)
        previous = step_metrics
        progress.update()

        if _is_logged(step, config, models):
          host = population.to_host(step_metrics)
          now = time.monotonic()
          log.write(
            step,
            host,
            steps_per_s=(step - logged_step) / (now - logged_at),
            examples_per_step=config.train.batch_size,
            frames_per_example=wave.method.num_members,
            input_wait_share=(feed.wait_s - waited) / (now - logged_at),
          )
          logged_step, logged_at, waited = step, now, feed.wait_s
          progress.set_postfix(loss=f'{_mean_loss(host):.3f}')
          _report_failures(models, host)
          if all(model.failed_step is not None for model in models):
            logging.error('Every model has failed; stopping at %d.', step)
            break

        minutes = (time.monotonic() - saved_at) / 60
        if step < last_step and (
          stop.is_set()
          or minutes >= config.train.save_minutes
          or _is_multiple(step, config.train.save_steps)
          or _is_multiple(step, config.train.keep_steps)
        ):
          log.flush()
          checkpoints.save(step, population.to_host(states), ids)
          saved_step, saved_at = step, time.monotonic()
        if stop.is_set():
          break
    host_states = population.to_host(states)
    if step > saved_step:
      checkpoints.save(step, host_states, ids)
  finally:
    feed.close()
    log.close()
    checkpoints.close()
  _settle(models, host_states)


def _restore(wave, checkpoints):
  """Returns (steps taken, states) of a wave: its checkpoint or its start."""
  population = wave.population
  template = checkpoint.template(wave.method, len(wave.models))
  restored = checkpoints.restore(
    template, [model.model_id for model in wave.models]
  )
  if restored is not None:
    logging.info('Going on from step %d.', restored[0])
    return restored[0], population.from_host(restored[1])
  states = population.init()
  if wave.config.init.path:
    started = warm_start.start(
      population.to_host(states),
      [model.init_from for model in wave.models],
      pool=warm_start.open_pool(wave.config),
    )
    states = population.from_host(started)
  return 0, states


def _validation(wave):
  """Returns the validation of a wave, None if its method does not validate."""
  if wave.method.validate is None:
    return None
  return validation_lib.Validation(
    wave.population,
    wave.plans[: len(wave.models)],
    planning.plan_validation(wave.config, wave.store, wave.models),
    wave.store.frames,
    wave.config,
    canonical=wave.canonical,
  )


def _log_start(config, workdir, store, models, waves):
  population = waves[0]
  device = population.devices[0]
  logging.info(
    'jax %s on %d x %s; %d people, %d frames of %d px in %s',
    jax.__version__,
    len(population.devices),
    device.device_kind,
    len(store.person_ids),
    len(store.index),
    store.size_px,
    store.path,
  )
  logging.info(
    '%d models in %d waves, %d a device in %d slots; up to %d steps of %d '
    'examples; to %s',
    len(models),
    len(waves),
    population.num_slots * population.slot_models,
    population.num_slots,
    max(model.total_steps for model in models),
    config.train.batch_size,
    workdir,
  )


def _fit_memory(method, waves, store, config):
  """Returns waves that a device can hold, logs what the fullest needs.

  Models that a CPU would compute side by side are fewer if they must; anything
  else that does not fit is an error.
  """
  limit = memory.limit_of(waves[0].devices[0])
  per_frame = store.frames.shape[1]
  frame_bytes = max(
    memory.frame_bytes(wave, bytes_per_frame=per_frame)
    if feed_lib.choose(wave, config, bytes_per_frame=per_frame) == 'resident'
    else 0
    for wave in waves
  )
  needed = memory.estimate(method, waves[0], frame_bytes, config)
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


@contextlib.contextmanager
def _stop_signals() -> Iterator[threading.Event]:
  """Gives an event that stop signals set meanwhile; the loop polls it."""
  event = threading.Event()
  earlier = {}
  if threading.current_thread() is threading.main_thread():
    for number in _STOP_SIGNALS:
      earlier[number] = signal.signal(number, lambda *_: event.set())
  try:
    yield event
  finally:
    for number, handler in earlier.items():
      signal.signal(number, handler)


def _is_logged(step, config, models):
  """Whether a step is written down: every so many, the first, each last."""
  return (
    step == 1
    or step % config.train.log_every == 0
    or any(step == model.total_steps for model in models)
  )


def _is_multiple(step, steps):
  return steps > 0 and step % steps == 0


def _mean_loss(host):
  active = host['is_active']
  return host['loss'][active].mean() if active.any() else float('nan')


def _report_failures(models, host):
  """Records and logs models that have become failed since the last look."""
  for model, failed_step in zip(models, host['failed_step'], strict=True):
    if failed_step >= 0 and model.failed_step is None:
      model.failed_step = int(failed_step)
      logging.error(
        '%s is frozen: its loss or update was not finite at step %d. The '
        'other models go on.',
        model.model_id,
        model.failed_step,
      )


def _settle(models, states):
  """Writes the final state of each model into its entry."""
  for model, steps, failed_step in zip(
    models, np.asarray(states.step), states.failed_step, strict=True
  ):
    model.steps_done = int(steps)
    if failed_step >= 0:
      model.failed_step, model.status = int(failed_step), 'failed'
    elif model.steps_done >= model.total_steps:
      model.status = 'done'
