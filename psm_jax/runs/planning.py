"""Which models a configuration trains on a store's people, and their plans."""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import logging

from psm_jax import methods, paths, sampling
from psm_jax.data import prepare, store as store_lib
from psm_jax.engine import update
from psm_jax.runs import run, warm_start

COHORTS = ('each', 'all', 'others')


def plan_models(
  config: ml_collections.ConfigDict, store: store_lib.FrameStore
) -> tuple[list[run.Model], list[sampling.Plan]]:
  """Returns a run's models and their plans: by cohort, seed and start.

  Models of one cohort and seed that differ in what they start from see the same
  frames in the same order.

  Raises:
    ValueError: If nobody is left, a cohort has too few frames or nothing to
      start from, or a person_id is too long to name a model.
  """
  models, plans = [], []
  method = methods.abstract(config)
  pool = warm_start.open_pool(config)
  for label, cohort in _cohorts(config, _usable_people(config, store)):
    method.check_cohort(config, len(cohort))
    frames = _frames(config, store, cohort)
    starts = warm_start.choose(pool, cohort, match=config.init.match)
    for seed in config.population.seeds:
      plan, cap = sampling.make_plan(frames, config, seed=config.seed + seed)
      if cap is not None:
        logging.warning(
          '%s: the gap is capped at %d frames, beyond which its %d frames in '
          '%d videos leave less than a batch of pairs.',
          frames.name,
          cap,
          len(frames.rows),
          len(frames.video_lengths),
        )
      for init_from in starts:
        name = f'{config.method.name}-{label}-s{seed}'
        if config.init.match == 'others' and init_from:
          name += f'-from-{init_from}'
        models.append(
          run.Model(
            model_id=paths.check_id(name, what='model_id'),
            cohort=cohort,
            seed=seed,
            init_from=init_from,
            total_steps=int(plan.clock.total_steps),
            num_epochs=int(plan.clock.num_epochs),
            num_frames=len(frames.rows),
            num_videos=len(frames.video_lengths),
            frames_digest=_digest(store, cohort),
            gap_cap=cap,
          )
        )
        plans.append(plan)
  return models, plans


def open_frames(
  config: ml_collections.ConfigDict, data_dir: str | os.PathLike
) -> store_lib.FrameStore:
  """Returns the frames of an experiment, which are prepared if they are not.

  Args:
    config: The experiment.
    data_dir: Where prepared data lie.

  Raises:
    ValueError: If they cannot be prepared or read; names the field or path.
  """
  return store_lib.open_store(
    prepare.prepare(config.data, directory=pathlib.Path(data_dir))
  )


def plans_of(
  models: Sequence[run.Model],
  config: ml_collections.ConfigDict,
  store: store_lib.FrameStore,
) -> list[sampling.Plan]:
  """Returns the plans of the models of a run as it was begun."""

  @functools.cache
  def plan(cohort, seed):
    frames = _frames(config, store, cohort)
    return sampling.make_plan(frames, config, seed=config.seed + seed)[0]

  return [plan(model.cohort, model.seed) for model in models]


def check_longer(
  workdir: pathlib.Path,
  config: ml_collections.ConfigDict,
  store: store_lib.FrameStore,
  models: Sequence[run.Model],
  plans: Sequence[sampling.Plan],
):
  """Refuses another number of steps than a run began with, if that changes it.

  A run may go on for longer if its models, up to the end that was planned, see
  the same frames by the same schedules.

  Args:
    workdir: The run directory, or where there will be one.
    config: The experiment as it is now.
    store: The frames.
    models: N models as they are planned now.
    plans: Their plans.

  Raises:
    ValueError: If a step that the run had planned would be another one.
  """
  if not (workdir / 'config.json').exists():
    return
  began = run.open_run(workdir)
  if run.steps_of(began.config) == run.steps_of(config):
    return
  before = plans_of(models, began.config, store)
  for model, old, new in zip(models, before, plans, strict=True):
    if changed := _changed(old, new, began.config, config):
      raise ValueError(
        f'{workdir} was planned for {old.clock.total_steps} steps of '
        f'{model.model_id}. With train.steps={config.train.steps}, train.epochs'
        f'={config.train.epochs} those would have another {changed}. Choose '
        'another --workdir, or schedules that do not depend on the end.'
      )


def _changed(old, new, old_config, config):
  """Returns what differs in the steps that two plans share, '' if nothing."""
  num_epochs = len(old.num_examples)
  for name in ('order_seed', 'partner', 'rows', 'video_start', 'person_start'):
    if not np.array_equal(getattr(old, name), getattr(new, name)):
      return 'order'
  if not np.array_equal(old.num_examples, new.num_examples[:num_epochs]):
    return 'number of examples'
  steps = jnp.arange(int(old.clock.total_steps))
  schedules = [
    jax.vmap(functools.partial(update.schedule_at, config=kept), (None, 0))(
      jax.tree.map(jnp.asarray, clock), steps
    )
    for clock, kept in ((old.clock, old_config), (new.clock, config))
  ]
  for field in dataclasses.fields(schedules[0]):
    if not np.array_equal(*(getattr(s, field.name) for s in schedules)):
      return field.name
  if not np.array_equal(old.clock.gap, new.clock.gap[:num_epochs]):
    return 'gap'
  return ''


def plan_validation(
  config: ml_collections.ConfigDict,
  store: store_lib.FrameStore,
  models: Sequence[run.Model],
) -> list[sampling.Plan]:
  """Returns the plans of the held-out frames of some models.

  Their first `train.validation_batches` steps are what a validation sees.
  """
  config = config.copy_and_resolve_references()
  config.train.update(epochs=0, steps=config.train.validation_batches)
  return [
    sampling.make_plan(
      _frames(config, store, model.cohort, part='validation'),
      config,
      seed=config.seed + model.seed,
    )[0]
    for model in models
  ]


def _cohorts(config, people):
  """Returns (label, person ids) of each cohort that a configuration names."""
  if config.population.cohorts == 'each':
    return [(person, (person,)) for person in people]
  if config.population.cohorts == 'all':
    return [('all', tuple(people))]
  if len(people) < 2:
    raise ValueError(
      'population.cohorts is others, which leaves each person out of a cohort '
      f'of the rest, but there is only {people[0]}.'
    )
  return [
    (f'without-{person}', tuple(other for other in people if other != person))
    for person in people
  ]


def _split(videos, share):
  """Returns (kept, held out) spans of one person's videos.

  Whole videos are held out where that share of them is at least one, else the
  end of each.
  """
  num_held = int(round(share * len(videos)))
  if num_held:
    which = np.linspace(0, len(videos) - 1, num_held + 2)[1:-1]
    held = {int(round(index)) for index in which}
    return (
      [v for index, v in enumerate(videos) if index not in held],
      [v for index, v in enumerate(videos) if index in held],
    )
  kept, held_out = [], []
  for video in videos:
    border = video.stop - int(round(share * (video.stop - video.start)))
    kept.append(dataclasses.replace(video, stop=border))
    if border < video.stop:
      held_out.append(dataclasses.replace(video, start=border))
  return kept, held_out


def _frames(config, store, cohort, *, part='training'):
  """Returns the frames of a cohort that examples can be made of."""
  videos = []
  for index, person in enumerate(cohort):
    kept, held_out = _split(store.videos(person), config.train.validation_share)
    chosen = kept if part == 'training' else held_out
    if not chosen:
      raise ValueError(
        f'{person} has too few frames to hold out train.validation_share='
        f'{config.train.validation_share} of them. Raise it, or leave this '
        'person out with data.persons.'
      )
    videos += [(index, video) for video in chosen]
  if config.curriculum.pairing == 'clips':
    shortest = config.curriculum.clip_frames
    whole = [v for v in videos if v[1].stop - v[1].start >= shortest]
    if len(whole) < len(videos):
      logging.warning(
        '%s: %d of %d videos are left out: shorter than a clip of %d frames.',
        '+'.join(cohort),
        len(videos) - len(whole),
        len(videos),
        shortest,
      )
    videos = whole
  people = [index for index, _ in videos]
  missing = sorted(set(range(len(cohort))) - set(people))
  if missing:
    raise ValueError(
      f'{cohort[missing[0]]} has no video as long as a clip of '
      f'curriculum.clip_frames={config.curriculum.clip_frames} frames. Lower '
      'it, or leave this person out with data.persons or data.min_frames.'
    )
  return sampling.Cohort(
    name='+'.join(cohort),
    rows=np.concatenate([np.arange(v.start, v.stop) for _, v in videos]),
    video_lengths=np.array([v.stop - v.start for _, v in videos]),
    fps=np.array([v.fps for _, v in videos]),
    video_people=np.array(people),
  )


def _digest(store, cohort):
  """Returns a text that changes with a frame of a cohort."""
  described = [
    [
      person,
      store.checksums.get(person),
      *([v.video_id, v.stop - v.start, v.fps] for v in store.videos(person)),
    ]
    for person in cohort
  ]
  return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]


def _usable_people(config, store):
  """Returns the person ids to learn from; those left out are logged."""
  people = []
  for person in tuple(config.data.persons) or store.person_ids:
    frames = sum(v.stop - v.start for v in store.videos(person))
    if frames >= config.data.min_frames:
      people.append(person)
      continue
    logging.warning(
      '%s is left out: %d frames, fewer than data.min_frames=%d.',
      person,
      frames,
      config.data.min_frames,
    )
  if not people:
    raise ValueError(
      f'No person has data.min_frames={config.data.min_frames} frames in '
      f'{store.path}. Lower it, or add videos.'
    )
  return people
