import dataclasses
import json
import pathlib
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from psm_jax import sampling
from psm_jax.presets import base
from psm_jax.sampling import curriculum, feistel, plan as plan_lib

_GOLDEN = (
  pathlib.Path(__file__).resolve().parents[3] / 'shared/parity/ctl_pairs.json'
)


def _config(pairing='gap', batch=4, epochs=3, **gap):
  config = base.get_config()
  config.train.batch_size = batch
  config.train.epochs, config.train.steps = epochs, 0
  config.curriculum.pairing = pairing
  config.curriculum.gap.update(gap)
  return config


def _cohort(*lengths, name='p', fps=25.0):
  return sampling.Cohort(
    name=name,
    rows=np.arange(sum(lengths)),
    video_lengths=np.array(lengths),
    fps=np.full(len(lengths), fps),
  )


def _all_pairs(plan, config, epoch):
  """Returns the pairs of an epoch of one model in the order they are seen."""
  starts = np.append(plan.clock.epoch_start, plan.clock.total_steps)
  pairs = [
    sampling.positions(
      plan,
      np.int32(step),
      config=config,
      xp=np,
    )[0].T
    for step in range(starts[epoch], starts[epoch + 1])
  ]
  return [tuple(map(int, pair)) for pair in np.concatenate(pairs)]


class PermuteTest(parameterized.TestCase):
  @parameterized.parameters(1, 2, 3, 7, 16, 97, 485, 2422)
  def test_is_a_permutation_of_any_size(self, size):
    out = feistel.permute(np.arange(size), np.int32(size), np.uint32(5), xp=np)
    self.assertCountEqual(out.tolist(), range(size))

  def test_numpy_and_jax_agree_for_a_traced_size_under_vmap(self):
    sizes = np.array([5, 97, 2422, 130_000], np.int32)
    seeds = np.array([0, 1, 2**31, 2**32 - 1], np.uint32)
    index = np.arange(5, dtype=np.int32)
    ours = jax.jit(jax.vmap(feistel.permute, in_axes=(None, 0, 0)))(
      index, sizes, seeds
    )
    for row, size, seed in zip(ours, sizes, seeds, strict=True):
      np.testing.assert_array_equal(
        row, feistel.permute(index, size, seed, xp=np)
      )

  def test_every_index_lands_everywhere_about_equally_often(self):
    size, trials = 12, 6000
    seeds = np.arange(trials, dtype=np.uint32)
    seeds = np.asarray(feistel.mix(seeds, xp=np))
    out = np.stack(
      [
        feistel.permute(np.arange(size), np.int32(size), seed, xp=np)
        for seed in seeds
      ]
    )
    for index in range(size):
      counts = np.bincount(out[:, index], minlength=size)
      expected = trials / size
      # 6 standard deviations of a binomial count.
      self.assertLess(np.abs(counts - expected).max(), 6 * expected**0.5)

  def test_neighbours_are_torn_apart(self):
    size = 1000
    out = feistel.permute(np.arange(size), np.int32(size), np.uint32(3), xp=np)
    self.assertLess(np.mean(np.abs(np.diff(out)) <= 3), 0.03)


class GapPlanTest(parameterized.TestCase):
  def test_an_epoch_sees_every_pair_of_its_gap_at_most_once(self):
    config = _config(batch=5, epochs=4, schedule='reference')
    plan, _ = sampling.make_plan(_cohort(23, 9, 31), config, seed=1)
    for epoch, gap in enumerate((2, 4, 6, 8)):
      pairs = _all_pairs(plan, config, epoch)
      possible = {
        (start + i, start + i + gap)
        for start, length in ((0, 23), (23, 9), (32, 31))
        for i in range(max(0, length - gap))
      }
      self.assertLen(set(pairs), len(pairs))
      self.assertLess(len(possible) - len(pairs), 5)
      self.assertContainsSubset(pairs, possible)

  def test_pairs_never_cross_a_video_border(self):
    config = _config(epochs=6, schedule='linear', start=1, end=12)
    plan, _ = sampling.make_plan(_cohort(14, 15, 16), config, seed=0)
    video = np.repeat([0, 1, 2], [14, 15, 16])
    for epoch in range(6):
      for first, second in _all_pairs(plan, config, epoch):
        self.assertEqual(video[first], video[second])

  def test_gap_is_capped_where_one_batch_is_left(self):
    config = _config(batch=16, epochs=60, schedule='reference')
    plan, cap = sampling.make_plan(_cohort(50, name='short'), config, seed=0)
    self.assertEqual(cap, 34)
    self.assertEqual(plan.clock.gap.max(), 34)
    self.assertEqual(plan.num_examples.min(), 16)
    self.assertEqual(np.diff(plan.clock.epoch_start).min(), 1)

  def test_seconds_follow_each_video_s_own_rate(self):
    config = _config(
      epochs=2, schedule='linear', unit='seconds', start=0.2, end=1.0
    )
    cohort = sampling.Cohort(
      'p', np.arange(100), np.array([50, 50]), np.array([10.0, 25.0])
    )
    plan, _ = sampling.make_plan(cohort, config, seed=0)
    np.testing.assert_array_equal(plan.clock.gap, [[2, 5], [10, 25]])

  def test_geometric_widening_has_constant_ratio(self):
    config = _config(epochs=5, schedule='geometric', start=2, end=32)
    plan, _ = sampling.make_plan(_cohort(100), config, seed=0)
    np.testing.assert_array_equal(plan.clock.gap[:, 0], [2, 4, 8, 16, 32])

  def test_too_few_frames_are_named(self):
    with self.assertRaisesRegex(ValueError, 'Cohort shorty has 4 usable'):
      sampling.make_plan(_cohort(4, name='shorty'), _config(), seed=0)

  @parameterized.parameters(([10, 20], 5, 15), ([10, 20], 30, 0), ([7], 7, 0))
  def test_cap_is_the_largest_gap_with_a_batch(self, lengths, batch, expected):
    self.assertEqual(curriculum.gap_cap(np.array(lengths), batch), expected)

  def test_more_epochs_than_a_table_holds_are_refused(self):
    config = _config(epochs=0)
    config.train.steps = 2**31 - 1
    with self.assertRaisesRegex(ValueError, '100000 epochs of cohort p'):
      sampling.make_plan(_cohort(9), config, seed=0)


class RandomPairsTest(parameterized.TestCase):
  def test_fixed_pairs_stay_and_only_their_order_changes(self):
    config = _config('fixed', batch=5, epochs=2)
    plan, _ = sampling.make_plan(_cohort(20, 10), config, seed=1)
    first, second = (_all_pairs(plan, config, epoch) for epoch in (0, 1))
    self.assertNotEqual(first, second)
    self.assertCountEqual(first, second)
    order = list(range(30))
    random.Random(912).shuffle(order)
    self.assertCountEqual(first, zip(order[0::2], order[1::2], strict=True))

  def test_repaired_pairs_change_and_use_each_frame_once(self):
    config = _config('repaired', batch=5, epochs=2)
    plan, _ = sampling.make_plan(_cohort(20, 10), config, seed=1)
    first, second = (_all_pairs(plan, config, epoch) for epoch in (0, 1))
    self.assertNotEqual(set(first), set(second))
    for pairs in (first, second):
      self.assertCountEqual(np.ravel(pairs).tolist(), range(30))


def _people(*videos, batch=4, **fields):
  """Returns (cohort, config) of people with videos of the given lengths."""
  config = _config(batch=batch, epochs=2)
  config.curriculum.update(fields)
  lengths = [length for own in videos for length in own]
  cohort = dataclasses.replace(
    _cohort(*lengths),
    video_people=np.repeat(np.arange(len(videos)), [len(v) for v in videos]),
  )
  return cohort, config


def _epoch(plan, config, epoch):
  """Returns (positions [steps, M, B], people [steps, B]) of an epoch."""
  starts = np.append(plan.clock.epoch_start, plan.clock.total_steps)
  steps = [
    sampling.positions(plan, np.int32(step), config=config, xp=np)
    for step in range(starts[epoch], starts[epoch + 1])
  ]
  positions, people = zip(*steps, strict=True)
  return np.stack(positions), np.stack(people)


class DrawnPairsTest(parameterized.TestCase):
  @parameterized.parameters('drawn', 'drawn_gap')
  def test_each_person_is_drawn_equally_often_and_paired_with_itself(
    self, pairing
  ):
    cohort, config = _people(
      [9, 5], [20], [4], batch=4, pairing=pairing, draws_per_person=8
    )
    plan, _ = sampling.make_plan(cohort, config, seed=0)
    owner = np.repeat([0, 1, 2], [14, 20, 4])
    positions, people = _epoch(plan, config, 0)
    np.testing.assert_array_equal(np.bincount(people.ravel()), [8, 8, 8])
    np.testing.assert_array_equal(owner[positions[:, 0]], people)
    np.testing.assert_array_equal(owner[positions[:, 1]], people)

  def test_independent_draws_reach_every_frame_about_equally_often(self):
    cohort, config = _people([7], pairing='drawn', draws_per_person=2800)
    plan, _ = sampling.make_plan(cohort, config, seed=0)
    positions, _ = _epoch(plan, config, 0)
    pairs = positions[:, 0] * 7 + positions[:, 1]
    counts = np.bincount(pairs.ravel(), minlength=49)
    expected = pairs.size / 49
    self.assertLess(np.abs(counts - expected).max(), 6 * expected**0.5)

  def test_a_gap_ends_at_the_video_s_last_frame(self):
    cohort, config = _people(
      [9, 5], [20], pairing='drawn_gap', draws_per_person=40
    )
    config.curriculum.gap.update(schedule='linear', start=3, end=3)
    plan, _ = sampling.make_plan(cohort, config, seed=0)
    positions, _ = _epoch(plan, config, 0)
    last = np.repeat([8, 13, 33], [9, 5, 20])
    np.testing.assert_array_equal(
      positions[:, 1], np.minimum(positions[:, 0] + 3, last[positions[:, 0]])
    )

  def test_epochs_differ(self):
    cohort, config = _people([30], pairing='drawn', draws_per_person=8)
    plan, _ = sampling.make_plan(cohort, config, seed=0)
    first, second = (_epoch(plan, config, epoch)[0] for epoch in (0, 1))
    self.assertFalse(np.array_equal(first, second))


class InTurnTest(parameterized.TestCase):
  def test_a_batch_shows_different_people_where_there_are_enough(self):
    cohort, config = _people(
      *[[6]] * 9, batch=4, pairing='views', draws_per_person=3
    )
    plan, _ = sampling.make_plan(cohort, config, seed=0)
    _, people = _epoch(plan, config, 0)
    self.assertEqual(people.shape, (6, 4))
    for batch in people:
      self.assertLen(set(batch.tolist()), 4)
    self.assertLen(set(people.ravel().tolist()), 9)

  def test_few_people_are_repeated_to_fill_a_batch(self):
    cohort, config = _people(
      [6], [6], batch=5, pairing='views', draws_per_person=5
    )
    plan, _ = sampling.make_plan(cohort, config, seed=0)
    _, people = _epoch(plan, config, 0)
    np.testing.assert_array_equal(np.bincount(people.ravel()), [5, 5])

  def test_views_are_different_frames_of_one_video(self):
    cohort, config = _people(
      [6, 4], [9], pairing='views', num_sources=3, draws_per_person=40
    )
    plan, _ = sampling.make_plan(cohort, config, seed=0)
    positions, people = _epoch(plan, config, 0)
    self.assertEqual(positions.shape, (20, 4, 4))
    video = np.repeat([0, 1, 2], [6, 4, 9])
    examples = positions.transpose(0, 2, 1).reshape(-1, 4)
    for example, person in zip(examples, people.ravel(), strict=True):
      self.assertLen(set(example.tolist()), 4)
      self.assertLen(set(video[example].tolist()), 1)
      self.assertEqual(person, video[example[0]] // 2)
    self.assertLen(set(positions.ravel().tolist()), 19)

  def test_a_video_shorter_than_its_views_repeats_frames(self):
    cohort, config = _people(
      [2], pairing='views', num_sources=3, draws_per_person=40
    )
    plan, _ = sampling.make_plan(cohort, config, seed=0)
    positions, _ = _epoch(plan, config, 0)
    np.testing.assert_array_equal(np.unique(positions), [0, 1])

  def test_clips_step_evenly_within_a_video(self):
    cohort, config = _people(
      [30],
      [7, 12],
      pairing='clips',
      clip_frames=4,
      clip_gap=5,
      draws_per_person=100,
    )
    plan, _ = sampling.make_plan(cohort, config, seed=0)
    positions, _ = _epoch(plan, config, 0)
    steps = np.diff(positions, axis=1)
    self.assertTrue((steps == steps[:, :1]).all())
    video = np.repeat([0, 1, 2], [30, 7, 12])
    self.assertTrue((video[positions] == video[positions[:, :1]]).all())
    by_video = [
      sorted(set(steps[:, 0][video[positions[:, 0]] == v].tolist()))
      for v in range(3)
    ]
    self.assertEqual(by_video, [[1, 2, 3, 4, 5], [1, 2], [1, 2, 3]])

  def test_clips_reach_both_ends_of_a_video(self):
    cohort, config = _people(
      [9], pairing='clips', clip_frames=3, clip_gap=2, draws_per_person=200
    )
    plan, _ = sampling.make_plan(cohort, config, seed=0)
    positions, _ = _epoch(plan, config, 0)
    self.assertEqual((positions.min(), positions.max()), (0, 8))


class PlanTest(parameterized.TestCase):
  @parameterized.parameters(*sampling.PAIRINGS)
  @pytest.mark.thorough
  def test_stacked_plans_on_the_device_equal_single_ones_on_the_host(
    self, pairing
  ):
    config = _config(pairing, batch=4, epochs=3, schedule='reference')
    plans = [
      sampling.make_plan(_cohort(*lengths, name=name), config, seed=seed)[0]
      for lengths, name, seed in (
        ((20,), 'a', 0),
        ((31, 12), 'b', 0),
        ((9, 9, 25), 'c', 7),
      )
    ]
    step_positions = jax.jit(
      jax.vmap(
        lambda plan, step: sampling.positions(plan, step, config=config),
        in_axes=(0, None),
      )
    )
    stacked = jax.tree.map(jnp.asarray, sampling.stack(plans))
    for step in range(max(int(plan.clock.total_steps) for plan in plans)):
      ours = step_positions(stacked, step)
      rows = zip(*ours, strict=True)
      for row, plan in zip(rows, plans, strict=True):
        expected = sampling.positions(
          plan, np.int32(step), config=config, xp=np
        )
        jax.tree.map(np.testing.assert_array_equal, row, expected)

  def test_order_differs_between_people_seeds_and_epochs(self):
    config = _config('gap', epochs=2, schedule='linear', start=3, end=3)
    orders = {
      tuple(_all_pairs(plan, config, epoch))
      for name, seed in (('a', 0), ('b', 0), ('a', 1))
      for plan in [
        sampling.make_plan(_cohort(40, name=name), config, seed=seed)[0]
      ]
      for epoch in (0, 1)
    }
    self.assertLen(orders, 6)

  def test_steps_end_training_inside_an_epoch(self):
    config = _config('fixed', batch=4, epochs=0)
    config.train.steps = 7
    plan, _ = sampling.make_plan(_cohort(40), config, seed=0)
    self.assertEqual(plan.clock.total_steps, 7)
    np.testing.assert_array_equal(plan.clock.epoch_start, [0, 5])


@pytest.mark.skipif(not _GOLDEN.exists(), reason=f'{_GOLDEN} is absent')
class ReferenceOrderTest(absltest.TestCase):
  def test_raw_gap_rule_reproduces_the_published_pairs(self):
    golden = json.loads(_GOLDEN.read_text())['pairs']
    for name, cases in golden.items():
      num_frames = int(name[1:])
      for case in cases:
        gap = curriculum.reference_gap(case['epoch'])
        count = max(0, num_frames - gap)
        self.assertEqual((gap, count), (case['gap'], case['count']))
        if count < 16:
          continue
        plan, _ = sampling.make_plan(
          _cohort(num_frames),
          _config(batch=16, epochs=2, schedule='linear', start=gap, end=gap),
          seed=0,
        )
        numbers = np.array([0, count - 1], np.int32)
        pairs = plan_lib._gap_pairs(plan, np.int32(0), numbers, np)
        self.assertEqual(pairs.T.tolist(), [case['first'], case['last']])
        self.assertEqual(plan.clock.epoch_start[1], case['batches_of_16'])

  def test_fixed_pairing_is_the_published_one(self):
    golden = json.loads(_GOLDEN.read_text())['psm_fixed_pairing']['cases']
    for name, case in golden.items():
      plan, _ = sampling.make_plan(
        _cohort(int(name[1:])), _config('fixed'), seed=0
      )
      self.assertEqual(plan.num_examples[0], case['n_pairs'])
      pairs = plan.partner[: 2 * case['n_pairs']].reshape(-1, 2).tolist()
      self.assertEqual(pairs[: len(case['first_pairs'])], case['first_pairs'])
      self.assertEqual(pairs[-1], case['last_pair'])
      if case['left_over'] is not None:
        self.assertEqual(plan.partner[-1], case['left_over'])
