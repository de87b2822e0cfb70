import dataclasses
import os
import pathlib

import numpy as np
import pandas as pd
from absl.testing import absltest

from psm_jax.evaluation import controls, features, probes, splits, tables

_CONFIG = probes.ProbeConfig(l2_normalise=False)


def _frames(person_id='P1', *, num_videos=2, labelled=True, seed=0):
  """Returns two videos of 20 s with smooth action units and head pose."""
  generator = np.random.default_rng(seed)
  length = 400
  frames = pd.DataFrame(
    {
      'person_id': person_id,
      'video_id': np.repeat([f'v{v}' for v in range(num_videos)], length),
      'frame': np.tile(np.arange(length), num_videos),
      'time_s': np.tile(np.arange(length) / 20, num_videos),
    }
  )
  angle = frames['time_s'].to_numpy()
  for unit in (1, 2, 4):
    phase = generator.uniform(0, 6)
    frames[f'AU{unit:02d}'] = 3 * np.sin(angle * unit + phase).clip(0)
  frames['pose_yaw'] = 10 * np.sin(0.7 * angle)
  if not labelled:
    frames[['AU01', 'AU02', 'AU04']] = np.nan
  return frames


def _table(frames, source='psm', *, noise=0.1, seed=0):
  """Returns 12 features that mix the labels with noise."""
  generator = np.random.default_rng(seed)
  hidden = frames.drop(columns=list(features.FRAME_COLUMNS)).fillna(0)
  hidden = hidden.to_numpy() @ generator.normal(size=(hidden.shape[1], 12))
  hidden += noise * generator.normal(size=hidden.shape)
  person_id = frames['person_id'].iloc[0]
  return features.FeatureTable(
    source, f'm-{person_id}', person_id, hidden.astype(np.float32), frames
  )


def _evaluate(*feature_tables, **options):
  return tables.evaluate(
    feature_tables, **{'config': _CONFIG, 'show_progress': False, **options}
  )


class EvaluateTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.feature_tables = []
    for seed, person_id in enumerate(('P1', 'P2', 'P3')):
      frames = _frames(person_id, seed=seed)
      cls.feature_tables += [
        _table(frames),
        _table(frames, 'random_encoder', noise=30.0),
        _table(frames, 'pixel_pca', noise=30.0, seed=1),
      ]
    cls.results = _evaluate(*cls.feature_tables)

  def test_a_row_for_every_source_person_split_direction_and_action_unit(self):
    self.assertEqual(list(self.results.scores), list(tables.SCORE_COLUMNS))
    # random and blocked once, cross_video in two directions.
    self.assertLen(self.results.scores, 3 * 3 * 4 * 3)
    self.assertEmpty(self.results.skipped)

  def test_all_sources_see_the_same_frames(self):
    counts = self.results.scores.groupby(
      ['person_id', 'split', 'direction', 'au']
    )[['n_train', 'n_test', 'n_positive']].nunique()
    self.assertTrue((counts == 1).all(axis=None))

  def test_planted_signal_beats_noise_in_every_split(self):
    table = self.results.summary.set_index(['source', 'split', 'metric'])
    for split in ('random', 'blocked', 'cross_video'):
      self.assertGreater(table.loc[('psm', split, 'auc'), 'mean'], 0.95)
      gain = table.loc[('psm - random_encoder', split, 'auc')]
      self.assertGreater(gain['ci_low'], 0.1)
      self.assertEqual((gain['wins'], gain['losses']), (3, 0))

  def test_structure_has_a_row_a_table(self):
    self.assertLen(self.results.structure, 9)
    psm = self.results.structure.query("source == 'psm'")
    self.assertTrue((psm['yaw_correlation'] > 0.95).all())
    self.assertTrue(psm['roll_correlation'].isna().all())
    self.assertTrue(psm['effective_rank'].between(1, 5).all())

  def test_one_person_does_not_depend_on_the_others(self):
    alone = _evaluate(*self.feature_tables[:3])
    together = self.results.scores.query("person_id == 'P1'")
    pd.testing.assert_frame_equal(alone.scores, together.reset_index(drop=True))


class SkippedTest(absltest.TestCase):
  def test_unlabelled_person_is_named_and_the_others_go_on(self):
    results = _evaluate(
      _table(_frames('P1')), _table(_frames('P2', labelled=False))
    )
    self.assertEqual(set(results.scores['person_id']), {'P1'})
    self.assertEqual(
      results.skipped.to_dict('records'),
      [
        {'person_id': 'P2', 'split': s, 'reason': 'no action-unit labels'}
        for s in ('random', 'blocked', 'cross_video')
      ],
    )
    self.assertEqual(set(results.structure['person_id']), {'P1', 'P2'})

  def test_nobody_labelled_leaves_the_structure(self):
    results = _evaluate(_table(_frames(labelled=False)))
    self.assertEmpty(results.scores)
    self.assertEmpty(results.summary)
    self.assertLen(results.structure, 1)


class TargetsTest(absltest.TestCase):
  """Intensity, head pose, expressions and intervals, beside the controls."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.given = []
    for seed, person_id in enumerate(('P1', 'P2')):
      frames = _frames(person_id, seed=seed)
      active = frames[['AU01', 'AU02', 'AU04']].to_numpy() > 1.5
      frames['expression'] = np.where(
        active.any(axis=1), active.argmax(axis=1) + 1.0, 0.0
      )
      table = _table(frames, seed=seed)
      cls.given += [table, *controls.from_labels(table)]
    cls.results = _evaluate(*cls.given)

  def _means(self, name):
    table = getattr(self.results, name)
    return table.set_index(['source', 'split', 'metric'])['mean']

  def test_every_table_holds_the_embedding_and_both_controls(self):
    for name in ('scores', 'intervals', 'intensity', 'expressions'):
      found = getattr(self.results, name).groupby('split')['source'].agg(set)
      both = {'psm', 'head_pose'}
      self.assertEqual(found['random'], both | {'nearest_in_time'}, name)
      self.assertEqual(found['blocked'], both | {'nearest_in_time'}, name)
      # No frame of the other video is near in time.
      self.assertEqual(found['cross_video'], both, name)
    self.assertEmpty(self.results.skipped)

  def test_structure_is_that_of_embeddings_alone(self):
    self.assertEqual(set(self.results.structure['source']), {'psm'})

  def test_planted_signal_is_found_and_time_is_no_help_beyond_a_guard(self):
    means = self._means('summary_targets')
    for split in splits.SPLITS:
      self.assertGreater(means['psm', split, 'icc'], 0.9)
      self.assertGreater(means['psm', split, 'yaw_r2'], 0.9)
      self.assertGreater(means['psm', split, 'accuracy'], 0.75)
    self.assertGreater(means['nearest_in_time', 'random', 'icc'], 0.95)
    self.assertLess(means['nearest_in_time', 'blocked', 'icc'], 0.5)
    scores = self._means('summary')
    self.assertGreater(scores['nearest_in_time', 'random', 'auc'], 0.95)
    self.assertGreater(scores['psm - nearest_in_time', 'blocked', 'auc'], 0.2)
    self.assertGreater(scores['psm - head_pose', 'blocked', 'auc'], 0.1)

  def test_intervals_are_around_the_scores(self):
    keys = ['source', 'person_id', 'split', 'direction', 'au']
    rows = self.results.intervals
    rows = rows[rows['metric'] == 'f1'].set_index(keys)
    scores = self.results.scores.set_index(keys)
    units = rows.drop(index='mean', level='au')
    np.testing.assert_allclose(
      units['value'], scores.loc[units.index, 'f1'], atol=1e-12
    )
    means = rows.xs('mean', level='au')['value']
    expected = scores['f1'].groupby(keys[:-1]).mean()
    np.testing.assert_allclose(means, expected.loc[means.index], atol=1e-12)
    known = rows.dropna(subset='ci_low')
    self.assertTrue((known['ci_low'] <= known['value']).all())
    self.assertTrue((known['ci_high'] >= known['value']).all())

  def test_processes_give_the_same_tables(self):
    spread = _evaluate(*self.given, num_workers=2)
    for field in dataclasses.fields(tables.Results):
      pd.testing.assert_frame_equal(
        getattr(spread, field.name), getattr(self.results, field.name)
      )


class WrongInputTest(absltest.TestCase):
  def test_no_tables_are_an_error(self):
    with self.assertRaisesRegex(ValueError, 'no feature tables'):
      _evaluate()


class WriteTest(absltest.TestCase):
  def test_tables_are_read_back_as_they_were(self):
    results = _evaluate(_table(_frames('P1')), _table(_frames('P2', seed=1)))
    directory = pathlib.Path(self.create_tempdir().full_path) / 'evaluation'
    written = tables.write(results, directory)
    self.assertEqual(
      [path.name for path in written],
      [
        'scores.csv',
        'summary.csv',
        'structure.csv',
        'skipped.csv',
        'intervals.csv',
        'intensity.csv',
        'regression.csv',
        'expressions.csv',
        'summary_targets.csv',
      ],
    )
    self.assertCountEqual(os.listdir(directory), [p.name for p in written])
    for path in written:
      expected = getattr(results, path.stem)
      found = pd.read_csv(path)
      self.assertEqual(list(found), list(expected))
      self.assertLen(found, len(expected))
    pd.testing.assert_frame_equal(
      pd.read_csv(written[0]), results.scores, rtol=1e-5
    )

  def test_results_without_scores_keep_their_headers(self):
    results = _evaluate(_table(_frames(labelled=False)))
    directory = self.create_tempdir().full_path
    scores, summary, *_ = tables.write(results, directory)
    self.assertEqual(
      scores.read_text(),
      'source,model_id,person_id,split,direction,au,n_train,n_test,n_positive,'
      'base_rate,f1,f1_bootstrap,balanced_accuracy,auc,ap,mcc\n',
    )
    self.assertEqual(
      summary.read_text(),
      'source,split,metric,mean,ci_low,ci_high,num_persons,wins,losses\n',
    )


if __name__ == '__main__':
  absltest.main()
