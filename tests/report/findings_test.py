import dataclasses

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.report import findings
from psm_jax.report import run as report_run

_COLUMNS = (
  'source',
  'split',
  'metric',
  'mean',
  'ci_low',
  'ci_high',
  'num_persons',
  'wins',
  'losses',
)
_NAN = float('nan')


def _run(workdir, **tables):
  """Returns the run of an empty directory with some tables in it."""
  return dataclasses.replace(report_run.read(workdir), **tables)


def _summary(*rows):
  return pd.DataFrame(
    [(r[0], r[1], 'auc', *r[2:]) for r in rows], columns=_COLUMNS
  )


def _trained(split='cross_video', *, low=0.65, high=0.75, num_persons=27):
  return ('trained', split, 0.7, low, high, num_persons, _NAN, _NAN)


def _difference(low, high, *, mean=0.04, num_persons=27):
  return findings.Difference(
    source='trained - random_encoder',
    split='cross_video',
    metric='auc',
    mean=mean,
    low=low,
    high=high,
    num_persons=num_persons,
    wins=8,
    losses=4,
  )


class DifferenceTest(parameterized.TestCase):
  @parameterized.parameters(
    (0.01, 0.09, 'higher'),
    (-0.09, -0.01, 'lower'),
    (-0.01, 0.09, 'not established'),
    (0.0, 0.09, 'not established'),
    (-0.09, 0.0, 'not established'),
    (_NAN, _NAN, 'not established'),
  )
  def test_verdict_needs_an_interval_without_zero(self, low, high, verdict):
    self.assertEqual(_difference(low, high).verdict, verdict)

  @parameterized.parameters((-0.01, 0.09), (0.0, 0.09), (_NAN, _NAN))
  def test_sentence_says_not_established(self, low, high):
    sentence = findings.difference_sentence(_difference(low, high))
    self.assertIn('not established', sentence)
    self.assertNotIn('above', sentence)

  def test_sentence_of_a_gain(self):
    self.assertEqual(
      findings.difference_sentence(_difference(0.01, 0.09)),
      'It is .04 above the random encoder (95% interval +.01 to +.09; higher '
      'for 8 of 27 people).',
    )

  def test_sentence_of_a_loss_says_that_the_control_is_better(self):
    sentence = findings.difference_sentence(
      _difference(-0.09, -0.01, mean=-0.04)
    )
    self.assertIn('.04 below the random encoder', sentence)
    self.assertIn('the control serves better', sentence)

  def test_an_interval_near_zero_shows_on_which_side_it_ends(self):
    sentence = findings.difference_sentence(_difference(0.001, 0.09))
    self.assertIn('+.001 to +.090', sentence)


class SummariseTest(parameterized.TestCase):
  def _sentences(self, *rows, **tables):
    workdir = self.create_tempdir().full_path
    run = _run(workdir, summary=_summary(*rows), **tables)
    return ' '.join(findings.summarise(run))

  def test_the_hardest_split_is_the_headline(self):
    text = self._sentences(_trained('random'), _trained('cross_video'))
    self.assertStartsWith(text, 'Across videos')
    self.assertIn('it says little about new video', text)

  def test_a_random_split_alone_is_called_the_easiest(self):
    self.assertIn('easiest test', self._sentences(_trained('random')))

  def test_an_interval_over_guessing_is_said(self):
    text = self._sentences(_trained(low=0.45, high=0.95))
    self.assertIn('includes guessing', text)
    self.assertNotIn('includes guessing', self._sentences(_trained()))

  def test_without_controls_the_gain_is_unknown(self):
    self.assertIn('is unknown', self._sentences(_trained()))

  def test_a_single_person_has_no_interval(self):
    text = self._sentences(_trained(low=_NAN, high=_NAN, num_persons=1))
    self.assertIn('too few people for an interval, 1 person', text)

  @parameterized.parameters((1.4, True), (6.0, False))
  def test_a_flat_embedding_is_said(self, rank, is_said):
    structure = pd.DataFrame(
      {
        'source': ['trained', 'random_encoder'],
        'effective_rank': [rank, 50.0],
        'yaw_correlation': [0.95, 0.1],
      }
    )
    text = self._sentences(structure=structure)
    self.assertEqual('little more than one direction' in text, is_said)
    self.assertIn('correlation of .95', text)

  def test_an_empty_run_claims_nothing(self):
    self.assertEqual(self._sentences(), '')


class PersonMeansTest(absltest.TestCase):
  def test_they_average_the_rows_that_have_a_value(self):
    scores = pd.DataFrame(
      {
        'source': 'trained',
        'model_id': ['m0', 'm0', 'm1', 'm0'],
        'person_id': ['A', 'A', 'A', 'B'],
        'split': 'random',
        'auc': [0.5, np.nan, 0.9, 0.6],
      }
    )
    means = findings.person_means(scores, 'random', 'auc')['trained']
    self.assertAlmostEqual(means['A'], 0.7)
    by_model = findings.person_means(scores, 'random', 'auc', by_model=True)
    self.assertAlmostEqual(by_model['trained'][('A', 'm0')], 0.5)


if __name__ == '__main__':
  absltest.main()
