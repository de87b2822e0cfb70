import dataclasses
import datetime

import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.report import notices
from psm_jax.report import run as report_run

_MODEL = report_run.Model(
  model_id='m1',
  cohort=('P01',),
  seed=0,
  total_steps=4000,
  num_epochs=10,
  num_frames=1200,
  num_videos=2,
  gap_cap=None,
  status='done',
  steps_done=4000,
  failed_step=None,
)


class NoticesTest(parameterized.TestCase):
  def _find(self, **fields):
    run = report_run.read(self.create_tempdir().full_path)
    return notices.find(dataclasses.replace(run, **fields))

  def test_a_sound_run_has_none(self):
    self.assertEmpty(self._find(models=(_MODEL,)))

  @parameterized.parameters(
    (
      {'status': 'failed', 'failed_step': 812},
      '1 model failed: m1 (at step 812)',
    ),
    ({'status': 'running', 'steps_done': 5}, 'm1 (5 of 4,000 steps)'),
    ({'gap_cap': 120}, 'm1 (at 120 frames)'),
  )
  def test_what_a_model_suffers_is_said(self, fields, text):
    model = dataclasses.replace(_MODEL, **fields)
    (warning,) = self._find(models=(model,))
    self.assertIn(text, warning)

  def test_a_loss_that_is_nan_without_failure_is_said(self):
    metrics = pd.DataFrame({'model_id': ['m1', 'm2'], 'loss': [1.0, None]})
    (warning,) = self._find(metrics=metrics)
    self.assertIn('The loss of m2 is NaN', warning)

  @parameterized.parameters((3600, 1), (-3600, 0), (10, 0))
  def test_scores_older_than_the_training_are_said(self, seconds, number):
    now = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    written = {
      'evaluation/scores.csv': now,
      'metrics.csv': now + datetime.timedelta(seconds=seconds),
    }
    self.assertLen(self._find(written=written), number)

  def test_scores_of_weak_labels_are_called_so(self):
    scores = pd.DataFrame({'person_id': ['P01'], 'au': ['weak_jawOpen']})
    (warning,) = self._find(scores=scores)
    self.assertIn('The labels are weak', warning)
    self.assertEmpty(self._find(scores=scores.assign(au='AU12')))

  def test_people_without_scores_are_named(self):
    models = (dataclasses.replace(_MODEL, cohort=('A', 'B', 'C')),)
    scores = pd.DataFrame({'person_id': ['A']})
    skipped = pd.DataFrame(
      {'person_id': ['B'], 'split': ['random'], 'reason': ['no labels']}
    )
    warnings = self._find(models=models, scores=scores, skipped=skipped)
    self.assertIn('1 person could not be scored', warnings[0])
    self.assertIn('1 person of the training has no scores: C.', warnings[1])


if __name__ == '__main__':
  absltest.main()
