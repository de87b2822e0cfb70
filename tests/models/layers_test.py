import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from flax import linen as nn

from psm_jax.models import layers

# Nearly all of the time here is compiling.
_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)


def _draw(*shape):
  generator = np.random.default_rng(sum(shape))
  return generator.standard_normal(shape).astype(np.float32)


def _init(layer, channels):
  image = np.zeros((1, 8, 8, channels), np.float32)
  return _jit(layer.init)(jax.random.key(0), image)['params']


def _softmax(x, axis):
  e = np.exp(x - x.max(axis, keepdims=True))
  return e / e.sum(axis, keepdims=True)


def _lrelu(x):
  return np.where(x > 0, x, 0.1 * x)


def _slow_conv(image, kernel, bias):
  """Returns the correlation of stride 1 that keeps the size."""
  side = kernel.shape[0]
  pad = side // 2
  padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
  out = np.zeros((*image.shape[:3], kernel.shape[-1]))
  for i, j in np.ndindex(*image.shape[1:3]):
    window = padded[:, i : i + side, j : j + side]
    out[:, i, j] = np.einsum('bhwc,hwco->bo', window, kernel) + bias
  return out


class InitialisationTest(parameterized.TestCase):
  """Standard deviations of 36,864 or more numbers: within 2 %."""

  @parameterized.named_parameters(
    # (2 / (kh kw C_out))^0.5: the reference's fan is the output's.
    ('fan_out', 'fan_out', 64, 64, 3, (2 / (9 * 64)) ** 0.5),
    ('fan_out_counts_outputs', 'fan_out', 32, 128, 3, (2 / (9 * 128)) ** 0.5),
    ('given', 0.05, 64, 64, 3, 0.05),
    # U(+-1 / fan_in^0.5) has a third of its squared bound as variance.
    ('default', 'default', 32, 128, 3, (9 * 32 * 3) ** -0.5),
  )
  def test_kernels_of(self, scheme, channels, features, side, std):
    params = _init(layers.Conv(features, side, init_scheme=scheme), channels)
    kernel = np.asarray(params['kernel'])
    self.assertEqual(kernel.shape, (side, side, channels, features))
    self.assertAlmostEqual(kernel.std() / std, 1, delta=0.02)
    self.assertAlmostEqual(kernel.mean() / std, 0, delta=0.03)
    if scheme == 'default':
      bound = (9 * channels) ** -0.5
      self.assertLessEqual(np.abs(kernel).max(), bound)
      self.assertLessEqual(np.abs(params['bias']).max(), bound)
      self.assertGreater(np.abs(params['bias']).max(), 0.8 * bound)
    else:
      # Normal, not uniform or cut off: 0.27 % lie beyond three deviations.
      share = np.mean(np.abs(kernel) > 3 * std)
      self.assertBetween(share, 0.0015, 0.004)
      np.testing.assert_array_equal(params['bias'], np.zeros(features))

  def test_transposed_kernels_are_bounded_by_their_outputs(self):
    params = _init(layers.ConvTranspose(16), 64)
    kernel = np.asarray(params['kernel'])
    self.assertEqual(kernel.shape, (4, 4, 64, 16))
    bound = (16 * 16) ** -0.5
    self.assertBetween(np.abs(kernel).max(), 0.99 * bound, bound)
    self.assertBetween(np.abs(params['bias']).max(), 0.5 * bound, bound)

  def test_dense_kernels_have_the_given_spread(self):
    class Layer(nn.Module):
      @nn.compact
      def __call__(self, x):
        return layers.dense(x, 256, std=0.01, name='dense')

    init, x = _jit(Layer().init), np.zeros((1, 256), np.float32)
    params = init(jax.random.key(0), x)['params']['dense']
    self.assertAlmostEqual(np.std(params['kernel']) / 0.01, 1, delta=0.02)
    np.testing.assert_array_equal(params['bias'], np.zeros(256))

  def test_residual_blocks_pass_their_initialisation_on(self):
    for scheme, has_bias in (('fan_out', False), ('default', True)):
      params = _init(layers.ResidualBlock(scheme), 4)
      for name in ('conv1', 'conv2'):
        self.assertEqual(bool(np.any(params[name]['bias'])), has_bias)


class ConvTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(jax.numpy_dtype_promotion('strict'))

  @parameterized.parameters((3, 1, 8), (3, 2, 4), (7, 2, 4), (1, 1, 8))
  def test_size_is_divided_by_the_stride(self, side, stride, expected):
    layer = layers.Conv(5, side, stride)
    image = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)
    out, _ = jax.eval_shape(layer.init_with_output, jax.random.key(0), image)
    self.assertEqual(out.shape, (2, expected, expected, 5))

  def test_bias_is_added_and_can_be_left_out(self):
    image, kernel, bias = _draw(2, 4, 4, 3), _draw(3, 3, 3, 2), _draw(2)
    expected = _slow_conv(image, kernel, bias)
    ours = layers.Conv(2).apply(
      {'params': {'kernel': kernel, 'bias': bias}}, image
    )
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    layer = layers.Conv(2, use_bias=False)
    ours = layer.apply({'params': {'kernel': kernel}}, image)
    np.testing.assert_allclose(ours, expected - bias, atol=1e-5)
    self.assertEqual(list(_init(layer, 3)), ['kernel'])

  def test_transposed_convolution_doubles_the_size(self):
    layer = layers.ConvTranspose(5)
    image = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)
    out, _ = jax.eval_shape(layer.init_with_output, jax.random.key(0), image)
    self.assertEqual(out.shape, (2, 16, 16, 5))


def _projections(channels):
  """Returns 1x1 convolutions with biases for channel attention."""
  return {
    name: {
      'kernel': _draw(1, 1, channels, channels + number)[..., :channels] / 2,
      'bias': _draw(channels + number)[:channels],
    }
    for number, name in enumerate(('g', 'theta', 'phi'))
  }


class ChannelAttentionTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(jax.numpy_dtype_promotion('strict'))

  def test_it_is_the_reference_s_formula(self):
    batch, size, channels = 2, 3, 4
    image, params = _draw(batch, size, size, channels), _projections(channels)
    ours = layers.ChannelAttention().apply({'params': params}, image)

    def flat(name):
      layer = params[name]
      out = image @ layer['kernel'][0, 0] + layer['bias']
      return out.reshape(batch, -1, channels).swapaxes(1, 2)  # [B, C, N]

    spread = _softmax(flat('theta'), 2)
    mixing = flat('phi') @ spread.swapaxes(1, 2)
    attended = mixing @ _softmax(flat('g'), 1)
    attended = attended.swapaxes(1, 2).reshape(image.shape)
    np.testing.assert_allclose(ours, _lrelu(image + attended), atol=1e-5)

  def test_bias_of_theta_has_no_gradient(self):
    image, params = _draw(2, 3, 3, 4), _projections(4)

    def loss(params):
      out = layers.ChannelAttention().apply({'params': params}, image)
      return jnp.sum(jnp.sin(out))

    grads = _jit(jax.grad(loss))(params)
    # It cancels in the softmax over positions; what is left is rounding.
    self.assertLess(np.abs(grads['theta']['bias']).max(), 1e-6)
    for name in ('g', 'phi'):
      self.assertGreater(np.abs(grads[name]['bias']).max(), 1e-3)
    self.assertGreater(np.abs(grads['theta']['kernel']).max(), 1e-3)


class ResidualBlockTest(absltest.TestCase):
  def test_second_convolution_is_added_to_the_input_before_activation(self):
    image = _draw(1, 4, 4, 2)
    params = {
      name: {'kernel': _draw(3, 3, 2, 2) / scale, 'bias': _draw(2)}
      for name, scale in (('conv1', 2), ('conv2', 3))
    }
    ours = layers.ResidualBlock().apply({'params': params}, image)
    inner = _lrelu(_slow_conv(image, *params['conv1'].values()))
    outer = _slow_conv(inner, *params['conv2'].values())
    np.testing.assert_allclose(ours, _lrelu(outer + image), atol=1e-5)


class PixelShuffleTest(parameterized.TestCase):
  @parameterized.parameters(1, 2, 4)
  def test_channels_become_pixels_in_the_reference_s_order(self, factor):
    channels = 3
    image = _draw(2, 2, 3, channels * factor**2)
    out = layers.pixel_shuffle(image, factor)
    self.assertEqual(out.shape, (2, 2 * factor, 3 * factor, channels))
    for c, row, column in np.ndindex(channels, 2 * factor, 3 * factor):
      i, j = row % factor, column % factor
      np.testing.assert_array_equal(
        out[:, row, column, c],
        image[
          :, row // factor, column // factor, c * factor**2 + i * factor + j
        ],
      )


class LeakyReluTest(absltest.TestCase):
  def test_slope_below_zero_is_a_tenth(self):
    out = layers.leaky_relu(jnp.array([-2.0, 0.0, 3.0]))
    np.testing.assert_allclose(out, [-0.2, 0, 3], rtol=1e-6)


class FanInUniformTest(absltest.TestCase):
  def test_bound_is_one_over_the_root_of_the_fan(self):
    drawn = layers.fan_in_uniform(16)(jax.random.key(0), (10_000,))
    self.assertBetween(np.abs(drawn).max(), 0.249, 0.25)
    self.assertAlmostEqual(np.std(drawn), 0.25 / math.sqrt(3), places=2)


if __name__ == '__main__':
  absltest.main()
