import re

import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.report import comparison, comparison_findings
from tests.report import fake_comparison


class ComparisonFindingsTest(parameterized.TestCase):
  def _read(self, **options):
    folder = fake_comparison.fill(self.create_tempdir().full_path, **options)
    return comparison.read(folder)

  def _text(self, **options):
    return ' '.join(comparison_findings.summarise(self._read(**options)))

  def test_an_interval_without_zero_is_established(self):
    text = self._text()
    self.assertIn('Established above it: gm (+.06, 95% interval +.04 to', text)
    self.assertIn('Established below it: ctl (−.10', text)
    self.assertIn('For 1 of 3 (gm_to_psm) no difference is established', text)

  def test_wide_intervals_establish_nothing(self):
    text = self._text(half_width=0.2)
    self.assertIn('No approach is established above it; gm comes cl', text)
    self.assertNotIn('Established above', text)
    self.assertNotIn('Established below', text)
    self.assertNotIn('Better than the baseline', text)
    self.assertIn('Of 4 approaches 0 are established above', text)

  def test_controls_are_told_by_how_they_do(self):
    text = self._text()
    self.assertRegex(text, r'Better than the baseline[^.]*: pixel PCA \(\+\.04')
    self.assertRegex(text, 'Not told apart from the baseline: head pose')
    self.assertRegex(text, 'as they should be: the random encoder')

  def test_approaches_above_the_best_control_are_named(self):
    changes = {name: {'auc_cross_video': 0.1} for name in ('pixel_pca',)}
    self.assertIn(
      'Of 4 approaches 1 are established above the best control, head pose '
      '(AUC .70): gm.',
      self._text(changes=changes),
    )

  def test_identity_is_leaked_only_above_chance(self):
    self.assertIn('Who is on a frame can be read from gm .90', self._text())
    low = {'identity_ci_low': 0.1}
    changes = dict.fromkeys(fake_comparison.SHARED, low)
    self.assertNotIn('Who is on a frame', self._text(changes=changes))

  def test_retrieval_that_may_be_chance_is_said_to_be(self):
    self.assertNotIn('not established to be above chance', self._text())
    changes = dict.fromkeys(fake_comparison.SHARED, {'retrieval_ci_low': -0.01})
    self.assertIn(
      'not established to be above chance', self._text(changes=changes)
    )

  def test_every_sentence_has_a_number(self):
    for sentence in re.split(r'(?<=[a-z)])\. ', self._text()):
      self.assertRegex(sentence, r'\d')

  def test_a_run_called_psm_keeps_its_name(self):
    self.assertEqual(comparison_findings.label('psm'), 'psm')
    self.assertEqual(comparison_findings.label('pixel_pca'), 'Pixel PCA')

  def test_an_unscored_baseline_claims_nothing(self):
    folder = fake_comparison.fill(self.create_tempdir().full_path)
    path = folder / comparison.APPROACHES
    table = pd.read_csv(path)
    table.loc[table['is_baseline'], 'auc_cross_video'] = None
    table.to_csv(path, index=False)
    text = ' '.join(comparison_findings.summarise(comparison.read(folder)))
    self.assertIn('the baseline psm has no score', text)


if __name__ == '__main__':
  absltest.main()
