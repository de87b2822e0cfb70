"""Checks of a configuration of CLP, before anything is read or compiled."""

import ml_collections

from psm_jax.methods import contrast, interface
from psm_jax.models import resnet

OPTIMIZERS = ('sgd', 'adamw')
MOMENTUM_SCHEDULES = ('constant', 'cosine')
SIZES_PX = (32, 256)
# The dictionary is used once it holds this many times K entries of others.
FILL = 4

_CHOICES = {
  'stem_px': resnet.STEMS_PX,
  'temporal': contrast.TEMPORAL,
  'cross_identity': contrast.CROSS_IDENTITY,
  'negatives': contrast.NEGATIVES,
  'key_momentum_schedule': MOMENTUM_SCHEDULES,
  'optimizer': OPTIMIZERS,
}
_NOT_NEGATIVE = (
  'temporal_weight',
  'temporal_margin',
  'additive_margin',
  'cross_identity_weight',
  'num_nearest',
  'weight_decay',
)
_ABOVE_ZERO = (
  'projection_size',
  'dictionary_size',
  'temperature',
  'weight_temperature',
)
_SHARES = ('key_momentum', 'grey_probability', 'blur_probability')


def check(config: ml_collections.ConfigDict):
  """Raises ValueError, naming the field, if CLP cannot run a configuration."""
  options = config.method.clp
  _check_values(options)
  num_frames = config.curriculum.clip_frames
  interface.check_whole_batch(config)
  interface.check_pairing(config, 'clips')
  low, high = SIZES_PX
  if not low <= config.data.size_px <= high:
    interface.refuse('data.size_px', config.data.size_px, f'{low} to {high}')
  if options.key_momentum_schedule == 'cosine' and not config.train.steps:
    interface.refuse(
      'train.steps', 0, "above 0 for method.clp.key_momentum_schedule='cosine'"
    )
  has_cross = bool(options.cross_identity_weight)
  if not (options.temporal_weight or has_cross):
    interface.refuse(
      'method.clp.temporal_weight',
      options.temporal_weight,
      'above 0, as method.clp.cross_identity_weight is 0',
    )
  if num_frames == 1 and not has_cross:
    interface.refuse(
      'curriculum.clip_frames',
      num_frames,
      'at least 2, as method.clp.cross_identity_weight is 0',
    )
  if has_cross:
    _check_dictionary(config)


def check_cohort(config: ml_collections.ConfigDict, num_people: int):
  """Raises ValueError if a cohort has too few people for a configuration.

  The cross-identity signal needs keys of other people, and enough of them in
  the dictionary once each person has an equal share of it.
  """
  options = config.method.clp
  if not options.cross_identity_weight:
    return
  if num_people < 2:
    raise ValueError(
      f'A cohort has {num_people} person, and method.clp.cross_identity_weight '
      f'is {options.cross_identity_weight}: there is nobody else to rebuild '
      "embeddings from. Set population.cohorts='all' for a model of several "
      'people, or method.clp.cross_identity_weight=0 for the temporal signal '
      'alone.'
    )
  others = options.dictionary_size * (num_people - 1) // num_people
  needed = FILL * options.num_nearest
  if others < needed:
    raise ValueError(
      f'method.clp.dictionary_size is {options.dictionary_size}: shared by '
      f'{num_people} people it holds about {others} entries of others, fewer '
      f'than the {needed} ({FILL} * method.clp.num_nearest) from which on it '
      'is used. Raise it, or lower method.clp.num_nearest.'
    )


def _check_values(options):
  """Checks each option of `config.method.clp` by itself."""
  for name, choices in _CHOICES.items():
    if options[name] not in choices:
      interface.refuse(
        f'method.clp.{name}',
        options[name],
        f'one of {", ".join(map(str, choices))}',
      )
  for name in _NOT_NEGATIVE:
    if not options[name] >= 0:
      interface.refuse(f'method.clp.{name}', options[name], 'at least 0')
  for name in _ABOVE_ZERO:
    if not options[name] > 0:
      interface.refuse(f'method.clp.{name}', options[name], 'above 0')
  for name in _SHARES:
    if not 0 <= options[name] <= 1:
      interface.refuse(f'method.clp.{name}', options[name], 'in [0, 1]')


def _check_dictionary(config):
  """Checks what the cross-identity signal needs."""
  options, batch_size = config.method.clp, config.train.batch_size
  needed = max(batch_size, FILL * options.num_nearest)
  if options.dictionary_size < needed:
    interface.refuse(
      'method.clp.dictionary_size',
      options.dictionary_size,
      f'at least {needed}, for train.batch_size={batch_size} keys a step and '
      f'{FILL} * method.clp.num_nearest entries of others',
    )
  exists = {
    'clip': config.curriculum.clip_frames > 1,
    'batch': batch_size > 1,
    'bank': True,
  }
  if options.cross_identity == 'contrast' and not any(
    exists[source] for source in options.negatives.split('+')
  ):
    interface.refuse(
      'method.clp.negatives',
      options.negatives,
      'negatives that exist: clip needs curriculum.clip_frames of 2, batch '
      'needs a train.batch_size of 2',
    )
