import dataclasses
import datetime
import pathlib

import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.report import evidence, notices, people
from tests.report import fake

_FEW = 'There are scores of'


class NoticesTest(parameterized.TestCase):
  def _folder(self):
    return pathlib.Path(self.create_tempdir().full_path)

  def _run(self, *models, **fields):
    folder = self._folder()
    fake.trained(folder, models or [fake.model('P1')])
    read = evidence.read(folder, max_people=1)
    return dataclasses.replace(read, **fields)

  def _comparison(self, **options):
    folder = fake.comparison(self._folder(), **options)
    return ' '.join(notices.find(evidence.read(folder, max_people=1)))

  def test_a_sound_run_has_none(self):
    self.assertEmpty(notices.find(self._run()))
    folder = fake.run(self._folder())
    self.assertEmpty(notices.find(evidence.read(folder, max_people=1)))

  @parameterized.parameters(
    (
      {'status': 'failed', 'steps_done': 81},
      '1 model failed: m-P1 (81 of 100 steps)',
    ),
    ({'status': 'running', 'steps_done': 5}, 'm-P1 (5 of 100 steps)'),
    ({'gap_cap': 120}, 'm-P1 (at 120 frames)'),
  )
  def test_what_a_model_suffers_is_said(self, fields, text):
    (warning,) = notices.find(self._run(fake.model('P1', **fields)))
    self.assertIn(text, warning)

  def test_a_loss_that_is_nan_without_failure_is_said(self):
    read = self._run()
    metrics = pd.DataFrame({'model_id': ['m1', 'm2'], 'loss': [1.0, None]})
    run = dataclasses.replace(read.run, metrics=metrics)
    (warning,) = notices.find(dataclasses.replace(read, run=run))
    self.assertIn('The loss of m2 is NaN', warning)

  @parameterized.parameters((3600, 1), (-3600, 0), (10, 0))
  def test_scores_older_than_the_training_are_said(self, seconds, number):
    now = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    written = {
      'evaluation/results.csv': now,
      'metrics.csv': now + datetime.timedelta(seconds=seconds),
    }
    self.assertLen(notices.find(self._run(written=written)), number)

  def test_people_without_scores_are_named(self):
    folder = fake.run(
      self._folder(),
      people=('A', 'B'),
      models=[fake.model('A', cohort=('A', 'B', 'C', 'D'))],
      skipped=[('C', 'random', 'no labels')],
    )
    text = ' '.join(notices.find(evidence.read(folder, max_people=1)))
    self.assertIn('1 person could not be scored', text)
    self.assertIn('Of the people of the training 1 have no scores: D.', text)

  def test_unequal_budgets_are_warned_about(self):
    text = self._comparison()
    self.assertIn('differ, from 16,000 (gm) to 96,000 (', text)
    self.assertIn('these began: gm_to_psm', text)
    self.assertNotIn('Steps a model differ', text)
    changes = {'gm': {'steps_per_model': 300}}
    self.assertIn('from 300 (gm) to 1,000', self._comparison(changes=changes))

  @parameterized.parameters((4, True), (5, False))
  def test_few_people_are_warned_about(self, number, is_said):
    text = self._comparison(people=fake.PEOPLE[:number])
    self.assertEqual(_FEW in text, is_said)

  def test_one_seed_is_warned_about(self):
    self.assertIn('trained with one seed', self._comparison())
    changes = {'gm': {'num_seeds': 3}}
    self.assertNotIn('with one seed', self._comparison(changes=changes))

  def test_a_model_that_failed_is_warned_about(self):
    folder = fake.comparison(self._folder())
    costs = pd.read_csv(folder / 'costs.csv')
    costs.loc[0, 'status'] = 'failed'
    costs.to_csv(folder / 'costs.csv', index=False)
    text = notices.find(evidence.read(folder, max_people=1))[0]
    self.assertIn('1 model did not finish: psm-P1 of psm (failed)', text)

  def test_an_approach_without_any_score_is_warned_about(self):
    folder = fake.comparison(self._folder())
    for name in ('results', 'summary'):
      table = pd.read_csv(folder / f'{name}.csv')
      columns = [c for c in ('source', 'first', 'second') if c in table]
      table = table[~(table[columns] == 'gm').any(axis=1)]
      table.to_csv(folder / f'{name}.csv', index=False)
    text = ' '.join(notices.find(evidence.read(folder, max_people=1)))
    self.assertIn('No AUC across videos: gm.', text)


class OffTest(absltest.TestCase):
  def test_who_is_told_far_worse_than_everybody_is_named(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    low = fake.rows({'trained': 0.55}, people=('P7',))
    flat = {'target': 'embedding', 'metric': 'effective_rank', 'value': 1.2}
    low = [r | flat if r['metric'] == 'effective_rank' else r for r in low]
    models = [fake.model(person) for person in (*fake.PEOPLE, 'P7')]
    read = evidence.read(
      fake.run(folder, models=models, more=low), max_people=1
    )
    (reasons,) = people.off(read).values()
    self.assertRegex(reasons[0], r'AUC \.5\d .median \.75.')
    self.assertIn('along little more than one direction', reasons[1])

  def test_little_video_and_failures_are_named(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    models = [
      fake.model('P1', status='failed', failed_step=7),
      fake.model('P2', status='running', steps_done=50),
      fake.model('P3'),
    ]
    fake.trained(folder, models)
    fake.embedded(folder, ['P2', 'P3'])
    reasons = people.off(evidence.read(folder, max_people=1))
    self.assertEqual(reasons['m-P1'], ['the model failed at step 7'])
    self.assertIn('not finished: 50 of 100 steps', reasons['m-P2'])
    self.assertEqual(reasons['m-P3'], ['little video: fewer than 30 s'])


if __name__ == '__main__':
  absltest.main()
