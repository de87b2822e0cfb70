import numpy as np
from absl.testing import absltest, parameterized
from sklearn import linear_model

from psm_jax.evaluation import logistic


def _example(num_frames=200, num_features=5):
  generator = np.random.default_rng(0)
  data = generator.normal(size=(num_frames, num_features))
  score = data[:, 0] + generator.normal(size=num_frames)
  return data, (score > np.quantile(score, 0.8)) * 1.0


class FitTest(parameterized.TestCase):
  @parameterized.parameters(0.1, 1.0, 1e5)
  def test_it_is_what_another_solver_finds(self, inverse_penalty):
    data, label = _example()
    found = logistic.fit(data, label, inverse_penalty=inverse_penalty)
    expected = linear_model.LogisticRegression(
      C=inverse_penalty, class_weight='balanced', tol=1e-8, max_iter=10_000
    ).fit(data, label)
    # Log odds; float32 moves them by 1e-5.
    np.testing.assert_allclose(
      found.decision_function(data),
      expected.decision_function(data),
      atol=1e-3,
    )


class ValidatedTest(absltest.TestCase):
  def test_each_block_is_told_by_a_probe_of_the_others(self):
    data, label = _example(90)
    block = np.arange(90) // 30
    folds = [(block != b, block == b) for b in range(3)]
    told = logistic.validated(data, label, folds, inverse_penalty=1.0)
    self.assertLen(told, 3)
    model = logistic.fit(data[:60], label[:60], inverse_penalty=1.0)
    truth, said = told[2]
    np.testing.assert_array_equal(truth, label[60:])
    np.testing.assert_allclose(said, model.decision_function(data[60:]))

  def test_classes_are_told_as_text(self):
    data, label = _example(90)
    classes = np.where(label == 1, 'a', 'b').astype(object)
    fit = np.arange(90) < 60
    ((truth, said),) = logistic.validated(
      data, classes, [(fit, ~fit)], inverse_penalty=1.0
    )
    self.assertLessEqual(set(said), {'a', 'b'})
    self.assertGreater((truth == said).mean(), 0.6)


class TunedThresholdTest(absltest.TestCase):
  def test_it_is_below_even_odds_where_most_frames_are_active(self):
    data, label = _example()
    halves = np.arange(200) < 100
    folds = [(halves, ~halves), (~halves, halves)]
    threshold = logistic.tuned_threshold(
      data, np.where(label == 1, 0.0, 1.0), folds, inverse_penalty=1.0
    )
    # Four of five frames are active, but classes are weighted alike.
    self.assertLess(threshold, 0.0)

  def test_part_without_an_active_block_keeps_even_odds(self):
    data, label = _example(100)
    fit = np.arange(100) < 50
    inactive = np.where(fit, label, 0.0)
    self.assertEqual(
      logistic.tuned_threshold(
        data, inactive, [(fit, ~fit)], inverse_penalty=1.0
      ),
      0.0,
    )


if __name__ == '__main__':
  absltest.main()
