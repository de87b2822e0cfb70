import dataclasses
import os
import pathlib

import numpy as np
import pandas as pd
import pytest
from absl.testing import absltest

from psm_jax.discovery import named_movements
from psm_jax.evaluation import (
  approach_table,
  approaches,
  compare,
  probes,
  results,
)
from tests.evaluation import people

_PERSONS = ('P1', 'P2', 'P3', 'P4', 'P5')
_CONFIG = dataclasses.replace(
  probes.DEFAULT,
  **people.QUICK,
  splits=('cross_video',),
)


def _tables(source, *, own_models, seeds=(0,), **options):
  """Returns features of everybody, by a model each or by one of all."""
  return tuple(
    people.table(
      people.frames(p),
      source,
      model_id=f'm-{p}-s{seed}' if own_models else f'm-all-s{seed}',
      # Models of their own have coordinates of their own.
      model_seed=seed + (10 * index if own_models else 0),
      **options,
    )
    for index, p in enumerate(_PERSONS)
    for seed in seeds
  )


def _approach(name, tables, *, seconds=10.0, steps=100):
  """Returns the approach of a run without its files."""
  models = sorted({table.model_id for table in tables})
  costs = pd.DataFrame(
    [
      {
        'approach': name,
        'model_id': model_id,
        'steps': steps,
        'examples': 4 * steps,
        'images': 8.0 * steps,
        'seconds': seconds,
      }
      for model_id in models
    ],
    columns=approaches.COST_COLUMNS,
  )
  return approaches.Approach(
    name,
    tables,
    costs,
    {model_id: model_id[-1] for model_id in models},
    {model_id: (pathlib.Path(name), model_id) for model_id in models},
  )


def _compare(found, **options):
  found, omitted = approaches.take_common(found, labels_of=found[0].name)
  options = {
    'baseline': found[0].name,
    'config': _CONFIG,
    'omitted': omitted,
    'show_progress': False,
    **options,
  }
  return compare.compare(found, **options)


class CompareTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.found = [
      _approach('psm', _tables('psm', own_models=True, noise=0.3, pose=1.0)),
      _approach(
        'gm', _tables('gm', own_models=False, noise=20.0, identity=30.0)
      ),
      _approach(
        'psm_seeds',
        _tables('psm_seeds', own_models=True, seeds=(0, 1), noise=4.0),
      ),
    ]
    cls.controls = [
      *_tables('pixel_pca', own_models=True, noise=20.0),
      *_tables('random_encoder', own_models=True, noise=40.0),
    ]
    rules = [named_movements.Rule('smile', {'AU12': 2.0})]
    movements = pd.concat(
      named_movements.derive(people.frames(p), rules) for p in _PERSONS
    )
    tables = [table for approach in cls.found for table in approach.tables]
    cls.comparison = _compare(
      cls.found,
      controls=cls.controls,
      more=named_movements.agreement([*tables, *cls.controls], movements),
      align_to='gm',
    )
    cls.wide = results.wide(cls.comparison['results'])
    cls.table = cls.comparison['approaches'].set_index('approach')

  def test_a_row_an_approach_then_a_row_a_control(self):
    table = self.comparison['approaches']
    self.assertEqual(list(table), list(approach_table.COLUMNS))
    self.assertEqual(
      table['approach'].tolist(),
      ['psm', 'gm', 'psm_seeds', 'pixel_pca', 'random_encoder'],
    )
    self.assertEqual(table['kind'].tolist(), ['run'] * 3 + ['control'] * 2)
    self.assertEqual(table['is_baseline'].tolist(), [True] + [False] * 4)
    self.assertEqual(table['num_models'].tolist()[:3], [5, 1, 10])
    self.assertEqual(table['num_seeds'].tolist()[:3], [1, 1, 2])
    self.assertEqual(
      table['has_shared_coordinates'].tolist(),
      [False, True, False, True, False],
    )

  def test_scores_are_means_over_models_then_persons(self):
    scores = self.wide.query("source == 'psm_seeds'").dropna(subset='auc')
    scores = scores[
      (scores['target'] != 'action_units') & (scores['split'] == 'cross_video')
    ]
    of_person = scores.groupby('person_id')['auc'].mean()
    row = self.table.loc['psm_seeds']
    self.assertAlmostEqual(row['auc_cross_video'], of_person.mean())
    self.assertAlmostEqual(row['auc_cross_video_person_sd'], of_person.std())
    of_seed = scores.groupby([scores['model_id'].str[-1], 'person_id'])['auc']
    self.assertAlmostEqual(
      row['auc_cross_video_seed_sd'],
      of_seed.mean().groupby('model_id').mean().std(),
    )
    self.assertTrue(np.isnan(self.table.loc['psm', 'auc_cross_video_seed_sd']))

  @pytest.mark.thorough
  def test_a_person_whom_one_seed_lacks_is_no_spread_of_seeds(self):
    rows = []
    for person_id, seed, value in (
      ('P1', '0', 0.6),
      ('P1', '1', 0.7),
      ('P2', '0', 0.1),
    ):
      place = {'source': 'psm', 'model_id': f'm-{person_id}-s{seed}'}
      place |= {'person_id': person_id, 'split': 'cross_video'}
      rows += results.rows(place, 'AU12', {'auc': value})
    seeds = {row['model_id']: row['model_id'][-1] for row in rows}
    cells = approach_table._seed_sds(results.table(rows), 'psm', seeds)
    self.assertAlmostEqual(
      cells['auc_cross_video_seed_sd'], np.std([0.6, 0.7], ddof=1)
    )

  def test_differences_are_paired_with_the_baseline(self):
    row = self.table.loc['gm']
    self.assertAlmostEqual(
      row['auc_cross_video_difference'],
      row['auc_cross_video'] - self.table.loc['psm', 'auc_cross_video'],
    )
    self.assertLess(row['auc_cross_video_difference_ci_high'], 0)
    self.assertEqual(
      (row['auc_cross_video_wins'], row['auc_cross_video_losses']), (0, 5)
    )
    self.assertTrue(
      pd.isna(self.table.loc['psm', 'auc_cross_video_difference'])
    )
    summary = self.comparison['summary']
    self.assertLessEqual(
      {('gm', 'psm'), ('psm', 'pixel_pca'), ('gm', 'random_encoder')},
      set(zip(summary['first'], summary['second'], strict=True)),
    )

  def test_splits_that_were_not_asked_for_are_empty(self):
    self.assertTrue(self.table['auc_blocked'].isna().all())
    self.assertTrue(self.table['f1_cross_video'].notna().all())

  def test_identity_only_where_coordinates_are_shared(self):
    self.assertGreater(self.table.loc['gm', 'identity'], 0.6)
    self.assertAlmostEqual(self.table.loc['gm', 'identity_chance'], 1 / 5)
    self.assertTrue(np.isnan(self.table.loc['psm', 'identity']))
    self.assertIn('model of their own', self.table.loc['psm', 'note'])

  def test_pose_is_told_of_everybody(self):
    self.assertGreater(self.table.loc['psm', 'pose_r2'], 0.8)
    self.assertLess(self.table.loc['gm', 'pose_r2'], 0.2)
    pose = self.wide.query("source == 'psm' and target == 'pose'")
    self.assertAlmostEqual(
      self.table.loc['psm', 'pose_mae_mean_deg'], pose['mae_mean_deg'].mean()
    )

  def test_retrieval_of_aligned_models_stands_beside_the_general_one(self):
    sources = set(self.wide.query("target == 'retrieval'")['source'])
    self.assertLessEqual({'gm', 'psm_in_gm', 'gm_held_out'}, sources)
    self.assertTrue(np.isnan(self.table.loc['psm', 'retrieval']))
    self.assertFalse(np.isnan(self.table.loc['psm', 'aligned_retrieval']))
    self.assertFalse(np.isnan(self.table.loc['gm', 'aligned_retrieval']))
    self.assertTrue(np.isnan(self.table.loc['gm', 'aligned_r2']))
    mean = self.wide.query("source == 'psm' and target == 'aligned'")[
      'r2'
    ].mean()
    self.assertAlmostEqual(self.table.loc['psm', 'aligned_r2'], mean)

  def test_movements_have_their_agreement_and_its_difference(self):
    agreed = self.wide.query("target == 'movements'")
    self.assertEqual(set(agreed['source']), set(self.table.index))
    row = self.table.loc['gm']
    self.assertAlmostEqual(
      row['ami_difference'], row['ami'] - self.table.loc['psm', 'ami']
    )

  def test_costs_are_sums_over_models(self):
    row = self.table.loc['psm_seeds']
    self.assertEqual(row['steps'], 1000)
    self.assertEqual(row['steps_per_model'], 100)
    self.assertEqual((row['examples'], row['images']), (4000, 8000))
    self.assertEqual(row['seconds'], 100)
    self.assertTrue(pd.isna(self.table.loc['pixel_pca', 'steps']))

  def test_the_text_holds_every_approach_and_marks_the_baseline(self):
    shown = approach_table.text(self.comparison['approaches'])
    self.assertIn('psm *', shown)
    for name in self.table.index:
      self.assertIn(name, shown)
    self.assertIn('auc_cross_video', shown)
    self.assertNotIn('blocked', shown)
    self.assertNotIn('nan', shown.lower())

  def test_every_table_is_written_for_its_owner_alone(self):
    folder = pathlib.Path(self.create_tempdir().full_path) / 'new'
    written = results.write(self.comparison, folder)
    self.assertEqual(written[0].name, 'approaches.csv')
    self.assertEqual(os.stat(folder).st_mode & 0o777, 0o700)
    names = {path.name for path in written}
    self.assertEqual(
      names,
      {
        *('approaches.csv', 'results.csv', 'scores.csv', 'summary.csv'),
        *('skipped.csv', 'costs.csv', 'omitted.csv'),
      },
    )
    self.assertLen(written, len(names))
    again = pd.read_csv(written[0])
    self.assertEqual(list(again), list(approach_table.COLUMNS))
    np.testing.assert_allclose(
      again['auc_cross_video'],
      self.comparison['approaches']['auc_cross_video'],
      rtol=1e-5,
    )


class SmallTest(absltest.TestCase):
  def test_without_labels_the_rest_is_still_there(self):
    tables = tuple(
      dataclasses.replace(
        table, frames=table.frames.drop(columns=list(people.UNITS))
      )
      for table in _tables('gm', own_models=False, identity=30.0, pose=1.0)
    )
    comparison = _compare([_approach('gm', tables)])
    (row,) = comparison['approaches'].to_dict('records')
    self.assertTrue(np.isnan(row['auc_cross_video']))
    self.assertGreater(row['identity'], 0.6)
    self.assertGreater(row['pose_r2'], 0.5)
    self.assertNotEmpty(comparison['skipped'])
    self.assertIn('identity', approach_table.text(comparison['approaches']))

  def test_an_alignment_that_cannot_be_is_a_row_with_a_reason(self):
    own = tuple(
      dataclasses.replace(table, features=table.features[:, :9])
      for table in _tables('psm', own_models=True)
    )
    general = _tables('gm', own_models=False)
    comparison = _compare(
      [_approach('psm', own), _approach('gm', general)], align_to='gm'
    )
    reasons = comparison['skipped'].query("target == 'aligned'")['reason']
    self.assertLen(reasons, 5)
    self.assertIn('as many units', reasons.iloc[0])

  def test_an_unknown_baseline_is_named(self):
    found = [_approach('psm', _tables('psm', own_models=True))]
    with self.assertRaisesRegex(ValueError, "baseline 'x' is none of psm"):
      _compare(found, baseline='x')

  def test_models_of_their_own_are_nothing_to_align_to(self):
    found = [_approach('psm', _tables('psm', own_models=True))]
    with self.assertRaisesRegex(ValueError, "align_to 'psm' has a model for"):
      _compare(found, align_to='psm')


if __name__ == '__main__':
  absltest.main()
