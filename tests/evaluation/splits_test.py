import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.evaluation import splits

_OPTIONS = {'min_base_rate': 0.02, 'guard_s': 2.0, 'seed': 0}


def _frames(*lengths, person_id='P1', fps=20.0):
  return pd.concat(
    [
      pd.DataFrame(
        {
          'person_id': person_id,
          'video_id': f'v{video}',
          'frame': np.arange(length),
          'time_s': np.arange(length) / fps,
        }
      )
      for video, length in enumerate(lengths)
    ],
    ignore_index=True,
  )


def _labels(num_frames, num_units=2, *, seed=0, rate=0.3):
  generator = np.random.default_rng(seed)
  active = generator.random((num_frames, num_units)) < rate
  return pd.DataFrame(
    active.astype(float), columns=[f'AU{u:02d}' for u in range(num_units)]
  )


def _smallest_distance_s(frames, split):
  """Returns the time between a test frame and the nearest training frame."""
  distances = [np.inf]
  for _, video in frames.groupby('video_id'):
    train = video['time_s'][split.train[video.index]].to_numpy()
    test = video['time_s'][split.test[video.index]].to_numpy()
    if len(train) and len(test):
      distances.append(np.abs(train[:, None] - test[None, :]).min())
  return min(distances)


class LabelsTest(parameterized.TestCase):
  @parameterized.parameters((2.0, [0, 0, 1, 1]), (1.0, [0, 1, 1, 1]))
  def test_active_at_the_threshold_or_above(self, threshold, expected):
    frames = pd.DataFrame({'AU01': [0.0, 1.9, 2.0, 5.0]})
    labels = splits.action_unit_labels(frames, threshold=threshold)
    self.assertEqual(labels['AU01'].tolist(), expected)

  @parameterized.parameters(0, -1, np.nan, np.inf)
  def test_a_threshold_that_tells_nothing_apart_is_refused(self, threshold):
    frames = pd.DataFrame({'AU12': [0.0, 3.0]})
    with self.assertRaisesRegex(ValueError, 'threshold'):
      splits.action_unit_labels(frames, threshold=threshold)

  def test_missing_intensity_is_missing_not_inactive(self):
    frames = pd.DataFrame({'AU01': [np.nan, 3.0]})
    labels = splits.action_unit_labels(frames, threshold=2)
    self.assertTrue(np.isnan(labels['AU01'][0]))

  def test_presence_stands_in_where_there_is_no_intensity(self):
    frames = pd.DataFrame(
      {'AU01': [0.0, 3], 'AU01_c': [1.0, 0], 'AU02_c': [0.0, 1]}
    )
    labels = splits.action_unit_labels(frames, threshold=2)
    self.assertEqual(list(labels), ['AU01', 'AU02_c'])
    np.testing.assert_array_equal(labels, [[0, 0], [1, 1]])

  def test_only_action_units_are_labels(self):
    frames = pd.DataFrame(
      [[0, 1.0, 2.0, 3.0]], columns=['frame', 'AU12', 'pose_yaw', 'AUxx']
    )
    self.assertEqual(splits.action_unit_columns(frames), ['AU12'])


class KeptTest(absltest.TestCase):
  def test_base_rate_must_exceed_the_limit(self):
    labels = pd.DataFrame({'AU01': np.zeros(100), 'AU02': np.zeros(100)})
    labels.loc[:1, 'AU01'] = 1  # Exactly 2 %.
    labels.loc[:2, 'AU02'] = 1
    self.assertEqual(
      splits.kept_action_units(labels, min_base_rate=0.02), ('AU02',)
    )

  def test_base_rate_is_of_labelled_frames(self):
    labels = pd.DataFrame({'AU01': np.full(1000, np.nan)})
    labels.loc[:9, 'AU01'] = 0
    labels.loc[0, 'AU01'] = 1  # 1 of 10 labelled, 1 of 1,000 frames.
    self.assertEqual(
      splits.kept_action_units(labels, min_base_rate=0.02), ('AU01',)
    )


class RandomTest(absltest.TestCase):
  def _split(self, num_frames, *, person_id='P1', seed=0):
    frames = _frames(num_frames, person_id=person_id)
    (split,) = splits.make_splits(
      'random', frames, _labels(num_frames), **{**_OPTIONS, 'seed': seed}
    )
    return split

  def test_published_sizes(self):
    split = self._split(4845)
    self.assertEqual((split.test.sum(), split.train.sum()), (969, 3876))
    self.assertFalse((split.train & split.test).any())

  def test_the_split_is_a_function_of_seed_and_person(self):
    split = self._split(100)
    np.testing.assert_array_equal(split.test, self._split(100).test)
    for other in (self._split(100, seed=1), self._split(100, person_id='P2')):
      self.assertTrue((split.test != other.test).any())

  def test_the_order_of_the_rows_does_not_matter(self):
    frames, labels = _frames(60, 40), _labels(100)
    order = np.random.default_rng(3).permutation(100)
    (split,) = splits.make_splits('random', frames, labels, **_OPTIONS)
    (shuffled,) = splits.make_splits(
      'random',
      frames.iloc[order].reset_index(drop=True),
      labels.iloc[order].reset_index(drop=True),
      **_OPTIONS,
    )
    np.testing.assert_array_equal(split.test[order], shuffled.test)

  def test_frames_without_labels_are_in_neither_part(self):
    labels = _labels(100)
    labels.iloc[:50] = np.nan
    (split,) = splits.make_splits('random', _frames(100), labels, **_OPTIONS)
    self.assertFalse((split.train | split.test)[:50].any())
    self.assertTrue((split.train | split.test)[50:].all())


class BlockedTest(parameterized.TestCase):
  @parameterized.parameters(range(12))
  def test_no_training_frame_within_the_guard_of_a_test_frame(self, seed):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(150, 700, generator.integers(1, 4))
    fps = generator.choice([10.0, 20.0, 29.97])
    guard_s = generator.choice([0.5, 2.0])
    frames = _frames(*lengths, fps=fps)
    kept = np.sort(generator.permutation(len(frames))[: int(len(frames) * 0.9)])
    frames = frames.iloc[kept].reset_index(drop=True)
    labels = _labels(len(frames), seed=seed)
    labels[generator.random(len(frames)) < 0.1] = np.nan
    (split,) = splits.make_splits(
      'blocked', frames, labels, min_base_rate=0.02, guard_s=guard_s, seed=seed
    )
    self.assertTrue(split.train.any())
    self.assertGreater(_smallest_distance_s(frames, split), guard_s)

  def test_only_frames_of_that_video_within_the_guard_are_dropped(self):
    frames = _frames(500, 500)
    (split,) = splits.make_splits('blocked', frames, _labels(1000), **_OPTIONS)
    # A video starts long after the other: no guard reaches across.
    time_s = frames['time_s'] + 1000 * (frames['video_id'] == 'v1')
    time_s = time_s.to_numpy()
    distance_s = np.abs(time_s[:, None] - time_s[split.test]).min(axis=1)
    np.testing.assert_array_equal(split.train, distance_s > 2.0 + 1e-6)

  def test_test_part_is_four_blocks_of_a_twentieth(self):
    (split,) = splits.make_splits(
      'blocked', _frames(1000), _labels(1000), **_OPTIONS
    )
    blocks = split.test.reshape(20, 50)
    self.assertEqual(blocks.all(axis=1).sum(), 4)
    self.assertEqual(blocks.any(axis=1).sum(), 4)

  @parameterized.parameters(range(5))
  def test_rare_action_units_occur_in_both_parts_where_possible(self, seed):
    labels = pd.DataFrame(np.zeros((1000, 2)), columns=['AU01', 'AU02'])
    labels.iloc[:30, 0] = 1  # Blocks 0 and 18 only.
    labels.iloc[920:940, 0] = 1
    labels.iloc[300:320, 1] = 1  # Blocks 6 and 12 only.
    labels.iloc[610:630, 1] = 1
    (split,) = splits.make_splits(
      'blocked', _frames(1000), labels, **{**_OPTIONS, 'seed': seed}
    )
    for part in (split.train, split.test):
      self.assertTrue((labels[part].sum() > 0).all())

  def test_an_action_unit_of_one_block_does_not_stop_the_others(self):
    labels = _labels(1000)
    labels['AU01'] = 0.0
    labels.iloc[500:530, 1] = 1
    (split,) = splits.make_splits('blocked', _frames(1000), labels, **_OPTIONS)
    for part in (split.train, split.test):
      self.assertGreater(labels['AU00'][part].sum(), 0)

  def test_short_video_is_impossible(self):
    with self.assertRaisesRegex(splits.Impossible, 'around the guard'):
      splits.make_splits('blocked', _frames(40), _labels(40), **_OPTIONS)

  def test_fewer_frames_than_blocks_is_impossible(self):
    with self.assertRaisesRegex(splits.Impossible, 'fewer than 20'):
      splits.make_splits('blocked', _frames(19), _labels(19), **_OPTIONS)


class HeldOutTest(parameterized.TestCase):
  @parameterized.parameters(range(8))
  def test_test_frames_are_the_held_out_ones_and_training_keeps_its_distance(
    self, seed
  ):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(150, 500, generator.integers(1, 4))
    frames = _frames(*lengths, fps=generator.choice([10.0, 20.0, 29.97]))
    held_out = frames['frame'] >= frames.groupby('video_id')['frame'].transform(
      lambda own: generator.uniform(0.3, 0.9) * len(own)
    )
    # Spans in the middle have a border on both sides.
    held_out &= generator.random() < 0.5 or frames['frame'] % 140 > 20
    frames['held_out'] = held_out * 1.0
    labels = _labels(len(frames), seed=seed)
    labels[generator.random(len(frames)) < 0.1] = np.nan
    (split,) = splits.make_splits('held_out', frames, labels, **_OPTIONS)
    labelled = labels.notna().all(axis=1).to_numpy()
    np.testing.assert_array_equal(split.test, held_out & labelled)
    self.assertTrue(split.train.any())
    self.assertFalse((split.train & held_out).any())
    self.assertGreater(_smallest_distance_s(frames, split), 2.0)
    self.assertEqual(split.direction, 'within')

  def test_only_the_guard_is_dropped(self):
    frames = _frames(400, 100)
    frames['held_out'] = frames['frame'].between(200, 299) * 1.0
    (split,) = splits.make_splits('held_out', frames, _labels(500), **_OPTIONS)
    dropped = ~(split.train | split.test)
    np.testing.assert_array_equal(
      np.flatnonzero(dropped), [*range(160, 200), *range(300, 340)]
    )

  @parameterized.parameters(
    ({}, 'no frame was held out'),
    ({'held_out': 0.0}, 'no frame was held out'),
    ({'held_out': 1.0}, 'left for training'),
  )
  def test_nothing_or_everything_held_out_is_impossible(self, columns, message):
    frames = _frames(100).assign(**columns)
    with self.assertRaisesRegex(splits.Impossible, message):
      splits.make_splits('held_out', frames, _labels(100), **_OPTIONS)


class InnerFoldsTest(parameterized.TestCase):
  @parameterized.parameters(range(5))
  def test_folds_cover_the_training_part_once_and_keep_their_distance(
    self, seed
  ):
    frames = _frames(300, 200)
    train = np.random.default_rng(seed).random(500) < 0.7
    folds = splits.inner_folds(frames, train, num_folds=4, guard_s=2.0)
    self.assertLen(folds, 4)
    np.testing.assert_array_equal(
      sum(validate.astype(int) for _, validate in folds), np.ones(train.sum())
    )
    for fold in folds:
      fit, validate = np.zeros((2, len(train)), bool)
      fit[train], validate[train] = fold
      split = splits.Split('within', fit, validate, ())
      self.assertGreater(_smallest_distance_s(frames, split), 2.0)

  def test_fold_that_the_guard_leaves_empty_is_left_out(self):
    folds = splits.inner_folds(
      _frames(40), np.ones(40, bool), num_folds=2, guard_s=2.0
    )
    self.assertEmpty(folds)


class HalvesTest(absltest.TestCase):
  def test_above_the_median_is_1_and_unknown_stays_unknown(self):
    halves = splits.halves(
      pd.DataFrame({'a': [3, 1, 2, np.nan], 'b': [5.0] * 4})
    )
    np.testing.assert_array_equal(halves['a'], [1, 0, 0, np.nan])
    np.testing.assert_array_equal(halves['b'], [0, 0, 0, 0])


class CrossVideoTest(absltest.TestCase):
  def test_two_directions_between_the_first_two_videos(self):
    frames = _frames(50, 40, 30)
    forward, backward = splits.make_splits(
      'cross_video', frames, _labels(120), **_OPTIONS
    )
    video = frames['video_id'].to_numpy()
    self.assertEqual(forward.direction, 'forward')
    self.assertEqual(backward.direction, 'backward')
    np.testing.assert_array_equal(forward.train, video == 'v0')
    np.testing.assert_array_equal(forward.test, video == 'v1')
    np.testing.assert_array_equal(backward.train, forward.test)
    np.testing.assert_array_equal(backward.test, forward.train)

  def test_action_units_must_be_active_in_both_videos(self):
    labels = _labels(200, 3)
    labels.iloc[:100, 0] = 0
    labels.iloc[100:, 2] = 0
    forward, _ = splits.make_splits(
      'cross_video', _frames(100, 100), labels, **_OPTIONS
    )
    self.assertEqual(forward.action_units, ('AU01',))

  def test_one_video_is_impossible(self):
    with self.assertRaisesRegex(splits.Impossible, 'one labelled video'):
      splits.make_splits('cross_video', _frames(50), _labels(50), **_OPTIONS)

  def test_video_without_labels_does_not_count(self):
    labels = _labels(100)
    labels.iloc[50:] = np.nan
    with self.assertRaisesRegex(splits.Impossible, 'one labelled video'):
      splits.make_splits('cross_video', _frames(50, 50), labels, **_OPTIONS)


class ImpossibleTest(parameterized.TestCase):
  @parameterized.parameters(*splits.ALL_SPLITS)
  def test_no_labels_is_named(self, name):
    for labels in (_labels(100) * np.nan, _labels(100)[[]]):
      with self.assertRaisesRegex(splits.Impossible, 'no action-unit labels'):
        splits.make_splits(name, _frames(50, 50), labels, **_OPTIONS)

  @parameterized.parameters(*splits.ALL_SPLITS)
  def test_no_kept_action_unit_is_named(self, name):
    with self.assertRaisesRegex(splits.Impossible, 'active often enough'):
      splits.make_splits(name, _frames(50, 50), _labels(100) * 0, **_OPTIONS)

  def test_unknown_split_is_an_error(self):
    with self.assertRaisesRegex(ValueError, "'leave_one_out'"):
      splits.make_splits('leave_one_out', _frames(50), _labels(50), **_OPTIONS)


if __name__ == '__main__':
  absltest.main()
