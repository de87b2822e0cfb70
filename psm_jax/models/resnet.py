"""ResNet-18 without its classifier (He et al., CVPR 2016).

Eight basic blocks in four stages of 64, 128, 256 and 512 channels, the first of
stages 2 to 4 halving the resolution; `width` multiplies every channel count,
rounded, at least 4. B images, S pixels a side (32 to 256), NHWC.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from psm_jax.models import layers, norm, vgg
from psm_jax.ops import data_axis

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
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
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
      normalise = norm.BatchNorm(self.axis, name=f'norm{name}')
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
  def __call__(self, image: jax.Array, *, train: bool) -> jax.Array:
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
    x = norm.BatchNorm(self.axis, name='norm_stem')(x, train=train)
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
