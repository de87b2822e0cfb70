"""Convolutions whose batching over models is ours.

`jax.vmap` over per-model kernels turns a convolution into a grouped one, which
compiles and runs badly on several backends. The convolutions here are native
for one model, and under `vmap` they follow the chosen `lowering`:

  grouped   XLA's own batching rule: one convolution with a group a model.
  matmul    im2col, then one matrix product batched over models.
  unrolled  one native convolution a model, in one program.
  auto      for each layer the one that `lowerings` names for the platform that
            the program is compiled for.

Kernels that are not batched (weights shared by all models) fold the models
into the batch whatever the lowering. Capitals: B images, H W pixels, C input
channels, O output channels. All arrays are NHWC, kernels HWIO.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from psm_jax.ops import lowerings
from psm_jax.ops.arrays import Array

LOWERINGS = ('auto', *lowerings.LOWERINGS)
_LAYOUT = ('NHWC', 'HWIO', 'NHWC')
_IM2COL_BELOW_CHANNELS = 32
# Pixels times input and output channels of one image.
_SPLIT_FROM = 32 * 32 * 128 * 128


def conv(
  image: Float[Array, 'B H W C'],
  kernel: Float[Array, 'kh kw C O'],
  *,
  stride: int = 1,
  padding: tuple[tuple[int, int], tuple[int, int]] | int = 0,
  lowering: str = 'matmul',
) -> Float[jax.Array, 'B _ _ O']:
  """Returns the 2-D correlation of images with a kernel, as PyTorch's conv2d.

  Args:
    image: [B, H, W, C] float.
    kernel: [kh, kw, C, O] float, same dtype.
    stride: Step in pixels on both axes.
    padding: Zero pixels added: one number, or ((top, bottom), (left, right)).
    lowering: How a batch of kernels is computed under vmap; see the module.

  Returns:
    [B, H', W', O] float.

  Raises:
    ValueError: If the lowering is unknown.
  """
  _check(lowering)
  if isinstance(padding, int):
    padding = ((padding, padding), (padding, padding))
  if lowering == 'grouped':
    return _native(image, kernel, stride, padding)
  return _batched_conv(stride, padding, lowering)(image, kernel)


def _check(lowering):
  if lowering not in LOWERINGS:
    raise ValueError(
      f'Unknown convolution lowering {lowering!r}; expected one of {LOWERINGS}.'
    )


def conv_transpose(
  image: Float[Array, 'B H W C'],
  kernel: Float[Array, '4 4 C O'],
  *,
  lowering: str = 'matmul',
) -> Float[jax.Array, 'B 2*H 2*W O']:
  """Returns the 4x4, stride 2, padding 1 transposed convolution of images.

  Equal to PyTorch's ConvTranspose2d(4, stride=2, padding=1) with its weight
  transposed to [kh, kw, in, out]. A TPU dilates the image, as the convolution
  that this is the gradient of does. Elsewhere, and as products, each of the
  four output parities is a 2x2 convolution, so no dilated convolution appears
  in the forward pass or in the gradient.

  Args:
    image: [B, H, W, C] float.
    kernel: [4, 4, C, O] float.
    lowering: See `conv`.

  Returns:
    [B, 2 H, 2 W, O] float.

  Raises:
    ValueError: If the lowering is unknown.
  """
  _check(lowering)
  return _transposed_conv(lowering)(image, kernel)


@functools.cache
def _transposed_conv(lowering):
  """Builds the transposed convolution, with the gradients of both its forms."""
  parities = functools.partial(_parities, lowering=lowering)

  def parities_grads(image, kernel, grad):
    # Linear in both operands: what is not needed of the result is left out.
    return jax.vjp(parities, image, kernel)[1](grad)

  if lowering == 'matmul':
    return parities
  forward, image_grad, kernel_grad = _batched(2, ((1, 1), (1, 1)), lowering)

  def dilated(image, kernel):
    batch, height, width, _ = image.shape
    shape = (batch, 2 * height, 2 * width, kernel.shape[3])
    return image_grad(shape)(image, kernel.swapaxes(2, 3))

  def dilated_grads(image, kernel, grad):
    swapped = kernel.swapaxes(2, 3)
    to_kernel = kernel_grad(swapped.shape)(image, grad)
    return forward(grad, swapped), to_kernel.swapaxes(2, 3)

  @jax.custom_vjp
  def apply(image, kernel):
    return lax.platform_dependent(image, kernel, tpu=dilated, default=parities)

  def apply_forward(image, kernel):
    return apply(image, kernel), (image, kernel)

  def apply_backward(residuals, grad):
    return lax.platform_dependent(
      *residuals, grad, tpu=dilated_grads, default=parities_grads
    )

  apply.defvjp(apply_forward, apply_backward)
  return apply


def _parities(image, kernel, *, lowering):
  """Returns the transposed convolution as one convolution a parity."""
  batch, height, width, _ = image.shape
  features = kernel.shape[-1]
  # Output row 2i + r takes input rows i + r - 1 and i + r with kernel rows
  # 3 - r and 1 - r; columns likewise.
  rows = []
  for r in (0, 1):
    columns = []
    for s in (0, 1):
      parity = kernel[3 - r :: -2, 3 - s :: -2]
      columns.append(
        conv(
          image,
          parity,
          padding=((1 - r, r), (1 - s, s)),
          lowering=lowering,
        )
      )
    rows.append(jnp.stack(columns, axis=3))
  pixels = jnp.stack(rows, axis=2)
  return pixels.reshape(batch, 2 * height, 2 * width, features)


def _native(image, kernel, stride, padding):
  if kernel.shape[:2] == (1, 1) and stride == 1 and not any(sum(padding, ())):
    # A matrix product, which XLA's CPU backend does at twice the rate.
    flat = image.reshape(-1, image.shape[-1]) @ kernel[0, 0]
    return flat.reshape(*image.shape[:-1], kernel.shape[-1])
  return lax.conv_general_dilated(
    image, kernel, (stride, stride), padding, dimension_numbers=_LAYOUT
  )


@functools.cache
def _batched_conv(stride, padding, lowering):
  """Builds the differentiable convolution of one geometry."""
  forward, image_grad, kernel_grad = _batched(stride, padding, lowering)

  @jax.custom_vjp
  def apply(image, kernel):
    return forward(image, kernel)

  def apply_forward(image, kernel):
    return forward(image, kernel), (image, kernel)

  def apply_backward(residuals, grad):
    image, kernel = residuals
    return (
      image_grad(image.shape)(grad, kernel),
      kernel_grad(kernel.shape)(grad, image),
    )

  apply.defvjp(apply_forward, apply_backward)
  return apply


@functools.cache
def _batched(stride, padding, lowering):
  """Builds the convolution of one geometry with its three batching rules.

  Returns:
    forward: (image, kernel) -> result.
    image_grad: Shape of the image -> function of (grad, kernel).
    kernel_grad: Shape of the kernel -> function of (grad, image).
  """

  def forward(image, kernel):
    return _native(image, kernel, stride, padding)

  def image_grad(grad, kernel, image_shape):
    shape = jax.ShapeDtypeStruct(image_shape, grad.dtype)
    transpose = jax.linear_transpose(lambda x: forward(x, kernel), shape)
    return transpose(grad)[0]

  def kernel_grad(grad, image, kernel_shape):
    shape = jax.ShapeDtypeStruct(kernel_shape, grad.dtype)

    def of_part(grad, image):
      transpose = jax.linear_transpose(lambda w: forward(image, w), shape)
      return transpose(grad)[0]

    def of_parts(grad, image):
      pairs = zip(jnp.split(grad, parts), jnp.split(image, parts), strict=True)
      return sum(of_part(*pair) for pair in pairs)

    parts = _num_parts(grad, kernel_shape)
    if parts == 1:
      return of_part(grad, image)
    return lax.platform_dependent(grad, image, cpu=of_parts, default=of_part)

  batched_forward = _with_batching(
    forward,
    functools.partial(_matmul_forward, stride=stride, padding=padding),
    lowering,
    folded=lambda size: batched_forward,
  )

  @functools.cache
  def batched_image_grad(image_shape):
    return _with_batching(
      functools.partial(image_grad, image_shape=image_shape),
      functools.partial(
        _matmul_image_grad,
        image_shape=image_shape,
        stride=stride,
        padding=padding,
      ),
      lowering,
      folded=lambda size: batched_image_grad(
        (size * image_shape[0], *image_shape[1:])
      ),
    )

  @functools.cache
  def batched_kernel_grad(kernel_shape):
    return _with_batching(
      functools.partial(kernel_grad, kernel_shape=kernel_shape),
      functools.partial(
        _matmul_kernel_grad,
        kernel_shape=kernel_shape,
        stride=stride,
        padding=padding,
      ),
      lowering,
    )

  return batched_forward, batched_image_grad, batched_kernel_grad


def _num_parts(grad, kernel_shape):
  """Returns into how many parts of the batch a CPU sums a kernel gradient.

  XLA's CPU convolution falls from 100 to 13 GFLOP/s for the kernel gradient of
  a large batch of large images (BENCHMARKS.md); that of two images it does
  well. For small work the sum would only cost compile time.
  """
  batch, height, width, _ = grad.shape
  work = height * width * kernel_shape[2] * kernel_shape[3]
  is_large = work >= _SPLIT_FROM and batch > 2 and batch % 2 == 0
  return batch // 2 if is_large else 1


def _with_batching(one_model, matmul, lowering, *, folded=None):
  """Gives a two-argument function of one model our rule for many models.

  `folded` maps a number of models to the function that takes the images of all
  of them as one batch; None where the second argument is no kernel. The rule
  calls functions that have it themselves, so that it holds in nested vmaps.
  """
  function = jax.custom_batching.custom_vmap(one_model)

  @function.def_vmap
  def rule(axis_size, in_batched, first, second):
    first_batched, second_batched = in_batched
    if folded is not None and not second_batched:
      flat = first.reshape((-1,) + first.shape[2:])
      out = folded(axis_size)(flat, second)
      return out.reshape((axis_size, -1) + out.shape[1:]), True
    if not first_batched:
      first = jnp.broadcast_to(first, (axis_size,) + first.shape)
    if not second_batched:
      second = jnp.broadcast_to(second, (axis_size,) + second.shape)
    if lowering != 'auto':
      return forms[lowering](first, second), True
    chosen = lowerings.fastest(first.shape[-1], first.shape[2], axis_size)
    default = chosen.pop('default')
    others = {
      platform: forms[name]
      for platform, name in chosen.items()
      if name != default
    }
    return lax.platform_dependent(
      first, second, default=forms[default], **others
    ), True

  def unrolled(first, second):
    pairs = zip(first, second, strict=True)
    return jnp.stack([function(*pair) for pair in pairs])

  forms = {
    'grouped': jax.vmap(one_model),
    'matmul': jax.vmap(matmul),
    'unrolled': unrolled,
  }
  return function


def _taps(kernel_shape):
  height, width = kernel_shape[:2]
  return [(row, column) for row in range(height) for column in range(width)]


def _windows(image, kernel_shape, stride, padding):
  """Returns the [B, H', W', C] slice of the padded image under each tap."""
  # lax.pad, as an image gradient may need to crop: its padding is negative
  # where the convolution's exceeds the kernel.
  widths = ((0, 0), *padding, (0, 0))
  padded = lax.pad(
    image, jnp.zeros((), image.dtype), [(*width, 0) for width in widths]
  )
  batch, height, width, channels = padded.shape
  stop_row = height - kernel_shape[0] + 1
  stop_column = width - kernel_shape[1] + 1
  return [
    lax.slice(
      padded,
      (0, row, column, 0),
      (batch, row + stop_row, column + stop_column, channels),
      (1, stride, stride, 1),
    )
    for row, column in _taps(kernel_shape)
  ]


def _matmul_forward(image, kernel, *, stride, padding):
  """Returns the sum of one product a tap, or one product of few channels.

  Summing the taps keeps each reduction short, which rounds better than one
  long product, and needs no copy of the image a tap.
  """
  windows = _windows(image, kernel.shape, stride, padding)
  if image.shape[-1] < _IM2COL_BELOW_CHANNELS:
    patches = jnp.concatenate(windows, -1)
    return patches @ kernel.reshape(-1, kernel.shape[-1])
  products = [
    _product(window, kernel[row, column])
    for window, (row, column) in zip(windows, _taps(kernel.shape), strict=True)
  ]
  return sum(products[1:], products[0]).astype(image.dtype)


def _product(first, second):
  """Returns a matrix product in float32, whatever the operands."""
  return jnp.matmul(first, second, preferred_element_type=jnp.float32)


def _matmul_kernel_grad(grad, image, *, kernel_shape, stride, padding):
  windows = _windows(image, kernel_shape, stride, padding)
  rows = grad.reshape(-1, grad.shape[-1])
  taps = [
    _product(window.reshape(rows.shape[0], -1).T, rows) for window in windows
  ]
  return jnp.stack(taps).reshape(kernel_shape).astype(grad.dtype)


def _matmul_image_grad(grad, kernel, *, image_shape, stride, padding):
  """Returns the image gradient as matrix products."""
  kernel_height, kernel_width, channels, features = kernel.shape
  (top, bottom), (left, right) = padding
  if stride == 1:
    flipped = jnp.transpose(kernel[::-1, ::-1], (0, 1, 3, 2))
    full = (
      (kernel_height - 1 - top, kernel_height - 1 - bottom),
      (kernel_width - 1 - left, kernel_width - 1 - right),
    )
    return _matmul_forward(grad, flipped, stride=1, padding=full)
  # Scatter of the columns back to pixels, as a sum of dilated, padded slices.
  batch, height, width, _ = image_shape
  columns = grad @ kernel.reshape(-1, features).T
  out_height, out_width = grad.shape[1:3]
  zero = jnp.zeros((), grad.dtype)
  total = 0.0
  for index, (row, column) in enumerate(_taps(kernel.shape)):
    tap = columns[..., index * channels : (index + 1) * channels]
    low_row, low_column = row - top, column - left
    high_row = height - low_row - (stride * (out_height - 1) + 1)
    high_column = width - low_column - (stride * (out_width - 1) + 1)
    config = (
      (0, 0, 0),
      (low_row, high_row, stride - 1),
      (low_column, high_column, stride - 1),
      (0, 0, 0),
    )
    total = total + lax.pad(tap, zero, config)
  return total
