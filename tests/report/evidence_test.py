import pathlib

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.discovery import maps
from psm_jax.evaluation import results
from psm_jax.report import evidence
from tests.report import fake


class EvidenceTest(parameterized.TestCase):
  def _folder(self):
    return pathlib.Path(self.create_tempdir().full_path)

  def _comparison(self, **options):
    folder = fake.comparison(self._folder(), **options)
    return evidence.read(folder, max_people=3)

  def _run(self, **options):
    return evidence.read(fake.run(self._folder(), **options), max_people=3)

  def test_a_run_is_a_comparison_of_its_weights_with_controls(self):
    read = self._run()
    self.assertEqual(read.approaches, ['trained'])
    self.assertEqual(read.controls, ['pixel_pca', 'random_encoder'])
    self.assertEqual(read.baseline, 'trained')

  def test_approaches_are_sorted_by_auc_and_controls_come_last(self):
    read = self._comparison()
    self.assertEqual(read.approaches, ['gm', 'gm_to_psm', 'psm', 'ctl'])
    self.assertEqual(read.controls[0], 'pixel_pca')
    self.assertEqual(read.names[0], 'psm')

  @parameterized.parameters('_run', '_comparison')
  def test_differences_are_each_source_less_the_baseline(self, kind):
    read = getattr(self, kind)()
    less = read.less_baseline('auc', read.split)
    means = read.values(results.ACTION_UNITS, 'auc', read.split)['mean']
    self.assertLen(less, len(read.names) - 1)
    for name, row in less.iterrows():
      self.assertAlmostEqual(row['mean'], means[name] - means[read.baseline])
      self.assertBetween(row['mean'], row['ci_low'], row['ci_high'])
      self.assertEqual(row['wins'] + row['losses'], 6)

  def test_person_differences_average_to_that_of_the_summary(self):
    read = self._comparison(noise=0.05)
    less = read.less_baseline('auc', read.split)['mean']
    paired = read.person_differences('auc', read.split).mean()
    pd.testing.assert_series_equal(
      paired[less.index], less, check_names=False, check_dtype=False
    )

  def test_persons_average_the_rows_that_have_a_value(self):
    read = self._run()
    rows = read.results[
      (read.results['person_id'] == 'P2')
      & (read.results['source'] == 'trained')
      & (read.results['metric'] == 'ap')
    ]
    values = read.persons(results.ACTION_UNITS, 'ap', fake.SPLIT)
    self.assertAlmostEqual(values.loc['P2', 'trained'], rows['value'].mean())

  def test_the_split_that_asks_most_comes_first(self):
    read = self._run(splits=('random', 'blocked', 'cross_video'))
    self.assertEqual(read.splits, ['cross_video', 'blocked', 'random'])

  def test_only_approaches_are_needed_of_a_comparison(self):
    folder = fake.comparison(self._folder())
    for path in folder.glob('*.csv'):
      if path.stem != 'approaches':
        path.unlink()
    read = evidence.read(folder, max_people=3)
    self.assertTrue(read.results.empty)
    self.assertLen(read.missing, 2)
    self.assertEmpty(read.less_baseline('auc', read.split))

  def test_people_called_NA_and_001_stay_text(self):
    read = self._run(people=('NA', '001'))
    self.assertEqual(set(read.results['person_id']), {'NA', '001'})

  def test_a_path_that_is_no_directory_is_refused(self):
    with self.assertRaisesRegex(ValueError, 'nowhere is not a directory'):
      evidence.read(self._folder() / 'nowhere', max_people=1)

  @parameterized.parameters(('psm', False, '0 rows'), ('gm', True, '2 rows'))
  def test_there_is_one_baseline(self, name, value, reason):
    with self.assertRaisesRegex(ValueError, reason):
      self._comparison(changes={name: {'is_baseline': value}})

  def test_an_approach_is_named_once(self):
    folder = fake.comparison(self._folder())
    path = folder / 'approaches.csv'
    table = pd.read_csv(path)
    pd.concat([table, table.tail(1)]).to_csv(path, index=False)
    with self.assertRaisesRegex(ValueError, 'head_pose more than once'):
      evidence.read(folder, max_people=3)

  def test_a_map_of_no_approach_is_refused(self):
    drawn = maps.Maps('other', maps.PCA, (), (), 0)
    with self.assertRaisesRegex(
      ValueError, r'a map of other, which .*approaches\.csv'
    ):
      evidence.read(fake.comparison(self._folder()), maps=[drawn], max_people=3)

  def test_a_table_without_a_column_is_refused(self):
    folder = fake.run(self._folder())
    (folder / 'evaluation/skipped.csv').write_text('person_id,split\nP1,a\n')
    with self.assertRaisesRegex(ValueError, r'skipped\.csv.*reason'):
      evidence.read(folder, max_people=3)

  def test_turning_a_difference_changes_its_sides(self):
    row = {'mean': 0.1, 'ci_low': -0.1, 'ci_high': 0.2, 'wins': 4, 'losses': 1}
    rows = pd.DataFrame([row])
    turned = evidence.turn(rows)
    np.testing.assert_allclose(turned.iloc[0], [-0.1, -0.2, 0.1, 1, 4])
    pd.testing.assert_frame_equal(evidence.turn(turned), rows)


if __name__ == '__main__':
  absltest.main()
