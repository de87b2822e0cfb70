import functools
import re
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from jax import lax

from psm_jax.ops import conv, lowerings
from tests import platforms

_NUM_MODELS = 2
_OWN_LOWERINGS = ('matmul', 'unrolled')
# Kernel side, stride, padding, input and output channels. Products of many and
# of few channels take different ways; the last one crops in its gradient.
_GEOMETRIES = (
  (1, 1, 0, 33, 2),
  (3, 1, 1, 33, 34),
  (3, 2, 1, 33, 2),
  (3, 1, ((2, 0), (0, 1)), 3, 2),
  (4, 2, ((2, 0), (0, 1)), 3, 2),
  (7, 2, 3, 3, 34),
  (1, 1, 1, 3, 2),
)
# Sums of some hundred float32 products of about 1; orders of summing differ.
_TOLERANCE = {'rtol': 1e-5, 'atol': 1e-4}

# Nearly all of the time here is compiling.
_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)


def _draw(*shape):
  generator = np.random.default_rng(sum(shape))
  return generator.standard_normal(shape).astype(np.float32)


def _pad(image, padding):
  if isinstance(padding, int):
    padding = ((padding, padding), (padding, padding))
  return np.pad(image, ((0, 0), *padding, (0, 0))), padding


def _positions(grad, kernel, stride):
  """Yields each output pixel and the slices of the window it reads."""
  size_y, size_x = kernel.shape[:2]
  for i, j in np.ndindex(*grad.shape[1:3]):
    rows = slice(stride * i, stride * i + size_y)
    columns = slice(stride * j, stride * j + size_x)
    yield i, j, rows, columns


def _slow_conv(image, kernel, stride, padding):
  padded, _ = _pad(image.astype(np.float64), padding)
  shape = [
    (full - size) // stride + 1
    for full, size in zip(padded.shape[1:3], kernel.shape[:2], strict=True)
  ]
  out = np.zeros((len(image), *shape, kernel.shape[-1]))
  for i, j, rows, columns in _positions(out, kernel, stride):
    out[:, i, j] = np.einsum('bhwc,hwco->bo', padded[:, rows, columns], kernel)
  return out


def _slow_grads(grad, image, kernel, stride, padding):
  """Returns the gradients of sum(grad * conv) to the image and the kernel."""
  padded, ((top, _), (left, _)) = _pad(image.astype(np.float64), padding)
  to_padded, to_kernel = np.zeros_like(padded), np.zeros(kernel.shape)
  for i, j, rows, columns in _positions(grad, kernel, stride):
    window = padded[:, rows, columns]
    to_kernel += np.einsum('bhwc,bo->hwco', window, grad[:, i, j])
    to_padded[:, rows, columns] += np.einsum(
      'bo,hwco->bhwc', grad[:, i, j], kernel
    )
  height, width = image.shape[1:3]
  to_image = to_padded[:, top : top + height, left : left + width]
  return to_image, to_kernel


def _value_and_grads(function):
  """Returns (grad, image, kernel) -> the value and both gradients."""

  def apply(grad, image, kernel):
    value, pull_back = jax.vjp(function, image, kernel)
    return value, *pull_back(grad)

  return apply


def _per_model(grad, image, kernel, stride, padding):
  """Returns the slow value and gradients of each model, stacked."""
  results = []
  for g, x, k in zip(grad, image, kernel, strict=True):
    value = _slow_conv(x, k, stride, padding)
    results.append((value, *_slow_grads(g, x, k, stride, padding)))
  return [np.stack(parts) for parts in zip(*results, strict=True)]


def _assert_all_close(ours, expected):
  for our, their in zip(ours, expected, strict=True):
    np.testing.assert_allclose(our, their, **_TOLERANCE)


class ConvTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(jax.numpy_dtype_promotion('strict'))

  @parameterized.product(lowering=_OWN_LOWERINGS, geometry=_GEOMETRIES)
  def test_alone_and_stacked_it_equals_a_slow_correlation(
    self, geometry, lowering
  ):
    side, stride, padding, channels, features = geometry
    image = _draw(_NUM_MODELS, 2, 9, 8, channels)
    kernel = _draw(_NUM_MODELS, side, side, channels, features)
    value = _slow_conv(image[0], kernel[0], stride, padding)
    grad = _draw(_NUM_MODELS, *value.shape)

    def one(x, k):
      return conv.conv(x, k, stride=stride, padding=padding, lowering=lowering)

    alone, stacked = _jit(
      lambda g, x, k: (
        _value_and_grads(one)(g[0], x[0], k[0]),
        jax.vmap(_value_and_grads(one))(g, x, k),
      )
    )(grad, image, kernel)
    expected = _per_model(grad, image, kernel, stride, padding)
    _assert_all_close(stacked, expected)
    _assert_all_close(alone, [part[0] for part in expected])

  @parameterized.product(
    shared=('image', 'kernel'), lowering=_OWN_LOWERINGS, stride=(1, 2)
  )
  def test_models_may_share_the_image_or_the_kernel(
    self, shared, lowering, stride
  ):
    image, kernel = (
      _draw(_NUM_MODELS, 2, 6, 7, 3),
      _draw(_NUM_MODELS, 3, 3, 3, 2),
    )
    axes = {'image': (0, None, 0), 'kernel': (0, 0, None)}[shared]
    if shared == 'image':
      image[1] = image[0]
    else:
      kernel[1] = kernel[0]
    value = _slow_conv(image[0], kernel[0], stride, 1)
    grad = _draw(_NUM_MODELS, *value.shape)

    def one(x, k):
      return conv.conv(x, k, stride=stride, padding=1, lowering=lowering)

    ours = _jit(jax.vmap(_value_and_grads(one), in_axes=axes))(
      grad,
      image[0] if shared == 'image' else image,
      kernel[0] if shared == 'kernel' else kernel,
    )
    _assert_all_close(ours, _per_model(grad, image, kernel, stride, 1))

  @parameterized.parameters(*conv.LOWERINGS)
  def test_gradient_of_a_shared_kernel_is_the_sum_over_models(self, lowering):
    image, kernel = _draw(_NUM_MODELS, 2, 6, 7, 3), _draw(3, 3, 3, 2)
    grad = _draw(_NUM_MODELS, 2, 6, 7, 2)

    def total(k):
      one = lambda x: conv.conv(x, k, padding=1, lowering=lowering)  # noqa: E731
      return jnp.sum(jax.vmap(one)(image) * grad)

    expected = sum(
      _slow_grads(g, x, kernel, 1, 1)[1]
      for g, x in zip(grad, image, strict=True)
    )
    np.testing.assert_allclose(
      _jit(jax.grad(total))(kernel), expected, **_TOLERANCE
    )

  @parameterized.product(lowering=_OWN_LOWERINGS, is_shared=(True, False))
  def test_two_model_axes_equal_one(self, lowering, is_shared):
    image = _draw(2, 2, 2, 6, 7, 3)
    kernel = _draw(2, 2, 3, 3, 3, 2)
    grad = _draw(2, 2, 2, 3, 4, 2)
    if is_shared:
      kernel[:, 1] = kernel[:, 0]

    def one(x, k):
      return conv.conv(x, k, stride=2, padding=1, lowering=lowering)

    inner = jax.vmap(
      _value_and_grads(one), in_axes=(0, 0, None if is_shared else 0)
    )
    ours = _jit(jax.vmap(inner))(
      grad, image, kernel[:, 0] if is_shared else kernel
    )
    flat = [
      array.reshape(-1, *array.shape[2:]) for array in (grad, image, kernel)
    ]
    expected = _per_model(*flat, 2, 1)
    _assert_all_close(
      [part.reshape(-1, *part.shape[2:]) for part in ours], expected
    )

  @parameterized.parameters(*_OWN_LOWERINGS)
  def test_recomputing_activations_changes_nothing(self, lowering):
    image, kernel = (
      _draw(_NUM_MODELS, 2, 4, 4, 3),
      _draw(_NUM_MODELS, 3, 3, 3, 2),
    )

    def loss(x, k, wrap):
      one = wrap(lambda y: jnp.sin(conv.conv(y, k, lowering=lowering)))
      return jnp.sum(one(x) ** 2)

    def grads(wrap):
      function = jax.grad(lambda x, k: loss(x, k, wrap), argnums=(0, 1))
      return _jit(jax.vmap(function))(image, kernel)

    _assert_all_close(grads(jax.checkpoint), grads(lambda function: function))

  @parameterized.product(lowering=conv.LOWERINGS, channels=(3, 33))
  def test_half_precision_stays_half_and_near(self, lowering, channels):
    image = _draw(_NUM_MODELS, 2, 6, 7, channels)
    kernel = _draw(_NUM_MODELS, 3, 3, channels, 2)
    ours = _jit(
      jax.vmap(lambda x, k: conv.conv(x, k, padding=1, lowering=lowering))
    )(image.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16))
    self.assertEqual(ours.dtype, jnp.bfloat16)
    expected = np.stack(
      [_slow_conv(x, k, 1, 1) for x, k in zip(image, kernel, strict=True)]
    )
    error = np.abs(ours.astype(np.float32) - expected).max()
    # Inputs keep 8 bits, and so do the sums of the nine taps.
    self.assertLess(error, 0.02 * np.abs(expected).max())

  def test_a_kernel_gradient_of_parts_equals_the_whole(self):
    image, kernel = _draw(6, 7, 5, 3), _draw(3, 3, 3, 4)

    def gradient():
      return lambda kernel: jax.grad(
        lambda k: jnp.sum(conv.conv(image, k, padding=1) ** 2)
      )(kernel)

    whole = _jit(gradient())(kernel)
    with mock.patch.object(conv, '_SPLIT_FROM', 1):
      parts = jax.jit(gradient()).lower(kernel)
    self.assertEqual(parts.as_text().count('convolution('), 1 + 3)
    np.testing.assert_allclose(parts.compile()(kernel), whole, **_TOLERANCE)

  def test_an_unknown_lowering_is_refused(self):
    with self.assertRaisesRegex(ValueError, "'fft'; expected one of.*matmul"):
      conv.conv(
        jnp.zeros((1, 4, 4, 1)), jnp.zeros((3, 3, 1, 1)), lowering='fft'
      )


def _slow_transpose(image, kernel):
  """Scatters each pixel times the kernel: stride 2, padding 1."""
  batch, height, width, _ = image.shape
  out = np.zeros((batch, 2 * height + 2, 2 * width + 2, kernel.shape[-1]))
  for i, j in np.ndindex(height, width):
    out[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += np.einsum(
      'bc,hwco->bhwo', image[:, i, j], kernel
    )
  return out[:, 1:-1, 1:-1]


class ConvTransposeTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(jax.numpy_dtype_promotion('strict'))

  @parameterized.parameters(*conv.LOWERINGS)
  def test_alone_and_stacked_it_equals_a_slow_scatter(self, lowering):
    image, kernel = (
      _draw(_NUM_MODELS, 2, 3, 4, 3),
      _draw(_NUM_MODELS, 4, 4, 3, 2),
    )
    grad = _draw(_NUM_MODELS, 2, 6, 8, 2)

    def one(x, k):
      return conv.conv_transpose(x, k, lowering=lowering)

    alone, stacked = _jit(
      lambda g, x, k: (
        _value_and_grads(one)(g[0], x[0], k[0]),
        jax.vmap(_value_and_grads(one))(g, x, k),
      )
    )(grad, image, kernel)
    expected = []
    for g, x, k in zip(grad, image, kernel, strict=True):
      # The transposed convolution is the input gradient of a convolution with
      # the channels exchanged; that one's gradients are known from above.
      back = k.swapaxes(2, 3)
      to_image = _slow_conv(g, back, 2, 1)
      to_kernel = _slow_grads(x, g, back, 2, 1)[1].swapaxes(2, 3)
      expected.append((_slow_transpose(x, k), to_image, to_kernel))
    expected = [np.stack(parts) for parts in zip(*expected, strict=True)]
    _assert_all_close(stacked, expected)
    _assert_all_close(alone, [part[0] for part in expected])

  @parameterized.parameters('auto', 'grouped', 'unrolled')
  def test_on_a_tpu_it_dilates_its_input_to_the_same_result(self, lowering):
    image, kernel = (
      _draw(_NUM_MODELS, 2, 3, 4, 3),
      _draw(_NUM_MODELS, 4, 4, 3, 2),
    )
    grad = _draw(_NUM_MODELS, 2, 6, 8, 2)
    one = functools.partial(conv.conv_transpose, lowering=lowering)
    results = []
    for platform in ('cpu', 'tpu'):
      with platforms.forms_of(platform):
        conv._transposed_conv.cache_clear()
        results.append(
          jax.jit(
            lambda g, x, k: (
              _value_and_grads(one)(g[0], x[0], k[0]),
              jax.vmap(_value_and_grads(one))(g, x, k),
            )
          )(grad, image, kernel)
        )
    for ours, theirs in zip(*map(jax.tree.leaves, results), strict=True):
      np.testing.assert_allclose(ours, theirs, **_TOLERANCE)
    text = platforms.lowered(one, image[0], kernel[0], platform='tpu')
    self.assertEqual(_dilations(text), {'2, 2'})


def _lowered(function, *args):
  """Returns the StableHLO of a function's value and gradients."""

  def total(*args):
    return jnp.sum(function(*args) ** 2)

  grads = jax.value_and_grad(total, argnums=tuple(range(len(args))))
  return jax.jit(grads).lower(*args).as_text()


def _groups(text):
  """Returns the group counts of the convolutions in a program."""
  return set(map(int, re.findall(r'_group_count = (\d+)', text)))


def _dilations(text):
  """Returns the input dilations of the convolutions in a program."""
  return set(re.findall(r'lhs_dilate = \[([\d, ]+)\]', text))


class LoweredProgramTest(parameterized.TestCase):
  image = np.zeros((3, 2, 4, 4, 5), np.float32)
  kernel = np.zeros((3, 4, 4, 5, 2), np.float32)

  @parameterized.product(
    lowering=_OWN_LOWERINGS, op=(conv.conv, conv.conv_transpose)
  )
  def test_no_grouped_convolution_remains(self, lowering, op):
    one = lambda x, k: op(x, k, lowering=lowering)  # noqa: E731
    text = _lowered(jax.vmap(one), self.image, self.kernel)
    self.assertContainsSubset(_groups(text), {1})
    image, kernel = (np.stack([x, x]) for x in (self.image, self.kernel))
    nested = jax.vmap(jax.vmap(one, in_axes=(0, None)))
    text = _lowered(nested, image, kernel[:, 0])
    self.assertContainsSubset(_groups(text), {1})
    text = _lowered(jax.vmap(jax.vmap(one)), image, kernel)
    self.assertContainsSubset(_groups(text), {1})

  def test_without_our_rule_there_are_groups(self):
    one = lambda x, k: conv.conv(x, k, lowering='grouped')  # noqa: E731
    text = _lowered(jax.vmap(one), self.image, self.kernel)
    self.assertContainsSubset({3}, _groups(text))

  @parameterized.parameters('cpu', 'tpu', 'cuda')
  def test_auto_is_what_the_table_says_of_the_platform(self, platform):
    chosen = lowerings.fastest(channels=5, size_px=4, num_models=3)
    chosen = chosen.get(platform, chosen['default'])
    ours, theirs = (
      platforms.lowered(
        jax.vmap(functools.partial(conv.conv, lowering=lowering)),
        self.image,
        self.kernel,
        platform=platform,
      )
      for lowering in ('auto', chosen)
    )
    for count in (_groups, lambda text: text.count('convolution(')):
      self.assertEqual(count(ours), count(theirs))

  @parameterized.parameters(*_OWN_LOWERINGS)
  def test_transposed_convolutions_dilate_no_input(self, lowering):
    one = lambda x, k: conv.conv_transpose(x, k, lowering=lowering)  # noqa: E731
    for function, args in (
      (one, (self.image[0], self.kernel[0])),
      (jax.vmap(one), (self.image, self.kernel)),
    ):
      self.assertEqual(_dilations(_lowered(function, *args)) - {'1, 1'}, set())
    # Such a dilation would show.
    native = lambda x, k: lax.conv_transpose(x, k, (2, 2), 'SAME')  # noqa: E731
    text = _lowered(native, self.image[0], self.kernel[0])
    self.assertIn('2, 2', _dilations(text))

  @parameterized.parameters(*_OWN_LOWERINGS)
  def test_a_shared_kernel_makes_one_convolution_of_all_images(self, lowering):
    def images_of_all(x, k):
      one = lambda x: conv.conv(x, k, lowering=lowering)  # noqa: E731
      return jax.vmap(one)(x)

    kernel = self.kernel[0]
    text = jax.jit(images_of_all).lower(self.image, kernel).as_text()
    convolutions = re.findall(r'convolution\(.*', text)
    self.assertLen(convolutions, 1)
    self.assertIn('(tensor<6x4x4x5xf32>', convolutions[0])
    # The image gradient needs no forward pass: one convolution again.
    grad = jax.grad(lambda x: jnp.sum(images_of_all(x, kernel)))
    text = jax.jit(grad).lower(self.image).as_text()
    self.assertLen(re.findall(r'convolution\(', text), 1)


if __name__ == '__main__':
  absltest.main()
