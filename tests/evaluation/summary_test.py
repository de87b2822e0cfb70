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


if __name__ == '__main__':
  absltest.main()
