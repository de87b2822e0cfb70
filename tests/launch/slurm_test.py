"""launch/slurm.sh beside an srun and a scontrol that note their calls."""

import pathlib

from absl.testing import absltest, parameterized

from tests.launch import scripts


class SlurmTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    for name, code in (('srun', '${SRUN_CODE:-0}'), ('scontrol', '0')):
      scripts.write_program(
        self.folder / 'bin' / name,
        f'#!/usr/bin/env bash\necho "{name} $*" >>"$FAKE/calls"\nexit {code}',
      )

  def _slurm(self, *arguments, **environment):
    return scripts.run(
      'slurm.sh',
      *arguments,
      folder=self.folder,
      path=[self.folder / 'bin'],
      FAKE=str(self.folder),
      PYTHON='python',
      **environment,
    )

  def _calls(self):
    return (self.folder / 'calls').read_text().splitlines()

  @parameterized.parameters(
    ({'SLURM_ARRAY_TASK_ID': '3', 'SLURM_ARRAY_JOB_ID': '5'}, ' --shard=auto'),
    ({'SLURM_NTASKS': '4'}, ' --distributed'),
    ({'SLURM_NTASKS': '1'}, ''),
  )
  def test_the_job_says_how_the_run_is_shared(self, environment, flag):
    done = self._slurm('train', '--workdir=x', SLURM_JOB_ID='7', **environment)
    self.assertEqual(done.returncode, 0, done.stderr)
    self.assertEqual(
      self._calls(),
      [
        f'srun --kill-on-bad-exit=0 python -m launch.train{flag} --workdir=x',
      ],
    )

  @parameterized.parameters((75, True), (1, False), (134, False))
  def test_only_a_stopped_job_is_queued_again(self, code, is_queued):
    done = self._slurm('train', SLURM_JOB_ID='7', SRUN_CODE=str(code))
    self.assertEqual(done.returncode, code)
    self.assertEqual('scontrol requeue 7' in self._calls(), is_queued)

  def test_of_an_array_only_the_stopped_task_is_queued_again(self):
    self._slurm(
      'train',
      SLURM_JOB_ID='7',
      SLURM_ARRAY_JOB_ID='7',
      SLURM_ARRAY_TASK_ID='2',
      SRUN_CODE='75',
    )
    self.assertEqual(self._calls()[-1], 'scontrol requeue 7_2')

  @parameterized.parameters(((), 'Usage'), (('train',), 'sbatch'))
  def test_wrong_usage_is_named(self, arguments, message):
    done = self._slurm(*arguments)
    self.assertEqual(done.returncode, 2)
    self.assertIn(message, done.stderr)


if __name__ == '__main__':
  absltest.main()
