"""Sampling of images by displacement fields, and align-corners resizing.

Conventions of the reference models (spatial transformers, Jaderberg et al.,
2015): positions in [-1, 1], -1 and 1 at the centres of the outer pixels, taps
outside the image count zero. B images, H W pixels, C channels, P = H W
positions sampled.

A pixel at distance d of a position counts tent(d) = max(0, 1 - |d|) on each
axis. CPUs and GPUs gather the four pixels where that is not zero. A TPU, whose
gathers go pixel by pixel, multiplies by the tents of all pixels instead, which
its matrix units do in a fraction of the time (estimates in BENCHMARKS.md).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Float32

from psm_jax.ops.arrays import Array

# Products of a TPU: channel by channel up to so many channels, else at once up
# to so many pixels; beyond that the gather does less work.
_PLANES_UP_TO_CHANNELS = 4
_PRODUCT_UP_TO_PIXELS = 32 * 32
# Numbers of tents at once, 8 images of 256 pixels. Of 128 XLA writes what it
# multiplied to memory, 8 GiB, before it sums (BENCHMARKS.md).
_TENTS_AT_ONCE = 1 << 27


def resize_matrix(
  size_in: int, size_out: int
) -> Float32[np.ndarray, '{size_out} {size_in}']:
  """Returns the [size_out, size_in] float32 matrix of bilinear resizing.

  The corners are aligned: output i reads position i (size_in - 1) /
  (size_out - 1).
  """
  position = np.linspace(0.0, size_in - 1, size_out)
  return np.maximum(
    0.0, 1.0 - np.abs(position[:, None] - np.arange(size_in)[None, :])
  ).astype(np.float32)


def resize(
  image: Float[Array, 'B H W C'], size: int
) -> Float[jax.Array, 'B {size} {size} C']:
  """Returns images resized bilinearly to size x size with aligned corners.

  Args:
    image: [B, H, W, C] float.
    size: Height and width of the result in pixels.

  Returns:
    [B, size, size, C] float.
  """
  _, height, width, _ = image.shape
  if (height, width) == (size, size):
    return jnp.asarray(image)
  rows = jnp.asarray(resize_matrix(height, size), image.dtype)
  columns = jnp.asarray(resize_matrix(width, size), image.dtype)
  return jnp.einsum('ih,bhwc,jw->bijc', rows, image, columns)


def warp(
  image: Float[Array, 'B H H C'],
  flow: Float[Array, 'B h h 2'],
  *,
  clamp: bool = False,
) -> Float[jax.Array, 'B H H C']:
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
  return _sample(image, x.reshape(batch, -1), y.reshape(batch, -1))


@jax.custom_vjp
def _sample(image, x, y):
  """Returns the image at the positions x, y: [B, P] float32 in pixels."""
  forward, _ = _tpu_form(image.shape)
  return lax.platform_dependent(image, x, y, tpu=forward, default=_gather)


def _sample_forward(image, x, y):
  return _sample(image, x, y), (image, x, y)


def _sample_backward(residuals, grad):
  _, backward = _tpu_form(grad.shape)
  return lax.platform_dependent(
    *residuals, grad, tpu=backward, default=_gather_grads
  )


_sample.defvjp(_sample_forward, _sample_backward)


def _tpu_form(shape):
  """Returns a TPU's sampling of images [B, H, H, C], and its gradients."""
  _, height, width, channels = shape
  if channels <= _PLANES_UP_TO_CHANNELS:
    return (
      functools.partial(_a_few_at_a_time, _planes),
      functools.partial(_a_few_at_a_time, _planes_grads),
    )
  if height * width <= _PRODUCT_UP_TO_PIXELS:
    return _product, _product_grads
  return _gather, _gather_grads


def _a_few_at_a_time(function, image, *more):
  """Applies a function to images and more of each, so many tents at once."""
  num_at_once = max(1, _TENTS_AT_ONCE // image.shape[1] ** 3)
  if len(image) <= num_at_once:
    return function(image, *more)

  def of_one(arrays):
    made = function(*(array[None] for array in arrays))
    return jax.tree.map(lambda leaf: leaf[0], made)

  return lax.map(of_one, (image, *more), batch_size=num_at_once)


def _gather(image, x, y):
  """Samples four pixels a position."""
  batch, height, width, channels = image.shape
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
      taps = jax.vmap(lambda source, taken: source[taken])(pixels, index)
      weight = jnp.where(inside, weights_x[step_x] * weights_y[step_y], 0)
      total = total + taps * weight.astype(image.dtype)[..., None]
  return total.reshape(image.shape)


def _gather_grads(image, x, y, grad):
  return jax.vjp(_gather, image, x, y)[1](grad)


def _planes(image, x, y):
  """Multiplies rows by tents, a channel at a time, and sums over columns.

  In one product of all channels the sum would not be part of the product, and
  an array of H times the image's size would be written and read.
  """
  rows, _ = _tents(y, image.shape[1])
  columns, _ = _tents(x, image.shape[2])
  planes = [
    jnp.sum(
      _multiply('bhw,bhp->bwp', plane, rows, image.dtype) * columns, axis=1
    )
    for plane in _channels(image)
  ]
  return _as_image(planes, image)


def _planes_grads(image, x, y, grad):
  """Returns the gradients of `_planes` to the image and both positions."""
  rows, row_slopes = _tents(y, image.shape[1])
  columns, column_slopes = _tents(x, image.shape[2])
  grad_x, grad_y, planes = 0.0, 0.0, []
  for plane, of_plane in zip(_channels(image), _channels(grad), strict=True):
    of_plane = of_plane.reshape(x.shape).astype(jnp.float32)
    along_x = (
      _multiply('bhw,bhp->bwp', plane, rows, image.dtype) * column_slopes
    )
    along_y = (
      _multiply('bhw,bhp->bwp', plane, row_slopes, image.dtype) * columns
    )
    grad_x += of_plane * jnp.sum(along_x, axis=1)
    grad_y += of_plane * jnp.sum(along_y, axis=1)
    spread = columns * of_plane[:, None]
    planes.append(_multiply('bhp,bwp->bhw', rows, spread, image.dtype))
  return _as_image(planes, image), grad_x, grad_y


def _product(image, x, y):
  """Multiplies all pixels by the products of their tents."""
  rows, _ = _tents(y, image.shape[1])
  columns, _ = _tents(x, image.shape[2])
  weights = rows[:, :, None] * columns[:, None]
  sampled = _multiply('bhwp,bhwc->bpc', weights, image, image.dtype)
  return sampled.reshape(image.shape).astype(image.dtype)


def _product_grads(image, x, y, grad):
  """Returns the gradients of `_product` to the image and both positions."""
  batch, height, width, channels = image.shape
  rows, row_slopes = _tents(y, height)
  columns, column_slopes = _tents(x, width)
  grad = grad.reshape(batch, -1, channels)
  weights = rows[:, :, None] * columns[:, None]
  to_image = _multiply('bhwp,bpc->bhwc', weights, grad, image.dtype).astype(
    image.dtype
  )
  to_weights = _multiply('bhwc,bpc->bhwp', image, grad, image.dtype)
  along_x = jnp.sum(to_weights * column_slopes[:, None], axis=2)
  along_y = jnp.sum(to_weights * columns[:, None], axis=2)
  return (
    to_image,
    jnp.sum(along_x * rows, axis=1),
    jnp.sum(along_y * row_slopes, axis=1),
  )


def _tents(position, size):
  """Returns the tents of positions and their slopes, [B, size, P] float32.

  On a pixel the slope is that to its right, as where the pixel is gathered. It
  goes by the pixels' numbers: just left of a pixel, rounded distances to two
  others may both be one.
  """
  pixels = jnp.arange(size, dtype=jnp.float32)[None, :, None]
  position = position[:, None]
  left = jnp.floor(position)
  slopes = jnp.where(
    pixels == left + 1, 1.0, jnp.where(pixels == left, -1.0, 0)
  )
  return jnp.maximum(0, 1 - jnp.abs(position - pixels)), slopes


def _multiply(equation, first, second, dtype):
  """Returns the float32 product of two arrays as of the image's type.

  Tents of bfloat16 images are bfloat16, as the weights of gathered pixels are.
  A TPU multiplies float32 as bfloat16 unless told otherwise.
  """
  return jnp.einsum(
    equation,
    first.astype(dtype),
    second.astype(dtype),
    precision=lax.Precision.HIGHEST,
    preferred_element_type=jnp.float32,
  )


def _channels(image):
  """Returns the [B, H, W] planes of an image."""
  return [image[..., channel] for channel in range(image.shape[-1])]


def _as_image(planes, image):
  """Returns planes, in any shape, as an array like the image."""
  return jnp.stack(planes, axis=-1).reshape(image.shape).astype(image.dtype)
