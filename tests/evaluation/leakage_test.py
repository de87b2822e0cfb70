import dataclasses

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.evaluation import coordinates, leakage
from tests.evaluation import people

_PERSONS = ('P1', 'P2', 'P3', 'P4')
_CONFIG = leakage.LeakageConfig(max_frames=400)


def _population(source='gm', *, num_videos=2, **options):
  return [
    people.table(people.frames(p, num_videos=num_videos), source, **options)
    for p in _PERSONS
  ]


def _accuracy(tables):
  summary = leakage.identity(tables, config=_CONFIG).summary
  return summary.set_index(['source', 'probe', 'centring'])['accuracy']


class IdentityTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.found = leakage.identity(
      _population('clean') + _population('leaky', identity=6.0), config=_CONFIG
    )

  def test_a_planted_identity_is_found_and_none_where_none_is(self):
    summary = self.found.summary.set_index(['source', 'probe', 'centring'])
    self.assertGreater(
      summary.loc[('leaky', 'linear', 'none'), 'accuracy'], 0.95
    )
    self.assertLess(summary.loc[('clean', 'linear', 'none'), 'accuracy'], 0.45)
    self.assertTrue((summary['chance'] == 1 / 4).all())
    self.assertTrue((summary['split'] == 'cross_video').all())

  def test_centring_takes_a_shifted_mean_away(self):
    summary = self.found.summary.set_index(['source', 'probe', 'centring'])
    before, after = (
      summary.loc[('leaky', 'nearest', centring), 'accuracy']
      for centring in coordinates.CENTRINGS
    )
    self.assertGreater(before, 0.95)
    self.assertLess(after, 0.6)

  def test_the_interval_is_of_persons_and_holds_the_mean(self):
    summary = self.found.summary
    self.assertTrue((summary['ci_low'] <= summary['accuracy']).all())
    self.assertTrue((summary['accuracy'] <= summary['ci_high']).all())
    self.assertTrue((summary['num_persons'] == 4).all())

  def test_training_parts_hold_equally_many_frames_of_everybody(self):
    short = people.frames('P1', length=80)
    found = leakage.identity(
      [people.table(short), *_population()[1:]], config=_CONFIG
    )
    self.assertEqual(set(found.persons['num_train']), {80})
    self.assertEqual(set(found.persons['num_test']), {80, 100})

  def test_the_order_of_rows_does_not_matter(self):
    tables = _population(identity=1.0)
    shuffled = []
    for table in tables:
      order = np.random.default_rng(0).permutation(len(table.frames))
      shuffled.append(
        dataclasses.replace(
          table,
          features=table.features[order],
          frames=table.frames.iloc[order],
        )
      )
    pd.testing.assert_series_equal(_accuracy(tables), _accuracy(shuffled))

  def test_one_video_is_tested_on_its_other_half(self):
    found = leakage.identity(
      _population(identity=6.0, num_videos=1), config=_CONFIG
    )
    self.assertEqual(set(found.summary['split']), {'blocked'})
    # 200 frames less the 2 s between the halves.
    self.assertEqual(set(found.persons['num_test']), {80})

  def test_a_model_each_has_a_reason_instead_of_a_value(self):
    own = [
      people.table(people.frames(p), 'psm', model_id=f'm-{p}', model_seed=i)
      for i, p in enumerate(_PERSONS)
    ]
    found = leakage.identity(own, config=_CONFIG)
    (row,) = found.summary.to_dict('records')
    self.assertEqual(row['reason'], 'each person has a model of their own')
    self.assertTrue(np.isnan(row['accuracy']))
    self.assertEmpty(found.persons)

  def test_pixels_are_shared_whatever_model_they_are_the_control_of(self):
    pixels = [
      dataclasses.replace(table, model_id=f'm-{table.person_id}-{seed}')
      for table in _population('pixel_pca', identity=6.0)
      for seed in range(2)
    ]
    summary = leakage.identity(pixels, config=_CONFIG).summary
    self.assertTrue((summary['num_models'] == 1).all())
    self.assertGreater(summary['accuracy'].iloc[0], 0.95)

  def test_a_person_of_too_few_frames_is_named_and_the_others_go_on(self):
    short = people.table(people.frames('P1', length=10))
    summary = leakage.identity(
      [short, *_population()[1:]], config=_CONFIG
    ).summary
    self.assertTrue((summary['num_persons'] == 3).all())
    self.assertIn('without P1', summary['reason'].iloc[0])

  def test_one_sound_person_is_no_population(self):
    tables = [people.table(people.frames(p, length=10)) for p in _PERSONS[1:]]
    found = leakage.identity([_population()[0], *tables], config=_CONFIG)
    self.assertLen(found.summary, 1)
    self.assertIn('P2, P3, P4', found.summary['reason'].iloc[0])

  @parameterized.parameters(
    ('num_neighbours', 0), ('max_frames', 0), ('min_frames', 4)
  )
  def test_a_value_out_of_range_is_named(self, field, value):
    with self.assertRaisesRegex(ValueError, f'{field} {value}'):
      leakage.LeakageConfig(**{field: value})


class PoseTest(absltest.TestCase):
  def test_a_planted_pose_is_told_in_degrees_and_none_where_none_is(self):
    found = leakage.pose(
      _population('turned', pose=1.0) + _population('still'), config=_CONFIG
    )
    self.assertLen(found, 2 * 4 * 2 * 3)
    means = found.groupby('source')[['r2', 'mae_deg', 'mae_mean_deg']].mean()
    self.assertGreater(means.loc['turned', 'r2'], 0.85)
    self.assertLess(means.loc['turned', 'mae_deg'], 2.0)
    self.assertLess(means.loc['still', 'r2'], 0.2)
    self.assertGreater(means.loc['still', 'mae_deg'], 4.0)
    self.assertAlmostEqual(
      means.loc['turned', 'mae_mean_deg'], means.loc['still', 'mae_mean_deg']
    )

  def test_no_head_pose_is_a_row_with_a_reason(self):
    own = people.frames('P1')
    bare = own.drop(columns=[c for c in own if c.startswith('pose_')])
    table = dataclasses.replace(people.table(own), frames=bare)
    (row,) = leakage.pose([table], config=_CONFIG).to_dict('records')
    self.assertEqual(row['reason'], 'no head pose')
    self.assertTrue(np.isnan(row['r2']))

  def test_the_head_pose_is_no_leakage_of_itself(self):
    (row,) = leakage.pose(_population('head_pose')[:1]).to_dict('records')
    self.assertIn('are the head pose', row['reason'])

  def test_one_video_is_tested_on_its_other_half(self):
    found = leakage.pose(_population(pose=1.0, num_videos=1), config=_CONFIG)
    self.assertEqual(set(found['split']), {'blocked'})
    self.assertTrue((found['num_train'] == 80).all())


if __name__ == '__main__':
  absltest.main()
