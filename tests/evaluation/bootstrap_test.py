import dataclasses

import numpy as np
from absl.testing import absltest, parameterized
from scipy import signal
from sklearn import metrics

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


class BlocksTest(parameterized.TestCase):
  def test_every_video_is_cut_from_its_first_frame(self):
    video = np.array(['a'] * 5 + ['b'] * 2)
    time_s = np.array([3.0, 3.9, 5.0, 5.1, 9.0, 0.5, 2.4])
    np.testing.assert_array_equal(
      bootstrap.time_blocks(video, time_s, block_s=2.0), [0, 0, 1, 1, 2, 3, 3]
    )

  def test_two_seconds_are_40_frames_at_20_a_second(self):
    time_s = 7.3 + np.arange(400) / 20
    blocks = bootstrap.time_blocks(np.full(400, 'v'), time_s, block_s=2.0)
    np.testing.assert_array_equal(blocks, np.arange(400) // 40)

  def test_draws_take_as_many_blocks_as_there_are(self):
    draws = bootstrap.block_draws(7, num_resamples=500, seed=0)
    self.assertTrue((draws.sum(axis=1) == 7).all())
    np.testing.assert_allclose(draws.mean(axis=0), 1, atol=0.2)
    np.testing.assert_array_equal(
      draws, bootstrap.block_draws(7, num_resamples=500, seed=0)
    )

  @parameterized.parameters(0, 1, 2)
  def test_scores_of_draws_equal_those_of_the_repeated_frames(self, seed):
    generator = np.random.default_rng(seed)
    truth = generator.random(90) < 0.3
    score = generator.integers(-3, 4, 90) + truth  # With ties.
    blocks = np.sort(generator.integers(6, size=90))
    draws = bootstrap.block_draws(6, num_resamples=20, seed=seed)
    f1 = bootstrap.f1_draws(truth, score > 0, blocks, draws)
    auc = bootstrap.auc_draws(truth, score, blocks, draws)
    for draw, own_f1, own_auc in zip(draws, f1, auc, strict=True):
      times = draw[blocks].astype(int)
      repeated, scores = truth.repeat(times), score.repeat(times)
      self.assertAlmostEqual(own_f1, metrics.f1_score(repeated, scores > 0))
      self.assertAlmostEqual(own_auc, metrics.roc_auc_score(repeated, scores))

  def test_draws_without_an_active_frame_have_no_score(self):
    truth = np.array([True, False, False, False])
    blocks = np.array([0, 1, 2, 3])
    draws = np.array([[0.0, 2, 1, 1], [4, 0, 0, 0]])
    score = np.array([1.0, -1, -1, -1])
    auc = bootstrap.auc_draws(truth, score, blocks, draws)
    self.assertTrue(np.isnan(auc).all())
    f1 = bootstrap.f1_draws(truth, score > 0, blocks, draws)
    np.testing.assert_array_equal(f1, [np.nan, 1.0])


class BlockIntervalTest(absltest.TestCase):
  def test_lies_around_the_value_inside_0_and_1(self):
    draws = np.random.default_rng(0).beta(20, 1, 500)
    low, high = bootstrap.block_interval(0.96, draws, num_blocks=12)
    self.assertBetween(low, 0.5, 0.95)
    self.assertBetween(high, 0.97, 1.0)

  def test_of_many_blocks_is_the_normal_one(self):
    draws = np.random.default_rng(0).normal(0.5, 0.01, 4000)
    low, high = bootstrap.block_interval(0.5, draws, num_blocks=500)
    self.assertAlmostEqual(high - 0.5, 1.96 * 0.01, delta=0.001)
    self.assertAlmostEqual(0.5 - low, 1.96 * 0.01, delta=0.001)

  def test_fewer_blocks_are_less_sure(self):
    draws = np.random.default_rng(0).normal(0.5, 0.05, 400)
    widths = [
      np.diff(bootstrap.block_interval(0.5, draws, num_blocks=b))[0]
      for b in (3, 6, 12, 100)
    ]
    self.assertEqual(widths, sorted(widths, reverse=True))

  def test_holds_a_perfect_score(self):
    self.assertEqual(
      bootstrap.block_interval(1.0, np.ones(50), num_blocks=9)[1], 1.0
    )

  def test_a_single_block_says_nothing(self):
    for arguments in ((0.5, np.full(9, 0.5), 1), (np.nan, np.ones(9), 4)):
      value, draws, num_blocks = arguments
      ends = bootstrap.block_interval(value, draws, num_blocks=num_blocks)
      self.assertTrue(np.isnan(ends).all())


class CoverageTest(absltest.TestCase):
  """Movements of a second whose errors last as long, at 20 frames a second."""

  def _series(self, generator, num_frames):
    """Returns truth and score; a fifth of the frames is active."""
    lengths = np.stack(
      [
        generator.geometric(1 / 80, 100 + num_frames // 80),
        generator.geometric(1 / 20, 100 + num_frames // 80),
      ],
      axis=1,
    )
    active = np.arange(lengths.size) % 2 == 1
    start = generator.integers(2000)
    truth = active.repeat(lengths.ravel())[start : start + num_frames]
    noise = generator.normal(size=num_frames + 100)
    noise = signal.lfilter([(1 - 0.9**2) ** 0.5], [1, -0.9], noise)[100:]
    return truth, 1.5 * (truth - 0.5) + noise

  def test_intervals_from_blocks_cover_and_those_from_frames_do_not(self):
    generator = np.random.default_rng(0)
    num_frames, num_cases = 2400, 300
    truth, score = self._series(generator, 200_000)
    true = metrics.f1_score(truth, score > 0)
    time_s = np.arange(num_frames) / 20
    cut = {}
    for block_s in (0.05, 4.0):
      blocks = bootstrap.time_blocks(
        np.full(num_frames, 'v'), time_s, block_s=block_s
      )
      draws = bootstrap.block_draws(blocks.max() + 1, num_resamples=60, seed=0)
      cut[block_s] = blocks, draws
    covered = dict.fromkeys(cut, 0)
    for _ in range(num_cases):
      truth, score = self._series(generator, num_frames)
      active = score > 0
      value = 2 * (truth & active).sum() / (truth.sum() + active.sum())
      for block_s, (blocks, draws) in cut.items():
        low, high = bootstrap.block_interval(
          value,
          bootstrap.f1_draws(truth, active, blocks, draws),
          num_blocks=draws.shape[1],
        )
        covered[block_s] += low <= true <= high
    # 95 % are meant; of 300 cases two standard deviations are 2.5 %.
    self.assertBetween(covered[4.0] / num_cases, 0.91, 0.99)
    self.assertLess(covered[0.05] / num_cases, 0.6)


if __name__ == '__main__':
  absltest.main()
