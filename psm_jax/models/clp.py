"""CLP's networks: a frame encoder and a projector (Li and Shan, TIP 2023).

n images or B clips of T frames, S pixels a side, Dh units of the embedding, D
of its projection, on which the losses act (MoCo v2's two layers; our choice).
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float, Key

from psm_jax.models import layers, vgg
from psm_jax.ops import data_axis
from psm_jax.ops.arrays import Array


class Projector(nn.Module):
  """Maps embeddings to the space in which they are contrasted."""

  features: int = 128

  @nn.compact
  def __call__(
    self, embedding: Float[Array, 'n Dh']
  ) -> Float[jax.Array, 'n {self.features}']:
    """Maps [n, Dh] to [n, features]."""
    hidden = embedding.shape[-1]
    std = math.sqrt(2 / hidden)
    x = layers.dense(embedding, hidden, std=std, name='hidden')
    std = math.sqrt(1 / hidden)
    return layers.dense(jax.nn.relu(x), self.features, std=std, name='out')


class Networks:
  """Encoder and projector; parameters are {'encoder', 'projector'}."""

  def __init__(
    self,
    *,
    width: float = 1.0,
    stem_px: int = 7,
    projection_size: int = 128,
    lowering: str = 'matmul',
    axis: data_axis.DataAxis,
  ):
    self.embedding_size = embedding_size(width)
    self.encoder = ResNet18(width, stem_px, lowering, axis)
    self.projector = Projector(projection_size)

  def init(self, key: Key[jax.Array, '']):
    """Draws (parameters, running statistics) of one model."""
    keys = jax.random.split(key)
    # Parameters do not depend on the size; this one leaves a pixel to pool.
    encoder = self.encoder.init(keys[0], jnp.zeros((1, 32, 32, 3)), train=False)
    embedding = jnp.zeros((1, self.embedding_size))
    projector = self.projector.init(keys[1], embedding)
    params = {'encoder': encoder['params'], 'projector': projector['params']}
    return params, encoder[layers.STATISTICS]

  def encode(
    self, params, statistics, image: Float[Array, 'n S S 3']
  ) -> Float[jax.Array, 'n {self.embedding_size}']:
    """Returns [n, Dh] embeddings of normalised images by the running mean."""
    variables = {'params': params['encoder'], layers.STATISTICS: statistics}
    embedding = self.encoder.apply(variables, image, train=False)
    assert isinstance(embedding, jax.Array)
    return embedding

  def project(
    self, params, statistics, clips: Float[Array, 'B T S S 3']
  ) -> tuple[Float[jax.Array, 'B T D'], dict]:
    """Returns projections by the batch's statistics, and those it moves.

    Args:
      params: As from `init`.
      statistics: As from `init`.
      clips: [B, T, S, S, 3] float, normalised.

    Returns:
      [B, T, D] float, and the new running statistics.
    """
    variables = {'params': params['encoder'], layers.STATISTICS: statistics}
    embedding, moved = self.encoder.apply(
      variables,
      clips.reshape((-1, *clips.shape[2:])),
      train=True,
      mutable=layers.STATISTICS,
    )
    projected = self.projector.apply({'params': params['projector']}, embedding)
    return projected.reshape((*clips.shape[:2], -1)), moved[layers.STATISTICS]


STEMS_PX = (3, 7)
_STAGES = ((64, 2), (128, 2), (256, 2), (512, 2))  # Channels, blocks.


def embedding_size(width: float) -> int:
  """Returns the units of the embedding, 512 times the width, rounded."""
  return vgg.scaled(_STAGES[-1][0], width)


class BasicBlock(nn.Module):
  """Two 3x3 convolutions around a skip, which is 1x1 where shapes change.

  Attributes:
    features: Output channels.
    stride: Step of the first convolution in pixels.
    lowering: See `psm_jax.ops.conv`.
    axis: The devices that share the batch.
  """

  features: int
  stride: int = 1
  lowering: str = 'matmul'
  axis: data_axis.DataAxis = data_axis.DataAxis()

  @nn.compact
  def __call__(
    self, x: Float[Array, 'B H W C'], *, train: bool
  ) -> Float[jax.Array, 'B _ _ {self.features}']:
    """Maps [B, H, W, C] to [B, H / stride, W / stride, features]."""

    def conv(kernel_px, stride, name, value):
      layer = layers.Conv(
        self.features,
        kernel_px,
        stride,
        use_bias=False,
        lowering=self.lowering,
        name=f'conv{name}',
      )
      normalise = layers.BatchNorm(self.axis, name=f'norm{name}')
      return normalise(layer(value), train=train)

    y = jax.nn.relu(conv(3, self.stride, '1', x))
    y = conv(3, 1, '2', y)
    if self.stride != 1 or x.shape[-1] != self.features:
      x = conv(1, self.stride, '_skip', x)
    return jax.nn.relu(x + y)


class ResNet18(nn.Module):
  """Maps images to embeddings.

  Attributes:
    width: Multiplies the channel counts.
    stem_px: 7 for the published stem of stride 2; 3 for one of stride 1, which
      keeps twice the resolution, for small images (our choice). A 3x3 max-pool
      of stride 2 follows either.
    lowering: See `psm_jax.ops.conv`.
    axis: The devices that share the batch.
  """

  width: float = 1.0
  stem_px: int = 7
  lowering: str = 'matmul'
  axis: data_axis.DataAxis = data_axis.DataAxis()

  @nn.compact
  def __call__(
    self, image: Float[Array, 'B S S 3'], *, train: bool
  ) -> Float[jax.Array, 'B Dh']:
    """Returns embeddings, the mean over pixels of the last stage.

    Args:
      image: [B, S, S, 3] float, normalised.
      train: Normalise by the batch's statistics, not the running ones.

    Returns:
      [B, 512 width] float, not negative.
    """
    x = layers.Conv(
      vgg.scaled(_STAGES[0][0], self.width),
      self.stem_px,
      stride=2 if self.stem_px == 7 else 1,
      use_bias=False,
      lowering=self.lowering,
      name='stem',
    )(image)
    x = layers.BatchNorm(self.axis, name='norm_stem')(x, train=train)
    x = jax.nn.relu(x)
    x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
    for stage, (channels, num_blocks) in enumerate(_STAGES, start=1):
      for block in range(num_blocks):
        x = BasicBlock(
          vgg.scaled(channels, self.width),
          2 if stage > 1 and block == 0 else 1,
          lowering=self.lowering,
          axis=self.axis,
          name=f'stage{stage}_{block}',
        )(x, train=train)
    return jnp.mean(x, axis=(1, 2))
