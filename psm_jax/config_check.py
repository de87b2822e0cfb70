"""Checks of a whole configuration, before anything is read or compiled."""

import ml_collections

from psm_jax import methods, sampling
from psm_jax.data import prepare, shifts
from psm_jax.engine import feed, population
from psm_jax.methods import canonical, clp_config, fabnet, facecycle
from psm_jax.ops import augment, conv, precision
from psm_jax.runs import planning, warm_start
from psm_jax.sampling import curriculum

_CHOICES = {
  'data.source': prepare.SOURCES,
  'data.feed': feed.FEEDS,
  'data.align': ('none', 'eyes'),
  'data.tree.label_shift': shifts.CHOICES,
  'method.name': tuple(methods.METHODS),
  'method.vgg': ('random', 'none', 'file'),
  'method.ssim_images': facecycle.SSIM_IMAGES,
  'method.encoder': facecycle.ENCODERS,
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
  'method.neutral_consistency': 0,
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
      _fail(field, value, f'one of {", ".join(choices)}')
  for field, low in _AT_LEAST.items():
    if _get(config, field) < low:
      _fail(field, _get(config, field), f'at least {low}')
  for field in _ABOVE_ZERO:
    if not _get(config, field) > 0:
      _fail(field, _get(config, field), 'above 0')
  _CHECKS[config.method.name](config)
  if bool(config.train.steps) == bool(config.train.epochs):
    raise ValueError(
      f'train.steps is {config.train.steps} and train.epochs is '
      f'{config.train.epochs}; exactly one of them must be above 0.'
    )
  if config.data.source != 'synthetic_faces' and not config.data.path:
    _fail('data.path', config.data.path, f'a folder ({config.data.source})')
  if config.method.vgg == 'file' and not config.method.vgg_path:
    _fail('method.vgg_path', '', 'the file of the VGG19 weights')
  persons = tuple(config.data.persons)
  if len(set(persons)) < len(persons):
    _fail('data.persons', persons, 'each person once')
  seeds = tuple(config.population.seeds)
  if not seeds or len(set(seeds)) < len(seeds):
    _fail('population.seeds', seeds, 'at least one seed, each once')
  if len(config.curriculum.neutral_weight) > 2:
    _fail(
      'curriculum.neutral_weight',
      config.curriculum.neutral_weight,
      'none, one or two numbers',
    )
  gap = config.curriculum.gap
  for end in ('start', 'end'):
    if gap.schedule == 'geometric' and gap[end] <= 0:
      _fail(f'curriculum.gap.{end}', gap[end], 'above 0 for geometric widening')
  ranges = config.augment.to_dict()
  del ranges['enabled']
  try:
    augment.Augmentation(**ranges)
  except ValueError as error:
    raise ValueError(f'augment.{error}') from None


def _check_facecycle(config):
  size = config.data.size_px
  if size < 16 or size % 16:
    _fail('data.size_px', size, 'a multiple of 16')
  _check_microbatches(config)
  _check_pairing(config, ('fixed', 'repaired', 'gap', 'drawn', 'drawn_gap'))


def _check_of_facecycle_alone(config):
  if config.train.remat:
    _fail('train.remat', True, f'False with method.name={config.method.name}')
  if config.train.microbatches > 1:
    _fail(
      'train.microbatches',
      config.train.microbatches,
      f'1 with method.name={config.method.name}, whose loss couples the '
      'examples of a batch',
    )


def _check_fabnet(config):
  _check_of_facecycle_alone(config)
  _check_pairing(config, ('views',))
  if not 0 < config.train.validation_share < 1:
    _fail(
      'train.validation_share',
      config.train.validation_share,
      'above 0 and below 1: the loss window moves by the validation',
    )
  fabnet.check(config)


def _check_clp(config):
  _check_of_facecycle_alone(config)
  clp_config.check(config)


def _check_canonical(config):
  if config.train.remat:
    _fail('train.remat', True, 'False with method.name=canonical')
  _check_microbatches(config)
  _check_pairing(config, ('fixed', 'repaired', 'gap', 'drawn', 'drawn_gap'))
  canonical.check(config)


def _check_microbatches(config):
  if config.train.batch_size % config.train.microbatches:
    _fail(
      'train.microbatches',
      config.train.microbatches,
      f'a divisor of train.batch_size={config.train.batch_size}',
    )


def _check_pairing(config, pairings):
  if config.curriculum.pairing not in pairings:
    _fail(
      'curriculum.pairing',
      config.curriculum.pairing,
      f'{" or ".join(pairings)} with method.name={config.method.name}',
    )


# What only one method asks for.
_CHECKS = {
  'facecycle': _check_facecycle,
  'fabnet': _check_fabnet,
  'clp': _check_clp,
  'canonical': _check_canonical,
}


def _get(config, field):
  for name in field.split('.'):
    config = config[name]
  return config


def _fail(field, value, expected):
  raise ValueError(f'{field} is {value!r}; expected {expected}.')
