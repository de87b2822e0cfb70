"""MACs against hand-counted shapes and the published model's known cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from psm_jax.bench import flops
from psm_jax.methods import facecycle
from psm_jax.models import vgg
from psm_jax.ops import conv
from psm_jax.presets import base
from tests import tiny

# B images of 8 x 8 pixels, 3 to 5 channels.
_IMAGE = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)


def _kernel(side, channels=3, features=5):
  return jax.ShapeDtypeStruct((side, side, channels, features), jnp.float32)


class CountTest(parameterized.TestCase):
  @parameterized.parameters((1, 3), (2, 3), (2, 7), (1, 1))
  def test_a_convolution_and_its_gradients_cost_the_same(self, stride, side):
    def total(image, kernel):
      return jnp.sum(
        conv.conv(image, kernel, stride=stride, padding=side // 2) ** 2
      )

    expected = 2 * (8 // stride) ** 2 * side**2 * 3 * 5
    args = (_IMAGE, _kernel(side))
    forward = flops.count(total, *args)
    self.assertEqual(forward.total(), expected)
    for argnums, times in ((0, 2), (1, 2), ((0, 1), 3)):
      macs = flops.count(jax.value_and_grad(total, argnums), *args)
      self.assertEqual(macs.total(), times * expected)

  def test_a_transposed_convolution_counts_its_input_pixels(self):
    macs = flops.count(conv.conv_transpose, _IMAGE, _kernel(4))
    self.assertEqual(macs, {'convolution': 2 * 64 * 16 * 3 * 5})

  def test_products_count_what_they_contract(self):
    left, right = jnp.zeros((4, 6, 7)), jnp.zeros((4, 7, 9))
    self.assertEqual(
      flops.count(jnp.matmul, left, right),
      {'product': 4 * 6 * 7 * 9},
    )

  def test_what_the_result_does_not_need_is_not_counted(self):
    def function(a):
      unused = jax.jit(lambda x: (x @ x, x + 1))(a)
      return unused[1]

    self.assertEqual(flops.count(function, jnp.zeros((5, 5))).total(), 0)

  def test_a_loop_counts_each_round(self):
    def function(a):
      return jax.lax.fori_loop(0, 7, lambda _, x: x @ a, a)

    macs = flops.count(function, jnp.zeros((5, 5)))
    self.assertEqual(macs['product'], 7 * 5**3)

  def test_a_loop_of_unknown_length_is_refused(self):
    def function(a):
      return jax.lax.while_loop(lambda x: x[0, 0] < 9, lambda x: x @ a, a)

    with self.assertRaisesRegex(ValueError, 'unknown length'):
      flops.count(function, jnp.zeros((5, 5)))

  @parameterized.parameters('grouped', 'matmul', 'unrolled')
  def test_the_lowering_of_many_models_changes_nothing(self, lowering):
    config = tiny.config(population__lowering=lowering)
    macs = flops.step_macs(tiny.conv_method(config), config)
    # Four images: down 16 x 16 x 9 x 3 x 4, same 4 x 4, a product; up 16 taps.
    down, same, up = (16**2 * taps for taps in (27 * 4, 4 * 4, 16 * 12))
    # The first image's gradient is not needed.
    self.assertEqual(
      macs,
      {
        'convolution': tiny.BATCH * (2 * down + 3 * up),
        'product': tiny.BATCH * 3 * same,
      },
    )


class FaceCycleTest(absltest.TestCase):
  """The published model: 64 px, 16 pairs, in GMAC an image."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.config = base.get_config()
    weights = jax.eval_shape(vgg.init, jax.random.key(0))
    cls.trunk = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), weights)
    cls.method = facecycle.make(cls.config)
    cls.image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)

  def _features(self, num_convs):
    weights = {f'conv{i}': self.trunk[f'conv{i}'] for i in range(num_convs)}

    def total(image):
      return sum(map(jnp.sum, vgg.features(weights, image).values()))

    return total

  def test_the_encoder_and_the_trunk_cost_what_is_published(self):
    embed = flops.embedding_macs(self.method)
    self.assertAlmostEqual(embed.total() / 1e6, 420.8, delta=0.05)
    trunk = flops.count(self._features(9), self.image)
    self.assertAlmostEqual(trunk.total() / 1e6, 988.5, delta=0.05)
    stem = flops.count(self._features(5), self.image)
    self.assertAlmostEqual(stem.total() / 1e6, 460.1, delta=0.05)

  @pytest.mark.thorough
  def test_a_step_costs_what_its_layers_do(self):
    num_images = 2 * self.config.train.batch_size
    forward = flops.step_macs(self.method, self.config, with_gradient=False)
    step = flops.step_macs(self.method, self.config)
    stem = flops.count(self._features(5), self.image).total() / 1e9
    forward = forward['convolution'] / num_images / 1e9
    step = step['convolution'] / num_images / 1e9
    # The published counts run the stem for each of the generator's three
    # passes, beside the trunk; here both share it. They leave out products,
    # but for attention (0.02 an image forward).
    pointwise = 0.056  # 1x1 convolutions are products, too.
    self.assertAlmostEqual(forward + pointwise + 3 * stem, 20.08, delta=0.03)
    # And they take two of these passes' stems back to their images.
    self.assertAlmostEqual(step + 3 * pointwise + 5 * stem, 52.0, delta=0.1)


if __name__ == '__main__':
  absltest.main()
