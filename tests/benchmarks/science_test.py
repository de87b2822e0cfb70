import types

import jax
import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from benchmarks import science, science_measures, science_rows
from psm_jax import config_check, methods
from psm_jax.methods import interface

_SCHEDULE = interface.Schedule(*(np.float32(1) for _ in range(4)))


class RowsTest(parameterized.TestCase):
  @parameterized.parameters(*science_rows.ROWS)
  def test_every_row_has_a_loss_and_the_rows_differ(self, name):
    store = types.SimpleNamespace(path='some/store', size_px=32)
    row = science_rows.ROWS[name]
    config = science_rows.config_of(row, store, 7)
    config_check.check(config)
    self.assertEqual(config.train.steps, 7)
    method = row.changed(methods.make(config), config)
    params, _ = jax.eval_shape(method.init, jax.random.key(0))
    loss, _ = jax.eval_shape(
      lambda params, batch: method.loss(
        jax.random.key(0), params, (), (), batch, _SCHEDULE
      ),
      params,
      method.batch_shapes(4),
    )
    self.assertEqual(loss.shape, ())
    base = science_rows.config_of(science_rows.ROWS['base'], store, 7)
    is_base = config.to_dict() == base.to_dict() and row.term is None
    self.assertEqual(is_base and row.has_faces, name == 'base')


class AcrossPeopleTest(parameterized.TestCase):
  """Three people, whose units are one column each, apart and of other scale."""

  def setUp(self):
    super().setUp()
    generator = np.random.default_rng(0)
    self.labels = [generator.random((300, 2)) < 0.3 for _ in range(3)]
    self.values = [
      scale * (labels + 0.1 * generator.standard_normal((300, 2))) + scale
      for labels, scale in zip(self.labels, (1.0, 5.0, 40.0), strict=True)
    ]

  @parameterized.parameters([[1]], [[0, 1]])
  def test_what_all_show_alike_is_told_of_the_next(self, others):
    self.assertGreater(self._auc(others), 0.99)

  def test_the_tested_persons_labels_are_not_learned_from(self):
    self.labels[2] = ~self.labels[2]
    self.assertLess(self._auc([0, 1]), 0.01)

  def _auc(self, others):
    values = science_measures.scaled(self.values)
    return science_measures.across_people(
      values, self.labels, 2, others, guard=10
    )


class TableTest(absltest.TestCase):
  def test_seeds_are_averaged_within_people_and_people_alike(self):
    figures = pd.DataFrame(
      [
        ('base', person, seed, 'canonical', 'auc', 0, value)
        for person, seed, value in (
          ('A', 0, 0.2),
          ('A', 1, 0.4),
          ('A', 2, 0.6),
          ('B', 0, 0.8),
        )
      ],
      columns=science.FIELDS,
    )
    line = science.table(figures).split('\n')[-1].split()
    self.assertEqual(line, ['base', 'canonical', '0.6', '2'])


if __name__ == '__main__':
  absltest.main()
