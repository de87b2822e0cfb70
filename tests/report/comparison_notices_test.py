import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.report import comparison, comparison_notices
from tests.report import fake_comparison


class ComparisonNoticesTest(parameterized.TestCase):
  def _notices(self, **options):
    folder = fake_comparison.fill(self.create_tempdir().full_path, **options)
    return ' '.join(comparison_notices.find(comparison.read(folder)))

  def test_unequal_budgets_are_warned_about(self):
    text = self._notices()
    self.assertIn('psm saw 48,000 images in training, gm 16,000', text)
    self.assertIn('gm_to_psm began from models of another run', text)
    self.assertNotIn('Steps a model differ', text)
    changes = {'gm': {'steps_per_model': 300}}
    self.assertIn('from 300 (gm) to 1,000', self._notices(changes=changes))

  @parameterized.parameters((4, True), (5, False))
  def test_few_people_are_warned_about(self, number, is_said):
    people = [f'P{index}' for index in range(number)]
    text = self._notices(people=people)
    self.assertEqual('4 people allow no interval' in text, is_said)

  def test_one_seed_is_warned_about(self):
    self.assertIn('trained with one seed', self._notices())
    changes = {'gm': {'num_seeds': 3}}
    self.assertNotIn('with one seed', self._notices(changes=changes))

  def test_a_model_that_failed_is_warned_about(self):
    folder = fake_comparison.fill(self.create_tempdir().full_path)
    costs = pd.read_csv(folder / 'costs.csv')
    costs.loc[0, 'status'] = 'failed'
    costs.to_csv(folder / 'costs.csv', index=False)
    text = comparison_notices.find(comparison.read(folder))[0]
    self.assertIn('1 model did not finish: psm-P1 of psm (failed)', text)


if __name__ == '__main__':
  absltest.main()
