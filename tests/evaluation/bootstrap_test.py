import dataclasses

import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.evaluation import bootstrap


class MeanIntervalTest(parameterized.TestCase):
  def test_equal_persons_have_no_spread(self):
    interval = bootstrap.mean_interval(np.full(5, 0.75))
    self.assertEqual(dataclasses.astuple(interval), (0.75, 0.75, 0.75, 5))

  def test_two_persons_span_their_values(self):
    # Both draws are the lower person in 1 of 4 resamples.
    interval = bootstrap.mean_interval(np.array([0.0, 1.0]))
    self.assertEqual((interval.low, interval.high), (0.0, 1.0))

  def test_width_of_many_persons_is_the_normal_one(self):
    values = np.random.default_rng(0).normal(size=400)
    interval = bootstrap.mean_interval(values, num_resamples=5000)
    half = 1.96 * values.std() / 20
    self.assertAlmostEqual(interval.mean, values.mean())
    self.assertAlmostEqual(interval.high - values.mean(), half, delta=0.01)
    self.assertAlmostEqual(values.mean() - interval.low, half, delta=0.01)

  def test_shift_and_scale_move_the_interval_alike(self):
    values = np.random.default_rng(1).random(9)
    one = bootstrap.mean_interval(values)
    other = bootstrap.mean_interval(3 * values + 2)
    for end in ('mean', 'low', 'high'):
      self.assertAlmostEqual(getattr(other, end), 3 * getattr(one, end) + 2)

  def test_vectorised_draws_equal_a_loop(self):
    values = np.random.default_rng(2).random(7)
    drawn = np.random.default_rng(4).integers(7, size=(2000, 7))
    means = [np.mean([values[person] for person in draw]) for draw in drawn]
    interval = bootstrap.mean_interval(values, seed=4)
    np.testing.assert_allclose(
      (interval.low, interval.high), np.quantile(means, [0.025, 0.975])
    )

  def test_chunks_of_draws_equal_one_draw(self):
    values = np.random.default_rng(3).random(7)
    whole = bootstrap.mean_interval(values)
    with absltest.mock.patch.object(bootstrap, '_DRAWS_AT_ONCE', 50):
      self.assertEqual(bootstrap.mean_interval(values), whole)

  def test_weights_count_a_person_as_many_rows(self):
    values, weights = np.array([0.2, 0.8, 0.5]), np.array([1, 3, 2])
    interval = bootstrap.mean_interval(values, weights=weights)
    self.assertAlmostEqual(interval.mean, values.repeat(weights).mean())
    self.assertAlmostEqual(interval.low, 0.2)
    self.assertAlmostEqual(interval.high, 0.8)

  def test_nan_persons_are_left_out(self):
    values = np.array([0.1, np.nan, 0.4, 0.6])
    self.assertEqual(
      bootstrap.mean_interval(values),
      bootstrap.mean_interval(values[[0, 2, 3]]),
    )

  def test_one_person_has_no_interval(self):
    interval = bootstrap.mean_interval(np.array([0.3]))
    self.assertEqual(interval.mean, 0.3)
    self.assertTrue(np.isnan([interval.low, interval.high]).all())

  @parameterized.parameters((6, 0.80), (12, 0.86), (27, 0.90))
  def test_intervals_cover_the_true_mean(self, num_persons, at_least):
    generator = np.random.default_rng(7)
    covered = 0
    for seed in range(300):
      values = generator.normal(0.5, 0.1, num_persons)
      interval = bootstrap.mean_interval(values, num_resamples=400, seed=seed)
      covered += interval.low <= 0.5 <= interval.high
    self.assertBetween(covered / 300, at_least, 0.985)

  @parameterized.parameters(
    ({'values': [np.nan]}, 'No person'),
    ({'values': [[0.1]]}, 'shape'),
    ({'values': [0.1, 0.2], 'weights': np.ones(3)}, 'shape'),
    ({'values': [0.1, 0.2], 'weights': np.zeros(2)}, 'positive'),
    ({'values': [0.1], 'level': 1.0}, 'level'),
    ({'values': [0.1], 'num_resamples': 0}, 'num_resamples'),
  )
  def test_wrong_argument_is_an_error(self, arguments, message):
    values = np.array(arguments.pop('values'))
    with self.assertRaisesRegex(ValueError, message):
      bootstrap.mean_interval(values, **arguments)


class PairedIntervalTest(absltest.TestCase):
  def test_constant_gain_has_no_spread_however_persons_differ(self):
    values = np.random.default_rng(0).random(12)
    interval = bootstrap.paired_interval(values + 0.25, values)
    for end in ('mean', 'low', 'high'):
      self.assertAlmostEqual(getattr(interval, end), 0.25)

  def test_signs_are_counted_and_ties_are_neither(self):
    interval = bootstrap.paired_interval(
      np.array([3.0, 1.0, 2.0, 5.0, np.nan]),
      np.array([1.0, 2.0, 2.0, 1.0, 1.0]),
    )
    self.assertEqual(
      (interval.wins, interval.losses, interval.num_persons), (2, 1, 4)
    )

  def test_swapping_the_sides_mirrors_the_interval(self):
    first, second = np.random.default_rng(0).random((2, 9))
    one = bootstrap.paired_interval(first, second)
    other = bootstrap.paired_interval(second, first)
    self.assertAlmostEqual(one.mean, -other.mean)
    self.assertAlmostEqual(one.low, -other.high)
    self.assertEqual((one.wins, one.losses), (other.losses, other.wins))

  def test_different_persons_are_an_error(self):
    with self.assertRaisesRegex(ValueError, 'same persons'):
      bootstrap.paired_interval(np.zeros(3), np.zeros(4))


if __name__ == '__main__':
  absltest.main()
