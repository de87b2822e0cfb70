"""Signals to a run of toy models: a short form of `soak`."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import pytest
from absl.testing import absltest, parameterized

from tests import training_runs
from tests.faults import soak

# As launch.train, but with models that compile in a second.
_PROGRAM = """
import json, pathlib, sys
from psm_jax import stopping
from psm_jax.cli import program

def run(verb, as_called):
  pathlib.Path(sys.argv[2] + '.begun').touch()
  with stopping.polled() as asked:
    from psm_jax import methods, training
    from psm_jax import presets
    from tests import tiny
  if asked.is_set():
    raise stopping.Stopped('a signal')
  methods.make = lambda config, **_: tiny.toy_method(config)
  config = presets.config_of(json.loads(pathlib.Path(sys.argv[1]).read_text()))
  outcome = training.train(config, sys.argv[2])
  return stopping.EXIT_CODE if outcome.was_stopped else 0

program._run = run
program.run('train')
"""
_PHASES = {
  'imports': lambda folder: folder.with_suffix('.begun').exists(),
  'compile': lambda folder: (folder / 'config.json').exists(),
  'steps': lambda folder: any(folder.glob('checkpoints/wave000/[0-9]*')),
  'save': lambda folder: any(folder.glob('checkpoints/wave000/*-tmp*')),
}


class SignalsTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    config = training_runs.config(
      training_runs.write_store(cls.folder), train__steps=400
    )
    cls.config = cls.folder / 'config_of_runs.json'
    cls.config.write_text(json.dumps(config.to_dict()))
    unbroken = cls.folder / 'unbroken'
    process = cls._start(unbroken)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]
    cls.expected = soak.digest(unbroken)

  @classmethod
  def _start(cls, workdir, *, compiled='compiled'):
    options = {
      'XLA_FLAGS': '--xla_backend_optimization_level=0',
      'JAX_COMPILATION_CACHE_DIR': str(cls.folder / compiled),
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    }
    return subprocess.Popen(
      [sys.executable, '-c', _PROGRAM, str(cls.config), str(workdir)],
      cwd=pathlib.Path(__file__).parents[2],
      env={**os.environ, **options},
      stderr=subprocess.PIPE,
      text=True,
    )

  @parameterized.parameters(
    ('compile', signal.SIGUSR1), ('save', signal.SIGKILL)
  )
  @pytest.mark.thorough
  def test_a_run_ends_as_an_unbroken_one(self, phase, number):
    self._check(phase, number)

  @parameterized.parameters(
    ('imports', signal.SIGTERM), ('steps', signal.SIGINT)
  )
  @pytest.mark.slow
  def test_so_it_does_after_other_signals(self, phase, number):
    self._check(phase, number)

  def _check(self, phase, number):
    workdir = self.folder / phase
    # What interrupts compiling has to find it compiling.
    compiled = 'anew' if phase == 'compile' else 'compiled'
    process = self._start(workdir, compiled=compiled)
    while process.poll() is None and not _PHASES[phase](workdir):
      time.sleep(0.005)
    sent = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    expected = -number if number == signal.SIGKILL else 75
    self.assertEqual(process.returncode, expected, errors[-2000:])
    self.assertNotIn('Traceback', errors)
    self.assertLess(time.monotonic() - sent, 20)  # 10 on a machine at leisure.
    process = self._start(workdir)
    _, errors = process.communicate(timeout=300)
    self.assertEqual(process.returncode, 0, errors[-2000:])
    self.assertEqual(soak.digest(workdir), self.expected)


if __name__ == '__main__':
  absltest.main()
