import numpy as np
from absl.testing import absltest, parameterized
from sklearn import metrics

from psm_jax.evaluation import scores


class ScoreMetricsTest(parameterized.TestCase):
  def _metrics(self, truth, score, **options):
    return scores.score_metrics(
      np.array(truth, bool),
      np.array(score, float),
      **{'num_frame_resamples': 100, 'seed': 0, **options},
    )

  def test_perfect_scores(self):
    result = self._metrics([1, 0, 1, 0] * 50, [2, -1, 1, -2] * 50)
    for name in scores.METRICS:
      self.assertEqual(result[name], 1.0, msg=name)

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


if __name__ == '__main__':
  absltest.main()
