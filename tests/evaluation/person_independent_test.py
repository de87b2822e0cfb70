import dataclasses
from unittest import mock

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized
from sklearn import (
  linear_model,
  metrics,
  pipeline,
  preprocessing as skl_preprocessing,
)

from psm_jax.evaluation import features, person_independent, probes, results

_CONFIG = probes.ProbeConfig(l2_normalise=False, inverse_penalties=(1.0,))
_FOLDS = person_independent.FoldConfig(num_partitions=3)


def _table(person, *, model_id='gm', source='psm', rotation=0, num_frames=90):
  """Returns features in which the same directions hold action units."""
  generator = np.random.default_rng([person, rotation])
  units = (generator.random((num_frames, 2)) < (0.4, 0.25)) * 1.0
  hidden = np.concatenate([units, np.ones((num_frames, 1))], axis=1)
  mixing = np.random.default_rng(rotation).normal(size=(3, 6))
  data = 2 * hidden @ mixing + 0.5 * generator.normal(size=(num_frames, 6))
  frames = pd.DataFrame(
    {
      'person_id': f'P{person}',
      'video_id': 'v1',
      'frame': np.arange(num_frames),
      'time_s': np.arange(num_frames) / 20,
      'AU01': 3 * units[:, 0],
      'AU05': 3 * units[:, 1],
      'AU12_c': units[:, 1],
    }
  )
  return features.FeatureTable(
    source, model_id, f'P{person}', data.astype(np.float32), frames
  )


def _evaluate(tables, **options):
  """Returns scores, summary, expressions and skipped, by these names."""
  rows, skipped = person_independent.evaluate(
    tables,
    **{
      'config': _CONFIG,
      'fold_config': _FOLDS,
      'show_progress': False,
      **options,
    },
  )
  table = results.table(rows)
  named = {'direction': 'fold', 'draw': 'partition', 'target': 'au'}
  wide = results.wide(table).rename(columns=named)
  is_unit = wide['au'].str.match(r'AU\d')
  return {
    'scores': wide[is_unit].reset_index(drop=True),
    'expressions': wide[wide['au'] == 'expression'],
    'summary': person_independent.summarise(table),
    'skipped': results.skipped(skipped),
  }


class FoldsTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.given = [_table(person) for person in range(7)]
    cls.found = _evaluate(cls.given)
    cls.scores = cls.found['scores']

  def test_nobody_is_skipped_and_the_summary_has_its_columns(self):
    self.assertEqual(
      list(self.found['summary']), list(person_independent.SUMMARY_COLUMNS)
    )
    self.assertEmpty(self.found['skipped'])

  def test_a_row_for_every_partition_fold_and_action_unit_asked_for(self):
    self.assertLen(self.scores, 3 * 3 * 2)
    # AU05 is not one of the published eight.
    self.assertEqual(set(self.scores['au']), {'AU01', 'AU12_c'})
    self.assertEqual(set(self.scores['fold']), {'1', '2', '3'})

  def test_folds_share_no_person(self):
    for _, own in self.scores.groupby(['partition', 'au']):
      self.assertEqual(own['n_test_persons'].sum(), 7)
      self.assertEqual(own['n_test'].sum(), 7 * 90)
      self.assertTrue(
        (own['n_test_persons'] + own['n_train_persons'] == 7).all()
      )

  def test_folds_follow_the_seed_alone(self):
    pd.testing.assert_frame_equal(
      self.scores, _evaluate(self.given[::-1])['scores']
    )
    other = _evaluate(self.given, config=dataclasses.replace(_CONFIG, seed=4))[
      'scores'
    ]
    self.assertFalse(self.scores['n_positive'].equals(other['n_positive']))

  def test_partitions_differ(self):
    positive = self.scores[self.scores['au'] == 'AU01'].pivot(
      index='fold', columns='partition', values='n_positive'
    )
    self.assertFalse(positive[0].equals(positive[1]))

  def test_shared_coordinates_are_read_across_people(self):
    summary = self.found['summary'].set_index('metric')
    row = summary.loc['auc']
    self.assertGreater(row['mean'], 0.9)
    self.assertEqual(row['num_folds'], 3)
    self.assertEqual(row['num_partitions'], 3)

  def test_summary_is_of_the_folds_and_of_the_partitions(self):
    row = self.found['summary'].set_index('metric').loc['f1_bootstrap']
    fold = self.scores.groupby(['partition', 'fold'])['f1_bootstrap'].mean()
    self.assertAlmostEqual(row['mean'], fold[0].mean())
    self.assertAlmostEqual(row['fold_sd'], fold[0].std())
    self.assertAlmostEqual(row['fold_min'], fold[0].min())
    partition = fold.groupby('partition').mean()
    self.assertAlmostEqual(row['partition_sd'], partition.std())
    self.assertAlmostEqual(row['partition_max'], partition.max())
    self.assertBetween(row['frame_sd'], 0.001, 0.1)

  def test_equals_a_pipeline_of_scikit_learn(self):
    folds = {f'P{p}': 'a' if p < 3 else 'b' for p in range(7)}
    found = _evaluate(
      self.given,
      folds=folds,
      fold_config=person_independent.FoldConfig(
        num_partitions=1, action_units=('AU05',)
      ),
    )['scores'].set_index('fold')
    train, test = self.given[3:], self.given[:3]
    model = pipeline.make_pipeline(
      skl_preprocessing.StandardScaler(),
      linear_model.LogisticRegression(
        class_weight='balanced', tol=1e-8, max_iter=5000
      ),
    ).fit(
      np.concatenate([t.features for t in train]).astype(float),
      np.concatenate([t.frames['AU05'] > 2 for t in train]),
    )
    truth = np.concatenate([t.frames['AU05'] > 2 for t in test])
    score = model.decision_function(
      np.concatenate([t.features for t in test]).astype(float)
    )
    self.assertAlmostEqual(
      found.loc['a', 'auc'], metrics.roc_auc_score(truth, score), places=6
    )
    self.assertAlmostEqual(
      found.loc['a', 'f1'], metrics.f1_score(truth, score > 0), places=6
    )
    self.assertEqual(found.loc['a', 'n_train'], 4 * 90)

  def test_fewer_training_frames_are_spread_over_the_people(self):
    fold_config = person_independent.FoldConfig(
      num_partitions=1, max_train_frames=60
    )
    found = _evaluate(self.given, fold_config=fold_config)
    scores = found['scores']
    self.assertEqual(set(scores['n_train']), {60})
    self.assertGreater(scores['auc'].mean(), 0.85)

  def test_no_action_units_wanted_means_all_that_are_kept(self):
    fold_config = person_independent.FoldConfig(
      num_partitions=1, action_units=()
    )
    found = _evaluate(self.given, fold_config=fold_config)
    self.assertEqual(set(found['scores']['au']), {'AU01', 'AU05', 'AU12_c'})

  def test_what_is_chosen_is_chosen_on_each_person_once_told_by_the_others(
    self,
  ):
    with mock.patch.object(probes, 'fit', wraps=probes.fit) as fit:
      _evaluate(
        self.given,
        fold_config=person_independent.FoldConfig(num_partitions=1),
      )
    self.assertLen(fit.call_args_list, 3)
    for data, _, folds in (call.args for call in fit.call_args_list):
      person = np.arange(len(data)) // 90
      times = np.sum([validate for _, validate in folds], axis=0)
      np.testing.assert_array_equal(times, 1)
      for inside, validate in folds:
        self.assertTrue((inside | validate).all())
        self.assertTrue(
          set(person[inside]).isdisjoint(person[validate].tolist())
        )

  def test_threshold_is_chosen_on_people_held_out_of_training(self):
    config = dataclasses.replace(_CONFIG, threshold_from='validation')
    tuned = _evaluate(self.given, config=config)['scores']
    np.testing.assert_allclose(tuned['auc'], self.scores['auc'])
    self.assertGreater((tuned['f1'] != self.scores['f1']).sum(), 3)
    self.assertGreater(tuned['f1'].mean(), self.scores['f1'].mean() - 0.02)


class GivenFoldsTest(absltest.TestCase):
  def test_a_column_fold_says_who_is_tested_where(self):
    given = []
    for person in range(4):
      table = _table(person)
      frames = table.frames.assign(fold=float(person % 2))
      given.append(dataclasses.replace(table, frames=frames))
    scores = _evaluate(given)['scores']
    self.assertEqual(set(scores[scores['partition'] == 0]['fold']), {'0', '1'})

  def test_person_in_no_fold_is_named_and_left_out(self):
    given = [_table(person) for person in range(4)]
    found = _evaluate(given, folds={'P0': 'a', 'P1': 'a', 'P2': 'b'})
    scores = found['scores']
    first = scores[scores['partition'] == 0]
    self.assertEqual(first['n_test_persons'].tolist(), [2, 2, 1, 1])
    (row,) = found['skipped'].to_dict('records')
    self.assertEqual((row['person_id'], row['reason']), ('P3', 'in no fold'))

  def test_person_in_no_fold_teaches_nobody(self):
    given = [_table(person) for person in range(4)]
    with_p3, without = (
      _evaluate(
        tables,
        folds={'P0': 'a', 'P1': 'a', 'P2': 'b'},
        fold_config=person_independent.FoldConfig(num_partitions=1),
      )['scores']
      for tables in (given, given[:3])
    )
    self.assertEqual(set(without['n_train_persons']), {1, 2})
    pd.testing.assert_frame_equal(with_p3, without)


class RefusalTest(absltest.TestCase):
  def _reasons(self, found):
    self.assertEmpty(found['scores'])
    return ' '.join(found['skipped']['reason'])

  def test_models_of_one_person_each_are_refused(self):
    given = [_table(p, model_id=f'psm-P{p}', rotation=p) for p in range(4)]
    reasons = self._reasons(_evaluate(given))
    self.assertRegex(reasons, 'each person has a model of their own')
    self.assertRegex(reasons, 'coordinates')

  def test_pixels_and_pose_are_shared_whatever_their_model(self):
    for source in ('pixel_pca', 'head_pose'):
      given = [_table(p, model_id=f'psm-P{p}', source=source) for p in range(4)]
      scores = _evaluate(given)['scores']
      self.assertEqual(set(scores['source']), {source})
      self.assertGreater(scores['auc'].mean(), 0.85)

  def test_nearest_in_time_is_left_out_without_a_word(self):
    given = [_table(p, source='nearest_in_time') for p in range(4)]
    found = _evaluate(given)
    self.assertEmpty(found['scores'])
    self.assertEmpty(found['skipped'])

  def test_too_few_people_and_no_labels_are_named(self):
    self.assertIn(
      '3 folds of 2 people', self._reasons(_evaluate([_table(0), _table(1)]))
    )
    bare = [_table(p) for p in range(3)]
    bare = [
      dataclasses.replace(t, frames=t.frames[list(features.FRAME_COLUMNS)])
      for t in bare
    ]
    self.assertIn('none of the action units', self._reasons(_evaluate(bare)))

  def test_action_unit_of_one_class_is_named_and_the_others_go_on(self):
    given = []
    for person in range(3):
      table = _table(person)
      frames = table.frames.assign(AU25=3.0 * (person == 0))
      given.append(dataclasses.replace(table, frames=frames))
    found = _evaluate(given)
    self.assertIn('AU25', ' '.join(found['skipped']['reason']))
    self.assertIn('AU01', set(found['scores']['au']))

  def test_two_models_of_everybody_are_probed_apart(self):
    given = [_table(p, model_id=m) for p in range(3) for m in ('a', 'b')]
    summary = _evaluate(given)['summary']
    self.assertEqual(set(summary['model_id']), {'a', 'b'})


class ExpressionsTest(absltest.TestCase):
  def test_folds_and_all_of_them_together(self):
    given = []
    for person in range(6):
      table = _table(person, num_frames=30)
      happy = table.frames['AU01'] > 0
      frames = table.frames[list(features.FRAME_COLUMNS)].assign(
        expression=np.where(happy, 'happy', 'neutral')
      )
      given.append(dataclasses.replace(table, frames=frames))
    found = _evaluate(given)
    rows = found['expressions'].set_index('fold')
    self.assertEqual(list(rows.index), ['1', '2', '3', 'all'])
    self.assertEqual(rows.loc['all', 'n_test'], 180)
    folds = rows.drop('all')
    self.assertAlmostEqual(
      rows.loc['all', 'accuracy'],
      np.average(folds['accuracy'], weights=folds['n_test']),
    )
    self.assertGreater(rows.loc['all', 'accuracy'], 0.85)
    self.assertEmpty(found['scores'])


if __name__ == '__main__':
  absltest.main()
