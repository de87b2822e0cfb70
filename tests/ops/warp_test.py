import inspect
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from psm_jax.ops import warp
from tests import platforms


def _draw(*shape):
  generator = np.random.default_rng(sum(shape))
  return generator.standard_normal(shape).astype(np.float32)


def _shift(batch, size, x_px, y_px):
  """Returns a flow that samples x_px to the right and y_px below."""
  flow = np.zeros((batch, size, size, 2), np.float32)
  flow[...] = np.array((x_px, y_px)) * 2 / (size - 1)
  return flow


def _slow_warp(image, flow):
  """Samples pixel by pixel; taps outside the image count zero."""
  out = np.zeros(image.shape)
  size = image.shape[1]
  for b, i, j in np.ndindex(*image.shape[:3]):
    x = j + flow[b, i, j, 0] * (size - 1) / 2
    y = i + flow[b, i, j, 1] * (size - 1) / 2
    for row in (int(np.floor(y)), int(np.floor(y)) + 1):
      for column in (int(np.floor(x)), int(np.floor(x)) + 1):
        if 0 <= row < size and 0 <= column < size:
          weight = (1 - abs(y - row)) * (1 - abs(x - column))
          out[b, i, j] += weight * image[b, row, column]
  return out


def _value_and_grads(image, flow, grad, platform):
  """Returns the warped image and both gradients, in a platform's form."""

  def both(image, flow, grad):
    value, pull_back = jax.vjp(warp.warp, image, flow)
    return value, *pull_back(grad)

  with platforms.forms_of(platform):
    return jax.tree.map(np.asarray, jax.jit(both)(image, flow, grad))


class WarpTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(jax.numpy_dtype_promotion('strict'))

  def test_zero_flow_returns_the_image(self):
    image = _draw(2, 7, 7, 3)
    out = jax.jit(warp.warp)(image, np.zeros((2, 7, 7, 2), np.float32))
    # The grid's positions are rounded: some 1e-6 of a pixel.
    np.testing.assert_allclose(out, image, atol=1e-5)

  @parameterized.parameters((2, 0), (0, 2), (-3, 1))
  def test_flow_is_x_then_y_and_samples_where_it_points(self, x_px, y_px):
    image = _draw(1, 6, 6, 2)
    out = jax.jit(warp.warp)(image, _shift(1, 6, x_px, y_px))
    expected = np.zeros_like(image)
    for i, j in np.ndindex(6, 6):
      if 0 <= i + y_px < 6 and 0 <= j + x_px < 6:
        expected[0, i, j] = image[0, i + y_px, j + x_px]
    np.testing.assert_allclose(out, expected, atol=1e-5)

  def test_a_flow_that_leads_far_out_gives_zeros(self):
    image = 1 + np.abs(_draw(1, 5, 5, 2))
    for sign in (-1, 1):
      out = jax.jit(warp.warp)(image, _shift(1, 5, sign * 40, 0))
      np.testing.assert_array_equal(out, np.zeros_like(image))

  def test_border_fades_to_zero_over_one_pixel(self):
    image = np.ones((1, 5, 5, 1), np.float32)
    out = jax.jit(warp.warp)(image, _shift(1, 5, -0.25, 0))
    np.testing.assert_allclose(out[0, :, 0, 0], 0.75, atol=1e-6)
    np.testing.assert_allclose(out[0, :, 1:, 0], 1, atol=1e-6)

  @parameterized.parameters(
    (40, 0), (-40, 0), (0, 40), (0, -40), (0.5, -0.5), (-3.25, 1.75)
  )
  def test_clamped_positions_beyond_the_border_are_on_it(self, x_px, y_px):
    image = 1 + np.abs(_draw(1, 5, 5, 2))
    flow = _shift(1, 5, x_px, y_px)
    out = jax.jit(lambda *args: warp.warp(*args, clamp=True))(image, flow)
    grid = np.linspace(-1, 1, 5)
    grid = np.stack(np.meshgrid(grid, grid), axis=-1)[None]
    on_border = np.clip(grid + flow, -1, 1) - grid
    np.testing.assert_allclose(out, _slow_warp(image, on_border), atol=1e-5)

  def test_any_flow_equals_a_slow_sampler(self):
    image, flow = _draw(3, 8, 8, 2), 0.6 * _draw(3, 8, 8, 2)
    out = jax.jit(warp.warp)(image, flow)
    np.testing.assert_allclose(out, _slow_warp(image, flow), atol=1e-5)

  def test_a_small_flow_is_resized_without_a_change_of_unit(self):
    image, flow = _draw(2, 8, 8, 2), 0.6 * _draw(2, 4, 4, 2)
    out = jax.jit(warp.warp)(image, flow)
    full = np.asarray(warp.resize(jnp.asarray(flow), 8))
    np.testing.assert_allclose(out, _slow_warp(image, full), atol=1e-5)

  def test_gradients_equal_finite_differences(self):
    image, target = _draw(1, 5, 5, 2), _draw(1, 5, 5, 2)
    # A third of a pixel and less than that off: never on a pixel's border.
    flow = (
      np.sign(_draw(1, 5, 5, 2)) / 3 + 0.1 * np.tanh(_draw(1, 5, 5, 2))
    ) / 2
    flow = flow.astype(np.float32)

    def inner(image, flow):
      return jnp.sum(warp.warp(image, flow) * target)

    grads = jax.jit(jax.grad(inner, argnums=(0, 1)))(image, flow)
    for number, grad in enumerate(grads):
      args = [image, flow]
      for index in np.ndindex(grad.shape):
        sides = []
        for step in (1e-3, -1e-3):
          moved = [np.array(arg, np.float64) for arg in args]
          moved[number][index] += step
          sides.append(np.sum(_slow_warp(*moved) * target))
        expected = (sides[0] - sides[1]) / 2e-3
        # The sampler is linear between borders: only rounding is left.
        self.assertAlmostEqual(grad[index], expected, delta=1e-4)

  def test_half_precision_samples_the_right_pixels(self):
    image = _draw(1, 64, 64, 1)
    flow = 0.3 * _draw(1, 16, 16, 2)
    out = jax.jit(warp.warp)(
      image.astype(jnp.bfloat16), flow.astype(jnp.bfloat16)
    )
    self.assertEqual(out.dtype, jnp.bfloat16)
    flow = np.asarray(flow.astype(jnp.bfloat16), np.float32)
    expected = jax.jit(warp.warp)(image, flow)
    # Positions keep all their digits, values 8 bits.
    np.testing.assert_allclose(out.astype(np.float32), expected, atol=0.05)

  @parameterized.parameters(1, 2, 4, 5)
  def test_on_a_tpu_many_tents_are_multiplied_a_few_at_a_time(self, at_once):
    image, flow = _draw(5, 8, 8, 3), 0.6 * _draw(5, 8, 8, 2)
    grad = _draw(5, 8, 8, 3)
    whole = _value_and_grads(image, flow, grad, 'tpu')
    with mock.patch.object(warp, '_TENTS_AT_ONCE', at_once * 8**3):
      parts = _value_and_grads(image, flow, grad, 'tpu')
      with platforms.forms_of('tpu'):
        program = str(jax.make_jaxpr(warp.warp)(image, flow))
    self.assertEqual('scan[' in program, at_once < 5)
    for ours, theirs in zip(parts, whole, strict=True):
      np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)

  @parameterized.product(
    # Products a channel, one product, and more pixels than that one takes.
    image=((2, 8, 8, 3), (2, 8, 8, 6), (1, 40, 40, 5)),
    # On the pixels, between them, and far out of the image.
    scale=(0, 0.6, 3),
  )
  @pytest.mark.thorough
  def test_on_a_tpu_values_and_gradients_are_those_of_a_cpu(self, image, scale):
    flow = np.float32(scale) * _draw(image[0], 4, 4, 2)
    drawn = _draw(*image), flow, _draw(*image) / 2
    on_cpu, on_tpu = (_value_and_grads(*drawn, name) for name in ('cpu', 'tpu'))
    for ours, theirs in zip(on_tpu, on_cpu, strict=True):
      # Sums over channels and pixels of numbers of about one.
      np.testing.assert_allclose(
        ours, theirs, atol=1e-5 * max(1, np.abs(theirs).max())
      )

  @parameterized.parameters(3, 6)
  def test_on_a_tpu_the_flow_of_half_precision_images_keeps_its_gradient(
    self, channels
  ):
    image, flow = _draw(2, 8, 8, channels), 0.6 * _draw(2, 4, 4, 2)
    image = image.astype(jnp.bfloat16)
    grad = (_draw(2, 8, 8, channels) / 2).astype(jnp.bfloat16)
    ours = _value_and_grads(image, flow, grad, 'tpu')[2]
    wide = (x.astype(np.float32) for x in (image, grad))
    theirs = _value_and_grads(next(wide), flow, next(wide), 'cpu')[2]
    error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
    # Of planes, the tents that make rows have 8 bits; of pixels' products the
    # gradient is a product of the images alone.
    self.assertLess(error, 1e-3 if channels == 6 else 4e-3)

  @parameterized.parameters(3, 6)
  def test_a_tpu_neither_gathers_nor_scatters(self, channels):
    args = _draw(1, 8, 8, channels), _draw(1, 4, 4, 2)
    total = lambda *args: jnp.sum(warp.warp(*args) ** 2)  # noqa: E731
    grads = jax.grad(total, argnums=(0, 1))
    self.assertNotRegex(
      platforms.lowered(grads, *args, platform='tpu'), 'gather|scatter'
    )
    self.assertRegex(platforms.lowered(grads, *args, platform='cpu'), 'gather')

  @parameterized.parameters(
    ((1, 4, 6, 1), (1, 4, 4, 2)), ((1, 4, 4, 1), (1, 4, 2, 2))
  )
  def test_what_is_not_square_is_refused(self, image, flow):
    with self.assertRaisesRegex(ValueError, r'square.*\(1, 4, '):
      inspect.unwrap(warp.warp)(jnp.zeros(image), jnp.zeros(flow))


class ResizeTest(parameterized.TestCase):
  @parameterized.parameters((2, 4), (4, 8), (8, 16), (16, 64), (5, 3), (1, 4))
  def test_ramp_stays_a_ramp_with_its_ends(self, size_in, size_out):
    ramp = np.linspace(-1, 1, size_in) if size_in > 1 else np.zeros(1)
    image = jnp.broadcast_to(
      jnp.float32(ramp)[None, None, :, None], (1, size_in, size_in, 1)
    )
    out = warp.resize(image, size_out)
    expected = (
      np.linspace(-1, 1, size_out) if size_in > 1 else np.zeros(size_out)
    )
    expected = np.broadcast_to(expected[None, None, :, None], out.shape)
    np.testing.assert_allclose(out, expected, atol=1e-6)
    out = warp.resize(image.swapaxes(1, 2), size_out)
    np.testing.assert_allclose(out, expected.swapaxes(1, 2), atol=1e-6)

  def test_middle_of_two_pixels_is_their_mean_and_corners_stay(self):
    image = jnp.array([[1.0, 3.0], [5.0, 11.0]])[None, :, :, None]
    out = warp.resize(image, 3)[0, :, :, 0]
    expected = [[1, 2, 3], [3, 5, 7], [5, 8, 11]]
    np.testing.assert_allclose(out, expected, rtol=1e-6)

  @parameterized.parameters((4, 9), (9, 4), (16, 64), (6, 6))
  def test_rows_of_the_matrix_sum_to_one(self, size_in, size_out):
    matrix = warp.resize_matrix(size_in, size_out)
    self.assertEqual(matrix.shape, (size_out, size_in))
    self.assertGreaterEqual(matrix.min(), 0)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)

  def test_its_own_size_changes_nothing(self):
    image = jnp.asarray(_draw(2, 5, 5, 3))
    np.testing.assert_array_equal(warp.resize(image, 5), image)
    np.testing.assert_array_equal(warp.resize_matrix(5, 5), np.eye(5))

  def test_height_and_width_may_differ_before(self):
    out = warp.resize(jnp.zeros((2, 3, 5, 1)), 4)
    self.assertEqual(out.shape, (2, 4, 4, 1))


if __name__ == '__main__':
  absltest.main()
