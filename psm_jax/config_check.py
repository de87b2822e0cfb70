"""Checks of a whole configuration, before anything is read or compiled."""

import ml_collections

from psm_jax import methods, sampling
from psm_jax.data import prepare, shifts
from psm_jax.engine import feed, population
from psm_jax.methods import interface
from psm_jax.ops import augment, conv, precision
from psm_jax.runs import planning, warm_start
from psm_jax.sampling import curriculum

_CHOICES = {
  'data.source': prepare.SOURCES,
  'data.feed': feed.FEEDS,
  'data.align': ('none', 'eyes'),
  'data.tree.label_shift': shifts.CHOICES,
  'method.name': tuple(methods.METHODS),
  'init.match': warm_start.MATCHES,
  'population.cohorts': planning.COHORTS,
  'population.strategy': population.STRATEGIES,
  'population.lowering': conv.LOWERINGS,
  'population.precision': precision.PRECISIONS,
  'curriculum.pairing': sampling.PAIRINGS,
  'curriculum.gap.schedule': curriculum.GAP_SCHEDULES,
  'curriculum.gap.unit': ('frames', 'seconds'),
  'optim.schedule': curriculum.RATE_SCHEDULES,
  'augment.flip': ('independent', 'shared', 'none'),
}
_AT_LEAST = {
  'data.min_frames': 0,
  'data.fps': 0,
  'data.synthetic.num_people': 1,
  'data.synthetic.num_videos': 1,
  'data.synthetic.num_frames': 2,
  'population.num_devices': 0,
  'population.wave': 0,
  'population.chunk': 0,
  'train.batch_size': 1,
  'train.microbatches': 1,
  'train.steps': 0,
  'train.epochs': 0,
  'train.validation_batches': 1,
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
}
_ABOVE_ZERO = (
  'method.width',
  'method.code_std',
  'train.save_minutes',
  'curriculum.gap.full_at',
  'optim.learning_rate',
  'data.eye_distance',
)


def check(config: ml_collections.ConfigDict):
  """Raises ValueError, naming the field, if a configuration cannot be run."""
  for field, choices in _CHOICES.items():
    value = _get(config, field)
    if value not in choices:
      interface.refuse(field, value, f'one of {", ".join(choices)}')
  for field, low in _AT_LEAST.items():
    if _get(config, field) < low:
      interface.refuse(field, _get(config, field), f'at least {low}')
  for field in _ABOVE_ZERO:
    if not _get(config, field) > 0:
      interface.refuse(field, _get(config, field), 'above 0')
  if bool(config.train.steps) == bool(config.train.epochs):
    raise ValueError(
      f'train.steps is {config.train.steps} and train.epochs is '
      f'{config.train.epochs}; exactly one of them must be above 0.'
    )
  if config.data.source != 'synthetic_faces' and not config.data.path:
    interface.refuse(
      'data.path', config.data.path, f'a folder ({config.data.source})'
    )
  persons = tuple(config.data.persons)
  if len(set(persons)) < len(persons):
    interface.refuse('data.persons', persons, 'each person once')
  seeds = tuple(config.population.seeds)
  if not seeds or len(set(seeds)) < len(seeds):
    interface.refuse('population.seeds', seeds, 'at least one seed, each once')
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
  ranges = config.augment.to_dict()
  del ranges['enabled']
  try:
    augment.Augmentation(**ranges)
  except ValueError as error:
    raise ValueError(f'augment.{error}') from None
  methods.abstract(config).check(config)


def _get(config, field):
  for name in field.split('.'):
    config = config[name]
  return config
