"""Claims about a run that several machines share, each with a shard."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from unittest import mock

import jax
import numpy as np
import pandas as pd
import pytest
from absl.testing import absltest, parameterized

from psm_jax import embedding, methods, training
from psm_jax.report import run as report_run
from psm_jax.runs import run, run_states, shards, waves
from tests import tiny, training_runs

pytestmark = pytest.mark.thorough

_ROOT = pathlib.Path(__file__).resolve().parents[1]


class ShardsTest(parameterized.TestCase):
  """Five people, toy models."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    for name in ('make', 'abstract'):
      cls.enterClassContext(mock.patch.object(methods, name, tiny.toy_method))
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.enterClassContext(training_runs.compiled_once(cls.folder / 'compiled'))
    cls.store = training_runs.write_store(
      cls.folder, lengths=(30, 21, 24, 33, 27)
    )
    cls.config = training_runs.config(cls.store, population__num_devices=1)
    cls.alone = cls.folder / 'alone'
    training.train(cls.config, cls.alone)
    cls.expected = training_runs.final_states(cls.alone)

  def _train(self, workdir, index, count, *, until=None):
    """Trains a shard, stopped by a signal once a step is logged."""
    write = training.metrics.MetricsLog.write

    def write_and_stop(log, step, *args, **kwargs):
      write(log, step, *args, **kwargs)
      if step == until:
        signal.raise_signal(signal.SIGTERM)

    with mock.patch.object(
      training.metrics.MetricsLog, 'write', write_and_stop
    ):
      return training.train(
        self.config, workdir, shard=shards.Shard(index, count)
      )

  def _check(self, workdir):
    """Checks that a run ended as one that nobody shared, and reads as one."""
    jax.tree.map(
      np.testing.assert_array_equal,
      training_runs.final_states(workdir),
      self.expected,
    )
    ours, theirs = (report_run.read(path) for path in (workdir, self.alone))
    # Who trained a model with whom is all that differs.
    ours_alone, theirs_alone = (
      [dataclasses.replace(m, shard=0, waves=()) for m in read.models]
      for read in (ours, theirs)
    )
    self.assertEqual(ours_alone, theirs_alone)
    speeds = ['steps_per_s', 'frames_per_s', 'input_wait_share']
    tables = [
      each.metrics.drop(columns=speeds).sort_values(
        ['step', 'model_id'], ignore_index=True
      )
      for each in (ours, theirs)
    ]
    pd.testing.assert_frame_equal(*tables)

  @parameterized.parameters(2, 4)
  def test_shards_end_bitwise_as_one_process(self, count):
    workdir = self.folder / f'shards{count}'
    models = []
    for index in reversed(range(count)):
      models += self._train(workdir, index, count).models
    self.assertLen(models, 5)
    self._check(workdir)

  @parameterized.parameters((1, 2), (3, 2))
  def test_another_number_of_shards_goes_on_bitwise(self, before, after):
    workdir = self.folder / f'from{before}to{after}'
    for index in range(before):
      outcome = self._train(workdir, index, before, until=6)
      self.assertTrue(outcome.was_stopped)
    halfway = training_runs.final_states(workdir)
    self.assertEqual(halfway.step.tolist(), [6] * 5)
    # What the other number finds is what was left, bitwise.
    seen = []
    restore = waves.restore

    def restore_and_see(wave, workdir):
      step, states = restore(wave, workdir)
      host = wave.population.to_host(states)
      seen.append(([m.model_id for m in wave.models], host))
      return step, states

    with mock.patch.object(waves, 'restore', restore_and_see):
      for index in range(after):
        self._train(workdir, index, after)
    ids = [model.model_id for model in run.open_run(workdir).models]
    for members, states in seen:
      rows = [ids.index(model_id) for model_id in members]
      jax.tree.map(
        lambda leaf, left, rows=rows: np.testing.assert_array_equal(
          leaf, left[rows]
        ),
        states,
        halfway,
      )
    self.assertEqual(run.open_run(workdir).num_shards, after)
    self._check(workdir)

  def test_a_divided_run_keeps_the_steps_it_had_before(self):
    workdir = self.folder / 'kept'
    self.config = training_runs.config(
      self.store, population__num_devices=1, train__keep_steps=3
    )
    self._train(workdir, 0, 1, until=6)
    for index in range(2):
      self._train(workdir, index, 2)
    opened = run.open_run(workdir)
    self.assertEqual(run_states.kept_steps(opened), [3, 6, 9, 12])
    before = embedding.Trained(workdir).at_step(6)
    self.assertEqual(before.model_state(4).step, 6)

  def test_a_lost_shard_costs_only_its_models(self):
    workdir = self.folder / 'lost'
    self._train(workdir, 0, 2)
    statuses = [model.status for model in run.open_run(workdir).models]
    self.assertEqual(statuses.count('done'), 2)
    with self.assertRaisesRegex(ValueError, 'no checkpoint of facecycle-p2'):
      embedding.Trained(workdir)

  def _start(self, workdir, config, index):
    process = subprocess.Popen(
      [
        *(sys.executable, '-m', 'launch.train', f'--config={config}'),
        *(f'--workdir={workdir}', f'--shard={index}/2'),
      ],
      cwd=_ROOT,
      env={**os.environ, 'PYTHONPATH': str(_ROOT)},
      stderr=subprocess.PIPE,
      text=True,
    )
    self.addCleanup(process.kill)
    return process

  def _finish(self, started):
    for process in started:
      said = process.communicate(timeout=400)[1]
      self.assertEqual(process.returncode, 0, said[-3000:])

  @pytest.mark.slow
  def test_killed_at_random_moments_ten_times_shards_end_as_ever(self):
    config = training_runs.config_file(self.folder / 'config.py', self.config)
    generator, num_lost, turn = np.random.default_rng(0), 0, 0
    begun = time.monotonic()
    workdir = self.folder / 'unbroken'
    self._finish([self._start(workdir, config, index) for index in range(2)])
    self._check(workdir)
    life_s = time.monotonic() - begun
    while num_lost < 10:
      self.assertLess(turn, 20)
      workdir, turn = self.folder / f'random{turn}', turn + 1
      started = [self._start(workdir, config, index) for index in range(2)]
      moment_s, index = generator.uniform(0, life_s), generator.integers(2)
      time.sleep(moment_s)
      started[index].kill()
      started[index].communicate()
      num_lost += started[index].returncode == -signal.SIGKILL
      self._finish([started[1 - index]])
      self._finish([self._start(workdir, config, index)])
      self._check(workdir)
      print(f'Lost after {moment_s:.1f} of {life_s:.1f} s.')

  def test_embeddings_by_shards_are_those_of_one_process(self):
    parts = [
      embedding.write_embeddings(self.alone, shard=shards.Shard(index, 2))
      for index in range(2)
    ]
    written = {path: pd.read_parquet(path) for path in sum(parts, [])}
    # Five people's two videos: embeddings, and two controls.
    self.assertLen(written, 3 * 10)
    self.assertEqual(len(parts[0]) + len(parts[1]), 3 * 10)
    whole = embedding.write_embeddings(self.alone)
    self.assertCountEqual(whole, written)
    for path in whole:
      pd.testing.assert_frame_equal(written[path], pd.read_parquet(path))


if __name__ == '__main__':
  absltest.main()
