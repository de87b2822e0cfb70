import dataclasses

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.evaluation import person_dependent, probes, splits
from tests.evaluation import people

_CONFIG = probes.ProbeConfig(
  l2_normalise=False, num_frame_resamples=5, num_block_resamples=20
)


def _frames(**options):
  return people.frames('P1', **{'length': 400, **options})


def _evaluate(*tables, **options):
  """Returns the tables that rows are of, by their names."""
  config = dataclasses.replace(_CONFIG, **options)
  rows = person_dependent.evaluate(tables, config=config)
  return {name: pd.DataFrame(own) for name, own in rows.items()}


class RowsTest(absltest.TestCase):
  def test_the_order_of_tables_and_rows_does_not_matter(self):
    tables = [people.table(_frames(), source) for source in ('one', 'other')]
    shuffled = []
    for table in tables[::-1]:
      order = np.random.default_rng(len(shuffled)).permutation(
        len(table.frames)
      )
      shuffled.append(
        dataclasses.replace(
          table,
          features=table.features[order],
          frames=table.frames.iloc[order],
        )
      )
    keys = ['source', 'split', 'direction', 'au']
    one, other = (
      _evaluate(*given)['scores'].sort_values(keys).reset_index(drop=True)
      for given in (tables, shuffled)
    )
    pd.testing.assert_frame_equal(one, other)

  def test_one_video_misses_the_cross_video_split_only(self):
    found = _evaluate(people.table(_frames(num_videos=1)))
    self.assertEqual(set(found['scores']['split']), {'random', 'blocked'})
    self.assertEqual(found['skipped']['split'].tolist(), ['cross_video'])

  def test_action_unit_of_one_class_is_named_wherever_it_is_missing(self):
    found = _evaluate(people.table(_frames().assign(AU04=3.0)))
    self.assertNotIn('AU04', set(found['scores']['au']))
    self.assertTrue(found['skipped']['reason'].str.startswith('AU04').all())
    self.assertLen(found['skipped'], 4)

  def test_targets_need_no_action_units(self):
    frames = _frames()
    bare = frames.drop(columns=list(people.UNITS))
    table = people.table(frames, pose=3.0)
    found = _evaluate(dataclasses.replace(table, frames=bare))
    self.assertNotIn('scores', found)
    own = found['regression']
    self.assertEqual(set(own['target']), {'yaw', 'pitch', 'roll'})
    self.assertEqual(set(own['split']), set(splits.SPLITS))
    self.assertGreater(own['r2'].min(), 0.9)

  def test_expressions_of_one_class_are_named(self):
    found = _evaluate(people.table(_frames().assign(expression='neutral')))
    self.assertNotIn('expressions', found)
    self.assertLen(found['skipped'], 3)
    self.assertTrue(
      found['skipped']['reason'].str.contains('expressions').all()
    )


class HeldOutTest(absltest.TestCase):
  def test_test_frames_are_those_that_no_model_saw(self):
    frames = _frames()
    one, other = (
      people.table(frames.assign(held_out=held_out * 1.0), model_id=model_id)
      for model_id, held_out in (
        ('first', frames['frame'] >= 240),
        ('second', frames['frame'] < 320),
      )
    )
    alone = _evaluate(one, splits=('held_out',))['scores']
    both = _evaluate(one, other, splits=('held_out',))['scores']
    self.assertEqual(set(alone['n_test']), {2 * 160})
    self.assertEqual(set(both['n_test']), {2 * 80})

  def test_a_model_that_tells_nothing_may_have_seen_everything(self):
    frames = _frames()
    told = frames.assign(held_out=(frames['frame'] >= 240) * 1.0)
    found = _evaluate(
      people.table(told), people.table(frames, 'other'), splits=('held_out',)
    )
    self.assertNotIn('scores', found)
    self.assertIn('held out', found['skipped']['reason'].iloc[0])


class WrongInputTest(parameterized.TestCase):
  def test_the_same_table_twice_is_an_error(self):
    table = people.table(_frames())
    with self.assertRaisesRegex(ValueError, 'two feature tables'):
      _evaluate(table, table)

  @parameterized.parameters(
    (lambda x: x.iloc[:-1], '800 and 799 frames'),
    (lambda x: x.assign(frame=x['frame'] + 1), 'values of frame'),
    (lambda x: x.assign(AU04=0.0), 'values of AU04'),
    (lambda x: x.drop(columns='AU04'), 'action-unit columns'),
    (lambda x: x.assign(pose_yaw=0.0), 'values of pose_yaw'),
  )
  def test_sources_with_other_frames_are_an_error(self, change, message):
    frames = _frames()
    table, other = (people.table(frames, source) for source in ('a', 'b'))
    changed = change(frames)
    other = dataclasses.replace(
      other, features=other.features[: len(changed)], frames=changed
    )
    with self.assertRaisesRegex(ValueError, message):
      _evaluate(table, other)


if __name__ == '__main__':
  absltest.main()
