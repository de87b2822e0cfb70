import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.evaluation import scores


def _orthogonal(num_frames, scales):
  """Returns centred columns whose covariance is exactly diag(scales^2)."""
  generator = np.random.default_rng(0)
  data = generator.normal(size=(num_frames, len(scales)))
  axes, _ = np.linalg.qr(data - data.mean(axis=0))
  return axes * np.sqrt(num_frames) * np.asarray(scales)


class EffectiveRankTest(parameterized.TestCase):
  @parameterized.parameters(
    ([1, 1, 1, 1], 4.0),
    ([1, 0, 0, 0], 1.0),
    ([2, 1], 25 / 17),  # Variances 4 and 1.
  )
  def test_known_covariances(self, scales, expected):
    data = _orthogonal(50, scales) + 7
    self.assertAlmostEqual(scores.effective_rank(data), expected)

  def test_equals_the_eigenvalues_of_the_covariance(self):
    for shape in ((40, 8), (8, 40)):
      data = np.random.default_rng(0).gamma(1.0, size=shape)
      value = np.linalg.eigvalsh(np.cov(data.T))
      self.assertAlmostEqual(
        scores.effective_rank(data), value.sum() ** 2 / (value**2).sum()
      )

  def test_rotation_and_scale_do_not_matter(self):
    data = np.random.default_rng(0).gamma(1.0, size=(40, 5))
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))
    self.assertAlmostEqual(
      scores.effective_rank(data),
      scores.effective_rank(3 * data @ rotation),
    )

  def test_constant_embedding_has_rank_0_and_no_spread(self):
    row = np.random.default_rng(0).random(64)
    data = row[None].repeat(601, axis=0)
    self.assertEqual(scores.effective_rank(data), 0.0)
    self.assertEqual(scores.unit_std(data), 0.0)


class UnitStdTest(absltest.TestCase):
  def test_mean_of_the_columns(self):
    data = _orthogonal(60, [0.1, 0.5]) + 3
    self.assertAlmostEqual(scores.unit_std(data), 0.3)


if __name__ == '__main__':
  absltest.main()
