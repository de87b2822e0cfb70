"""CLP: contrastive learning of facial movement that other people share.

Li and Shan (IEEE TIP 2023) train a frame encoder by two signals: frames of a
clip are told apart, more so the further apart in time, and an embedding is
rebuilt from a dictionary of other people's. Every formula and number beyond
that is our choice. A model learns from a cohort of several people.

B clips, T frames, S pixels a side, M entries of the dictionary; the frames of a
step are [T, B, S S 3]. Over several devices each returned loss, term and
gradient is the device's own: its mean over the devices is that of the joined
batch. What is random, and the dictionary, are the same on every device.
"""

import functools

import flax
import jax
import jax.numpy as jnp
import ml_collections
import optax

from psm_jax.methods import clip_views, contrast, facecycle, interface
from psm_jax.models import clp as networks
from psm_jax.ops import augment, data_axis


@flax.struct.dataclass
class State:
  """What changes while a model trains, besides its parameters.

  Attributes:
    statistics: Running statistics of the encoder's BatchNorm.
    momentum: {'params', 'statistics'} of the momentum encoder, which makes the
      keys; params move slowly after those of the encoder, statistics are
      copies.
    dictionary: Keys of earlier steps; () without the cross-identity signal.
    step: () int32, updates taken.
  """

  statistics: interface.Tree
  momentum: interface.Tree
  dictionary: contrast.Dictionary | tuple
  step: jax.Array


def make(
  config: ml_collections.ConfigDict,
  *,
  axis: data_axis.DataAxis = data_axis.ONE_DEVICE,
) -> interface.Method:
  """Returns the method of a configuration that `check` accepts.

  Args:
    config: The whole experiment; `method.clp`, `augment` and
      `curriculum.clip_frames` are read, beside width, size and lowering.
    axis: The devices that share a batch.
  """
  options = config.method.clp
  size_px, num_frames = config.data.size_px, config.curriculum.clip_frames
  nets = networks.Networks(
    width=config.method.width,
    stem_px=options.stem_px,
    projection_size=options.projection_size,
    lowering=config.population.lowering,
    axis=axis,
  )
  augmentation = augment.of_config(config.augment)

  def init(key):
    params, statistics = nets.init(key)
    dictionary = ()
    if options.cross_identity_weight:
      dictionary = contrast.empty_dictionary(
        options.dictionary_size, options.projection_size
      )
    return params, State(
      statistics=statistics,
      momentum={'params': params, 'statistics': statistics},
      dictionary=dictionary,
      step=jnp.int32(0),
    )

  def loss(key, params, state, trunk, batch, schedule):
    del trunk, schedule
    view_key, push_key = jax.random.split(key)
    clips = jnp.swapaxes(batch.frames, 0, 1)
    clips = clips.reshape((*clips.shape[:2], size_px, size_px, 3))
    clips = clips.astype(jnp.float32)
    views = (clips, clips)
    if augmentation is not None:
      views = clip_views.draw(
        view_key,
        clips / 255,
        config=augmentation,
        grey_probability=options.grey_probability,
        blur_probability=options.blur_probability,
        axis=axis,
      )
      views = [255 * view for view in views]
    first, second = (facecycle.normalise(view) for view in views)
    query, statistics = nets.project(params, state.statistics, first)
    query = contrast.unit(query)
    # By the batch's statistics too: the running ones are the encoder's.
    keys, _ = nets.project(
      jax.lax.stop_gradient(state.momentum['params']),
      state.momentum['statistics'],
      second,
    )
    keys = contrast.unit(jax.lax.stop_gradient(keys))
    total, terms, dictionary = _loss_of_embeddings(
      push_key, query, keys, batch.person, state.dictionary, options, axis
    )
    state = state.replace(statistics=statistics, dictionary=dictionary)
    return total, (state, terms)

  def after_update(params, state):
    share = key_momentum(config, state.step)
    moved = jax.tree.map(
      lambda old, new: share * old + (1 - share) * new,
      state.momentum['params'],
      params,
    )
    return state.replace(
      momentum={'params': moved, 'statistics': state.statistics},
      step=state.step + 1,
    )

  def embed(params, state, frames):
    image = frames.reshape((-1, size_px, size_px, 3)).astype(jnp.float32)
    return nets.encode(params, state.statistics, facecycle.normalise(image))

  return interface.Method(
    name='clp',
    size_px=size_px,
    num_members=num_frames,
    shared=(),
    optimizer=make_optimizer(options),
    init=init,
    loss=loss,
    embed=embed,
    pictures=lambda *_: {},
    after_update=after_update,
    check=check,
    check_cohort=check_cohort,
    over=lambda axis: make(config, axis=axis),
  )


def make_optimizer(
  options: ml_collections.ConfigDict,
) -> optax.GradientTransformation:
  """Returns the optimiser of `config.method.clp`, without a learning rate.

  'sgd' adds the weight decay to the gradient and has momentum 0.9; 'adamw' is
  Adam with decay of the weights themselves.
  """
  decay = optax.add_decayed_weights(options.weight_decay)
  if options.optimizer == 'sgd':
    return optax.chain(decay, optax.trace(decay=0.9))
  return optax.chain(optax.scale_by_adam(), decay)


def key_momentum(
  config: ml_collections.ConfigDict, step: jax.Array
) -> jax.Array | float:
  """Returns the share of the old momentum encoder in the new one.

  Args:
    config: The experiment; 'cosine' rises from `method.clp.key_momentum` to 1
      over `train.steps`.
    step: () int32, updates taken before this one.
  """
  options = config.method.clp
  start = options.key_momentum
  if options.key_momentum_schedule == 'constant':
    return start
  share = jnp.clip(step.astype(jnp.float32) / config.train.steps, 0, 1)
  return 1 - (1 - start) * (1 + jnp.cos(jnp.pi * share)) / 2


def _loss_of_embeddings(key, query, keys, identity, dictionary, options, axis):
  """Returns (loss, terms, new dictionary) of a step's queries and keys."""
  total, terms = jnp.zeros(()), {}
  if options.temporal_weight:
    temporal = _temporal_terms(query, keys, options)
    terms |= temporal
    total += options.temporal_weight * sum(temporal.values())
  if options.cross_identity_weight:
    joined = axis.gather(keys)
    terms['cross_identity'], terms['cross_identity_share'] = (
      contrast.cross_identity_loss(
        query,
        joined,
        identity,
        dictionary,
        kind=options.cross_identity,
        negatives=options.negatives,
        num_nearest=options.num_nearest,
        min_entries=FILL * options.num_nearest,
        temperature=options.temperature,
        weight_temperature=options.weight_temperature,
        axis=axis,
      )
    )
    total += options.cross_identity_weight * terms['cross_identity']
    # One frame a clip, as the others nearly repeat it.
    frame = jax.random.randint(key, joined.shape[:1], 0, joined.shape[1])
    pushed = jnp.take_along_axis(joined, frame[:, None, None], axis=1)
    dictionary = contrast.push(dictionary, pushed[:, 0], axis.gather(identity))
  return total, terms, dictionary


def _temporal_terms(query, keys, options):
  """Returns the losses of the temporal signal that are switched on."""
  losses = {
    'rank': functools.partial(
      contrast.rank_loss, margin=options.temporal_margin
    ),
    'disc': functools.partial(
      contrast.disc_loss,
      temperature=options.temperature,
      margin=options.additive_margin,
    ),
  }
  return {
    f'temporal_{name}': function(query, keys)
    for name, function in losses.items()
    if options.temporal in (name, 'both')
  }


SIZES_PX = (32, 256)
# The dictionary is used once it holds this many times K entries of others.
FILL = 4

_EXPECTED = {
  'one of': {
    'stem_px': networks.STEMS_PX,
    'temporal': contrast.TEMPORAL,
    'cross_identity': contrast.CROSS_IDENTITY,
    'negatives': contrast.NEGATIVES,
    'key_momentum_schedule': ('constant', 'cosine'),
    'optimizer': ('sgd', 'adamw'),
  },
  'at most': {
    'key_momentum': 1,
    'grey_probability': 1,
    'blur_probability': 1,
  },
  'at least': {
    'key_momentum': 0,
    'grey_probability': 0,
    'blur_probability': 0,
    'temporal_weight': 0,
    'temporal_margin': 0,
    'additive_margin': 0,
    'cross_identity_weight': 0,
    'num_nearest': 0,
    'weight_decay': 0,
  },
  'above': {
    'projection_size': 0,
    'dictionary_size': 0,
    'temperature': 0,
    'weight_temperature': 0,
  },
}


def check(config: ml_collections.ConfigDict):
  """Raises ValueError, naming the field, if CLP cannot run a configuration."""
  options = config.method.clp
  interface.check_fields(options, _EXPECTED, prefix='method.clp.')
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
