import dataclasses

import numpy as np
import pandas as pd
from absl.testing import absltest
from sklearn import metrics

from psm_jax.discovery import agreement, clusters, named_movements
from psm_jax.evaluation import results
from tests.evaluation import people

_CONFIG = clusters.ClusterConfig(frame_stride=1, min_samples=(4,))
_RULES = [
  named_movements.Rule('brow', {'AU04': 2.0}),
  named_movements.Rule('smile', {'AU12': 2.0}),
  named_movements.Rule('grin', {'AU12': 2.0, 'AU25': 2.0}),
]


def _agreement(tables, movements):
  """Returns a row a source and person, a column a metric."""
  rows, _ = agreement.agreement(tables, movements, config=_CONFIG)
  return results.wide(results.table(rows))


class AgreementTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.tables = []
    cls.movements = []
    for person_id in ('P1', 'P2'):
      own = people.frames(person_id)
      # Movements are held, as clusters need them; people move smoothly.
      own['AU25'] = np.where(own['AU12'] > 2.5, own['AU25'], 0.0)
      own[list(people.UNITS)] = 4.0 * (own[list(people.UNITS)] > 2.0)
      movements = named_movements.derive(own, _RULES)
      cls.movements.append(movements)
      cls.tables += [
        people.table(own, 'sees', noise=0.05),
        people.table(own, 'blind', action=0.0, noise=1.0),
      ]
    cls.movements = pd.concat(cls.movements)
    cls.found = _agreement(cls.tables, cls.movements)

  def test_a_model_that_sees_the_movements_agrees_and_a_blind_one_not(self):
    ami = self.found.groupby('source')[['ami', 'ami_moving']].mean()
    self.assertGreater(ami.loc['sees', 'ami'], 0.5)
    self.assertGreater(ami.loc['sees', 'ami_moving'], 0.5)
    self.assertLess(ami.loc['blind'].abs().max(), 0.05)

  def test_all_sources_of_a_person_have_one_setting(self):
    settings = self.found.groupby('person_id')[
      ['min_samples', 'quantile', 'eps', 'num_movement_frames']
    ].nunique()
    self.assertTrue((settings == 1).all(axis=None))

  def test_it_is_the_ami_of_scikit_learns_clusters(self):
    row = self.found.iloc[0]
    table = self.tables[0]
    unit = table.features / np.linalg.norm(table.features, axis=1)[:, None]
    spread = np.sqrt(2 * ((unit - unit.mean(axis=0)) ** 2).sum(1).mean())
    labels = clusters.cluster.DBSCAN(
      eps=row['eps'] * spread * (1 + 1e-6), min_samples=int(row['min_samples'])
    ).fit_predict(unit)
    truth = self.movements.query("person_id == 'P1'")['movement']
    self.assertAlmostEqual(
      row['ami'], metrics.adjusted_mutual_info_score(truth, labels), places=6
    )

  def test_frames_that_are_not_listed_show_no_movement(self):
    listed = self.movements[self.movements['movement'] != '']
    pd.testing.assert_frame_equal(_agreement(self.tables, listed), self.found)

  def test_rows_in_another_order_change_nothing(self):
    order = np.random.default_rng(0).permutation(len(self.tables[0].frames))
    tables = [
      dataclasses.replace(
        table, features=table.features[order], frames=table.frames.iloc[order]
      )
      for table in self.tables
    ]
    pd.testing.assert_frame_equal(
      _agreement(tables, self.movements), self.found
    )

  def test_a_person_without_movements_has_a_reason(self):
    others = self.movements.query("person_id == 'P2'")
    found = _agreement(self.tables, others)
    self.assertEqual(set(found['person_id']), {'P2'})
    self.assertGreater(found.query("source == 'sees'")['ami'].item(), 0.5)
    _, skipped = agreement.agreement(self.tables, others, config=_CONFIG)
    (reason,) = skipped
    self.assertEqual(reason['person_id'], 'P1')
    self.assertIn('shows a movement', reason['reason'])


if __name__ == '__main__':
  absltest.main()
