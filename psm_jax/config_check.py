"""Checks of a whole configuration, before anything is read or compiled."""

import math

import ml_collections
from flax import traverse_util

from psm_jax import methods, paths, sampling
from psm_jax.data import prepare, shifts
from psm_jax.engine import feed, layout
from psm_jax.methods import interface
from psm_jax.ops import augment, conv, precision
from psm_jax.runs import planning, warm_start
from psm_jax.sampling import curriculum

_STEP = 2**31 - 1  # Steps and seeds are 32-bit numbers on the devices.
_EXPECTED = {
  'one of': {
    'data.source': prepare.SOURCES,
    'data.feed': feed.FEEDS,
    'data.align': ('none', 'eyes', 'landmarks'),
    'data.tree.label_shift': shifts.CHOICES,
    'method.name': tuple(methods.METHODS),
    'init.match': warm_start.MATCHES,
    'population.cohorts': planning.COHORTS,
    'population.strategy': layout.STRATEGIES,
    'population.lowering': conv.LOWERINGS,
    'population.precision': precision.PRECISIONS,
    'curriculum.pairing': sampling.PAIRINGS,
    'curriculum.gap.schedule': curriculum.GAP_SCHEDULES,
    'curriculum.gap.unit': ('frames', 'seconds'),
    'optim.schedule': curriculum.RATE_SCHEDULES,
    'augment.flip': ('independent', 'shared', 'none'),
  },
  'at most': {
    'seed': _STEP,
    'data.size_px': 1024,
    'data.synthetic.seed': _STEP,
    'data.synthetic.num_people': 100_000,
    'method.width': 16,
    'train.batch_size': 1 << 16,
    'train.steps': _STEP,
    'train.epochs': sampling.MAX_EPOCHS,
    'curriculum.draws_per_person': _STEP >> 8,
    'curriculum.num_sources': 1 << 10,
    'curriculum.clip_frames': 1 << 10,
    'curriculum.clip_gap': _STEP >> 8,
  },
  'at least': {
    'seed': 0,
    'data.min_frames': 0,
    'data.fps': 0,
    'data.synthetic.num_people': 1,
    'data.synthetic.num_videos': 1,
    'data.synthetic.num_frames': 2,
    'data.synthetic.seed': 0,
    'population.num_devices': 0,
    'population.wave': 0,
    'population.chunk': 0,
    'train.batch_size': 1,
    'train.microbatches': 1,
    'train.steps': 0,
    'train.epochs': 0,
    'train.validation_batches': 1,
    'train.rollbacks': 0,
    'train.patience': 0,
    'train.log_every': 1,
    'train.save_steps': 0,
    'train.keep_steps': 0,
    'curriculum.draws_per_person': 1,
    'curriculum.num_sources': 1,
    'curriculum.clip_frames': 1,
    'curriculum.clip_gap': 1,
    'curriculum.gap.start': 0,
    'curriculum.gap.end': 0,
    'optim.final_learning_rate': 0,
    'optim.warmup_steps': 0,
  },
  'above': {
    'method.width': 0,
    'method.code_std': 0,
    'train.save_minutes': 0,
    'curriculum.gap.full_at': 0,
    'optim.learning_rate': 0,
    'data.eye_distance': 0,
    'data.synthetic.fps': 0,
  },
}
_PLACES = (
  'data.path',
  'data.tree.images',
  'data.tree.labels',
  'data.tree.folds',
  'init.path',
  'method.vgg_path',
)


def checked(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """Returns a copy of a configuration, ids as text, that `check` has passed."""
  config = config.copy_and_resolve_references()
  # A shell makes numbers of ids that are digits.
  config.data.persons = tuple(
    str(person) if type(person) is int else person
    for person in config.data.persons
  )
  check(config)
  return config


def check(config: ml_collections.ConfigDict):
  """Raises ValueError, naming the field, if a configuration cannot be run."""
  values = traverse_util.flatten_dict(config.to_dict(), sep='.')
  for field, value in values.items():
    numbers = value if isinstance(value, (tuple, list)) else (value,)
    if any(isinstance(x, float) and not math.isfinite(x) for x in numbers):
      interface.refuse(field, value, 'finite numbers')
  interface.check_fields(values, _EXPECTED)
  if bool(config.train.steps) == bool(config.train.epochs):
    raise ValueError(
      f'train.steps is {config.train.steps} and train.epochs is '
      f'{config.train.epochs}; exactly one of them must be above 0.'
    )
  if config.data.source != 'synthetic_faces' and not config.data.path:
    interface.refuse(
      'data.path', config.data.path, f'a folder ({config.data.source})'
    )
  for field in _PLACES:
    if values[field]:
      paths.check_local(values[field], what=field)
  persons = tuple(config.data.persons)
  for person in persons:
    try:
      paths.check_id(person, what='person_id')
    except ValueError as error:
      interface.refuse(
        'data.persons', persons, f"ids such as ('a', 'b'): {error}"
      )
  if len(set(persons)) < len(persons):
    interface.refuse('data.persons', persons, 'each person once')
  seeds = tuple(config.population.seeds)
  are_numbers = all(type(seed) is int and seed >= 0 for seed in seeds)
  if not seeds or len(set(seeds)) < len(seeds) or not are_numbers:
    interface.refuse(
      'population.seeds', seeds, 'whole numbers from 0 on, each once'
    )
  if config.seed + max(seeds) > _STEP:
    interface.refuse('population.seeds', seeds, f'with seed, at most {_STEP}')
  if len(config.curriculum.neutral_weight) > 2:
    interface.refuse(
      'curriculum.neutral_weight',
      config.curriculum.neutral_weight,
      'none, one or two numbers',
    )
  gap = config.curriculum.gap
  for end in ('start', 'end'):
    if gap.schedule == 'geometric' and gap[end] <= 0:
      interface.refuse(
        f'curriculum.gap.{end}', gap[end], 'above 0 for geometric widening'
      )
  try:
    augment.of_config(config.augment)
  except ValueError as error:
    raise ValueError(f'augment.{error}') from None
  methods.abstract(config).check(config)
