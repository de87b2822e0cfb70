import dataclasses

import numpy as np
import pandas as pd
from absl.testing import absltest

from psm_jax.evaluation import approaches, shared_frames
from tests.evaluation import people

_NO_COSTS = pd.DataFrame(columns=approaches.COST_COLUMNS)


def _approach(name, persons=('P1', 'P2'), *, keep=slice(None), change=None):
  tables = []
  for person_id in persons:
    table = people.table(people.frames(person_id, length=50), name)
    frames = table.frames.iloc[keep]
    if change:
      frames = change(frames)
    tables.append(
      dataclasses.replace(
        table,
        features=table.features[keep],
        frames=frames,
      )
    )
  return approaches.Approach(name, tuple(tables), _NO_COSTS, {}, {})


def _take(*found, labels_of='a'):
  return shared_frames.take_common(found, labels_of=labels_of)


class TakeCommonTest(absltest.TestCase):
  def test_equal_frames_are_all_kept(self):
    (first, second), omitted = _take(_approach('a'), _approach('b'))
    self.assertEmpty(omitted)
    self.assertEqual([len(t.frames) for t in first.tables], [100, 100])
    for one, other in zip(first.tables, second.tables, strict=True):
      pd.testing.assert_frame_equal(one.frames, other.frames)

  def test_what_one_lacks_is_left_out_of_the_other_and_said(self):
    (first, second), omitted = _take(
      _approach('a', ('P1', 'P2', 'P3'), keep=slice(10, None)), _approach('b')
    )
    self.assertEqual({t.person_id for t in first.tables}, {'P1', 'P2'})
    self.assertEqual([len(t.frames) for t in second.tables], [90, 90])
    self.assertEqual(
      omitted.to_dict('records'),
      [
        {
          'approach': 'b',
          'person_id': 'P1',
          'num_frames': 10,
          'reason': 'frames not in all',
        },
        {
          'approach': 'b',
          'person_id': 'P2',
          'num_frames': 10,
          'reason': 'frames not in all',
        },
        {
          'approach': 'a',
          'person_id': 'P3',
          'num_frames': 90,
          'reason': 'not in b',
        },
      ],
    )

  def test_features_stay_with_their_frames(self):
    order = np.random.default_rng(0).permutation(100)
    (first, second), _ = _take(_approach('a'), _approach('b', keep=order[:70]))
    expected = {}
    for table in _approach('b').tables:
      keys = zip(
        [table.person_id] * 100,
        table.frames['video_id'],
        table.frames['frame'],
        strict=True,
      )
      expected |= dict(zip(keys, table.features, strict=True))
    for table in second.tables:
      self.assertLen(table.frames, 70)
      rows = table.frames[['person_id', 'video_id', 'frame']]
      for key, row in zip(
        rows.itertuples(index=False, name=None), table.features, strict=True
      ):
        np.testing.assert_array_equal(row, expected[key])
    pd.testing.assert_frame_equal(
      first.tables[0].frames, second.tables[0].frames
    )

  def test_each_is_compared_as_its_own_method_says(self):
    def told(frames, unit_length):
      frames = frames.copy()
      frames.attrs['unit_length'] = unit_length
      return frames

    taken, _ = _take(
      _approach('a', change=lambda frames: told(frames, True)),
      _approach('b', change=lambda frames: told(frames, False)),
    )
    for approach, has_length in zip(taken, (False, True), strict=True):
      for table in approach.tables:
        self.assertEqual(table.has_length, has_length)
        norm = np.linalg.norm(table.scaled(), axis=1)
        self.assertEqual(np.allclose(norm, 1), not has_length)

  def test_labels_come_from_whom_they_are_asked_of_or_who_has_them(self):
    bare = _approach('a', change=lambda f: f.drop(columns=list(people.UNITS)))
    for first, second in ((bare, _approach('b')), (_approach('b'), bare)):
      found, _ = _take(first, second)
      for approach in found:
        self.assertIn('AU04', approach.tables[0].frames)

  def test_other_labels_are_an_error_that_names_the_frame(self):
    def change(frames):
      return frames.assign(AU04=frames['AU04'].where(frames['frame'] != 7, 5.0))

    with self.assertRaisesRegex(
      ValueError, r'b \(b\) has AU04 5 at frame 7 of video v0 of person P1'
    ):
      _take(_approach('a'), _approach('b', change=change))

  def test_times_may_be_rounded_but_not_other(self):
    def rounded(frames):
      return frames.assign(time_s=frames['time_s'].round(2))

    def slow(frames):
      return frames.assign(time_s=frames['time_s'] * 2)

    _take(_approach('a'), _approach('b', change=rounded))
    with self.assertRaisesRegex(ValueError, 'time_s'):
      _take(_approach('a'), _approach('b', change=slow))

  def test_what_a_model_did_not_see_is_not_told_of_another(self):
    def held_out(frames):
      return frames.assign(held_out=1.0)

    (first, second), _ = _take(_approach('a', change=held_out), _approach('b'))
    self.assertNotIn('held_out', first.tables[0].frames)
    self.assertNotIn('held_out', second.tables[0].frames)

  def test_nothing_in_common_says_who_has_what(self):
    def renamed(frames):
      return frames.assign(video_id='x-' + frames['video_id'])

    with self.assertRaisesRegex(ValueError, r'a: persons P1.*b: persons P2'):
      _take(_approach('a', ('P1',)), _approach('b', ('P2',)))
    with self.assertRaisesRegex(ValueError, 'videos v0, v1.*videos x-v0, x-v1'):
      _take(_approach('a'), _approach('b', change=renamed))

  def test_two_of_one_name_are_an_error(self):
    with self.assertRaisesRegex(ValueError, 'one approach is called a'):
      _take(_approach('a'), _approach('a'))


if __name__ == '__main__':
  absltest.main()
