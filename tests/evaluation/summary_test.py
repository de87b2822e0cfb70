import dataclasses

import numpy as np
import pandas as pd
from absl.testing import absltest
from sklearn import metrics

from psm_jax.evaluation import probes, summary


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


class WithinPersonTest(absltest.TestCase):
  def _decisions(self, num_frames=800):
    generator = np.random.default_rng(0)
    test = np.arange(num_frames) + 50
    found = []
    for unit, rate in (('AU01', 0.3), ('AU02', 0.1)):
      truth = np.repeat(generator.random(num_frames // 20) < rate, 20)
      score = 2 * (truth - 0.5) + generator.normal(size=num_frames)
      found.append(probes.Decision(unit, 100, test, truth, score))
    return found

  def _rows(self, decisions, **options):
    frames = pd.DataFrame(
      {'video_id': 'v', 'time_s': np.arange(900) / 20, 'person_id': 'P1'}
    )
    config = probes.ProbeConfig(**options)
    return {
      (row['au'], row['metric']): row
      for row in summary.within_person(decisions, frames, config=config)
    }

  def test_values_are_the_scores_and_their_mean(self):
    decisions = self._decisions()
    rows = self._rows(decisions)
    f1 = [metrics.f1_score(d.truth, d.score > 0) for d in decisions]
    auc = [metrics.roc_auc_score(d.truth, d.score) for d in decisions]
    for metric, values in (('f1', f1), ('auc', auc)):
      for unit, value in zip(('AU01', 'AU02'), values, strict=True):
        self.assertAlmostEqual(rows[unit, metric]['value'], value)
      row = rows['mean', metric]
      self.assertAlmostEqual(row['value'], np.mean(values))
      self.assertLess(row['ci_low'], row['value'])
      self.assertLess(row['value'], row['ci_high'])
      self.assertEqual(row['num_blocks'], 10)  # 40 s in blocks of 4 s.

  def test_longer_blocks_are_fewer(self):
    rows = self._rows(self._decisions(), block_s=8.0)
    self.assertEqual(rows['mean', 'f1']['num_blocks'], 5)

  def test_unit_that_is_never_active_has_an_f1_of_0_and_no_auc(self):
    decision = self._decisions()[0]
    never = dataclasses.replace(decision, truth=np.zeros(800, bool))
    rows = self._rows([never])
    self.assertEqual(set(rows), {('AU01', 'f1'), ('mean', 'f1')})
    self.assertEqual(rows['AU01', 'f1']['value'], 0)

  def test_nothing_decided_gives_no_rows(self):
    self.assertEmpty(self._rows([]))


if __name__ == '__main__':
  absltest.main()
