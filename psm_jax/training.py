"""Training, read top to bottom: restore, feed, step, log, save."""

import contextlib
import dataclasses
import pathlib
import time

import jax
import ml_collections
import numpy as np
from absl import logging

from psm_jax import config_check, paths, stopping
from psm_jax.engine import compilation, feed as feed_lib, processes, update
from psm_jax.runs import (
  checkpoint,
  locks,
  metrics,
  planning,
  previews,
  progress as progress_lib,
  run,
  run_states,
  shards,
  wandb_log,
  warm_start,
  waves as waves_lib,
)


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
  shard: shards.Shard = shards.ALONE,
  show_faces: bool = False,
  wandb: str = wandb_log.OFF,
) -> Outcome:
  """Trains a population, from its newest checkpoint if there is one.

  Args:
    config: The experiment.
    workdir: The run directory.
    data_dir: Where prepared data lie; `workdir`/data by default.
    shard: Which of the machines that share the run this one is; it trains its
      part of the models.
    show_faces: Whether TensorBoard shows what models make of frames.
    wandb: Whether Weights & Biases is told the scalars, see `wandb_log`.

  Raises:
    ValueError: If the configuration, the data or the run directory cannot be
      used; the message names the field or path.
  """
  config = config_check.checked(config)
  wandb_log.check(wandb)
  if config.train.compilation_cache:
    compilation.enable_cache()
  workdir = paths.check_local(workdir, what='workdir').absolute()
  data_dir = workdir / 'data' if data_dir is None else data_dir
  data_dir = paths.check_local(data_dir, what='data_dir').absolute()
  with contextlib.ExitStack() as held:
    store, models, plans = _begin(config, workdir, data_dir, shard, held)
    waves = waves_lib.plan(models, plans, store, config, shard=shard)
    if waves:
      _log_start(config, workdir, store, waves, shard)
    was_stopped = False
    with stopping.polled() as asked, processes.losses_awaited():
      stop = processes.Stop(asked)
      for number, wave in enumerate(waves, start=1):
        if len(waves) > 1:
          logging.info('Wave %d of %d.', number, len(waves))
        was_stopped = _train_wave(
          wave,
          workdir,
          stop,
          waves_left=len(waves) - number + 1,
          is_shared=not shard.is_alone,
          show_faces=show_faces,
          wandb=wandb,
        )
        if not shard.is_alone:
          run.write_states(workdir, wave.number, wave.models)
        elif processes.is_first():
          run.write_models(workdir, config.method.name, models, data_dir)
        if was_stopped:
          break
  ours = tuple(
    model for model in models if shard.is_alone or model.shard == shard.index
  )
  is_running = any(model.status == 'running' for model in ours)
  return Outcome(ours, was_stopped=is_running and was_stopped)


def _begin(config, workdir, data_dir, shard, held):
  """Starts a run or joins it, and holds it on a stack of contexts.

  Returns:
    The frames, the run's models and their plans.
  """

  def plan():
    store = planning.open_frames(config, data_dir)
    return store, *planning.plan_models(config, store)

  if processes.is_first():
    with shards.starting(workdir):
      held.enter_context(locks.locked(workdir, name=shard.lock))
      store, models, plans = plan()
      planning.check_longer(workdir, config, store, models, plans)
      if config.init.path and not (workdir / 'checkpoints').exists():
        pool = warm_start.open_pool(config)
        names = {model.init_from for model in models}
        run.write_pretrained(workdir, {n: pool.people[n] for n in names})
      shards.start(workdir, config, models, data_dir, shard=shard)
      if store.source.get('crops'):
        run.write_crops(workdir, store.source['crops'])
    run_states.reopen(workdir, models)
  else:
    store, models, plans = plan()
  if processes.are_several():
    entries = processes.text_from_first([vars(model) for model in models])
    models = [run.model_of(entry) for entry in entries]
  return store, models, plans


def _train_wave(
  wave, workdir, stop, *, waves_left, is_shared, show_faces, wandb
):
  """Trains a wave to its end; returns whether a signal stopped it before."""
  config, models, population = wave.config, wave.models, wave.population
  last_step = max(model.total_steps for model in models)
  ids = [model.model_id for model in models]
  is_first = processes.is_first()
  first_step, states = waves_lib.restore(wave, workdir)
  feed = feed_lib.make(
    population, wave.store.frames, config, canonical=wave.canonical
  )
  validation = waves_lib.validation_of(wave)
  if is_first:
    checkpoints = checkpoint.Checkpoints(
      workdir, wave=wave.number, keep_steps=config.train.keep_steps
    )
    others = []
    if wandb != wandb_log.OFF:
      others.append(
        wandb_log.WandbLog(workdir, config, mode=wandb, wave=wave.number)
      )
    log = metrics.MetricsLog(
      workdir,
      ids,
      step=first_step,
      wave=wave.number,
      is_shared=is_shared,
      others=others,
    )
    shown = models[: metrics.SHOWN_MODELS] if show_faces else []
    draw = previews.drawer(wave.method, shown, wave.store, wave.canonical)
  saved_step, saved_at = first_step, time.monotonic()
  logged_step, logged_at, waited = first_step, time.monotonic(), 0.0
  previous, resting = None, {}
  step, is_stopped = first_step, False
  try:
    with progress_lib.Progress(
      first_step,
      last_step,
      what=wave.program,
      waves_left=waves_left,
    ) as progress:
      for step in range(first_step + 1, last_step + 1):
        batches = feed.batches_at(step - 1)
        states, step_metrics = population.step(states, batches, resting=resting)
        if validation is not None:
          states = validation.after_step(step, states)
        # One step ahead at most: the queue stays short, memory bounded.
        jax.block_until_ready(previous)
        previous = step_metrics
        progress.update(step_metrics)

        if _is_logged(step, config, models):
          host = population.to_host(step_metrics)
          now = time.monotonic()
          if is_first:
            log.write(
              step,
              host,
              steps_per_s=(step - logged_step) / (now - logged_at),
              examples_per_step=config.train.batch_size,
              frames_per_example=wave.method.num_members,
              input_wait_share=(feed.wait_s - waited) / (now - logged_at),
            )
          logged_step, logged_at, waited = step, now, feed.wait_s
          progress.show(loss=f'{_mean_loss(host):.3f}')
          _report(models, host)
          is_idle = _is_idle(models, host, step)
          resting = population.rests(step_metrics, is_idle)
          if is_idle.all() and step < last_step:
            logging.warning('No model learns any more; stopping at %d.', step)
            break

        is_stopped = stop.is_due(step)
        if is_stopped:
          break
        minutes = (time.monotonic() - saved_at) / 60
        is_due = is_first and step < last_step
        if is_due and (
          minutes >= config.train.save_minutes
          or _is_multiple(step, config.train.save_steps)
          or _is_multiple(step, config.train.keep_steps)
        ):
          host_states = population.to_host(states)
          log.write_states(step, host_states.params, pictures=draw(host_states))
          log.flush()
          checkpoints.save(step, host_states, ids)
          saved_step, saved_at = step, time.monotonic()
    with stopping.finishing():
      host_states = population.to_host(states)
      if is_first:
        log.flush()
        if step > saved_step:
          checkpoints.save(step, host_states, ids)
        checkpoints.wait()
    if is_first and step > saved_step and not is_stopped:
      log.write_states(step, host_states.params, pictures=draw(host_states))
  finally:
    feed.close()
    if is_first:
      log.close()
      checkpoints.close()
  _settle(models, host_states, config)
  return is_stopped


def _log_start(config, workdir, store, waves, shard):
  population = waves[0].population
  models = [model for wave in waves for model in wave.models]
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
    '%s%d models in %d waves, %d a device in %d slots; up to %d steps of %d '
    'examples; to %s',
    _part_of_run(shard),
    len(models),
    len(waves),
    population.num_slots * population.slot_models,
    population.num_slots,
    max(model.total_steps for model in models),
    config.train.batch_size,
    workdir,
  )
  logging.info(
    'To watch (pip install tensorboard): tensorboard --logdir=%s', workdir
  )


def _part_of_run(shard):
  """Returns which part of a run this is, for messages; '' if nobody shares."""
  if processes.are_several():
    return f'Process {jax.process_index()} of {jax.process_count()}: '
  return '' if shard.is_alone else f'Shard {shard.index} of {shard.count}: '


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


def _is_idle(models, host, step):
  """Returns which models take no step after this one, [N] bool."""
  is_over = np.array([step >= model.total_steps for model in models])
  return is_over | ~host['is_active'] | (host['failed_step'] >= 0)


def _report(models, host):
  """Records and logs what went wrong with models since the last look."""
  for model, failed_step, rollbacks in zip(
    models, host['failed_step'], host['rollbacks'], strict=True
  ):
    if rollbacks > model.rollbacks:
      model.rollbacks = int(rollbacks)
      logging.warning(
        '%s has left out %d steps, whose loss or gradient was not finite, and '
        'goes on at 1/%d of its learning rate.',
        model.model_id,
        rollbacks,
        2**rollbacks,
      )
    if failed_step >= 0 and model.failed_step is None:
      model.failed_step = int(failed_step)
      logging.error(
        '%s is frozen: its loss or gradient was not finite at step %d. The '
        'other models go on.',
        model.model_id,
        model.failed_step,
      )


def _settle(models, states, config):
  """Writes the final state of each model into its entry."""
  have_stopped = update.has_stopped(states.course, config)
  for index, model in enumerate(models):
    model.steps_done = int(states.step[index])
    model.rollbacks = int(states.course.rollbacks[index])
    if states.failed_step[index] >= 0:
      model.failed_step = int(states.failed_step[index])
      model.status = 'failed'
    elif model.steps_done >= model.total_steps:
      model.status = 'done'
    elif have_stopped[index]:
      model.status, model.stopped_early = 'done', True
      logging.info(
        '%s is done at step %d: no better loss for train.patience=%d epochs.',
        model.model_id,
        model.steps_done,
        config.train.patience,
      )
