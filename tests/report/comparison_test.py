import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.report import comparison, findings
from tests.report import fake_comparison


class ComparisonTest(parameterized.TestCase):
  def _folder(self, **options):
    return fake_comparison.fill(self.create_tempdir().full_path, **options)

  def test_approaches_are_sorted_by_auc_and_controls_come_last(self):
    found = comparison.read(self._folder())
    self.assertEqual(found.names, ['gm', 'gm_to_psm', 'psm', 'ctl'])
    self.assertEqual(found.controls[0], 'pixel_pca')
    self.assertEqual(found.baseline, 'psm')
    self.assertEqual(found.split, 'cross_video')

  def test_a_difference_to_a_control_is_turned_round(self):
    found = comparison.read(self._folder())
    d = found.differences['pixel_pca', 'auc', 'cross_video']
    self.assertAlmostEqual(d.mean, 0.04)
    self.assertAlmostEqual(d.low, 0.02)
    self.assertAlmostEqual(d.high, 0.06)
    self.assertEqual((d.wins, d.losses), (1, 2))

  def test_turning_twice_changes_nothing(self):
    d = findings.Difference('a - b', 's', 'auc', 0.1, -0.1, 0.2, 5, 4, 1)
    self.assertEqual(comparison.turned(comparison.turned(d)), d)

  def test_only_approaches_are_needed(self):
    folder = self._folder()
    for name in comparison.FILES[1:]:
      (folder / name).unlink()
    found = comparison.read(folder)
    self.assertTrue(found.scores.empty)
    self.assertEmpty(found.differences)
    self.assertTrue(found.has('auc_cross_video'))
    self.assertFalse(found.has('auc_random'))

  def test_a_person_called_NA_stays(self):
    folder = self._folder(people=('NA', '001'))
    people = set(comparison.read(folder).scores['person_id'])
    self.assertEqual(people, {'NA', '001'})

  def test_a_folder_without_comparison_is_refused(self):
    with self.assertRaisesRegex(ValueError, r'approaches\.csv.*launch\.comp'):
      comparison.read(self.create_tempdir().full_path)

  @parameterized.parameters(('psm', False, '0 rows'), ('gm', True, '2 rows'))
  def test_there_is_one_baseline(self, name, value, reason):
    folder = self._folder(changes={name: {'is_baseline': value}})
    with self.assertRaisesRegex(ValueError, reason):
      comparison.read(folder)

  def test_an_approach_is_named_once(self):
    folder = self._folder()
    path = folder / comparison.APPROACHES
    table = pd.read_csv(path)
    pd.concat([table, table.tail(1)]).to_csv(path, index=False)
    with self.assertRaisesRegex(ValueError, 'head_pose more than once'):
      comparison.read(folder)


if __name__ == '__main__':
  absltest.main()
