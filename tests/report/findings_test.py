import pathlib
import re

import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.report import evidence, findings
from tests.report import fake

_NAN = float('nan')


class FindingsTest(parameterized.TestCase):
  def _read(self, kind, **options):
    folder = kind(pathlib.Path(self.create_tempdir().full_path), **options)
    return evidence.read(folder, max_people=1)

  def _text(self, kind, **options):
    return ' '.join(findings.summarise(self._read(kind, **options)))

  @parameterized.parameters(
    (0.01, 0.09, 'higher'),
    (-0.09, -0.01, 'lower'),
    (-0.01, 0.09, 'not established'),
    (0.0, 0.09, 'not established'),
    (-0.09, 0.0, 'not established'),
    (_NAN, _NAN, 'not established'),
  )
  def test_a_verdict_needs_an_interval_without_zero(self, low, high, verdict):
    row = pd.Series({'mean': 0.0, 'ci_low': low, 'ci_high': high})
    self.assertEqual(findings.verdict_of(row), verdict)

  def test_an_interval_near_zero_shows_on_which_side_it_ends(self):
    row = pd.Series({'mean': 0.04, 'ci_low': 0.001, 'ci_high': 0.09})
    self.assertEqual(
      findings.interval_text(row, is_signed=True), '95% interval +.001 to +.090'
    )

  def test_an_interval_without_zero_is_established(self):
    text = self._text(fake.comparison)
    self.assertRegex(text, r'Established above psm: gm \(\+\.06, 95% interval')
    self.assertRegex(text, r'Established below psm: ctl \(−\.10')
    self.assertIn('No difference is established to psm: gm_to_psm (', text)
    self.assertIn('higher for 6 of 6', text)

  def test_wide_intervals_establish_nothing(self):
    text = self._text(fake.comparison, noise=0.5)
    self.assertNotIn('Established', text)
    self.assertNotIn('better than', text)

  def test_controls_are_told_by_how_they_do(self):
    text = self._text(fake.comparison)
    self.assertRegex(text, r'better than psm: pixel PCA \(\+\.04')
    self.assertIn('Not told apart from psm: head pose', text)
    self.assertIn('As they should be, below psm: the random encoder', text)

  def test_the_verdict_says_whether_pixels_do_as_well(self):
    for auc, said in (
      (0.8, 'more than the pixels'),
      (0.7, 'fewer than the pixels'),
    ):
      means = {'trained': auc, 'pixel_pca': 0.74}
      text = findings.verdict(self._read(fake.run, means=means))
      self.assertIn(f'the models order {100 * auc:.0f} of 100 pairs', text)
      self.assertIn(said, text)

  def test_the_verdict_on_one_person_has_guessing_and_pixels_beside_it(self):
    text = findings.verdict(self._read(fake.run, people=('P1',)))
    self.assertRegex(text, r'the model orders 7\d of .* \(guessing: 50\)')
    self.assertRegex(
      text, r'is not established \(7\d; more for [01] of 1 person'
    )

  def test_the_verdict_says_what_few_labels_give(self):
    splits = ('cross_video', 'few_labels_30')
    text = findings.verdict(self._read(fake.run, splits=splits))
    self.assertRegex(text, r'; with 30 labelled frames of a person 7\d, the pi')
    text = findings.verdict(self._read(fake.run, splits=('cross_video',)))
    self.assertNotIn('labelled frames', text)

  def test_a_random_split_alone_is_called_the_easiest(self):
    read = self._read(fake.run, splits=('random',))
    self.assertIn('easiest test', findings.verdict(read))

  def test_random_frames_are_told_beside_a_harder_split(self):
    text = self._text(fake.run, splits=('random', 'cross_video'))
    self.assertIn('across videos', text)
    self.assertIn('it says little about new video', text)

  def test_an_interval_over_guessing_is_said(self):
    means = {'trained': 0.5}
    self.assertIn('includes guessing', self._text(fake.run, means=means))
    self.assertNotIn('includes guessing', self._text(fake.run))

  def test_without_controls_the_gain_is_unknown(self):
    self.assertIn('is unknown', self._text(fake.run, means={'trained': 0.7}))

  def test_a_single_person_has_no_interval(self):
    text = self._text(fake.run, people=('P1',))
    self.assertIn('too few people for an interval', text)

  def test_every_sentence_has_a_number(self):
    for sentence in re.split(r'(?<=[a-z)])\. ', self._text(fake.comparison)):
      self.assertRegex(sentence, r'\d')

  def test_an_empty_run_claims_nothing(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    read = evidence.read(folder, max_people=1)
    self.assertEmpty(findings.summarise(read))
    self.assertEqual(findings.verdict(read), '')


if __name__ == '__main__':
  absltest.main()
