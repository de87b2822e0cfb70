"""Claims about processes that train a general model together (slow)."""

import io
import json
import os
import pathlib
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
from absl.testing import absltest, parameterized

from psm_jax import methods, training
from psm_jax.engine import processes
from psm_jax.report import run as report_run
from tests import tiny, training_runs

_ROOT = pathlib.Path(__file__).resolve().parents[1]


class FindTest(absltest.TestCase):
  def test_slurm_says_where_a_process_stands(self):
    slurm = {
      'SLURM_JOB_ID': '70',
      'SLURM_STEP_NODELIST': 'gpu[03-04]',
      'SLURM_STEP_NUM_NODES': '2',
      'SLURM_NTASKS': '2',
      'SLURM_PROCID': '1',
      'SLURM_LOCALID': '0',
    }
    with mock.patch.dict(os.environ, slurm):
      place = processes.find()
    self.assertEqual((place.count, place.index), (2, 1))
    self.assertStartsWith(place.coordinator, 'gpu03:')

  def test_a_place_that_nothing_tells_is_refused_by_flag(self):
    with self.assertRaisesRegex(ValueError, '--coordinator=HOST:PORT'):
      processes.find()

  def test_alone_the_first_process_is_oneself(self):
    tree = {'a': np.float32([-0.0, np.nan])}
    self.assertIs(processes.from_first(tree), tree)
    self.assertTrue(processes.is_first())


class LostTest(parameterized.TestCase):
  @parameterized.parameters(
    ((b'(stopped sending heartbeats):\n/job:w/replica:0/task:3\nEnd',), {3}),
    ((b'(stopped sending heartbeats):\n1\n12\nThe tasks crashed.',), {1, 12}),
    ((b'unhealthy (stopped sending heart', b'beats):\n1\nThe tasks'), {1}),
    ((b'Failed to send RPC to coordination service.',), {0}),
    ((b'step 7 of 40\n', b'1\n2\n'), set()),
  )
  def test_who_was_lost_is_read_however_jax_names_it(self, chunks, expected):
    lost, said = [], io.BytesIO()
    stream = mock.Mock(read1=mock.Mock(side_effect=[*chunks, b'']))
    with mock.patch.object(processes.sys, 'stderr', mock.Mock(buffer=said)):
      processes._copy(stream, lost)
    self.assertEqual(set(lost), expected)
    self.assertEqual(said.getvalue(), b''.join(chunks))


@pytest.mark.slow
class TogetherTest(absltest.TestCase):
  """Two processes of two devices, one general model of two people."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.enterClassContext(mock.patch.object(methods, 'make', tiny.toy_method))
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.config = training_runs.config(
      training_runs.write_store(cls.folder),
      population__cohorts='all',
      population__data_parallel=True,
      curriculum__pairing='drawn_gap',
      curriculum__draws_per_person=16,
      train__batch_size=4,
      train__steps=40,
    )
    cls.config_path = cls.folder / 'config.json'
    cls.config_path.write_text(json.dumps(cls.config.to_dict()))
    # Four devices of this one process.
    cls.alone = cls.folder / 'alone'
    training.train(cls.config, cls.alone)
    cls.expected = training_runs.final_states(cls.alone)

  def _start(self, workdir, count=2):
    with socket.socket() as free:
      free.bind(('localhost', 0))
      address = f'localhost:{free.getsockname()[1]}'
    started = []
    for index in range(count):
      process = subprocess.Popen(
        [
          *(sys.executable, '-m', 'tests.together', self.config_path, workdir),
          *(address, str(count), str(index)),
        ],
        cwd=_ROOT,
        env={
          **os.environ,
          'XLA_FLAGS': (
            f'--xla_force_host_platform_device_count={4 // count} '
            '--xla_backend_optimization_level=0'
          ),
        },
        stderr=subprocess.PIPE,
        text=True,
      )
      self.addCleanup(process.kill)
      started.append(process)
    return started

  def _finish(self, started, codes=None):
    """Returns what the processes said, once they have ended with codes."""
    said = [process.communicate(timeout=400)[1] for process in started]
    ended = [process.returncode for process in started]
    self.assertEqual(ended, codes or [0] * len(started), said[0][-3000:])
    return said

  def _kill(self, process):
    """Kills the child of a process, which then ends by itself."""
    children = pathlib.Path(f'/proc/{process.pid}/task/{process.pid}/children')
    os.kill(int(children.read_text().split()[0]), signal.SIGKILL)

  def _await_step(self, workdir, started):
    """Waits until the run has a checkpoint."""
    folder = workdir / 'checkpoints/wave000'
    while not [p for p in folder.glob('*') if p.name.isdigit()]:
      self.assertIsNone(started[0].poll())
      time.sleep(0.05)

  def _check(self, workdir):
    """Other programs: to the tolerance that is stated for devices."""
    states = training_runs.final_states(workdir)
    self.assertEqual(states.step.tolist(), [40])
    for ours, theirs in zip(
      jax.tree.leaves(states.params),
      jax.tree.leaves(self.expected.params),
      strict=True,
    ):
      np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    read = report_run.read(workdir)
    self.assertEqual([m.status for m in read.models], ['done'])
    self.assertEqual(read.metrics['step'].tolist(), [1, *range(2, 41, 2)])

  def test_two_processes_end_as_one_of_as_many_devices(self):
    workdir = self.folder / 'two'
    self._finish(self._start(workdir))
    self._check(workdir)

  def test_a_lost_process_ends_all_and_the_run_goes_on(self):
    for lost in (0, 1):
      workdir = self.folder / f'lost{lost}'
      started = self._start(workdir)
      self._await_step(workdir, started)
      self._kill(started[lost])
      since = time.monotonic()
      left = started[1 - lost]
      said = left.communicate(timeout=120)[1]
      self.assertEqual(left.returncode, processes.EXIT_CODE, said[-3000:])
      self.assertLess(time.monotonic() - since, 60)
      self.assertIn(f'another one was lost (number {lost}', said)
      started[lost].communicate(timeout=60)
      self._finish(self._start(workdir))
      self._check(workdir)

  def test_killed_at_random_moments_ten_times_the_run_ends_as_ever(self):
    generator, num_lost, turn, life_s = np.random.default_rng(0), 0, 0, 10.0
    while num_lost < 10:
      self.assertLess(turn, 20)
      workdir, turn = self.folder / f'random{turn}', turn + 1
      started = self._start(workdir)
      while not (workdir / 'models.json').exists():
        self.assertIsNone(started[0].poll())
        time.sleep(0.01)
      begun = time.monotonic()
      time.sleep(generator.uniform(0, life_s))
      lost = started[generator.integers(2)]
      if any(process.poll() is not None for process in started):
        life_s = 0.8 * life_s
        self._finish(started)
        continue
      self._kill(lost)
      since = time.monotonic()
      (left,) = (process for process in started if process is not lost)
      said = left.communicate(timeout=120)[1]
      self.assertLess(time.monotonic() - since, 60)
      # It may have had nothing left to do.
      self.assertIn(left.returncode, (0, processes.EXIT_CODE), said[-3000:])
      lost.communicate(timeout=60)
      self._finish(self._start(workdir))
      self._check(workdir)
      num_lost += 1
      print(f'Lost after {since - begun:.1f} s; the other: {left.returncode}.')

  def test_a_preempted_process_has_all_save_one_step(self):
    workdir = self.folder / 'preempted'
    started = self._start(workdir)
    self._await_step(workdir, started)
    started[1].terminate()
    self._finish(started, codes=[processes.EXIT_CODE] * 2)
    self._finish(self._start(workdir))
    self._check(workdir)


if __name__ == '__main__':
  absltest.main()
