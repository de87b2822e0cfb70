import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.ops import pool
from tests import platforms


def _draw(*shape):
  generator = np.random.default_rng(sum(shape))
  # No two pixels of a window are equal.
  return generator.permutation(np.prod(shape)).reshape(shape).astype('f4')


def _slow(image):
  batch, height, width, channels = image.shape
  out = np.zeros((batch, height // 2, width // 2, channels), image.dtype)
  for i, j in np.ndindex(*out.shape[1:3]):
    window = image[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
    out[:, i, j] = window.max((1, 2))
  return out


class MaxPoolTest(parameterized.TestCase):
  @parameterized.parameters('cpu', 'tpu')
  def test_it_is_the_largest_of_each_window_and_the_gradient_goes_there(
    self, platform
  ):
    image, grad = _draw(2, 6, 4, 3), _draw(2, 3, 2, 3)
    with platforms.forms_of(platform):
      value, pull_back = jax.vjp(pool.max_pool, jnp.asarray(image))
      (to_image,) = pull_back(jnp.asarray(grad))
    np.testing.assert_array_equal(value, _slow(image))
    spread = grad.repeat(2, axis=1).repeat(2, axis=2)
    is_largest = image == _slow(image).repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(to_image, np.where(is_largest, spread, 0))

  @parameterized.parameters('cpu', 'tpu')
  def test_equal_pixels_get_the_gradient_once_between_them(self, platform):
    with platforms.forms_of(platform):
      grad = jax.grad(lambda x: jnp.sum(pool.max_pool(x)))
      to_image = grad(jnp.ones((1, 2, 2, 1)))
    self.assertEqual(to_image.sum(), 1)

  def test_a_tpu_slices_nothing(self):
    image = _draw(1, 4, 4, 2)
    total = lambda x: jnp.sum(pool.max_pool(x))  # noqa: E731
    text = platforms.lowered(jax.grad(total), image, platform='tpu')
    self.assertNotIn('stablehlo.slice', text)
    text = platforms.lowered(jax.grad(total), image, platform='cpu')
    self.assertIn('stablehlo.slice', text)


if __name__ == '__main__':
  absltest.main()
