import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.evaluation import features, probes, structure

_CONFIG = probes.ProbeConfig(l2_normalise=False)


def _orthogonal(num_frames, scales):
  """Returns centred columns whose covariance is exactly diag(scales^2)."""
  generator = np.random.default_rng(0)
  data = generator.normal(size=(num_frames, len(scales)))
  axes, _ = np.linalg.qr(data - data.mean(axis=0))
  return axes * np.sqrt(num_frames) * np.asarray(scales)


def _posed(seed=0, **angles):
  """Returns a table of two videos whose features are yaw, pitch and noise."""
  generator = np.random.default_rng(seed)
  yaw, pitch, noise = generator.normal(size=(3, 200)) * [[8], [5], [1]]
  frames = pd.DataFrame(
    {
      'person_id': 'P1',
      'video_id': np.repeat(['v1', 'v2'], 100),
      'frame': np.tile(np.arange(100), 2),
      'time_s': np.tile(np.arange(100) / 20, 2),
      'pose_yaw': yaw,
      'pose_pitch': pitch,
      'pose_roll': generator.normal(size=200),
    }
  ).assign(**angles)
  data = np.stack([yaw + pitch, yaw - pitch, noise], axis=1)
  return features.FeatureTable(
    'psm', 'm-s0', 'P1', data.astype(np.float32), frames
  )


class EffectiveRankTest(parameterized.TestCase):
  @parameterized.parameters(
    ([1, 1, 1, 1], 4.0),
    ([1, 0, 0, 0], 1.0),
    ([2, 1], 25 / 17),  # Variances 4 and 1.
  )
  def test_known_covariances(self, scales, expected):
    data = _orthogonal(50, scales) + 7
    self.assertAlmostEqual(structure.effective_rank(data), expected)

  def test_equals_the_eigenvalues_of_the_covariance(self):
    for shape in ((40, 8), (8, 40)):
      data = np.random.default_rng(0).gamma(1.0, size=shape)
      value = np.linalg.eigvalsh(np.cov(data.T))
      self.assertAlmostEqual(
        structure.effective_rank(data), value.sum() ** 2 / (value**2).sum()
      )

  def test_rotation_and_scale_do_not_matter(self):
    data = np.random.default_rng(0).gamma(1.0, size=(40, 5))
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))
    self.assertAlmostEqual(
      structure.effective_rank(data),
      structure.effective_rank(3 * data @ rotation),
    )

  def test_constant_embedding_has_rank_0_and_no_spread(self):
    row = np.random.default_rng(0).random(64)
    data = row[None].repeat(601, axis=0)
    self.assertEqual(structure.effective_rank(data), 0.0)
    self.assertEqual(structure.unit_std(data), 0.0)


class UnitStdTest(absltest.TestCase):
  def test_mean_of_the_columns(self):
    data = _orthogonal(60, [0.1, 0.5]) + 3
    self.assertAlmostEqual(structure.unit_std(data), 0.3)


class PoseTest(absltest.TestCase):
  def test_pose_in_the_features_is_found_and_absent_pose_is_not(self):
    result = structure.describe(_posed(), config=_CONFIG)
    self.assertGreater(result['yaw_correlation'], 0.99)
    self.assertGreater(result['pitch_correlation'], 0.99)
    self.assertLess(abs(result['roll_correlation']), 0.35)

  def test_equals_the_closed_form_of_ridge(self):
    table = _posed()
    first = np.arange(200) < 100
    data = table.features.astype(np.float64)
    data = (data - data[first].mean(axis=0)) / data[first].std(axis=0)
    roll = table.frames['pose_roll'].to_numpy()
    weights = np.linalg.solve(
      data[first].T @ data[first] + np.eye(3),
      data[first].T @ (roll[first] - roll[first].mean()),
    )
    expected = np.corrcoef(data[~first] @ weights, roll[~first])[0, 1]
    result = structure.pose_correlations(table, config=_CONFIG)
    self.assertAlmostEqual(result['roll_correlation'], expected, places=9)

  def test_missing_labels_are_nan_without_touching_the_others(self):
    whole = structure.pose_correlations(_posed(), config=_CONFIG)
    partial = structure.pose_correlations(
      _posed(pose_roll=np.nan), config=_CONFIG
    )
    self.assertTrue(np.isnan(partial['roll_correlation']))
    self.assertAlmostEqual(
      partial['yaw_correlation'], whole['yaw_correlation'], places=9
    )

  def test_constant_label_is_nan(self):
    result = structure.pose_correlations(_posed(pose_yaw=0.1), config=_CONFIG)
    self.assertTrue(np.isnan(result['yaw_correlation']))

  def test_one_video_is_nan(self):
    table = _posed(video_id='v1', frame=np.arange(200))
    result = structure.pose_correlations(table, config=_CONFIG)
    self.assertTrue(np.isnan(list(result.values())).all())

  def test_no_pose_columns_are_nan(self):
    table = _posed()
    frames = table.frames[list(features.FRAME_COLUMNS)]
    table = features.FeatureTable('psm', 'm', 'P1', table.features, frames)
    result = structure.pose_correlations(table, config=_CONFIG)
    self.assertLen(result, 3)
    self.assertTrue(np.isnan(list(result.values())).all())


if __name__ == '__main__':
  absltest.main()
