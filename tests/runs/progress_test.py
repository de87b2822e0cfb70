import json
import os
import pathlib
from unittest import mock

import numpy as np
from absl.testing import absltest

from psm_jax.runs import progress


class ProgressTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.cache = pathlib.Path(self.create_tempdir().full_path)
    self.enterContext(
      mock.patch.dict(os.environ, {'XDG_CACHE_HOME': str(self.cache)})
    )
    self.now = 0.0
    self.enterContext(
      mock.patch.object(progress.time, 'monotonic', lambda: self.now)
    )

  def _run(self, step_s, *, compile_s=100.0, num=60, waves_left=1):
    """Returns what a wave of so many steps logs."""
    with (
      self.assertLogs('absl') as logs,
      progress.Progress(0, num, what='a program', waves_left=waves_left) as bar,
    ):
      self.now += compile_s
      for _ in range(num):
        bar.update(np.zeros(1))
        self.now += step_s
    return '\n'.join(logs.output)

  def test_time_left_leaves_compiling_out(self):
    text = self._run(1.0)
    self.assertIn('The first step took 1.7 min', text)
    self.assertRegex(text, r'1(\.0\d)? steps a second: this takes 3\d s')

  def test_it_says_how_long_the_first_step_took_last_time(self):
    self.assertNotIn('last time', self._run(1.0, compile_s=240))
    self.assertIn('last time it took 4 min', self._run(1.0))
    path = self.cache / 'psm_jax' / 'first_steps.json'
    self.assertEqual(json.loads(path.read_text()), {'a program': 100.0})

  def test_waves_to_come_are_counted(self):
    self.assertIn('All 3 waves take about', self._run(1.0, waves_left=3))

  def test_a_cache_that_cannot_be_written_stops_nothing(self):
    (self.cache / 'psm_jax').touch()
    self.assertIn('The first step took', self._run(1.0))


if __name__ == '__main__':
  absltest.main()
