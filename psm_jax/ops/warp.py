"""Sampling of images by displacement fields, and align-corners resizing.

Conventions of the reference models (spatial transformers, Jaderberg et al.,
2015): positions in [-1, 1], -1 and 1 at the centres of the outer pixels, taps
outside the image count zero. B images, H W pixels, C channels.
"""

import jax
import jax.numpy as jnp
import numpy as np


def resize_matrix(size_in: int, size_out: int) -> np.ndarray:
  """Returns the [size_out, size_in] float32 matrix of bilinear resizing.

  The corners are aligned: output i reads position i (size_in - 1) /
  (size_out - 1).
  """
  position = np.linspace(0.0, size_in - 1, size_out)
  return np.maximum(
    0.0, 1.0 - np.abs(position[:, None] - np.arange(size_in)[None, :])
  ).astype(np.float32)


def resize(image: jax.Array, size: int) -> jax.Array:
  """Returns images resized bilinearly to size x size with aligned corners.

  Args:
    image: [B, H, W, C] float.
    size: Height and width of the result in pixels.

  Returns:
    [B, size, size, C] float.
  """
  _, height, width, _ = image.shape
  if (height, width) == (size, size):
    return image
  rows = jnp.asarray(resize_matrix(height, size), image.dtype)
  columns = jnp.asarray(resize_matrix(width, size), image.dtype)
  return jnp.einsum('ih,bhwc,jw->bijc', rows, image, columns)


def warp(
  image: jax.Array, flow: jax.Array, *, clamp: bool = False
) -> jax.Array:
  """Samples images at the positions that a displacement field points to.

  The field is resized to the image's size first; its values are not rescaled.
  Bilinear, taps outside the image count zero.

  Args:
    image: [B, H, H, C] float; square, as the field's units assume.
    flow: [B, h, h, 2] float, (x, y) in units of half the image's side; zero
      everywhere is the identity.
    clamp: Positions outside the image are moved to its border, rather than
      counting zero.

  Returns:
    [B, H, H, C] float.

  Raises:
    ValueError: If images or field are not square.
  """
  batch, height, width, channels = image.shape
  if height != width or flow.shape[1] != flow.shape[2]:
    raise ValueError(
      'warp needs square images and fields, got image '
      f'{image.shape} and flow {flow.shape}.'
    )
  # Positions in float32: half precision cannot tell neighbouring pixels apart.
  flow = resize(flow.astype(jnp.float32), height)
  grid = jnp.asarray(np.linspace(-1.0, 1.0, width).astype(np.float32))
  half = (width - 1) / 2
  x = (flow[..., 0] + grid[None, None, :] + 1) * half
  y = (flow[..., 1] + grid[None, :, None] + 1) * half
  if clamp:
    x, y = (jnp.clip(position, 0, width - 1) for position in (x, y))
  pixels = image.reshape(batch, height * width, channels)
  left, top = jnp.floor(x), jnp.floor(y)
  weights_x = (1 - (x - left), x - left)
  weights_y = (1 - (y - top), y - top)
  total = 0.0
  for step_y in (0, 1):
    for step_x in (0, 1):
      column, row = left + step_x, top + step_y
      inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
      index = jnp.where(inside, row * width + column, 0).astype(jnp.int32)
      taps = jax.vmap(lambda source, taken: source[taken])(
        pixels, index.reshape(batch, -1)
      )
      weight = jnp.where(inside, weights_x[step_x] * weights_y[step_y], 0)
      weight = weight.astype(image.dtype)[..., None]
      total = total + taps.reshape(image.shape) * weight
  return total
