import dataclasses

import numpy as np
import pandas as pd
from absl.testing import absltest
from sklearn import metrics

from psm_jax.evaluation import intervals, probes


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
      for row in intervals.within_person(decisions, frames, config=config)
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
