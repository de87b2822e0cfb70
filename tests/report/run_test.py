import pathlib

from absl.testing import absltest

from psm_jax.report import run as report_run
from tests.report import fake


class RunTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(self.create_tempdir().full_path)

  def _read(self, metrics):
    (self.workdir / 'metrics.csv').write_text(metrics)
    return report_run.read(self.workdir)

  def test_a_line_that_is_being_written_is_left_out(self):
    run = self._read('step,model_id,gap,loss\n10,P01,,1.5\n20,P01,,1.2')
    self.assertEqual(list(run.metrics['step']), [10])

  def test_of_steps_logged_twice_the_last_counts(self):
    rows = '10,P01,,1.5\n20,P01,,1.2\n20,P01,,1.1\n'
    run = self._read(f'step,model_id,gap,loss\n{rows}')
    self.assertEqual(list(run.metrics['loss']), [1.5, 1.1])

  def test_other_columns_of_metrics_are_terms_of_the_loss(self):
    columns = 'step,model_id,epoch,gap,loss,pixel,ssim,grad_norm'
    run = self._read(f'{columns}\n10,P,1,,3,1,2,9\n')
    self.assertEqual(run.loss_terms, ['pixel', 'ssim'])

  def test_a_cell_that_is_no_number_is_refused(self):
    with self.assertRaisesRegex(ValueError, r'metrics\.csv'):
      self._read('step,model_id,gap,loss\n10,P01,,many\n')

  def test_broken_json_is_refused_by_name(self):
    (self.workdir / 'config.json').write_text('{"seed": ')
    with self.assertRaisesRegex(ValueError, r'config\.json is no JSON'):
      report_run.read(self.workdir)

  def test_people_are_those_of_all_cohorts(self):
    cohorts = {'m1': ('B', 'A'), 'm2': ('A', 'C')}
    fake.trained(
      self.workdir,
      [fake.model(name, cohort=who) for name, who in cohorts.items()],
    )
    run = report_run.read(self.workdir)
    self.assertEqual(run.person_ids, ['A', 'B', 'C'])


if __name__ == '__main__':
  absltest.main()
