"""Networks that tell a face's movement and draw it on a canonical face.

The encoder sees a frame, alone or with its difference to the canonical face of
its video, and says in a code how the face has moved; the
decoder sees that code and the canonical face of a video, and nothing else of a
frame. B images, S pixels a side (a multiple of 16, 32 to 128 are tried), D
units of the code. `width` multiplies every hidden channel count.
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from psm_jax.models import layers
from psm_jax.ops import warp as warp_ops
from psm_jax.ops.arrays import Array

_GROUPS = 8
_LEAST_PX = 4  # Side of the innermost feature map, at least.
_HIDDEN = 512  # Units of the encoder's layer before the code.
# Deviation of the kernel from which flow and residual come: at first the
# decoder all but repeats the canonical face.
_OUTPUT_STD = 1e-3


def num_stages(size_px: int) -> int:
  """Returns how often an image can be halved down to 4 to 7 pixels a side."""
  return int(math.log2(size_px / _LEAST_PX))


class Encoder(nn.Module):
  """Maps frames to codes: strided convolutions, two linear layers."""

  code_size: int = 256
  width: float = 1.0
  lowering: str = 'matmul'

  @nn.compact
  def __call__(
    self, image: Float[Array, 'B S S C']
  ) -> Float[jax.Array, 'B {self.code_size}']:
    """Returns codes.

    Args:
      image: [B, S, S, C] float, in about [-1, 1]: C is 3, or 6 with the
        difference to the canonical face.

    Returns:
      [B, D] float, unbounded.
    """
    x = image
    for stage in range(num_stages(image.shape[1])):
      features = _scaled(64 if stage == 0 else 128, self.width)
      x = _block(x, features, stride=2, lowering=self.lowering)
    x = x.reshape(x.shape[0], -1)
    hidden = _scaled(_HIDDEN, self.width)
    x = nn.gelu(_dense(x, hidden, name='hidden'))
    return _dense(x, self.code_size, name='code')


class Decoder(nn.Module):
  """Moves and repaints a canonical face as codes say.

  Attributes:
    reach: The largest displacement, in halves of the side; 0 for none.
    width: Of the hidden channels.
    lowering: See `psm_jax.ops.conv`.
  """

  reach: float = 0.25
  width: float = 1.0
  lowering: str = 'matmul'

  @nn.compact
  def __call__(
    self, code: Float[Array, 'B D'], canonical: Float[Array, 'B S S 3']
  ) -> tuple[
    Float[jax.Array, 'B S//2 S//2 2'],
    Float[jax.Array, 'B S//2 S//2 3'],
  ]:
    """Returns what to do to the canonical faces.

    Args:
      code: [B, D] float.
      canonical: [B, S, S, 3] float in [-1, 1].

    Returns:
      flow: [B, S / 2, S / 2, 2] float, (x, y) in halves of the side: where in
        the canonical face each place of the frame comes from.
      residual: [B, S / 2, S / 2, 3] float, added to what the flow brings.
    """
    batch, size_px = canonical.shape[:2]
    stages = num_stages(size_px)
    features = _scaled(128, self.width)
    side = size_px >> stages
    x = nn.gelu(_dense(code, side * side * features, name='spread'))
    x = x.reshape(batch, side, side, features)
    for stage in range(stages - 1):
      side = 2 * side
      features = _scaled((128, 96, 64, 64)[min(stage, 3)], self.width)
      x = jnp.concatenate(
        [warp_ops.resize(x, side), warp_ops.resize(canonical, side)], axis=-1
      )
      x = _block(x, features, stride=1, lowering=self.lowering)
    out = layers.Conv(
      5, init_scheme=_OUTPUT_STD, lowering=self.lowering, name='change'
    )(x)
    return self.reach * jnp.tanh(out[..., :2]), out[..., 2:]


def _block(x, features, *, stride, lowering):
  """Applies a 3x3 convolution, GroupNorm (Wu and He, 2018) and GELU."""
  # The norm has a bias of its own.
  x = layers.Conv(features, stride=stride, use_bias=False, lowering=lowering)(x)
  return nn.gelu(nn.GroupNorm(_GROUPS, dtype=x.dtype)(x))


def _dense(x, features, *, name):
  """Applies a linear layer whose output varies as its input does."""
  return layers.dense(x, features, std=x.shape[-1] ** -0.5, name=name)


def _scaled(channels, width):
  """Returns a hidden channel count, a multiple of the groups."""
  return _GROUPS * max(1, round(channels * width / _GROUPS))
