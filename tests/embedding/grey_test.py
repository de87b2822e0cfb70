import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.embedding import grey


class GreyPixelsTest(parameterized.TestCase):
  @parameterized.parameters((64, 64), (32, 32), (96, 64), (45, 70), (20, 33))
  def test_constant_frame_keeps_its_luma(self, height, width):
    frames = np.empty((2, height, width, 3), np.uint8)
    frames[:] = (10, 100, 200)
    pixels = grey.grey_pixels(frames)
    self.assertEqual(pixels.shape, (2, 1024))
    np.testing.assert_allclose(
      pixels, (0.299 * 10 + 0.587 * 100 + 0.114 * 200) / 255, rtol=1e-5
    )

  def test_multiples_of_32_are_block_means(self):
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), np.uint8)
    luma = frames @ np.array([0.299, 0.587, 0.114]) / 255
    blocks = luma.reshape(3, 32, 2, 32, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(
      grey.grey_pixels(frames), blocks.reshape(3, -1), atol=1e-6
    )

  @parameterized.parameters(40, 31, 77)
  def test_any_size_equals_means_of_finely_repeated_pixels(self, size):
    frames = np.random.default_rng(1).integers(
      0, 256, (1, size, size, 3), np.uint8
    )
    luma = frames[0] @ np.array([0.299, 0.587, 0.114]) / 255
    fine = luma.repeat(32, axis=0).repeat(32, axis=1)
    blocks = fine.reshape(32, size, 32, size).mean(axis=(1, 3))
    np.testing.assert_allclose(
      grey.grey_pixels(frames)[0], blocks.ravel(), atol=1e-6
    )

  def test_pixels_are_row_major(self):
    frames = np.zeros((1, 32, 32, 3), np.uint8)
    frames[0, 2, 5] = 255
    self.assertEqual(grey.grey_pixels(frames)[0].argmax(), 2 * 32 + 5)

  def test_shares_of_white_are_no_pixels(self):
    with self.assertRaisesRegex(ValueError, 'float32 .*expected uint8'):
      grey.grey_pixels(np.ones((1, 32, 32, 3), np.float32))


if __name__ == '__main__':
  absltest.main()
