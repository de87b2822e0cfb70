import json
import pathlib

import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.report import run as report_run

_MODEL = {
  'model_id': 'facecycle-P01-s0',
  'cohort': ['P01'],
  'seed': 0,
  'total_steps': 100,
  'num_epochs': 4,
  'num_frames': 1200,
  'num_videos': 2,
  'gap_cap': None,
  'status': 'done',
  'steps_done': 100,
  'failed_step': None,
}


class ReadTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(self.create_tempdir().full_path)

  def _write(self, name, text):
    path = self.workdir / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, 'utf-8')

  def _write_models(self, *models, **fields):
    content = {'schema_version': 1, 'method': 'facecycle', 'models': models}
    self._write('models.json', json.dumps(content | fields))

  def test_an_empty_directory_lacks_every_file(self):
    run = report_run.read(self.workdir)
    self.assertEqual(run.missing, list(report_run.FILES))
    self.assertTrue(run.metrics.empty)

  def test_a_path_that_is_no_directory_is_refused(self):
    with self.assertRaisesRegex(ValueError, 'nowhere is not a directory'):
      report_run.read(self.workdir / 'nowhere')

  def test_ids_stay_text(self):
    self._write(
      'evaluation/scores.csv',
      'source,model_id,person_id,split,target,effective_rank,pearson\n'
      'trained,1,001,,embedding,2,\n'
      'trained,2,NA,,embedding,2,nan\n'
      'trained,2,NA,cross_video,yaw,,0.5\n'
      'trained,2,NA,cross_video,yaw,,0.7\n',
    )
    table = report_run.read(self.workdir).structure
    self.assertEqual(list(table['person_id']), ['001', 'NA'])
    self.assertTrue(table['pitch_correlation'].isna().all())
    self.assertTrue(np.isnan(table['yaw_correlation'][0]))
    self.assertAlmostEqual(table['yaw_correlation'][1], 0.6)

  def test_a_line_that_is_being_written_is_left_out(self):
    self._write(
      'metrics.csv', 'step,model_id,gap,loss\n10,P01,,1.5\n20,P01,,1.2'
    )
    self.assertEqual(list(report_run.read(self.workdir).metrics['step']), [10])

  def test_of_steps_logged_twice_the_last_counts(self):
    self._write(
      'metrics.csv',
      'step,model_id,gap,loss\n10,P01,,1.5\n20,P01,,1.2\n20,P01,,1.1\n',
    )
    metrics = report_run.read(self.workdir).metrics
    self.assertEqual(list(metrics['loss']), [1.5, 1.1])

  def test_other_columns_of_metrics_are_terms_of_the_loss(self):
    self._write(
      'metrics.csv',
      'step,model_id,epoch,gap,loss,pixel,ssim,grad_norm\n10,P,1,,3,1,2,9\n',
    )
    run = report_run.read(self.workdir)
    self.assertEqual(run.loss_terms, ['pixel', 'ssim'])

  def test_a_table_without_a_column_is_refused(self):
    self._write('evaluation/skipped.csv', 'person_id,split\nP01,random\n')
    with self.assertRaisesRegex(ValueError, r'skipped\.csv.*reason'):
      report_run.read(self.workdir)

  def test_a_cell_that_is_no_number_is_refused(self):
    self._write('metrics.csv', 'step,model_id,gap,loss\n10,P01,,many\n')
    with self.assertRaisesRegex(ValueError, r'metrics\.csv'):
      report_run.read(self.workdir)

  def test_another_schema_is_refused(self):
    self._write_models(_MODEL, schema_version=2)
    with self.assertRaisesRegex(ValueError, r'models\.json.*schema_version 2'):
      report_run.read(self.workdir)

  @parameterized.parameters(
    ({'status': 'lost'}, "status 'lost'"),
    ({'cohort': None}, 'cohort'),
  )
  def test_a_model_with_a_wrong_field_is_refused(self, fields, message):
    self._write_models(_MODEL | fields)
    with self.assertRaisesRegex(ValueError, message):
      report_run.read(self.workdir)

  def test_a_model_that_lacks_a_field_is_refused(self):
    model = dict(_MODEL)
    del model['seed']
    self._write_models(model)
    with self.assertRaisesRegex(ValueError, 'seed'):
      report_run.read(self.workdir)

  def test_broken_json_is_refused_by_name(self):
    self._write('config.json', '{"seed": ')
    with self.assertRaisesRegex(ValueError, r'config\.json is no JSON'):
      report_run.read(self.workdir)

  def test_people_are_those_of_all_cohorts(self):
    self._write_models(
      _MODEL | {'cohort': ['B', 'A']}, _MODEL | {'cohort': ['A', 'C']}
    )
    run = report_run.read(self.workdir)
    self.assertEqual(run.person_ids, ['A', 'B', 'C'])


if __name__ == '__main__':
  absltest.main()
