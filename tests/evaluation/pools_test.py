import numpy as np
from absl.testing import absltest

from psm_jax.evaluation import pools, probes
from tests.evaluation import people

_CONFIG = probes.ProbeConfig(l2_normalise=False)
_PERSONS = ('P1', 'P2', 'P3')


class PoolTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    # Videos of unequal length, and given in another order.
    cls.tables = [
      people.table(people.frames(person_id, length=length))
      for person_id, length in zip(_PERSONS, (60, 80, 100), strict=True)
    ]
    cls.pool = pools.gather('psm', 'gm', cls.tables[::-1], threshold=2.0)

  def test_rows_are_those_of_the_persons_in_order(self):
    whole = np.concatenate([table.features for table in self.tables])
    self.assertEqual(self.pool.start.tolist(), [0, 120, 280, 480])
    rows = np.array([0, 5, 119, 120, 479])
    np.testing.assert_array_equal(self.pool.features(rows), whole[rows])
    active = np.concatenate([t.frames['AU12'] >= 2 for t in self.tables])
    np.testing.assert_array_equal(self.pool.labels['AU12'], active)

  def test_rows_of_persons_are_the_usable_ones(self):
    usable = np.arange(480) % 10 == 0
    rows = self.pool.rows(np.array([0, 2]), usable)
    self.assertEqual(rows.tolist(), [*range(0, 120, 10), *range(280, 480, 10)])

  def _decide(self, test, **options):
    decisions, reasons = pools.decide(
      self.pool,
      ('AU12',),
      np.array([0, 1]),
      np.array(test, int),
      **{'config': _CONFIG, 'max_train_frames': 0, **options},
    )
    return decisions, reasons

  def test_others_are_decided_by_all_training_frames_or_some_of_them(self):
    for max_train_frames, n_train in ((0, 280), (70, 70)):
      (decision,), reasons = self._decide(
        [2], max_train_frames=max_train_frames
      )
      self.assertEmpty(reasons)
      self.assertEqual(decision.n_train, n_train)
      self.assertEqual(decision.test.tolist(), list(range(280, 480)))
      self.assertGreater(((decision.score > 0) == decision.truth).mean(), 0.8)

  def test_nobody_to_test_is_a_reason(self):
    decisions, reasons = self._decide([])
    self.assertEmpty(decisions)
    self.assertEqual(reasons, ['no labelled frame in one of the parts'])

  def test_a_threshold_chosen_on_other_people_moves_all_scores_alike(self):
    (half,), _ = self._decide([2])
    (tuned,), _ = self._decide(
      [2],
      config=probes.ProbeConfig(
        l2_normalise=False, threshold_from='validation'
      ),
    )
    moved = tuned.score - half.score
    self.assertGreater(abs(moved).min(), 0)
    np.testing.assert_allclose(moved, moved[0], rtol=1e-5)


if __name__ == '__main__':
  absltest.main()
