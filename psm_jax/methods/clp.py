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

from psm_jax.methods import (
  clip_views,
  clp_config,
  contrast,
  facecycle,
  interface,
)
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
  """Returns the method of a configuration that `clp_config.check` accepts.

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
  augmentation = _augmentation(config)

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
        view_key, clips / 255, config=augmentation, axis=axis
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
    check=clp_config.check,
    check_cohort=clp_config.check_cohort,
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


def _augmentation(config):
  """Returns the augmentation of a configuration, None if switched off."""
  values = config.augment.to_dict()
  if not values.pop('enabled'):
    return None
  return clip_views.ClipAugmentation(
    images=augment.Augmentation(**values),
    grey_probability=config.method.clp.grey_probability,
    blur_probability=config.method.clp.blur_probability,
  )


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
        min_entries=clp_config.FILL * options.num_nearest,
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
