"""The VGG19 trunk up to relu4_1: generator stem and perceptual features.

Weights are a plain dict {'conv0': {'kernel', 'bias'}, ...} of the nine
convolutions (torchvision features 0, 2, 5, 7, 10, 12, 14, 16, 19); the first
five are the generator's stem. They are frozen and shared by a population, or,
without a perceptual term, the stem belongs to the trained parameters.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32, Key

from psm_jax.models import layers
from psm_jax.ops import conv as conv_ops, pool
from psm_jax.ops.arrays import Array

CHANNELS = (64, 64, 128, 128, 256, 256, 256, 256, 512)
STEM_CONVS = 5
_POOL_BEFORE = (2, 4, 8)
_TAPS = {2: 'relu2_1', 4: 'relu3_1', 8: 'relu4_1'}


def scaled(channels: int, width: float) -> int:
  """Returns a channel count times the width multiplier, at least 4."""
  return max(4, round(channels * width))


def init(
  key: Key[jax.Array, ''],
  *,
  width: float = 1.0,
  num_convs: int = 9,
  he: bool = True,
) -> dict[str, dict[str, Float32[jax.Array, '...']]]:
  """Draws the weights of the first convolutions of a trunk.

  Args:
    key: Random key.
    width: Multiplier of the channel counts of VGG19.
    num_convs: 9 for the whole trunk, 5 for the stem.
    he: He-normal kernels and zero biases (a frozen random trunk), else
      PyTorch's default initialisation (a trained stem).

  Returns:
    {'conv<n>': {'kernel': [3, 3, C, O], 'bias': [O]}}, float32.
  """
  weights = {}
  channels = 3
  for index in range(num_convs):
    features = scaled(CHANNELS[index], width)
    kernel_key, bias_key = jax.random.split(jax.random.fold_in(key, index))
    shape = (3, 3, channels, features)
    if he:
      std = math.sqrt(2.0 / (9 * channels))
      kernel = std * jax.random.normal(kernel_key, shape)
      bias = jnp.zeros((features,))
    else:
      draw = layers.fan_in_uniform(9 * channels)
      kernel, bias = draw(kernel_key, shape), draw(bias_key, (features,))
    weights[f'conv{index}'] = {'kernel': kernel, 'bias': bias}
    channels = features
  return weights


def features(
  weights: dict[str, dict[str, Float32[Array, '...']]],
  image: Float[Array, 'B H W 3'],
  *,
  lowering: str = 'matmul',
) -> dict[str, Float[jax.Array, 'B _ _ _']]:
  """Returns the activations that the weights reach.

  Args:
    weights: As from `init`: five convolutions reach relu3_1, nine relu4_1.
    image: [B, H, W, 3] float, normalised.
    lowering: See `psm_jax.ops.conv`; matters for per-model weights only.

  Returns:
    {'relu2_1': [B, H/2, W/2, C], 'relu3_1': [B, H/4, W/4, C], and 'relu4_1':
    [B, H/8, W/8, C] if the weights reach it}.
  """
  taps = {}
  x = image
  for index in range(len(weights)):
    if index in _POOL_BEFORE:
      x = pool.max_pool(x)
    layer = weights[f'conv{index}']
    x = conv_ops.conv(
      x, layer['kernel'].astype(x.dtype), padding=1, lowering=lowering
    )
    x = jax.nn.relu(x + layer['bias'].astype(x.dtype)[None, None, None])
    if index in _TAPS:
      taps[_TAPS[index]] = x
  return taps
