import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.models import vgg


def _weights(num_convs=9, width=1 / 16):
  """Returns weights of a trunk's shapes that keep activations near 1."""
  shapes = jax.eval_shape(
    lambda key: vgg.init(key, width=width, num_convs=num_convs),
    jax.random.key(0),
  )
  generator = np.random.default_rng(0)

  def fill(leaf):
    drawn = generator.standard_normal(leaf.shape).astype(np.float32)
    return drawn * np.float32(2 / np.prod(leaf.shape[:-1])) ** 0.5

  return jax.tree.map(fill, shapes)


class FeaturesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(jax.numpy_dtype_promotion('strict'))

  @parameterized.product(size=(32, 64), width=(1.0, 0.125))
  def test_taps_have_the_shapes_of_vgg19(self, size, width):
    image = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)

    def taps(key, image):
      return vgg.features(vgg.init(key, width=width), image)

    shapes = jax.eval_shape(taps, jax.random.key(0), image)
    expected = {
      f'relu{level}_1': (2, size // shrink, size // shrink, int(full * width))
      for level, shrink, full in ((2, 2, 128), (3, 4, 256), (4, 8, 512))
    }
    self.assertEqual({k: v.shape for k, v in shapes.items()}, expected)

  def test_layers_are_in_vgg19_s_order(self):
    weights = _weights()
    image = np.random.default_rng(1).standard_normal((1, 16, 16, 3), np.float32)

    def conv(x, index):
      layer = weights[f'conv{index}']
      x = jax.lax.conv_general_dilated(
        x,
        layer['kernel'],
        (1, 1),
        'SAME',
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      )
      return jnp.maximum(x + layer['bias'][None, None, None], 0)

    def pool(x):
      batch, height, width, channels = x.shape
      x = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
      return x.max((2, 4))

    relu1_2 = conv(conv(image, 0), 1)
    relu2_1 = conv(pool(relu1_2), 2)
    relu3_1 = conv(pool(conv(relu2_1, 3)), 4)
    relu3_4 = conv(conv(conv(relu3_1, 5), 6), 7)
    relu4_1 = conv(pool(relu3_4), 8)
    taps = vgg.features(weights, image)
    for name, expected in (
      ('relu2_1', relu2_1),
      ('relu3_1', relu3_1),
      ('relu4_1', relu4_1),
    ):
      self.assertGreater(np.max(expected), 0)
      np.testing.assert_allclose(taps[name], expected, rtol=1e-4, atol=1e-5)

  def test_a_stem_reaches_the_third_level_and_equals_the_trunk_there(self):
    trunk = _weights()
    stem = {f'conv{i}': trunk[f'conv{i}'] for i in range(vgg.STEM_CONVS)}
    image = np.ones((1, 16, 16, 3), np.float32)
    taps, full = vgg.features(stem, image), vgg.features(trunk, image)
    self.assertEqual(set(taps), {'relu2_1', 'relu3_1'})
    for name, tap in taps.items():
      np.testing.assert_array_equal(tap, full[name])


class InitTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()

    def draw(key):
      sizes = {'width': 0.5, 'num_convs': 2}
      return vgg.init(key, **sizes), vgg.init(key, he=False, **sizes)

    draw = jax.jit(draw, compiler_options={'xla_backend_optimization_level': 0})
    cls.frozen, cls.trained = draw(jax.random.key(0))

  @parameterized.parameters((5, 555_328), (9, 3_505_728))
  def test_number_of_weights_is_vgg19_s(self, num_convs, expected):
    shapes = jax.eval_shape(
      lambda key: vgg.init(key, num_convs=num_convs), jax.random.key(0)
    )
    sizes = [leaf.size for leaf in jax.tree.leaves(shapes)]
    self.assertEqual(sum(sizes), expected)

  def test_a_frozen_trunk_is_he_normal_without_biases(self):
    kernel = np.asarray(self.frozen['conv1']['kernel'])
    self.assertAlmostEqual(kernel.std() / (2 / (9 * 32)) ** 0.5, 1, delta=0.03)
    np.testing.assert_array_equal(self.frozen['conv1']['bias'], np.zeros(32))

  def test_a_trained_stem_is_bounded_by_its_inputs(self):
    bound = (9 * 32) ** -0.5
    for leaf in self.trained['conv1'].values():
      self.assertBetween(np.abs(leaf).max(), 0.8 * bound, bound)

  def test_layers_are_drawn_independently(self):
    first, second = (self.trained[f'conv{i}']['bias'] for i in (0, 1))
    self.assertFalse(np.allclose(first / first[0], second / second[0]))


class ScaledTest(parameterized.TestCase):
  @parameterized.parameters(
    (64, 1.0, 64), (64, 0.125, 8), (64, 0.01, 4), (256, 0.3, 77)
  )
  def test_counts_are_rounded_and_at_least_four(self, full, width, expected):
    self.assertEqual(vgg.scaled(full, width), expected)


if __name__ == '__main__':
  absltest.main()
