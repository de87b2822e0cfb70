import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data import alignment


def _place(crop, point):
  """Where a picture's point lies in the frame's unit square."""
  return np.linalg.solve(crop[:, :2], np.asarray(point) - crop[:, 2])


class EyeCropTest(parameterized.TestCase):
  @parameterized.product(
    eyes=(
      ((30.0, 40.0), (60.0, 40.0)),
      ((30.0, 40.0), (60.0, 52.0)),
      ((300.5, 20.0), (310.0, 5.0)),
    ),
    eye_distance=(0.3, 0.4),
  )
  def test_eyes_come_to_their_fixed_place(self, eyes, eye_distance):
    crop = alignment.eye_crop(np.array(eyes), eye_distance=eye_distance)
    np.testing.assert_allclose(
      [_place(crop, eye) for eye in eyes],
      [
        (0.5 - eye_distance / 2, alignment.EYE_HEIGHT),
        (0.5 + eye_distance / 2, alignment.EYE_HEIGHT),
      ],
      atol=1e-12,
    )

  def test_is_a_similarity_that_keeps_orientation(self):
    crop = alignment.eye_crop(
      np.array([(10.0, 20.0), (40.0, 33.0)]), eye_distance=0.4
    )
    product = crop[:, :2].T @ crop[:, :2]
    np.testing.assert_allclose(product, np.eye(2) * product[0, 0], atol=1e-9)
    self.assertGreater(np.linalg.det(crop[:, :2]), 0)

  def test_many_frames_at_once(self):
    eyes = np.random.default_rng(0).uniform(0, 90, (5, 2, 2))
    crops = alignment.eye_crop(eyes, eye_distance=0.4)
    for eye, crop in zip(eyes, crops, strict=True):
      np.testing.assert_array_equal(
        crop, alignment.eye_crop(eye, eye_distance=0.4)
      )

  @parameterized.parameters(
    (((np.nan, 1.0), (3.0, 1.0)),), (((2.0, 1.0), (2.0, 1.0)),)
  )
  def test_unknown_or_coinciding_eyes_give_nan(self, eyes):
    crop = alignment.eye_crop(np.array(eyes), eye_distance=0.4)
    self.assertTrue(np.isnan(crop).any())


class EyeCentresTest(absltest.TestCase):
  def test_are_the_means_of_the_multi_pie_eye_points(self):
    points = np.random.default_rng(0).normal(size=(3, 68, 2))
    centres = alignment.eye_centres(points)
    self.assertEqual(centres.shape, (3, 2, 2))
    np.testing.assert_allclose(centres[1, 0], points[1, 36:42].mean(axis=0))
    np.testing.assert_allclose(centres[1, 1], points[1, 42:48].mean(axis=0))


class CentreCropTest(parameterized.TestCase):
  @parameterized.parameters((80, 60, 10, 0), (60, 81, 0, 10), (7, 7, 0, 0))
  def test_is_the_largest_square_on_whole_pixels(self, width, height, x, y):
    side = min(width, height)
    np.testing.assert_array_equal(
      alignment.centre_crop(width, height), [[side, 0, x], [0, side, y]]
    )

  def test_many_pictures_at_once(self):
    crops = alignment.centre_crop(np.array([80, 60]), np.array([60, 81]))
    np.testing.assert_array_equal(crops[0], alignment.centre_crop(80, 60))
    np.testing.assert_array_equal(crops[1], alignment.centre_crop(60, 81))


class ToFrameTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    random = np.random.default_rng(0)
    self.points = random.uniform(10, 90, (3, 68, 2))
    self.crops = alignment.eye_crop(
      alignment.eye_centres(self.points), eye_distance=0.4
    )

  def test_aligned_eyes_lie_where_alignment_says(self):
    placed = alignment.to_frame(self.points, self.crops, size_px=48)
    np.testing.assert_allclose(
      alignment.eye_centres(placed),
      [[(0.3 * 48, 0.3 * 48), (0.7 * 48, 0.3 * 48)]] * 3,
      atol=1e-9,
    )

  def test_undoes_the_crop(self):
    placed = alignment.to_frame(self.points, self.crops, size_px=48)
    shares = np.concatenate([placed / 48, np.ones((3, 68, 1))], axis=-1)
    np.testing.assert_allclose(
      np.einsum('nij,npj->npi', self.crops, shares), self.points, atol=1e-9
    )

  def test_an_unknown_point_leaves_the_others(self):
    whole = alignment.to_frame(self.points, self.crops, size_px=48)
    self.points[1, 5] = np.nan
    placed = alignment.to_frame(self.points, self.crops, size_px=48)
    unknown = np.isnan(placed)
    self.assertTrue(unknown[1, 5].all())
    self.assertEqual(unknown.sum(), 2)
    np.testing.assert_array_equal(placed[~unknown], whole[~unknown])


if __name__ == '__main__':
  absltest.main()
