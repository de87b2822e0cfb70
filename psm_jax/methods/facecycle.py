"""FaceCycle's training method as person-specific models use it.

Cycle-consistent reconstruction of pairs of frames (Chang et al., ICCV 2021;
Tazi et al., 2022): the partner's neutral face, moved by this frame's flow, must
give this frame back. B pairs are 2 B images, the first members before the
second; S pixels a side.
"""

import functools
import math

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
from absl import logging

from psm_jax.methods import interface
from psm_jax.models import canonical, facecycle as networks, vgg, vgg_files
from psm_jax.ops import (
  augment,
  data_axis,
  image_losses,
  precision,
  regions,
  warp as warp_ops,
)

_MEAN = np.array((0.485, 0.456, 0.406))
_STD = np.array((0.229, 0.224, 0.225))
# PSM release: Adam, no clipping, no weight decay; the rate is the schedule's.
OPTIMIZER = optax.scale_by_adam(b1=0.5, b2=0.999, eps=1e-8)
_EXPECTED = {
  'one of': {
    'vgg': ('random', 'none', 'file'),
    'ssim_images': ('normalised', 'positive'),
    'encoder': ('published', 'plain'),
  },
  'at least': {'neutral_consistency': 0},
}
# The random trunk is the same for every run: it stands in for a file.
_RANDOM_TRUNK_SEED = 0
_PERCEPTUAL_TAPS = ('relu2_1', 'relu3_1', 'relu4_1')


def make(
  config: ml_collections.ConfigDict,
  *,
  axis: data_axis.DataAxis = data_axis.ONE_DEVICE,
) -> interface.Method:
  """Returns the method of a configuration.

  Args:
    config: The whole experiment; `config.method` and `config.augment` are read.
    axis: The devices that share a batch.
  """
  size_px = config.data.size_px
  nets = Networks(
    width=config.method.width,
    size_px=size_px,
    lowering=config.population.lowering,
    code_std=config.method.code_std,
    ssim_images=config.method.ssim_images,
    dtype=precision.compute_dtype(config),
    remat=config.train.remat,
    axis=axis,
    encoder=config.method.encoder,
    neutral_consistency=config.method.neutral_consistency,
    weights=(
      regions.weights(size_px, eye_distance=config.data.eye_distance)
      if config.method.weigh_regions
      else None
    ),
  )
  augmentation = augment.of_config(config.augment)
  trunk_shape = _abstract_trunk(config.method)

  def loss(key, params, method_state, trunk, batch, schedule):
    augment_key, noise_key = jax.random.split(key)
    image = batch.frames.reshape((2, -1, size_px, size_px, 3)).astype(
      jnp.float32
    )
    if augmentation is not None:
      image = 255 * augment.augment_pairs(
        augment_key,
        image / 255,
        config=augmentation,
        pairs=axis.own(jnp.arange(axis.size * image.shape[1])),
      )
    image = normalise(image.reshape((-1, size_px, size_px, 3)))
    total, (terms, _) = nets.loss(
      params,
      trunk,
      image,
      nets.draw_noise(noise_key, params, trunk, image.shape[0]),
      schedule.neutral_weight,
    )
    return total, (method_state, terms)

  def embed(params, method_state, frames):
    del method_state
    image = frames.reshape((-1, size_px, size_px, 3)).astype(jnp.float32)
    return nets.encode(params, normalise(image))

  def pictures(key, params, method_state, trunk, frames, canonical):
    del method_state, canonical
    image = frames.reshape((-1, size_px, size_px, 3)).astype(jnp.float32)
    return nets.pictures(key, params, trunk, normalise(image))

  def draw(params, trunk, embedding, face):
    _, backward = nets.flows(params, embedding)
    taps = nets.features(params, trunk, normalise(255 * face))
    # The same for every image: what is drawn of a film must not flicker.
    one = nets.draw_noise(jax.random.key(0), params, trunk, 1)['recon']
    noise = {
      tap: jnp.broadcast_to(drawn, (len(face), *drawn.shape[1:]))
      for tap, drawn in one.items()
    }
    return displayable(nets.generate(params, taps, flow=backward, noise=noise))

  return interface.Method(
    name='facecycle',
    size_px=size_px,
    num_members=2,
    shared=trunk_shape,
    optimizer=OPTIMIZER,
    init=lambda key: (nets.init(key, trunk=trunk_shape), ()),
    loss=loss,
    embed=embed,
    pictures=pictures,
    draw=draw,
    load_shared=lambda: _load_trunk(config.method),
    check=check,
    over=lambda axis: make(config, axis=axis),
  )


def check(config: ml_collections.ConfigDict):
  """Raises ValueError, naming the field, if FaceCycle cannot run it."""
  size, method = config.data.size_px, config.method
  if size < 16 or size % 16:
    interface.refuse('data.size_px', size, 'a multiple of 16')
  interface.check_microbatches(config)
  interface.check_fields(method, _EXPECTED, prefix='method.')
  if method.vgg == 'file' and not method.vgg_path:
    interface.refuse('method.vgg_path', '', 'the file of the VGG19 weights')
  interface.check_pairing(
    config, 'fixed', 'repaired', 'gap', 'drawn', 'drawn_gap'
  )


def _abstract_trunk(config):
  """Returns zeros of the trunk's shapes, without memory; () for none."""
  if config.vgg == 'none':
    return ()
  draw = functools.partial(vgg.init, width=config.width)
  return jax.tree.map(
    lambda leaf: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape),
    jax.eval_shape(draw, jax.random.key(0)),
  )


def _load_trunk(config):
  """Returns the frozen VGG19 trunk of a configuration, () for none."""
  if config.vgg == 'none':
    return ()
  if config.vgg == 'file':
    return vgg_files.load_vgg19(config.vgg_path)
  logging.warning(
    'The perceptual term uses a frozen random VGG19. With pretrained weights '
    '(method.vgg=file, method.vgg_path=...) it compares what an ImageNet '
    'network sees, as the published models do; results then differ.'
  )
  draw = functools.partial(vgg.init, width=config.width)
  return jax.jit(draw)(jax.random.key(_RANDOM_TRUNK_SEED))


def normalise(image: jax.Array) -> jax.Array:
  """Returns images in [0, 255] as ImageNet-normalised ones, [..., 3] float."""
  mean = jnp.asarray(np.float32(255 * _MEAN), image.dtype)
  std = jnp.asarray(np.float32(255 * _STD), image.dtype)
  axes = (None,) * (image.ndim - 1)
  return (image - mean[axes]) / std[axes]


def displayable(image: jax.Array) -> jax.Array:
  """Returns normalised images in [0, 1], clipped; inverse of `normalise`."""
  axes = (None,) * (image.ndim - 1)
  mean, std = (jnp.asarray(np.float32(v))[axes] for v in (_MEAN, _STD))
  return jnp.clip(image * std + mean, 0, 1)


class Networks:
  """The three networks of one configuration and the loss between them.

  Parameters are {'encoder', 'flow_net', 'generator'} and, without a frozen
  trunk, 'stem'.

  SSIM compares the images as the networks see them ('normalised', published)
  or shifted so that black is zero ('positive'). Around zero an inverted image
  scores like the image itself wherever contrast is low, and small models may
  settle on inverted colours; the shift changes nothing but that term.

  What the published loss leaves to learn less of, narrow models most:
  `encoder` 'plain' is the canonical method's (`models.canonical`), of four
  times the width; `weights` make pixels of eyes, brows and mouth count more;
  `neutral_consistency` weighs the difference of the neutral faces of a pair,
  which otherwise may keep the expression (docs/science.md).

  The networks compute in `dtype`; what they take and give is float32, but for
  the activations of `features`.
  """

  def __init__(
    self,
    *,
    width: float = 1.0,
    size_px: int = 64,
    lowering: str = 'matmul',
    code_std: float = 0.01,
    ssim_images: str = 'normalised',
    dtype: jnp.dtype = jnp.float32,
    remat: bool = False,
    axis: data_axis.DataAxis = data_axis.ONE_DEVICE,
    encoder: str = 'published',
    neutral_consistency: float = 0.0,
    weights: np.ndarray | None = None,
  ):
    self.weights, self.neutral_consistency = weights, neutral_consistency
    self.ssim_images, self.dtype, self.axis = ssim_images, dtype, axis
    self.width, self.size_px, self.lowering = width, size_px, lowering
    # Of each network, the backward pass keeps what it is given and computes
    # the rest again.
    self._kept = jax.checkpoint if remat else lambda function: function
    self.encoder = (
      canonical.Encoder(networks.EMBEDDING_SIZE, min(1.0, 4 * width), lowering)
      if encoder == 'plain'
      else networks.Encoder(width, lowering, code_std)
    )
    self.flow_net = networks.FlowNet(size_px, width, lowering)
    self.generator = networks.Generator(width, lowering)

  def init(self, key, *, trunk=()):
    """Draws the parameters of one model."""
    keys = jax.random.split(key, 4)
    size = self.size_px
    image = jnp.zeros((1, size, size, 3))
    code = jnp.zeros((1, networks.EMBEDDING_SIZE))
    stem = trunk
    params = {
      'encoder': self.encoder.init(keys[0], image)['params'],
      'flow_net': self.flow_net.init(keys[1], code)['params'],
    }
    if not trunk:
      stem = params['stem'] = vgg.init(
        keys[3], width=self.width, num_convs=vgg.STEM_CONVS, he=False
      )
    taps = vgg.features(stem, image)
    params['generator'] = self.generator.init(
      keys[2],
      taps['relu2_1'],
      taps['relu3_1'],
      flow=jnp.zeros((1, size // 4, size // 4, 2)),
      noise=taps,
    )['params']
    return params

  def encode(self, params, image):
    """Returns [B, 256] embeddings of normalised images [B, S, S, 3]."""
    embedding = self._kept(self.encoder.apply)(
      {'params': params['encoder']}, image.astype(self.dtype)
    )
    return embedding.astype(jnp.float32)

  def flows(self, params, embedding):
    """Returns the forward and backward flow of embeddings."""
    flows = self._kept(self.flow_net.apply)(
      {'params': params['flow_net']}, embedding.astype(self.dtype)
    )
    return tuple(flow.astype(jnp.float32) for flow in flows)

  def features(self, params, trunk, image):
    """Returns the trunk's (or the trained stem's) activations of images."""
    weights = trunk if trunk else params['stem']
    features = functools.partial(vgg.features, lowering=self.lowering)
    return self._kept(features)(weights, image.astype(self.dtype))

  def generate(self, params, taps, *, flow=None, noise=None):
    """Returns the generator's images from activations."""
    if noise is not None:
      noise = {tap: drawn.astype(self.dtype) for tap, drawn in noise.items()}
    image = self._kept(self.generator.apply)(
      {'params': params['generator']},
      taps['relu2_1'],
      taps['relu3_1'],
      flow=flow,
      noise=noise,
    )
    return image.astype(jnp.float32)

  def draw_noise(self, key, params, trunk, num_images):
    """Draws the generator's noise of the passes 'neutral' and 'recon'.

    It is drawn for the images of all devices that share the batch, so that
    their number changes nothing, and those of this one are returned.
    """
    joined = self.axis.size * num_images
    weights = trunk if trunk else params['stem']
    shapes = {
      tap: (joined, self.size_px // shrink, self.size_px // shrink)
      + weights[layer]['bias'].shape
      for tap, shrink, layer in (
        ('relu3_1', 4, 'conv4'),
        ('relu2_1', 2, 'conv2'),
      )
    }
    sizes = [math.prod(shape) for shape in shapes.values()]
    # One draw, as each draw is a long program of its own to compile.
    drawn = jax.random.normal(key, (2 * sum(sizes),)).astype(self.dtype)
    parts = jnp.split(drawn, np.cumsum(2 * sizes)[:-1])
    return {
      name: {
        tap: self._own_images(part.reshape(shape))
        for (tap, shape), part in zip(shapes.items(), taken, strict=True)
      }
      for name, taken in (('neutral', parts[:2]), ('recon', parts[2:]))
    }

  def _own_images(self, joined):
    """Returns this device's images of [2 B, ...], first members first."""
    if self.axis.size == 1:
      return joined
    return jnp.concatenate([self.axis.own(x) for x in jnp.split(joined, 2)])

  def loss(self, params, trunk, image, noise, neutral_weight):
    """Returns the whole loss of one step (PSM's `forwardloss`).

    Args:
      params: As from `init`.
      trunk: Frozen VGG19 weights or ().
      image: [2 B, S, S, 3] float, normalised.
      noise: As from `draw_noise`.
      neutral_weight: () float, weight of the neutral face's asymmetry.

    Returns:
      total: () float.
      (terms, outputs): the loss terms, weighted as the reference reports them
      ('pixel', 'perceptual', 'ssim', 'symmetry' with their inner weights, the
      rest single), and the images and flows they were computed from.
    """

    def swap(x):
      return jnp.roll(x, x.shape[0] // 2, axis=0)

    embedding = self.encode(params, image)
    forward, backward = self.flows(params, embedding)
    image_taps = self.features(params, trunk, image)
    neutral = self.generate(
      params, image_taps, flow=forward, noise=noise['neutral']
    )
    neutral_taps = self.features(params, trunk, neutral)
    warped = warp_ops.warp(image, forward)
    direct = warp_ops.warp(swap(warped), backward)
    swapped = warp_ops.warp(swap(neutral), backward)
    recon = self.generate(
      params,
      jax.tree.map(swap, neutral_taps),
      flow=backward,
      noise=noise['recon'],
    )
    auto = self.generate(params, image_taps)
    terms = {
      **{
        f'l1_{name}': image_losses.l1(drawn, image, weights=self.weights)
        for name, drawn in (
          ('recon', recon),
          ('auto', auto),
          ('swapped', swapped),
          ('direct', direct),
        )
      },
      'symmetry_neutral': image_losses.asymmetry(neutral),
      'symmetry_warped': image_losses.asymmetry(warped),
    }
    terms['ssim_recon'], terms['ssim_auto'], terms['ssim_direct'] = _ssim(
      image, [recon, auto, direct], self.ssim_images, self.weights
    )
    if trunk:
      others = [
        self.features(params, trunk, x) for x in (swapped, direct, recon)
      ]
      terms |= _perceptual(image_taps, [neutral_taps, *others])
    sums = _weigh(terms, neutral_weight)
    if self.neutral_consistency:
      terms['neutral_pair'] = image_losses.l1(neutral, swap(neutral))
      sums['total'] += self.neutral_consistency * terms['neutral_pair']
    outputs = {
      'embedding': embedding,
      'forward': forward,
      'backward': backward,
      'neutral': neutral,
      'warped': warped,
      'direct': direct,
      'swapped': swapped,
      'recon': recon,
      'auto': auto,
    }
    return sums.pop('total'), (sums | terms, outputs)

  def pictures(self, key, params, trunk, image):
    """Returns neutral faces, reconstructions from them, and forward flows."""
    noise = self.draw_noise(key, params, trunk, image.shape[0])
    forward, backward = self.flows(params, self.encode(params, image))
    neutral = self.generate(
      params,
      self.features(params, trunk, image),
      flow=forward,
      noise=noise['neutral'],
    )
    recon = self.generate(
      params,
      self.features(params, trunk, neutral),
      flow=backward,
      noise=noise['recon'],
    )
    return {
      'neutral': displayable(neutral),
      'reconstruction': displayable(recon),
      'flow': forward,
    }


def _ssim(target, images, scale, weights=None):
  """Returns 1 - SSIM of image batches to one target, see `Networks`."""
  if scale == 'positive':
    shift = jnp.asarray(np.float32(_MEAN / _STD))[None, None, None]
    target, *images = (x + shift for x in (target, *images))
  return image_losses.ssim_losses(target, images, weights=weights)


def _perceptual(target_taps, image_taps):
  """Returns the Gram differences of four image batches to one target."""
  terms = {}
  for tap in _PERCEPTUAL_TAPS:
    target = jax.lax.stop_gradient(image_losses.gram(target_taps[tap]))
    errors = [image_losses.gram_loss(taps[tap], target) for taps in image_taps]
    terms[f'perceptual_{tap}'] = sum(errors) / len(errors)
  return terms


def _weigh(terms, neutral_weight):
  """Returns the four sums with their inner weights and the total."""
  pixel = (
    terms['l1_recon']
    + terms['l1_auto']
    + terms['l1_swapped']
    + 1.5 * terms['l1_direct']
  )
  ssim = terms['ssim_recon'] + terms['ssim_auto'] + 1.5 * terms['ssim_direct']
  symmetry = (
    neutral_weight * terms['symmetry_neutral'] + 0.5 * terms['symmetry_warped']
  )
  perceptual = sum(
    terms.get(f'perceptual_{tap}', jnp.zeros_like(pixel))
    for tap in _PERCEPTUAL_TAPS
  )
  total = 0.01 * perceptual + pixel + 1.5 * symmetry + 5 * ssim
  return {
    'pixel': pixel,
    'perceptual': perceptual,
    'ssim': ssim,
    'symmetry': symmetry,
    'total': total,
  }
