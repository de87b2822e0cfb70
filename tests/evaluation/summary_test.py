import numpy as np
import pandas as pd
from absl.testing import absltest

from psm_jax.evaluation import summary


def _scores(*rows):
  """Returns scores of (source, person, direction, au, value) rows."""
  data = pd.DataFrame(
    rows, columns=['source', 'person_id', 'direction', 'au', 'auc']
  )
  data = data.assign(model_id='m-s0', split='random')
  for column in (
    'base_rate',
    'f1',
    'f1_bootstrap',
    'balanced_accuracy',
    'ap',
    'mcc',
  ):
    data[column] = data['auc']
  return data


def _row(table, source, metric):
  chosen = (table['source'] == source) & (table['metric'] == metric)
  (row,) = table[chosen].itertuples()
  return row


class SummaryTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.scores = _scores(
      ('psm', 'P1', 'within', 'AU01', 0.9),
      ('psm', 'P1', 'within', 'AU02', 0.7),
      ('psm', 'P1', 'within', 'AU04', 0.5),
      ('psm', 'P2', 'within', 'AU01', 0.4),
      ('pixel_pca', 'P1', 'within', 'AU01', 0.8),
      ('pixel_pca', 'P1', 'within', 'AU02', 0.3),
      ('pixel_pca', 'P2', 'within', 'AU01', 0.6),
      ('pixel_pca', 'P3', 'within', 'AU01', 0.1),
    )

  def test_mean_over_action_units_then_persons(self):
    row = _row(summary.summarise(self.scores), 'psm', 'f1')
    self.assertAlmostEqual(row.mean, (0.7 + 0.4) / 2)
    self.assertEqual(row.num_persons, 2)
    self.assertTrue(pd.isna(row.wins))

  def test_flat_mean_is_over_all_rows(self):
    row = _row(summary.summarise(self.scores), 'psm', 'f1_flat')
    self.assertAlmostEqual(row.mean, (0.9 + 0.7 + 0.5 + 0.4) / 4)

  def test_interval_lies_around_the_mean(self):
    row = _row(summary.summarise(self.scores), 'psm', 'auc')
    self.assertAlmostEqual(row.ci_low, 0.4)
    self.assertAlmostEqual(row.ci_high, 0.7)

  def test_paired_difference_is_over_rows_of_both(self):
    row = _row(summary.summarise(self.scores), 'psm - pixel_pca', 'auc')
    # P1: mean of AU01 and AU02; P2: AU01; P3 and AU04 have no partner.
    self.assertAlmostEqual(row.mean, ((0.1 + 0.4) / 2 - 0.2) / 2)
    self.assertEqual((row.num_persons, row.wins, row.losses), (2, 1, 1))

  def test_value_that_one_side_lacks_is_left_out_of_both(self):
    self.scores.loc[5, 'auc'] = np.nan
    row = _row(summary.summarise(self.scores), 'psm - pixel_pca', 'auc')
    self.assertAlmostEqual(row.mean, (0.1 - 0.2) / 2)

  def test_models_of_one_person_count_as_one_person(self):
    again = self.scores[self.scores['source'] == 'psm'].assign(model_id='m-s1')
    once = summary.summarise(self.scores)
    twice = summary.summarise(pd.concat([self.scores, again]))
    for source in ('psm', 'psm - pixel_pca'):
      one, other = _row(once, source, 'auc'), _row(twice, source, 'auc')
      self.assertAlmostEqual(one.mean, other.mean)
      self.assertEqual(one.num_persons, other.num_persons)

  def test_metric_without_any_value_has_no_row(self):
    self.scores['ap'] = np.nan
    table = summary.summarise(self.scores)
    self.assertNotIn('ap', set(table['metric']))

  def test_pair_with_a_missing_source_has_no_row(self):
    table = summary.summarise(self.scores)
    self.assertNotIn('psm - random_encoder', set(table['source']))

  def test_asked_pairs_are_compared(self):
    table = summary.summarise(self.scores, pairs=[('pixel_pca', 'psm')])
    row = _row(table, 'pixel_pca - psm', 'auc')
    self.assertAlmostEqual(row.mean, -((0.1 + 0.4) / 2 - 0.2) / 2)

  def test_no_scores_give_an_empty_table_with_its_columns(self):
    table = summary.summarise(self.scores.iloc[:0])
    self.assertEmpty(table)
    self.assertEqual(list(table), list(summary.SUMMARY_COLUMNS))


class TargetsTest(absltest.TestCase):
  def _rows(self, **columns):
    place = {
      'source': ['psm', 'psm', 'head_pose', 'head_pose'],
      'person_id': ['P1', 'P2', 'P1', 'P2'],
      'split': 'random',
      'direction': 'within',
    }
    return pd.DataFrame({**place, **columns})

  def test_every_kind_of_target_has_its_own_rows(self):
    nan = np.nan
    pose = self._rows(
      target='yaw', r2=[0.8, 0.6, 0.1, nan], mae_deg=1.0, nme=nan
    )
    marks = self._rows(target='landmarks', r2=nan, mae_deg=nan, nme=0.05)
    table = summary.summarise_targets(
      self._rows(au='AU01', icc=[0.5, 0.7, 0.1, 0.1], pearson=0.5, mse=2.0),
      pd.concat([pose, marks]),
      self._rows(accuracy=0.9, balanced_accuracy=0.8, macro_f1=0.7),
    )
    self.assertEqual(list(table), list(summary.SUMMARY_COLUMNS))
    self.assertEqual(
      set(table['metric']),
      {
        'icc',
        'pearson',
        'mse',
        'yaw_r2',
        'yaw_mae_deg',
        'landmarks_nme',
        'accuracy',
        'balanced_accuracy',
        'macro_f1',
      },
    )
    self.assertAlmostEqual(_row(table, 'psm', 'icc').mean, 0.6)
    self.assertAlmostEqual(_row(table, 'psm', 'yaw_r2').mean, 0.7)
    difference = _row(table, 'psm - head_pose', 'yaw_r2')
    # P2 has no value of one side.
    self.assertAlmostEqual(difference.mean, 0.7)
    self.assertEqual(difference.num_persons, 1)

  def test_no_targets_give_an_empty_table_with_its_columns(self):
    empty = self._rows(au='', target='', r2=0.0, mae_deg=0.0, nme=0.0)
    empty = empty.assign(icc=0.0, pearson=0.0, mse=0.0, accuracy=0.0)
    empty = empty.assign(balanced_accuracy=0.0, macro_f1=0.0).iloc[:0]
    table = summary.summarise_targets(empty, empty, empty)
    self.assertEmpty(table)
    self.assertEqual(list(table), list(summary.SUMMARY_COLUMNS))


class BySourceTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.persons = pd.DataFrame(
      [
        ('gm', 'm1', 'P1', 'a', 'cross_video', 0.2, 0.1),
        ('gm', 'm2', 'P1', 'a', 'blocked', 0.4, 0.1),
        ('gm', 'm1', 'P2', 'a', 'cross_video', 0.9, 0.3),
        ('gm', 'm1', 'P1', 'b', 'blocked', 0.5, 0.1),
        ('gm', 'm1', 'P2', 'b', 'blocked', np.nan, 0.5),
      ],
      columns='source model_id person_id probe split score chance'.split(),
    )
    self.columns = (
      'source probe split score chance ci_low ci_high num_persons num_models '
      'reason'
    ).split()

  def _summarise(self, notes):
    return summary.summarise_by_source(
      self.persons,
      notes,
      columns=self.columns,
      keys=['probe'],
      values=['score', 'chance'],
      joined=['split'],
      num_person_resamples=200,
      seed=0,
      no_value='nothing was said',
    )

  def test_models_of_a_person_are_averaged_before_persons(self):
    found = self._summarise({'gm': ['m3: too short']})
    self.assertEqual(list(found), self.columns)
    first, second = found.to_dict('records')
    self.assertAlmostEqual(first['score'], (0.3 + 0.9) / 2)
    self.assertAlmostEqual(first['chance'], (0.1 + 0.3) / 2)
    self.assertEqual((first['num_persons'], first['num_models']), (2, 2))
    self.assertEqual(first['split'], 'blocked+cross_video')
    self.assertEqual(first['reason'], 'm3: too short')
    self.assertAlmostEqual(first['ci_low'], 0.3)
    self.assertAlmostEqual(first['ci_high'], 0.9)

  def test_a_row_without_the_first_value_does_not_count(self):
    second = self._summarise({'gm': []}).to_dict('records')[1]
    self.assertEqual((second['score'], second['chance']), (0.5, 0.1))
    self.assertEqual(second['num_persons'], 1)
    self.assertTrue(np.isnan(second['ci_low']))

  def test_a_source_without_rows_has_its_reason(self):
    for notes, reason in (
      (['one', 'other'], 'one; other'),
      ([], 'nothing was said'),
    ):
      (row,) = self._summarise({'psm': notes}).to_dict('records')
      self.assertEqual((row['source'], row['reason']), ('psm', reason))
      self.assertTrue(np.isnan(row['score']))
      self.assertTrue(pd.isna(row['num_persons']))


if __name__ == '__main__':
  absltest.main()
