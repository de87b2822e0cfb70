import dataclasses

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized
from scipy import signal
from sklearn import metrics

from psm_jax.evaluation import asking, intervals, probes


class WithinPersonTest(absltest.TestCase):
  def _answers(self, num_frames=800):
    generator = np.random.default_rng(0)
    test = np.arange(num_frames) + 50
    found = []
    for unit, rate in (('AU01', 0.3), ('AU02', 0.1)):
      truth = np.repeat(generator.random(num_frames // 20) < rate, 20)
      score = 2 * (truth - 0.5) + generator.normal(size=num_frames)
      known = np.zeros(100)
      found.append(asking.Answer(unit, 'unit', known, test, truth * 1.0, score))
    return found

  def _rows(self, answers, **options):
    frames = pd.DataFrame(
      {'video_id': 'v', 'time_s': np.arange(900) / 20, 'person_id': 'P1'}
    )
    config = probes.ProbeConfig(**options)
    return intervals.within_person(answers, frames, mean='mean', config=config)

  def test_values_are_the_scores_and_their_mean(self):
    answers = self._answers()
    rows = self._rows(answers)
    f1 = [metrics.f1_score(d.truth, d.told > 0) for d in answers]
    auc = [metrics.roc_auc_score(d.truth, d.told) for d in answers]
    for metric, values in (('f1', f1), ('auc', auc)):
      for unit, value in zip(('AU01', 'AU02'), values, strict=True):
        self.assertAlmostEqual(rows[unit, metric]['value'], value)
      row = rows['mean', metric]
      self.assertAlmostEqual(row['value'], np.mean(values))
      self.assertLess(row['ci_low'], row['value'])
      self.assertLess(row['value'], row['ci_high'])

  def test_a_single_block_has_no_interval(self):
    row = self._rows(self._answers(), block_s=100.0)['mean', 'f1']
    self.assertTrue(np.isnan([row['ci_low'], row['ci_high']]).all())

  def test_unit_that_is_never_active_has_an_f1_of_0_and_no_auc(self):
    answer = self._answers()[0]
    never = dataclasses.replace(answer, truth=np.zeros(800))
    rows = self._rows([never])
    self.assertEqual(set(rows), {('AU01', 'f1'), ('mean', 'f1')})
    self.assertEqual(rows['AU01', 'f1']['value'], 0)

  def test_nothing_told_gives_no_rows(self):
    self.assertEmpty(self._rows([]))


class BlocksTest(parameterized.TestCase):
  def test_every_video_is_cut_from_its_first_frame(self):
    video = np.array(['a'] * 5 + ['b'] * 2)
    time_s = np.array([3.0, 3.9, 5.0, 5.1, 9.0, 0.5, 2.4])
    np.testing.assert_array_equal(
      intervals.time_blocks(video, time_s, block_s=2.0), [0, 0, 1, 1, 2, 3, 3]
    )

  def test_two_seconds_are_40_frames_at_20_a_second(self):
    time_s = 7.3 + np.arange(400) / 20
    blocks = intervals.time_blocks(np.full(400, 'v'), time_s, block_s=2.0)
    np.testing.assert_array_equal(blocks, np.arange(400) // 40)

  def test_draws_take_as_many_blocks_as_there_are(self):
    draws = intervals.block_draws(7, num_resamples=500, seed=0)
    self.assertTrue((draws.sum(axis=1) == 7).all())
    np.testing.assert_allclose(draws.mean(axis=0), 1, atol=0.2)
    np.testing.assert_array_equal(
      draws, intervals.block_draws(7, num_resamples=500, seed=0)
    )

  @parameterized.parameters(0, 1, 2)
  def test_scores_of_draws_equal_those_of_the_repeated_frames(self, seed):
    generator = np.random.default_rng(seed)
    truth = generator.random(90) < 0.3
    score = generator.integers(-3, 4, 90) + truth  # With ties.
    blocks = np.sort(generator.integers(6, size=90))
    draws = intervals.block_draws(6, num_resamples=20, seed=seed)
    f1 = intervals.f1_draws(truth, score, blocks, draws)
    auc = intervals.auc_draws(truth, score, blocks, draws)
    for draw, own_f1, own_auc in zip(draws, f1, auc, strict=True):
      times = draw[blocks].astype(int)
      repeated, scores = truth.repeat(times), score.repeat(times)
      self.assertAlmostEqual(own_f1, metrics.f1_score(repeated, scores > 0))
      self.assertAlmostEqual(own_auc, metrics.roc_auc_score(repeated, scores))

  def test_draws_without_an_active_frame_have_an_f1_of_0_and_no_auc(self):
    truth = np.array([True, False, False, False])
    blocks = np.array([0, 1, 2, 3])
    draws = np.array([[0.0, 2, 1, 1], [4, 0, 0, 0]])
    score = np.array([1.0, -1, -1, -1])
    auc = intervals.auc_draws(truth, score, blocks, draws)
    self.assertTrue(np.isnan(auc).all())
    f1 = intervals.f1_draws(truth, score, blocks, draws)
    np.testing.assert_array_equal(f1, [0.0, 1.0])


class BlockIntervalTest(absltest.TestCase):
  def test_lies_around_the_value_inside_0_and_1(self):
    draws = np.random.default_rng(0).beta(20, 1, 500)
    low, high = intervals.block_interval(0.96, draws, num_blocks=12)
    self.assertBetween(low, 0.5, 0.95)
    self.assertBetween(high, 0.97, 1.0)

  def test_of_many_blocks_is_the_normal_one(self):
    draws = np.random.default_rng(0).normal(0.5, 0.01, 4000)
    low, high = intervals.block_interval(0.5, draws, num_blocks=500)
    self.assertAlmostEqual(high - 0.5, 1.96 * 0.01, delta=0.001)
    self.assertAlmostEqual(0.5 - low, 1.96 * 0.01, delta=0.001)

  def test_it_is_students_of_the_blocks_less_one(self):
    # Table of t: 3.182 with 3 degrees of freedom, whatever the number of draws.
    for num_draws in (20, 400):
      draws = 1 / (1 + np.exp(-np.tile([-0.1, 0.1], num_draws // 2)))
      low, high = intervals.block_interval(0.5, draws, num_blocks=4)
      reach = 3.18245 * 0.1 * (4 / 3) ** 0.5
      self.assertAlmostEqual(high, 1 / (1 + np.exp(-reach)), places=6)
      self.assertAlmostEqual(low, 1 / (1 + np.exp(reach)), places=6)

  def test_fewer_blocks_are_less_sure(self):
    draws = np.random.default_rng(0).normal(0.5, 0.05, 400)
    widths = [
      np.diff(intervals.block_interval(0.5, draws, num_blocks=b))[0]
      for b in (3, 6, 12, 100)
    ]
    self.assertEqual(widths, sorted(widths, reverse=True))

  def test_holds_a_perfect_score(self):
    self.assertEqual(
      intervals.block_interval(1.0, np.ones(50), num_blocks=9)[1], 1.0
    )

  def test_a_single_block_says_nothing(self):
    for arguments in ((0.5, np.full(9, 0.5), 1), (np.nan, np.ones(9), 4)):
      value, draws, num_blocks = arguments
      ends = intervals.block_interval(value, draws, num_blocks=num_blocks)
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
      blocks = intervals.time_blocks(
        np.full(num_frames, 'v'), time_s, block_s=block_s
      )
      draws = intervals.block_draws(blocks.max() + 1, num_resamples=60, seed=0)
      cut[block_s] = blocks, draws
    covered = dict.fromkeys(cut, 0)
    for _ in range(num_cases):
      truth, score = self._series(generator, num_frames)
      active = score > 0
      value = 2 * (truth & active).sum() / (truth.sum() + active.sum())
      for block_s, (blocks, draws) in cut.items():
        low, high = intervals.block_interval(
          value,
          intervals.f1_draws(truth, score, blocks, draws),
          num_blocks=draws.shape[1],
        )
        covered[block_s] += low <= true <= high
    # 95 % are meant; of 300 cases two standard deviations are 2.5 %.
    self.assertBetween(covered[4.0] / num_cases, 0.91, 0.99)
    self.assertLess(covered[0.05] / num_cases, 0.6)


if __name__ == '__main__':
  absltest.main()
