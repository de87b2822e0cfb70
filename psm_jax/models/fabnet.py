"""FAb-Net's networks: face encoder, sampler, mask head, and how they act.

Wiles et al., BMVC 2018 (facial attribute embeddings from video). A sampler
says from where in a source frame each pixel of a target is taken, a mask head
how much each of several sources counts there; both see the embeddings of the
two frames only. B images, S sources, P pixels a side (a power of two, 256 in
the paper), D = 256 embedding units. `width` multiplies hidden channel counts.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float, Float32, Key

from psm_jax.models import layers, vgg
from psm_jax.ops import data_axis, warp as warp_ops
from psm_jax.ops.arrays import Array

EMBEDDING_SIZE = 256
PARTS = ('encoder', 'decoder', 'mask')
SIZES_PX = (16, 32, 64, 128, 256)
# Of each stage at 256 px. Smaller images leave out stages at the embedding's
# end of both networks, so that details are treated as in the full model.
_ENCODER_CHANNELS = (32, 64, 128, 256, 256, 256, 256)
_DECODER_CHANNELS = (256, 256, 256, 256, 128, 64, 32)
_MOMENTUM = 0.1  # Of running statistics, in PyTorch's sense (reference).


class Encoder(nn.Module):
  """Maps faces to embeddings.

  Attributes:
    width: Multiplier of hidden channels.
    lowering: See `psm_jax.ops.conv`.
    axis: The devices that share the batch.
  """

  width: float = 1.0
  lowering: str = 'matmul'
  axis: data_axis.DataAxis = data_axis.ONE_DEVICE

  @nn.compact
  def __call__(
    self, image: Float[Array, 'B P P 3'], *, train: bool
  ) -> Float[jax.Array, 'B 256']:
    """Returns embeddings.

    Args:
      image: [B, P, P, 3] float in [0, 1].
      train: Whether to normalise by the batch and move the running statistics.

    Returns:
      [B, 256] float, unbounded.
    """
    num_stages = num_stages_of(image.shape[1])
    hidden = _ENCODER_CHANNELS[: num_stages - 1]
    conv = functools.partial(
      layers.Conv,
      kernel_px=4,
      stride=2,
      init_scheme='default',
      lowering=self.lowering,
    )
    x = image
    for stage, channels in enumerate(hidden):
      features = vgg.scaled(channels, self.width)
      x = conv(features, name=f'conv{stage}')(x)
      if stage:
        x = layers.BatchNorm(self.axis, _MOMENTUM, name=f'norm{stage}')(
          x, train=train
        )
      x = jax.nn.leaky_relu(x, 0.2)
    x = conv(EMBEDDING_SIZE, name=f'conv{num_stages - 1}')(x)
    return x[:, 0, 0, :]


class Decoder(nn.Module):
  """Maps pairs of embeddings to a map of numbers in (-1, 1).

  With 2 features the sampler, with 1 the mask head.

  Attributes:
    features: Numbers a pixel.
    size_px: P.
    width: Multiplier of hidden channels.
    align_corners: Convention of the doubling between stages.
    lowering: See `psm_jax.ops.conv`.
    axis: The devices that share the batch.
  """

  features: int
  size_px: int = 256
  width: float = 1.0
  align_corners: bool = False
  lowering: str = 'matmul'
  axis: data_axis.DataAxis = data_axis.ONE_DEVICE

  @nn.compact
  def __call__(
    self, embedding: Float[Array, 'B 2*256'], *, train: bool
  ) -> Float32[jax.Array, 'B {self.size_px} {self.size_px} {self.features}']:
    """Returns maps.

    Args:
      embedding: [B, 2 * 256] float, the source's before the target's.
      train: Whether to normalise by the batch and move the running statistics.

    Returns:
      [B, P, P, features] float32 in (-1, 1).
    """
    num_stages = num_stages_of(self.size_px)
    hidden = _DECODER_CHANNELS[-(num_stages - 1) :]
    conv = functools.partial(
      layers.Conv, init_scheme='default', lowering=self.lowering
    )
    x = embedding[:, None, None, :]
    for stage, channels in enumerate(hidden):
      x = double(jax.nn.relu(x), align_corners=self.align_corners)
      features = vgg.scaled(channels, self.width)
      x = conv(features, name=f'conv{stage}')(x)
      x = layers.BatchNorm(self.axis, _MOMENTUM, name=f'norm{stage}')(
        x, train=train
      )
    x = double(jax.nn.relu(x), align_corners=self.align_corners)
    x = conv(self.features, name=f'conv{num_stages - 1}')(x)
    return jnp.tanh(x.astype(jnp.float32))


class Networks:
  """The three networks of one configuration and a pass through them.

  Parameters and running statistics are {'encoder', 'decoder', 'mask'}. The
  networks compute in `dtype`; what they take and give is float32.
  """

  def __init__(
    self,
    *,
    size_px: int = 256,
    width: float = 1.0,
    lowering: str = 'matmul',
    upsample_align_corners: bool = False,
    sample_align_corners: bool = True,
    dtype: np.dtype | type = jnp.float32,
    axis: data_axis.DataAxis = data_axis.ONE_DEVICE,
  ):
    """Names the networks' shape.

    Args:
      size_px: P.
      width: Multiplier of hidden channels.
      lowering: See `psm_jax.ops.conv`.
      upsample_align_corners: Convention of the doubling in the decoders; the
        reference's PyTorch may have used either.
      sample_align_corners: Whether -1 and 1 mean the centres of the outer
        pixels (PyTorch before 1.3, the reference's) or the image's edges.
      dtype: Of the networks' arithmetic.
      axis: The devices that share the batch.

    Raises:
      ValueError: If the size is not one of `SIZES_PX`.
    """
    num_stages_of(size_px)
    self.size_px = size_px
    self.sample_align_corners, self.dtype = sample_align_corners, dtype
    self.encoder = Encoder(width, lowering, axis)
    self.decoder, self.mask = (
      Decoder(
        features,
        size_px=size_px,
        width=width,
        align_corners=upsample_align_corners,
        lowering=lowering,
        axis=axis,
      )
      for features in (2, 1)
    )

  def init(self, key: Key[jax.Array, '']):
    """Draws (parameters, running statistics) of one model."""
    image = jnp.zeros((1, self.size_px, self.size_px, 3))
    pair = jnp.zeros((1, 2 * EMBEDDING_SIZE))
    params, statistics = {}, {}
    for part, part_key in zip(PARTS, jax.random.split(key, 3), strict=True):
      given = image if part == 'encoder' else pair
      made = getattr(self, part).init(part_key, given, train=False)
      params[part] = made['params']
      statistics[part] = made[layers.STATISTICS]
    return params, statistics

  def encode(
    self, params, statistics, image: Float32[Array, 'B P P 3']
  ) -> Float32[jax.Array, 'B 256']:
    """Returns [B, 256] embeddings of [B, P, P, 3], by running statistics."""
    variables = _variables(params, statistics, 'encoder')
    embedding = self.encoder.apply(
      variables, image.astype(self.dtype), train=False
    )
    return embedding.astype(jnp.float32)

  def transfer(
    self, params, statistics, image: Float32[Array, '_ B P P 3'], *, train: bool
  ) -> tuple[dict[str, Float32[jax.Array, '...']], dict]:
    """Rebuilds targets from their sources.

    Each frame of an example passes the encoder, and each source the decoders,
    in a call of its own as far as normalisation is concerned. With one source
    the mask head has nothing to say and is left out, its statistics unmoved.

    Args:
      params: As from `init`.
      statistics: As from `init`.
      image: [1 + S, B, P, P, 3] float in [0, 1]: targets, then sources.
      train: Whether to normalise by the batch and move the running statistics.

    Returns:
      outputs: 'embedding' [1 + S, B, 256]; 'offset' [S, B, P, P, 2], (x, y) in
      units of half a side, what the sampler says, and 'flow', what remains of
      it where it points out of the image; 'weight' [S, B, P, P, 1], shares of
      the sources, and with several of them 'mask_logit', of the same shape;
      'warped' [S, B, P, P, 3], the sources moved; 'result' [B, P, P, 3], their
      weighted sum.
      statistics: The running statistics after the pass.
    """
    moved = dict(statistics)

    def over_calls(part, x):
      """Applies a network to each x[i] as a call of its own, in their order."""
      variables = _variables(params, statistics, part)
      module, x = getattr(self, part), x.astype(self.dtype)
      if not train:
        out = jax.vmap(lambda one: module.apply(variables, one, train=False))(x)
        return out.astype(jnp.float32)
      # All calls start from the same running statistics, so that one program
      # serves them all; what each adds is then put in order.
      out, each = jax.vmap(
        lambda one: module.apply(
          variables, one, train=True, mutable=[layers.STATISTICS]
        )
      )(x)
      moved[part] = jax.tree.map(
        _in_order, statistics[part], each[layers.STATISTICS]
      )
      return out.astype(jnp.float32)

    embedding = over_calls('encoder', image)
    sources = embedding[1:]
    target = jnp.broadcast_to(embedding[:1], sources.shape)
    pairs = jnp.concatenate([sources, target], axis=-1)
    outputs = {'embedding': embedding}
    if len(pairs) > 1:
      outputs['mask_logit'] = over_calls('mask', pairs)
      outputs['weight'] = jax.nn.softmax(outputs['mask_logit'], axis=0)
    else:
      outputs['weight'] = jnp.ones((*image[1:].shape[:-1], 1), image.dtype)
    offset = over_calls('decoder', pairs)
    identity = _identity(self.size_px)
    flow = jnp.clip(identity + offset, -1.0, 1.0) - identity
    warped = self._sample(image[1:], flow)
    outputs['offset'], outputs['flow'] = offset, flow
    outputs['warped'] = warped
    outputs['result'] = jnp.sum(warped * outputs['weight'], axis=0)
    return outputs, moved

  def _sample(self, image, flow):
    """Returns [S, B, P, P, 3]: images sampled where a flow points to."""
    if not self.sample_align_corners:
      # The same place has its outer pixels' centres half a pixel further in.
      position = _identity(self.size_px) + flow
      flow = flow + position / (self.size_px - 1)
    flat = image.reshape((-1, *image.shape[2:]))
    warped = warp_ops.warp(flat, flow.reshape((-1, *flow.shape[2:])))
    return warped.reshape(image.shape)


def num_stages_of(size_px: int) -> int:
  """Returns how often a network halves or doubles: 8 at 256 pixels.

  Raises:
    ValueError: If the size is not one of `SIZES_PX`.
  """
  if size_px not in SIZES_PX:
    raise ValueError(
      f'data.size_px is {size_px}; FAb-Net halves its images down to one '
      f'pixel and takes {", ".join(map(str, SIZES_PX))}.'
    )
  return size_px.bit_length() - 1


def double(
  image: Float[Array, 'B H H C'], *, align_corners: bool = False
) -> Float[jax.Array, 'B 2*H 2*H C']:
  """Returns images of twice the side, bilinear.

  Args:
    image: [B, H, H, C] float.
    align_corners: Whether the centres of the outer pixels stay in place, or
      the image's edges.

  Returns:
    [B, 2 H, 2 H, C] float.
  """
  if align_corners:
    return warp_ops.resize(image, 2 * image.shape[1])
  image = jnp.asarray(image)
  for axis in (1, 2):
    size = image.shape[axis]
    first = jax.lax.slice_in_dim(image, 0, 1, axis=axis)
    last = jax.lax.slice_in_dim(image, size - 1, size, axis=axis)
    inner = jax.lax.slice_in_dim(image, 0, size - 1, axis=axis)
    before = jnp.concatenate([first, inner], axis=axis)
    inner = jax.lax.slice_in_dim(image, 1, size, axis=axis)
    after = jnp.concatenate([inner, last], axis=axis)
    parities = [0.75 * image + 0.25 * other for other in (before, after)]
    shape = (*image.shape[:axis], 2 * size, *image.shape[axis + 1 :])
    image = jnp.stack(parities, axis=axis + 1).reshape(shape)
  return image


def _variables(params, statistics, part):
  return {'params': params[part], layers.STATISTICS: statistics[part]}


def _in_order(start, each):
  """Returns running statistics [C] after calls that all began at `start`.

  Args:
    start: [C].
    each: [n, C], after each call by itself: (1 - momentum) start + own share.
  """
  keep = 1 - _MOMENTUM
  decay = jnp.asarray(keep ** np.arange(len(each) - 1, -1, -1), each.dtype)
  shares = each - keep * start[None]
  return keep ** len(each) * start + jnp.sum(decay[:, None] * shares, axis=0)


def _identity(size_px):
  """Returns [1, 1, P, P, 2], the positions (x, y) of the pixels."""
  line = np.linspace(-1.0, 1.0, size_px).astype(np.float32)
  y, x = np.meshgrid(line, line, indexing='ij')
  return jnp.asarray(np.stack([x, y], axis=-1))[None, None]
