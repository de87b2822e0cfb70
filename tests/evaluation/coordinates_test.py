import dataclasses

import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.evaluation import coordinates, splits
from tests.evaluation import people


def _table(person_id, source='psm', **options):
  return people.table(people.frames(person_id, length=60), source, **options)


class SharedModelsTest(absltest.TestCase):
  def test_models_of_several_persons_are_told_from_those_of_one(self):
    tables = [_table(p, model_id=m) for p in ('P1', 'P2') for m in ('a', p)]
    tables += [_table(p, 'own', model_id=p) for p in ('P1', 'P2')]
    found = coordinates.shared_models(tables)
    self.assertEqual(list(found), ['psm', 'own'])
    self.assertEqual(list(found['psm']), ['a'])
    self.assertEqual([t.person_id for t in found['psm']['a']], ['P1', 'P2'])
    self.assertEmpty(found['own'])

  def test_pixels_of_a_person_are_taken_once_whatever_their_model(self):
    tables = [
      _table(p, 'pixel_pca', model_id=m) for p in ('P1', 'P2') for m in 'ab'
    ]
    found = coordinates.shared_models(tables)['pixel_pca']
    self.assertEqual(list(found), ['pixel_pca'])
    self.assertLen(found['pixel_pca'], 2)

  def test_tables_without_a_feature_are_left_out(self):
    table = _table('P1')
    bare = dataclasses.replace(table, features=table.features[:, :0])
    self.assertEmpty(coordinates.shared_models([bare]))


class TwoPartsTest(parameterized.TestCase):
  def test_two_videos_are_the_parts(self):
    frames = people.frames('P1', num_videos=3, length=60)
    name, (forward, backward) = coordinates.two_parts(
      frames, np.ones(180, bool), guard_s=1.0
    )
    self.assertEqual(name, splits.CROSS_VIDEO)
    np.testing.assert_array_equal(forward.train, frames['video_id'] == 'v0')
    np.testing.assert_array_equal(forward.test, frames['video_id'] == 'v1')
    np.testing.assert_array_equal(backward.train, forward.test)
    np.testing.assert_array_equal(backward.test, forward.train)

  @parameterized.parameters(0.0, 0.5, 1.0)
  def test_halves_of_one_video_are_a_guard_apart(self, guard_s):
    frames = people.frames('P1', num_videos=1, length=200)
    name, (forward, _) = coordinates.two_parts(
      frames, np.ones(200, bool), guard_s=guard_s
    )
    self.assertEqual(name, splits.BLOCKED)
    ends = [frames['time_s'][part] for part in (forward.train, forward.test)]
    # 20 frames a second; the middle frame is in the later half.
    self.assertAlmostEqual(ends[1].min() - ends[0].max(), guard_s + 0.05)

  def test_nothing_usable_is_a_reason(self):
    frames = people.frames('P1', num_videos=1, length=20)
    for usable, guard_s in ((np.zeros(20, bool), 0.0), (np.ones(20, bool), 9)):
      with self.assertRaises(splits.Impossible):
        coordinates.two_parts(frames, usable, guard_s=guard_s)


class RowsTest(parameterized.TestCase):
  def test_rows_are_put_in_order_of_video_and_time(self):
    table = _table('P1')
    order = np.random.default_rng(0).permutation(120)
    shuffled = dataclasses.replace(
      table, features=table.features[order], frames=table.frames.iloc[order]
    )
    found = shuffled.in_order()
    np.testing.assert_array_equal(found.features, table.features)
    self.assertTrue(found.frames.equals(table.frames))

  @parameterized.parameters((3, [0, 3, 6]), (10, list(range(10))), (99, None))
  def test_some_rows_are_taken_at_equal_steps(self, num_rows, expected):
    found = coordinates.spread_rows(np.arange(10), num_rows=num_rows)
    self.assertEqual(found.tolist(), expected or list(range(10)))


if __name__ == '__main__':
  absltest.main()
