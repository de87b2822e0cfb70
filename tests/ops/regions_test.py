import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.ops import regions


class WeightsTest(parameterized.TestCase):
  @parameterized.parameters(32, 64)
  def test_eyes_and_mouth_count_six_times_the_corners(self, size_px):
    weights = regions.weights(size_px, eye_distance=0.4)
    self.assertAlmostEqual(weights.mean(), 1, places=5)
    ratio = weights / weights[0, 0]
    # Eyes lie at (.3, .5 -+ .2), the mouth some .45 below their middle.
    for place, expected in (
      ((0.3, 0.3), 6),
      ((0.3, 0.7), 6),
      ((0.74, 0.5), 6),
      ((0.15, 0.3), 3),
      ((0.5, 0.5), 1),
    ):
      row, column = (int(share * size_px) for share in place)
      self.assertAlmostEqual(ratio[row, column], expected, msg=place, places=5)
    np.testing.assert_array_equal(weights, weights[:, ::-1])


if __name__ == '__main__':
  absltest.main()
