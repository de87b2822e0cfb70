"""FaceCycle's networks: expression encoder, flow net, generator.

Chang et al., ICCV 2021, as used by person-specific models (Tazi et al., 2022).
Module names are the reference's tensor paths with '_' for '.'. B images, S
pixels a side (a multiple of 16; 64 in the papers), D = 256 embedding units.
`width` multiplies every hidden channel count.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from psm_jax.models import layers, vgg
from psm_jax.ops import warp as warp_ops
from psm_jax.ops.arrays import Array

EMBEDDING_SIZE = 256


class Encoder(nn.Module):
  """Maps faces to embeddings (`codegeneration`)."""

  width: float = 1.0
  lowering: str = 'matmul'
  code_std: float = 0.01

  @nn.compact
  def __call__(
    self, image: Float[Array, 'B S S 3']
  ) -> Float[jax.Array, 'B 256']:
    """Returns embeddings.

    Args:
      image: [B, S, S, 3] float, normalised.

    Returns:
      [B, 256] float in (-1, 1).
    """

    def conv(features, name, kernel_px=3, stride=1):
      return layers.Conv(
        vgg.scaled(features, self.width),
        kernel_px,
        stride,
        lowering=self.lowering,
        name=name,
      )

    def attention(name):
      return layers.ChannelAttention(lowering=self.lowering, name=name)

    act = layers.leaky_relu
    x = act(conv(64, 'conv1_0', 7, 2)(image))
    x = act(conv(64, 'conv1_2')(x))
    x = act(conv(64, 'layer1_0')(x))
    x = attention('layer1_2')(x)
    x = act(conv(64, 'layer1_3')(x))
    x = act(conv(128, 'layer2_1_0', stride=2)(x))
    x = attention('layer2_1_2')(x)
    x = act(conv(128, 'layer2_1_3')(x))
    x = layers.ResidualBlock(lowering=self.lowering, name='resblock1')(x)
    x = layers.ResidualBlock(lowering=self.lowering, name='resblock2')(x)
    x = act(conv(128, 'layer2_2_0', stride=2)(x))
    x = act(conv(128, 'layer2_2_2')(x))
    x = act(conv(256, 'layer3_1_0', stride=2)(x))
    x = act(conv(256, 'layer3_1_2')(x))
    x = act(conv(256, 'layer3_2_0')(x))
    x = act(conv(128, 'layer3_2_2')(x))
    # The reference flattens channels first.
    x = jnp.transpose(x, (0, 3, 1, 2)).reshape(x.shape[0], -1)
    hidden = vgg.scaled(512, self.width)
    dense = functools.partial(layers.dense, std=self.code_std)
    x = act(dense(x, hidden, name='expresscode_0'))
    return jnp.tanh(dense(x, EMBEDDING_SIZE, name='expresscode_2'))


class FlowNet(nn.Module):
  """Maps embeddings to displacement fields (`exptoflow`)."""

  size_px: int = 64
  width: float = 1.0
  lowering: str = 'matmul'

  @nn.compact
  def __call__(
    self, embedding: Float[Array, 'B 256']
  ) -> tuple[
    Float[jax.Array, 'B {self.size_px//4} {self.size_px//4} 2'],
    Float[jax.Array, 'B {self.size_px//4} {self.size_px//4} 2'],
  ]:
    """Returns the flows to and from the neutral face.

    Args:
      embedding: [B, 256] float.

    Returns:
      forward, backward: [B, S / 4, S / 4, 2] float in [-1, 1], (x, y).
    """

    def conv(features, name, kernel_px=3):
      return layers.Conv(
        vgg.scaled(features, self.width),
        kernel_px,
        lowering=self.lowering,
        name=name,
      )

    def residual(name):
      return layers.ResidualBlock(lowering=self.lowering, name=name)

    act = layers.leaky_relu
    factor = self.size_px // 16
    channels = vgg.scaled(256, self.width)
    x = layers.Conv(
      channels * factor**2, 1, lowering=self.lowering, name='motiongen1_0'
    )(embedding[:, None, None, :])
    x = act(layers.pixel_shuffle(x, factor))
    x = layers.ChannelAttention(lowering=self.lowering, name='motiongen1_3')(x)
    x = act(conv(256, 'motiongen1_4')(x))
    x = warp_ops.resize(x, 2 * x.shape[1])
    x = act(conv(128, 'motiongen2_1')(x))
    x = layers.ChannelAttention(lowering=self.lowering, name='motiongen2_3')(x)
    x = act(conv(128, 'motiongen2_4')(x))
    x = residual('resblock1')(x)
    x = residual('resblock2')(x)
    x = warp_ops.resize(x, 2 * x.shape[1])
    x = layers.Conv(
      vgg.scaled(64, self.width),
      init_scheme=0.05,
      lowering=self.lowering,
      name='toflow4_1',
    )(x)
    x = layers.Conv(
      2,
      1,
      init_scheme=0.05,
      use_bias=False,
      lowering=self.lowering,
      name='toflow4_3',
    )(act(x))
    forward = jnp.tanh(x)
    return forward, -warp_ops.warp(forward, forward)


class Generator(nn.Module):
  """Draws faces from stem features, moved by a flow or not.

  The reference's `Swap_Generator` without its stem, which `vgg.features`
  computes once for all uses of an image.
  """

  width: float = 1.0
  lowering: str = 'matmul'

  @nn.compact
  def __call__(
    self,
    relu2_1: Float[Array, 'B half half C2'],
    relu3_1: Float[Array, 'B half//2 half//2 C3'],
    *,
    flow: Float[Array, 'B half//2 half//2 2'] | None = None,
    noise: dict[str, Float[Array, 'B _ _ _']] | None = None,
  ) -> Float[jax.Array, 'B 2*half 2*half 3']:
    """Returns images.

    Args:
      relu2_1: [B, S / 2, S / 2, C2] float.
      relu3_1: [B, S / 4, S / 4, C3] float.
      flow: [B, S / 4, S / 4, 2] float, (x, y); None for plain auto-encoding.
      noise: {'relu2_1', 'relu3_1'}: standard normal, of the features' shapes;
        used with a flow only.

    Returns:
      [B, S, S, 3] float, normalised image space, unbounded.
    """

    def conv(features, name):
      return layers.Conv(
        features, init_scheme='default', lowering=self.lowering, name=name
      )

    act = jax.nn.relu

    def texture(features, drawn, name):
      mean = jnp.mean(features, axis=(1, 2), keepdims=True)
      channels = features.shape[-1]
      x = act(conv(channels, f'{name}_0')(drawn + mean))
      return act(conv(channels, f'{name}_2')(x))

    if flow is not None:
      assert noise is not None
      coarse = texture(relu3_1, noise['relu3_1'], 'noise_encoding0')
      fine = texture(relu2_1, noise['relu2_1'], 'noise_encoding1')
      relu3_1 = warp_ops.warp(relu3_1, flow) + coarse
      relu2_1 = warp_ops.warp(relu2_1, flow) + fine
    channels = vgg.scaled(256, self.width)
    half = vgg.scaled(128, self.width)
    x = act(conv(channels, 'redconv_0')(relu3_1))
    for index in range(8):
      x = layers.ResidualBlock(
        'default', lowering=self.lowering, name=f'cnn_{index}'
      )(x)
    up = layers.ConvTranspose(half, lowering=self.lowering, name='up_0')
    x = act(conv(half, 'up_2')(act(up(x))))
    x = jnp.concatenate([relu2_1, x], axis=-1)
    up = layers.ConvTranspose(half, lowering=self.lowering, name='up2_0')
    x = act(conv(half, 'up2_2')(act(up(x))))
    return conv(3, 'torgb')(x)
