"""Layers shared by the networks: convolutions, attention, residual blocks.

B images, H W pixels, C channels; NHWC. Initialisations follow the reference
models (spec of each network), which were written in PyTorch.
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float, Key

from psm_jax.ops import conv as conv_ops, data_axis
from psm_jax.ops.arrays import Array


def leaky_relu(x: Array) -> jax.Array:
  """Returns x where positive, 0.1 x elsewhere."""
  return jax.nn.leaky_relu(x, 0.1)


def fan_out_normal(
  key: Key[jax.Array, ''], shape, dtype=jnp.float32
) -> Float[jax.Array, 'kh kw C O']:
  """Draws a kernel [kh, kw, C, O] from N(0, 2 / (kh kw O))."""
  height, width, _, features = shape
  std = math.sqrt(2.0 / (height * width * features))
  return std * jax.random.normal(key, shape, dtype)


def fan_in_uniform(fan_in: int):
  """Returns PyTorch's default initialiser, U(+-1 / sqrt(fan_in))."""
  bound = 1.0 / math.sqrt(fan_in)

  def init(key, shape, dtype=jnp.float32):
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return init


class Conv(nn.Module):
  """Square convolution, PyTorch's geometry and a choice of two inits.

  Attributes:
    features: Output channels.
    kernel_px: Side of the kernel.
    stride: Step in pixels.
    init_scheme: 'fan_out' (normal, zero bias) or 'default' (PyTorch's uniform),
      or a float: the standard deviation of a normal kernel, zero bias.
    use_bias: Whether a bias is added.
    lowering: See `psm_jax.ops.conv`.
  """

  features: int
  kernel_px: int = 3
  stride: int = 1
  init_scheme: str | float = 'fan_out'
  use_bias: bool = True
  lowering: str = 'matmul'

  @nn.compact
  def __call__(
    self, x: Float[Array, 'B H W C']
  ) -> Float[jax.Array, 'B _ _ {self.features}']:
    """Maps [B, H, W, C] to [B, H / stride, W / stride, features]."""
    channels = x.shape[-1]
    fan_in = channels * self.kernel_px**2
    kernel_init, bias_init = _inits(self.init_scheme, fan_in)
    shape = (self.kernel_px, self.kernel_px, channels, self.features)
    kernel = self.param('kernel', kernel_init, shape)
    y = conv_ops.conv(
      x,
      kernel.astype(x.dtype),
      stride=self.stride,
      padding=(self.kernel_px - 1) // 2,
      lowering=self.lowering,
    )
    if not self.use_bias:
      return y
    bias = self.param('bias', bias_init, (self.features,))
    return y + bias.astype(x.dtype)[None, None, None]


class ConvTranspose(nn.Module):
  """4x4 transposed convolution of stride 2 and padding 1, PyTorch's init."""

  features: int
  lowering: str = 'matmul'

  @nn.compact
  def __call__(
    self, x: Float[Array, 'B H W C']
  ) -> Float[jax.Array, 'B 2*H 2*W {self.features}']:
    """Maps [B, H, W, C] to [B, 2 H, 2 W, features]."""
    # PyTorch takes the fan of a transposed kernel from its output channels.
    init = fan_in_uniform(self.features * 16)
    kernel = self.param('kernel', init, (4, 4, x.shape[-1], self.features))
    bias = self.param('bias', init, (self.features,))
    y = conv_ops.conv_transpose(
      x, kernel.astype(x.dtype), lowering=self.lowering
    )
    return y + bias.astype(x.dtype)[None, None, None]


def dense(
  x: Float[Array, '*rest C'], features: int, *, std: float, name: str
) -> Float[jax.Array, '*rest {features}']:
  """Applies a linear layer with a normal kernel and zero bias."""
  init = nn.initializers.normal(std)
  return nn.Dense(features, dtype=x.dtype, kernel_init=init, name=name)(x)


class ChannelAttention(nn.Module):
  """Second-order channel attention (FaceCycle, ICCV 2021, `selfattention`)."""

  lowering: str = 'matmul'

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W C']) -> Float[jax.Array, 'B H W C']:
    """Maps [B, H, W, C] to the same shape."""
    batch, _, _, channels = x.shape

    def project(name):
      layer = Conv(channels, 1, lowering=self.lowering, name=name)
      projected = layer(x).reshape(batch, -1, channels)
      return projected.astype(jnp.float32)

    spread = jax.nn.softmax(project('theta'), axis=1)
    # Written as the two products that no operand needs transposing for.
    mixing = jnp.einsum('bnd,bnc->bdc', spread, project('phi'))
    gates = jax.nn.softmax(project('g'), axis=2)
    attended = jnp.matmul(gates, mixing)
    return leaky_relu(x + attended.reshape(x.shape).astype(x.dtype))


class ResidualBlock(nn.Module):
  """Two 3x3 convolutions around a skip, without normalisation."""

  init_scheme: str = 'fan_out'
  lowering: str = 'matmul'

  @nn.compact
  def __call__(self, x: Float[Array, 'B H W C']) -> Float[jax.Array, 'B H W C']:
    """Maps [B, H, W, C] to the same shape."""

    def conv(name, features):
      layer = Conv(
        x.shape[-1],
        init_scheme=self.init_scheme,
        lowering=self.lowering,
        name=name,
      )
      return layer(features)

    return leaky_relu(conv('conv2', leaky_relu(conv('conv1', x))) + x)


def pixel_shuffle(
  x: Float[Array, 'B H W C'], factor: int
) -> Float[jax.Array, 'B {factor}*H {factor}*W C//{factor}**2']:
  """Returns [B, f H, f W, C / f^2]: channel c f^2 + i f + j to pixel (i, j)."""
  batch, height, width, channels = x.shape
  features = channels // factor**2
  x = x.reshape(batch, height, width, features, factor, factor)
  x = jnp.transpose(x, (0, 1, 4, 2, 5, 3))
  return x.reshape(batch, height * factor, width * factor, features)


def _inits(scheme, fan_in):
  if scheme == 'default':
    default = fan_in_uniform(fan_in)
    return default, default
  if scheme == 'fan_out':
    return fan_out_normal, nn.initializers.zeros
  return nn.initializers.normal(scheme), nn.initializers.zeros


STATISTICS = 'batch_stats'


class BatchNorm(nn.Module):
  """Normalises each channel over all other axes (Ioffe and Szegedy, 2015).

  Running statistics move by `momentum` towards those of the batch, the running
  variance towards the unbiased one, as in PyTorch; the normalisation itself
  uses the biased one.

  Attributes:
    axis: The devices that share the batch.
    momentum: Share of the batch's statistics in the running ones.
    epsilon: Added to the variance.
  """

  axis: data_axis.DataAxis = data_axis.ONE_DEVICE
  momentum: float = 0.1
  epsilon: float = 1e-5

  @nn.compact
  def __call__(
    self, x: Float[Array, '*rest C'], *, train: bool
  ) -> Float[jax.Array, '*rest C']:
    """Maps [..., C] to the same shape.

    Args:
      x: At least two values a channel where `train`.
      train: Use the batch's statistics and update the running ones (collection
        'batch_stats', if mutable); else use the running ones.
    """
    x = jnp.asarray(x)
    channels = x.shape[-1:]
    running_mean = self.variable(STATISTICS, 'mean', jnp.zeros, channels)
    running_var = self.variable(STATISTICS, 'var', jnp.ones, channels)
    if train:
      flat = x.reshape((-1, *channels)).astype(jnp.float32)
      mean = self.axis.mean(jnp.mean(flat, axis=0))
      var = self.axis.mean(jnp.mean((flat - mean[None]) ** 2, axis=0))
      count = flat.shape[0] * self.axis.size
      if self.is_mutable_collection(STATISTICS) and not self.is_initializing():
        share = self.momentum
        unbiased = var * (count / max(1, count - 1))
        running_mean.value = (1 - share) * running_mean.value + share * mean
        running_var.value = (1 - share) * running_var.value + share * unbiased
    else:
      mean, var = running_mean.value, running_var.value
    axes = (None,) * (x.ndim - 1)
    scale = jax.lax.rsqrt(var + self.epsilon)
    offset = -mean * scale
    gain = self.param('scale', nn.initializers.ones, channels)
    bias = self.param('bias', nn.initializers.zeros, channels)
    scale, offset = scale * gain, offset * gain + bias
    return x * scale.astype(x.dtype)[axes] + offset.astype(x.dtype)[axes]
