import dataclasses

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.evaluation import (
  controls,
  person,
  probes,
  results,
  scores,
  splits,
)
from tests.evaluation import people

_CONFIG = probes.ProbeConfig(**people.QUICK)


def _frames(**options):
  return people.frames('P1', **{'length': 400, **options})


def _evaluate(*tables, **options):
  """Returns a row a probe, and why some are missing."""
  config = dataclasses.replace(_CONFIG, **options)
  rows, skipped = person.evaluate(tables, config=config)
  return people.wide(rows), pd.DataFrame(skipped)


def _units(found):
  """Returns the rows of action units."""
  return found[found['target'].str.match(r'AU\d')]


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
    keys = ['source', 'split', 'direction', 'target']
    one, other = (
      _evaluate(*given)[0].sort_values(keys).reset_index(drop=True)
      for given in (tables, shuffled)
    )
    pd.testing.assert_frame_equal(one, other)

  def test_one_video_misses_the_cross_video_split_only(self):
    found, skipped = _evaluate(people.table(_frames(num_videos=1)))
    self.assertEqual(set(_units(found)['split']), {'random', 'blocked'})
    self.assertEqual(skipped['split'].tolist(), ['cross_video'])

  def test_action_unit_of_one_class_is_named_wherever_it_is_missing(self):
    found, skipped = _evaluate(people.table(_frames().assign(AU04=3.0)))
    self.assertTrue(found[found['target'] == 'AU04']['f1'].isna().all())
    self.assertEqual(set(skipped['target']), {'AU04'})
    self.assertTrue(skipped['reason'].str.startswith('AU04').all())
    self.assertLen(skipped, 4)

  def test_targets_need_no_action_units(self):
    frames = _frames()
    bare = frames.drop(columns=list(people.UNITS))
    table = people.table(frames, pose=3.0)
    found, _ = _evaluate(dataclasses.replace(table, frames=bare))
    self.assertEmpty(_units(found))
    told = found[found['target'] != 'embedding']
    self.assertEqual(set(told['target']), {'yaw', 'pitch', 'roll', 'pose'})
    self.assertEqual(set(told['split']), set(splits.SPLITS))
    self.assertGreater(told['r2'].min(), 0.9)

  def test_head_pose_as_a_whole_is_over_all_angles(self):
    found, _ = _evaluate(
      people.table(_frames(), pose=0.3, noise=1.0), splits=('blocked',)
    )
    row = found.set_index('target')
    angles = row.loc[['yaw', 'pitch', 'roll']]
    spread = angles['sd_deg'] ** 2
    self.assertAlmostEqual(
      row.loc['pose', 'r2'], (angles['r2'] * spread).sum() / spread.sum()
    )
    self.assertAlmostEqual(row.loc['pose', 'mae_deg'], angles['mae_deg'].mean())

  def test_expressions_of_one_class_are_named(self):
    found, skipped = _evaluate(
      people.table(_frames().assign(expression='neutral'))
    )
    self.assertNotIn('expression', set(found['target']))
    self.assertEqual(set(skipped['target']), {'expression'})

  def test_structure_is_that_of_embeddings_alone(self):
    table = people.table(_frames())
    found, _ = _evaluate(
      table, *controls.from_labels(table), splits=('blocked',)
    )
    rank = found.set_index('source')['effective_rank'].dropna()
    self.assertEqual(rank.index.tolist(), ['gm'])
    self.assertAlmostEqual(rank['gm'], scores.effective_rank(table.features))

  def test_intervals_lie_around_the_scores_and_their_mean(self):
    rows, _ = person.evaluate(
      [people.table(_frames(), noise=8.0)], config=_CONFIG
    )
    table = results.table(rows)
    table = table[
      table['metric'].isin(['f1', 'auc']) & table['split'].isin(splits.SPLITS)
    ]
    known = table.dropna(subset='ci_low')
    self.assertNotEmpty(known)
    self.assertTrue((known['ci_low'] <= known['value']).all())
    self.assertTrue((known['ci_high'] >= known['value']).all())
    keys = ['split', 'direction', 'metric']
    is_mean = table['target'] == results.ACTION_UNITS
    np.testing.assert_allclose(
      table[is_mean].set_index(keys)['value'].sort_index(),
      table[~is_mean].groupby(keys)['value'].mean(),
      atol=1e-12,
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
    alone = _units(_evaluate(one, splits=('held_out',))[0])
    both = _units(_evaluate(one, other, splits=('held_out',))[0])
    self.assertEqual(set(alone['n_test']), {2 * 160})
    self.assertEqual(set(both['n_test']), {2 * 80})

  def test_a_model_that_tells_nothing_may_have_seen_everything(self):
    frames = _frames()
    told = frames.assign(held_out=(frames['frame'] >= 240) * 1.0)
    found, skipped = _evaluate(
      people.table(told), people.table(frames, 'other'), splits=('held_out',)
    )
    self.assertEmpty(_units(found))
    self.assertIn('held out', skipped['reason'].iloc[0])


class WrongInputTest(parameterized.TestCase):
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
