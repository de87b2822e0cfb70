"""launch/slurm.sh in a Slurm of this machine (slow; Debian's slurm-wlm)."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from unittest import mock

import jax
import numpy as np
import pytest
from absl.testing import absltest

from psm_jax import methods
from psm_jax.report import run as report_run
from psm_jax.runs import run
from tests import tiny, training_runs
from tests.launch import scripts

_HERE = pathlib.Path(__file__).parent
# Shard 1 of several waits at its first checkpoint, in its first life, to be
# stopped there.
_WAITING = """
import os, time
from psm_jax import stopping
from psm_jax.runs import checkpoint

in_first_life = os.environ.get('SLURM_RESTART_COUNT', '0') == '0'
if in_first_life and os.environ.get('SLURM_ARRAY_TASK_ID') == '1':
  save = checkpoint.Checkpoints.save
  def save_and_wait(checkpoints, *args):
    save(checkpoints, *args)
    while not stopping.is_asked():
      time.sleep(0.05)
  checkpoint.Checkpoints.save = save_and_wait
"""


@pytest.mark.slow
class RealSlurmTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    programs = ('slurmctld', 'slurmd', 'sbatch', 'munged')
    if not all(map(shutil.which, programs)) or os.getuid():
      raise cls.skipTest(cls, 'needs root and Slurm (apt install slurm-wlm)')
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    # Munge asks that nobody else can write above its socket.
    cls.folder.chmod(0o755)
    slurm = cls.folder / 'slurm'
    cls.addClassCleanup(cls._end, slurm / 'pids')
    subprocess.run(
      [_HERE / 'start_slurm.sh', slurm, '2'], check=True, timeout=120
    )
    cls.environment = {
      **os.environ,
      'SLURM_CONF': str(slurm / 'slurm.conf'),
      'PYTHON': sys.executable,
      'XLA_FLAGS': (
        '--xla_force_host_platform_device_count=2 '
        '--xla_backend_optimization_level=0'
      ),
    }
    cls.store = training_runs.write_store(cls.folder, lengths=(30, 21, 24))

  @classmethod
  def _end(cls, pids):
    started = [int(pid) for pid in pids.read_text().split()]
    for pid in started:
      os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 30
    # Until then they write into the folder that is deleted next.
    while any(pathlib.Path(f'/proc/{pid}').exists() for pid in started):
      assert time.monotonic() < end, started
      time.sleep(0.1)

  def _call(self, *command):
    done = subprocess.run(
      command,
      env=self.environment,
      cwd=scripts.ROOT,
      capture_output=True,
      text=True,
      check=False,
    )
    return done.stdout.strip()

  def _submit(self, *options, workdir, config):
    path = training_runs.config_file(
      workdir.with_suffix('.py'), config, more=_WAITING
    )
    return self._call(
      *('sbatch', '--parsable', *options),
      f'--output={self.folder}/psm_jax-%A_%a.out',
      *('launch/slurm.sh', 'train'),
      *(f'--config={path}', f'--workdir={workdir}'),
    )

  def _await(self, claim, what, timeout_s=400):
    end = time.monotonic() + timeout_s
    while not claim():
      self.assertLess(time.monotonic(), end, f'{what}: {self._said()}')
      time.sleep(0.2)

  def _said(self):
    files = sorted(self.folder.glob('psm_jax-*.out'))
    return '\n'.join(f'{p.name}: {p.read_text()[-2000:]}' for p in files)

  def _state(self, job):
    return self._call('squeue', '-h', '-j', job, '-o', '%T') or 'GONE'

  def _has_ended(self, job):
    states = self._state(job).split()
    return set(states) <= {'GONE', 'COMPLETED', 'FAILED'}

  def _alone(self, config_path, name):
    """Returns the final states of a run that nobody shares."""
    workdir = self.folder / name
    self._call(
      *(sys.executable, '-m', 'launch.train'),
      *(f'--config={config_path}', f'--workdir={workdir}'),
    )
    return self._final(workdir)

  def _final(self, workdir):
    with mock.patch.object(methods, 'make', tiny.toy_method):
      return training_runs.final_states(workdir)

  def test_an_array_of_shards_survives_a_preemption(self):
    config = training_runs.config(self.store, population__num_devices=1)
    workdir = self.folder / 'array'
    job = self._submit('--array=0-2', workdir=workdir, config=config)
    # Number 1 has trained three steps and waits.
    saved = workdir / 'checkpoints/wave001/3'
    self._await(saved.exists, 'a checkpoint')
    self._call('scontrol', 'requeue', f'{job}_1')
    self._await(lambda: self._state(f'{job}_1') == 'PENDING', 'requeued')
    # Slurm would wait for two minutes.
    self._call('scontrol', 'update', f'JobId={job}_1', 'StartTime=now')
    self._await(lambda: self._has_ended(job), 'the end')
    models = run.open_run(workdir).models
    self.assertEqual([m.status for m in models], ['done'] * 3, self._said())
    jax.tree.map(
      np.testing.assert_array_equal,
      self._final(workdir),
      self._alone(workdir.with_suffix('.py'), 'alone'),
    )
    self.assertIn('Going on from step', self._said())

  def test_two_tasks_make_one_run_by_what_slurm_tells_jax(self):
    config = training_runs.config(
      self.store,
      population__cohorts='all',
      population__data_parallel=True,
      curriculum__pairing='drawn_gap',
      curriculum__draws_per_person=16,
      train__batch_size=4,
    )
    workdir = self.folder / 'together'
    host = socket.gethostname().partition('.')[0]
    job = self._submit(
      *('--ntasks=2', f'--nodelist={host}'), workdir=workdir, config=config
    )
    self._await(lambda: self._has_ended(job), 'the end')
    (model,) = run.open_run(workdir).models
    self.assertEqual(model.status, 'done', self._said())
    # Both took part, and one of them kept the run.
    (output,) = self.folder.glob(f'psm_jax-{job}_*.out')
    self.assertEqual(output.read_text().count('The first step took'), 2)
    self.assertIn('Process 1 of 2', output.read_text())
    self.assertEqual(len(report_run.read(workdir).metrics), 1 + 12 // 2)


if __name__ == '__main__':
  absltest.main()
