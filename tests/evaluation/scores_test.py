import numpy as np
from absl.testing import absltest, parameterized
from sklearn import metrics

from psm_jax.evaluation import scores


class UnitTest(parameterized.TestCase):
  def _metrics(self, truth, score, **options):
    return scores.of_unit(
      np.array(truth, bool),
      np.array(score, float),
      **{'num_frame_resamples': 100, 'seed': 0, **options},
    )

  def test_perfect_scores(self):
    result = self._metrics([1, 0, 1, 0] * 50, [2, -1, 1, -2] * 50)
    counts = {name: result.pop(name) for name in ('n_positive', 'base_rate')}
    self.assertEqual(counts, {'n_positive': 100, 'base_rate': 0.5})
    self.assertEqual(set(result.values()), {1.0})

  def test_f1_is_0_where_nothing_is_active_or_predicted(self):
    result = self._metrics([0, 0, 0], [-1, -1, -1])
    self.assertEqual((result['f1'], result['f1_bootstrap']), (0, 0))
    self.assertEqual(result['mcc'], 0)

  @parameterized.parameters(0, 1)
  def test_ranking_of_one_class_is_nan(self, value):
    result = self._metrics([value] * 3, [-1, 1, 2])
    for name in ('auc', 'ap', 'balanced_accuracy'):
      self.assertTrue(np.isnan(result[name]), msg=name)

  def test_ties_count_half_in_the_auc(self):
    self.assertEqual(self._metrics([1, 0], [3, 3])['auc'], 0.5)

  @parameterized.parameters(0, 1, 2)
  def test_equals_scikit_learn_with_ties(self, seed):
    generator = np.random.default_rng(seed)
    truth = generator.random(80) < 0.3
    score = generator.integers(-3, 4, 80) + truth
    result = self._metrics(truth, score)
    self.assertAlmostEqual(
      result['auc'], metrics.roc_auc_score(truth, score), places=12
    )
    self.assertAlmostEqual(
      result['mcc'], metrics.matthews_corrcoef(truth, score > 0), places=12
    )

  def test_bootstrap_mean_is_near_f1_and_repeats(self):
    generator = np.random.default_rng(0)
    truth = generator.random(900) < 0.3
    score = generator.normal(size=900) + truth
    result = self._metrics(truth, score)
    # A draw's F1 has a standard deviation of about 0.02 here.
    self.assertAlmostEqual(result['f1_bootstrap'], result['f1'], delta=0.01)
    self.assertNotEqual(result['f1_bootstrap'], result['f1'])
    self.assertEqual(result, self._metrics(truth, score))

  def test_bootstrap_equals_a_loop_over_its_draws(self):
    truth = np.array([1, 0, 1, 1, 0, 0, 0], bool)
    score = np.array([1, 1, -1, 1, -1, -1, 1])
    draws = np.random.default_rng([5, 7]).integers(7, size=(30, 7))
    expected = [
      metrics.f1_score(truth[drawn], score[drawn] > 0, zero_division=0)
      for drawn in draws
    ]
    result = self._metrics(truth, score, num_frame_resamples=30, seed=5)
    self.assertAlmostEqual(result['f1_bootstrap'], np.mean(expected))


class BestThresholdTest(parameterized.TestCase):
  @parameterized.parameters(range(5))
  def test_best_threshold_gives_the_largest_f1_of_all(self, seed):
    generator = np.random.default_rng(seed)
    truth = generator.random(60) < 0.2
    score = generator.integers(-4, 5, 60) + 2.0 * truth  # With ties.
    chosen = scores.best_threshold(truth, score)
    best = max(
      metrics.f1_score(truth, score > limit) for limit in np.arange(-6, 8) + 0.5
    )
    self.assertAlmostEqual(metrics.f1_score(truth, score > chosen), best)

  def test_calling_everything_active_is_allowed(self):
    truth, score = np.array([True, True, False]), np.array([0.0, 1.0, 3.0])
    self.assertLess(scores.best_threshold(truth, score), 0.0)


class ClassesTest(absltest.TestCase):
  def test_class_that_training_lacks_counts_as_missed(self):
    row = scores.of_classes(
      np.array(['a', 'b'], object),
      np.array(['a', 'a', 'b', 'c'], object),
      np.array(['a', 'a', 'b', 'b'], object),
    )
    self.assertEqual((row['num_classes'], row['num_test_classes']), (2, 3))
    self.assertAlmostEqual(row['accuracy'], 0.75)
    self.assertAlmostEqual(row['balanced_accuracy'], 2 / 3)
    self.assertAlmostEqual(row['macro_f1'], (1 + 2 / 3 + 0) / 3)
    self.assertAlmostEqual(row['largest_share'], 0.5)


class AnglesTest(absltest.TestCase):
  def test_one_angle_equals_scikit_learn(self):
    generator = np.random.default_rng(0)
    train, truth = generator.normal(size=(2, 50, 1))
    told = truth + generator.normal(size=(50, 1))
    row = scores.of_angles(train, truth, told)
    self.assertAlmostEqual(row['r2'], metrics.r2_score(truth, told))
    self.assertAlmostEqual(
      row['mae_deg'], metrics.mean_absolute_error(truth, told)
    )
    self.assertAlmostEqual(
      row['mae_mean_deg'], np.abs(truth - train.mean()).mean()
    )
    self.assertAlmostEqual(row['sd_deg'], truth.std())
    self.assertAlmostEqual(row['pearson'], np.corrcoef(truth.T, told.T)[0, 1])

  def test_over_all_angles_one_that_hardly_moves_counts_little(self):
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(200, 2)) * [10, 0.1]
    told = truth + generator.normal(size=(200, 2))
    row = scores.of_angles(truth, truth, told)
    # Squared errors of 1 each, variances of 100 and .01.
    self.assertAlmostEqual(row['r2'], 1 - 2 / 100, delta=0.005)

  def test_angles_that_do_not_vary_have_an_error_but_no_r2(self):
    truth = np.full((9, 1), 3.0)
    row = scores.of_angles(truth, truth, truth + 1)
    self.assertTrue(np.isnan(row['r2']))
    self.assertAlmostEqual(row['mae_deg'], 1.0)


class IccTest(parameterized.TestCase):
  def test_equals_the_example_of_shrout_and_fleiss(self):
    # Table 2 of Shrout and Fleiss (1979): 6 targets, 4 judges, ICC(3,1) = .71.
    ratings = np.array(
      [
        [9, 2, 5, 8],
        [6, 1, 3, 2],
        [8, 4, 6, 8],
        [7, 1, 2, 6],
        [10, 5, 6, 9],
        [6, 2, 4, 7],
      ],
      float,
    )
    self.assertAlmostEqual(scores.icc(ratings), 0.7148, places=4)

  @parameterized.parameters(0, 1, 2)
  def test_of_two_raters_is_twice_the_covariance_over_the_variances(self, seed):
    ratings = np.random.default_rng(seed).gamma(2.0, size=(40, 2))
    ratings[:, 1] += 0.7 * ratings[:, 0]
    cov = np.cov(ratings.T)
    self.assertAlmostEqual(
      scores.icc(ratings), 2 * cov[0, 1] / (cov[0, 0] + cov[1, 1])
    )

  def test_an_offset_does_not_matter_and_a_scale_does(self):
    label = np.random.default_rng(0).normal(size=30)
    self.assertAlmostEqual(
      scores.icc(np.stack([label, label + 5], axis=1)), 1.0
    )
    # 2 * 3 / (1 + 9) for three times the spread.
    self.assertAlmostEqual(
      scores.icc(np.stack([label, 3 * label], axis=1)), 0.6
    )
    self.assertAlmostEqual(scores.icc(np.stack([label, -label], axis=1)), -1.0)

  def test_without_any_spread_is_nan(self):
    self.assertTrue(np.isnan(scores.icc(np.ones((5, 2)))))
    self.assertTrue(np.isnan(scores.icc(np.ones((1, 2)))))


class NmeTest(absltest.TestCase):
  def test_distance_is_in_units_of_the_eye_corners(self):
    truth = np.random.default_rng(0).normal(size=(5, 68, 2))
    truth[:, 36], truth[:, 45] = (0, 0), (3, 4)  # 5 apart.
    self.assertAlmostEqual(scores.nme(truth, truth + [0.6, 0.8]), 0.2)

  def test_only_the_true_corners_count_and_frames_without_are_left_out(self):
    truth = np.zeros((2, 68, 2))
    truth[0, 45] = (2, 0)
    self.assertAlmostEqual(scores.nme(truth, truth + [1, 0]), 0.5)
    self.assertTrue(np.isnan(scores.nme(truth[1:], truth[1:])))


if __name__ == '__main__':
  absltest.main()
