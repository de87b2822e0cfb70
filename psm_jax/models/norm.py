"""Batch normalisation with PyTorch's running statistics, over devices too."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from psm_jax.ops import data_axis

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
    use_affine: Whether a scale and a bias per channel are learned.
  """

  axis: data_axis.DataAxis = data_axis.ONE_DEVICE
  momentum: float = 0.1
  epsilon: float = 1e-5
  use_affine: bool = True

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [..., C] to the same shape.

    Args:
      x: At least two values a channel where `train`.
      train: Use the batch's statistics and update the running ones (collection
        'batch_stats', if mutable); else use the running ones.
    """
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
    if self.use_affine:
      gain = self.param('scale', nn.initializers.ones, channels)
      bias = self.param('bias', nn.initializers.zeros, channels)
      scale, offset = scale * gain, offset * gain + bias
    return x * scale.astype(x.dtype)[axes] + offset.astype(x.dtype)[axes]
