import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.ops import image_losses


def _draw(*shape):
  generator = np.random.default_rng(sum(shape))
  return generator.standard_normal(shape).astype(np.float32)


def _slow_ssim_loss(first, second):
  """Returns 1 - SSIM, window by window: 11x11 taps, zeros beyond the border."""
  taps = np.exp(-((np.arange(11) - 5) ** 2) / 4.5)
  taps /= taps.sum()
  window = np.outer(taps, taps)[..., None]
  pads = ((0, 0), (5, 5), (5, 5), (0, 0))
  x, y = (np.pad(np.float64(image), pads) for image in (first, second))
  total = []
  for b, i, j in np.ndindex(first.shape[:3]):
    u, v = x[b, i : i + 11, j : j + 11], y[b, i : i + 11, j : j + 11]
    u_mean, v_mean, uu, vv, uv = (
      (window * part).sum((0, 1)) for part in (u, v, u * u, v * v, u * v)
    )
    total.append(
      (2 * u_mean * v_mean + 1e-4)
      * (2 * (uv - u_mean * v_mean) + 9e-4)
      / (u_mean**2 + v_mean**2 + 1e-4)
      / (uu - u_mean**2 + vv - v_mean**2 + 9e-4)
    )
  return 1 - np.mean(total)


class SsimTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(jax.numpy_dtype_promotion('strict'))

  @parameterized.parameters(8, 16)
  def test_equals_a_slow_window_with_zeros_beyond_the_border(self, size):
    target = _draw(2, size, size, 3)
    others = [target + 0.3 * _draw(2, size, size, 3), -target, target + 2]
    ours = jax.jit(image_losses.ssim_losses)(target, others)
    for loss, other in zip(ours, others, strict=True):
      self.assertAlmostEqual(loss, _slow_ssim_loss(target, other), places=4)

  def test_identical_images_lose_nothing(self):
    image = jnp.asarray(_draw(2, 12, 12, 3))
    (loss,) = image_losses.ssim_losses(image, [image])
    self.assertEqual(loss, 0)

  def test_neither_image_is_preferred(self):
    first = jnp.asarray(_draw(1, 12, 12, 2))
    second = jnp.asarray(_draw(1, 12, 12, 3)[..., :2])
    forth = image_losses.ssim_losses(first, [second])[0]
    back = image_losses.ssim_losses(second, [first])[0]
    self.assertAlmostEqual(forth, back, places=6)

  def test_pixels_count_as_their_weights_say(self):
    target, image = _draw(2, 12, 12, 3), _draw(2, 12, 12, 4)[..., :3]
    image[:, :, 8:] = target[:, :, 8:]
    target, image = jnp.asarray(target), jnp.asarray(image)
    ones = np.ones((12, 12), np.float32)
    left = np.float32(np.arange(12) < 6) * 2 * ones
    whole, first, second = (
      image_losses.ssim_losses(target, [image], weights=weights)[0]
      for weights in (ones, left, 2 * ones - left)
    )
    (plain,) = image_losses.ssim_losses(target, [image])
    self.assertAlmostEqual(whole, plain, places=6)
    self.assertAlmostEqual((first + second) / 2, whole, places=5)
    # The right half differs less.
    self.assertGreater(first, second + 0.02)

  def test_blur_is_eleven_taps_of_a_gaussian_that_sum_to_one(self):
    matrix = image_losses.blur_matrix(31)
    taps = np.exp(-((np.arange(11) - 5) ** 2) / 4.5)
    expected = np.zeros(31)
    expected[10:21] = taps / taps.sum()
    np.testing.assert_allclose(matrix[15], expected, rtol=1e-6)
    np.testing.assert_allclose(matrix[0, :6], expected[15:21], rtol=1e-6)
    self.assertEqual(np.count_nonzero(matrix[0]), 6)


class GramTest(absltest.TestCase):
  def test_constant_channels_give_their_products(self):
    levels = np.array([[1.0, 2.0, -3.0], [0.5, 0.0, 4.0]], np.float32)
    features = np.broadcast_to(levels[:, None, None], (2, 4, 6, 3))
    gram = image_losses.gram(jnp.asarray(features))
    np.testing.assert_allclose(
      gram, levels[:, :, None] * levels[:, None, :], rtol=1e-6
    )

  def test_it_is_divided_by_pixels_and_not_by_channels(self):
    features = _draw(2, 3, 5, 4)
    flat = features.reshape(2, 15, 4)
    expected = np.stack([rows.T @ rows / 15 for rows in flat])
    np.testing.assert_allclose(
      image_losses.gram(jnp.asarray(features)), expected, rtol=1e-5, atol=1e-6
    )


class GramLossTest(absltest.TestCase):
  def test_value_and_gradient_are_those_of_the_squared_difference(self):
    features, other = _draw(2, 3, 5, 4), _draw(2, 3, 5, 4) + 0.5
    target = image_losses.gram(jnp.asarray(other))

    def plain(features):
      return jnp.mean((image_losses.gram(features) - target) ** 2)

    expected, expected_grad = jax.value_and_grad(plain)(features)
    loss, grad = jax.value_and_grad(image_losses.gram_loss)(features, target)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(grad, expected_grad, rtol=1e-5, atol=1e-7)


class AsymmetryTest(absltest.TestCase):
  def test_a_symmetric_image_has_none(self):
    half = _draw(2, 4, 3, 3)
    image = jnp.concatenate([half, half[:, :, ::-1]], axis=2)
    self.assertEqual(image_losses.asymmetry(image), 0)

  def test_halves_that_differ_by_a_constant_have_it(self):
    half = _draw(2, 4, 3, 3)
    image = jnp.concatenate([half, half[:, :, ::-1] + 0.25], axis=2)
    self.assertAlmostEqual(image_losses.asymmetry(image), 0.25, places=6)

  def test_it_is_left_against_right_and_not_top_against_bottom(self):
    rows = jnp.arange(4.0)[None, :, None, None]
    image = jnp.broadcast_to(rows, (1, 4, 4, 1))
    self.assertEqual(image_losses.asymmetry(image), 0)
    self.assertEqual(image_losses.asymmetry(image.swapaxes(1, 2)), 2)


class L1Test(absltest.TestCase):
  def test_it_is_the_mean_absolute_difference(self):
    image = jnp.array([1.0, -2.0, 4.0, 0.0]).reshape(1, 2, 2, 1)
    target = jnp.array([0.0, -2.0, 6.0, 1.0]).reshape(1, 2, 2, 1)
    self.assertEqual(image_losses.l1(image, target), 1.0)

  def test_pixels_count_as_their_weights_say(self):
    image = jnp.arange(8.0).reshape(1, 2, 2, 2)
    weights = np.array([[0, 1], [2, 1]], np.float32)
    value = image_losses.l1(image, jnp.zeros_like(image), weights=weights)
    self.assertEqual(value, (0 * 1 + 1 * 5 + 2 * 9 + 1 * 13) / 8)


if __name__ == '__main__':
  absltest.main()
