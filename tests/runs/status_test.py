"""Claims about what is told of runs while they train."""

import os
import pathlib
import time

from absl.testing import absltest

from psm_jax.runs import locks, planning, run, shards, status
from tests import tiny


class StatusTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(self.create_tempdir().full_path)
    self.config = tiny.run_config(train__steps=100)
    store = tiny.empty_store(A=(30,), B=(20, 12), C=(30,))
    self.models, _ = planning.plan_models(self.config, store)

  def _start(self, count):
    shards.start(
      self.workdir,
      self.config,
      self.models,
      self.workdir / 'data',
      shard=shards.Shard(0, count),
    )

  def _log(self, path, *rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text('step,model_id,loss,steps_per_s\n' + ''.join(rows))

  def test_a_run_that_has_logged_nothing_is_told_without_times(self):
    self._start(1)
    (part,) = status.parts(run.open_run(self.workdir))
    counts = (part['models'], part['unfinished'], part['step'])
    self.assertEqual(counts, (3, 3, 0))
    self.assertIsNone(part['left_s'])
    self.assertIsNone(part['saved_age_s'])
    self.assertFalse(part['is_held'])
    self.assertIn('3 models, 3 not finished', status.lines(self.workdir)[0])

  def test_the_time_left_follows_from_the_last_rate(self):
    self._start(1)
    rows = [
      f'{step},facecycle-{person}-s0,1.0,{rate}\n'
      for step, rate in ((10, 1.0), (20, 4.0))
      for person in 'ABC'
    ]
    # The last line is being written.
    self._log(self.workdir / 'metrics.csv', *rows, '30,facecycle-A-s0,1.')
    (part,) = status.parts(run.open_run(self.workdir))
    self.assertEqual(
      (part['step'], part['total'], part['rate']), (60, 300, 4.0)
    )
    self.assertEqual(part['left_s'], (100 - 20) / 4.0)

  def test_each_shard_has_a_row_of_its_own(self):
    self._start(3)
    self._log(
      self.workdir / 'shards/wave001.csv', '50,facecycle-B-s0,1.0,2.0\n'
    )
    saved = self.workdir / 'checkpoints/wave001/40'
    saved.mkdir(parents=True)
    before = time.time() - 600
    os.utime(saved, (before, before))
    self.models[2].status, self.models[2].failed_step = 'failed', 7
    run.write_states(self.workdir, 2, self.models[2:])
    with locks.locked(self.workdir, name=shards.Shard(1, 3).lock):
      parts = status.parts(run.open_run(self.workdir))
    self.assertEqual([part['step'] for part in parts], [0, 50, 0])
    self.assertEqual([part['is_held'] for part in parts], [False, True, False])
    self.assertEqual([part['left_s'] for part in parts], [None, 25.0, 0.0])
    self.assertAlmostEqual(parts[1]['saved_age_s'], 600, delta=60)
    text = '\n'.join(status.lines(self.workdir))
    self.assertIn('3 models, 2 not finished, 1 failed', text)
    self.assertIn('10 min ago', text)
    self.assertIn('facecycle-C-s0 is frozen since step 7', text)

  def test_nothing_is_written(self):
    self._start(2)
    before = {p: p.stat().st_mtime_ns for p in self.workdir.rglob('*')}
    status.lines(self.workdir)
    after = {p: p.stat().st_mtime_ns for p in self.workdir.rglob('*')}
    self.assertEqual(before, after)


if __name__ == '__main__':
  absltest.main()
