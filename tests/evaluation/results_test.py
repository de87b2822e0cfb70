import os
import pathlib

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.evaluation import results


def _scores(*rows):
  """Returns results of (source, person, direction, au, value) rows."""
  made = []
  for source, person_id, direction, unit, value in rows:
    place = {
      'source': source,
      'model_id': 'm-s0',
      'person_id': person_id,
      'split': 'random',
      'direction': direction,
    }
    metrics = {'auc': value, 'f1_bootstrap': value}
    made += results.rows(place, unit, metrics, n_train=8, n_test=2)
  return results.table(made)


def _row(table, first, metric, second=''):
  chosen = (table['first'] == first) & (table['second'] == second)
  (row,) = table[chosen & (table['metric'] == metric)].itertuples()
  return row


class SummariseTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.rows = [
      ('psm', 'P1', 'within', 'AU01', 0.9),
      ('psm', 'P1', 'within', 'AU02', 0.7),
      ('psm', 'P1', 'within', 'AU04', 0.5),
      ('psm', 'P2', 'within', 'AU01', 0.4),
      ('pixel_pca', 'P1', 'within', 'AU01', 0.8),
      ('pixel_pca', 'P1', 'within', 'AU02', 0.3),
      ('pixel_pca', 'P2', 'within', 'AU01', 0.6),
      ('pixel_pca', 'P3', 'within', 'AU01', 0.1),
    ]
    self.table = _scores(*self.rows)

  def _summarise(self, table=None, pairs=(('psm', 'pixel_pca'),)):
    return results.summarise(
      self.table if table is None else table, pairs=pairs
    )

  def test_mean_over_action_units_then_persons(self):
    row = _row(self._summarise(), 'psm', 'auc')
    self.assertEqual((row.split, row.target), ('random', 'action_units'))
    self.assertAlmostEqual(row.mean, (0.7 + 0.4) / 2)
    self.assertEqual(row.num_persons, 2)
    self.assertAlmostEqual(row.sd, np.std([0.7, 0.4], ddof=1))
    self.assertTrue(pd.isna(row.wins))

  def test_flat_mean_is_over_all_rows_and_has_no_interval(self):
    row = _row(self._summarise(), 'psm', 'f1_flat')
    self.assertAlmostEqual(row.mean, (0.9 + 0.7 + 0.5 + 0.4) / 4)
    self.assertTrue(np.isnan(row.ci_low))

  def test_paired_difference_is_over_rows_of_both(self):
    row = _row(self._summarise(), 'psm', 'auc', 'pixel_pca')
    # P1: mean of AU01 and AU02; P2: AU01; P3 and AU04 have no partner.
    self.assertAlmostEqual(row.mean, ((0.1 + 0.4) / 2 - 0.2) / 2)
    self.assertEqual((row.num_persons, row.wins, row.losses), (2, 1, 1))

  def test_value_that_one_side_lacks_is_left_out_of_both(self):
    self.rows[5] = (*self.rows[5][:4], np.nan)
    table = _scores(*self.rows)
    row = _row(self._summarise(table), 'psm', 'auc', 'pixel_pca')
    self.assertAlmostEqual(row.mean, (0.1 - 0.2) / 2)

  def test_models_of_one_person_count_as_one_person(self):
    again = self.table[self.table['source'] == 'psm'].assign(model_id='m-s1')
    once = self._summarise()
    twice = self._summarise(pd.concat([self.table, again]))
    pd.testing.assert_frame_equal(once, twice)

  def test_the_mean_of_a_persons_action_units_is_not_counted_again(self):
    place = dict.fromkeys(('model_id', 'direction'), 'within')
    place |= {'source': 'psm', 'person_id': 'P1', 'split': 'random'}
    rows = results.rows(place, results.ACTION_UNITS, {'auc': 0.0})
    table = pd.concat([self.table, results.table(rows)])
    pd.testing.assert_frame_equal(self._summarise(table), self._summarise())

  def test_targets_that_are_no_action_units_stand_for_themselves(self):
    rows = [('psm', 'P1', 'within', t, v) for t, v in (('yaw', 2), ('roll', 4))]
    table = self._summarise(_scores(*rows)).set_index(['target', 'metric'])
    self.assertEqual(table.loc[('yaw', 'auc'), 'mean'], 2)
    self.assertEqual(table.loc[('roll', 'auc'), 'mean'], 4)

  def test_pair_with_a_missing_source_has_no_row(self):
    table = self._summarise(pairs=[('psm', 'random_encoder')])
    self.assertEqual(set(table['second']), {''})

  def test_no_results_give_an_empty_table_with_its_columns(self):
    table = self._summarise(self.table.iloc[:0])
    self.assertEmpty(table)
    self.assertEqual(list(table), list(results.SUMMARY_COLUMNS))


class IntervalTest(parameterized.TestCase):
  def test_fewer_than_five_persons_have_no_interval(self):
    for number, has_none in ((1, True), (4, True), (5, False)):
      row = results.interval(np.arange(number) / 10)
      self.assertEqual(np.isnan(row['ci_low']), has_none)
      self.assertAlmostEqual(row['mean'], (number - 1) / 20)
      self.assertEqual(row['num_persons'], number)

  def test_it_is_students(self):
    # Table of t: 2.571 with 5 degrees of freedom.
    values = np.array([0.1, 0.4, 0.4, 0.6, 0.7, 0.8])
    row = results.interval(values)
    reach = 2.5706 * values.std(ddof=1) / 6**0.5
    self.assertAlmostEqual(row['ci_high'] - row['mean'], reach, places=5)
    self.assertAlmostEqual(row['mean'] - row['ci_low'], reach, places=5)

  @parameterized.parameters(6, 12, 27)
  def test_intervals_cover_the_true_mean(self, num_persons):
    generator = np.random.default_rng(7)
    rows = [
      results.interval(generator.normal(0.5, 0.1, num_persons))
      for _ in range(1000)
    ]
    covered = np.mean([r['ci_low'] <= 0.5 <= r['ci_high'] for r in rows])
    # 95 % are meant; three standard deviations are 2 %.
    self.assertBetween(covered, 0.93, 0.97)


class TablesTest(absltest.TestCase):
  def test_a_row_a_probe_with_its_metrics_beside_one_another(self):
    table = results.wide(
      _scores(
        ('psm', 'P1', 'forward', 'AU01', 0.9),
        ('psm', 'P1', 'backward', 'AU01', 0.8),
      )
    )
    self.assertEqual(table['direction'].tolist(), ['forward', 'backward'])
    self.assertEqual(table['auc'].tolist(), [0.9, 0.8])
    self.assertEqual(table['f1_bootstrap'].tolist(), [0.9, 0.8])
    self.assertEqual(set(table['n_train']), {8})

  def test_a_metric_without_a_value_has_no_row(self):
    self.assertEmpty(_scores(('psm', 'P1', 'within', 'AU01', np.nan)))

  def test_reasons_stand_once(self):
    reason = {'person_id': 'P1', 'split': 'random', 'reason': 'no labels'}
    table = results.skipped([reason, reason])
    self.assertEqual(
      table.to_dict('records'), [{'source': '', 'target': '', **reason}]
    )

  def test_tables_are_read_back_as_they_were(self):
    folder = pathlib.Path(self.create_tempdir().full_path) / 'new'
    table = _scores(('psm', 'P1', 'within', 'AU01', 1 / 3))
    empty = results.table([])
    written = results.write({'results': table, 'empty': empty}, folder)
    self.assertEqual([p.name for p in written], ['results.csv', 'empty.csv'])
    self.assertEqual(os.stat(folder).st_mode & 0o777, 0o700)
    pd.testing.assert_frame_equal(
      pd.read_csv(written[0]), table, check_dtype=False, rtol=1e-7
    )
    self.assertEqual(written[1].read_text(), ','.join(results.COLUMNS) + '\n')


if __name__ == '__main__':
  absltest.main()
