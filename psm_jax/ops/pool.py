"""Max pooling, in the form that the platform at hand is quick at."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from psm_jax.ops.arrays import Array


@jax.custom_vjp
def max_pool(
  image: Float[Array, 'B H W C'],
) -> Float[jax.Array, 'B H//2 W//2 C']:
  """Returns the maximum of each 2x2 window.

  Where several pixels of a window are the largest, the gradient goes to the
  first of them on a TPU and is shared elsewhere.

  Args:
    image: [B, H, W, C] float, H and W even.

  Returns:
    [B, H / 2, W / 2, C] float.
  """
  return lax.platform_dependent(image, tpu=_window, default=_strided)


def _max_pool_forward(image):
  return max_pool(image), image


def _max_pool_backward(image, grad):
  def pulled_back(form):
    return lambda image, grad: jax.vjp(form, image)[1](grad)

  return lax.platform_dependent(
    image, grad, tpu=pulled_back(_window), default=pulled_back(_strided)
  )


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def _window(image):
  """Takes each window at once: a TPU's strided slices are copies."""
  return lax.reduce_window(
    image, -np.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), 'VALID'
  )


def _strided(image):
  """Compares rows, then columns, which vectorises on CPUs."""
  rows = jnp.maximum(image[:, 0::2], image[:, 1::2])
  return jnp.maximum(rows[:, :, 0::2], rows[:, :, 1::2])
