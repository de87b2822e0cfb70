"""The script for a lent GPU loses nothing, and runs to its end in small."""

import json
import os
import pathlib
import subprocess
import sys
from unittest import mock

import pytest
from absl.testing import absltest

from benchmarks import gpu

_ROOT = pathlib.Path(__file__).resolve().parents[2]


class GpuTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.out = pathlib.Path(self.create_tempdir()) / 'gpu.json'

  def test_every_part_that_ended_is_written_before_the_next_begins(self):
    seen = []

    def measure(part, limit_s, *, is_toy):
      written = json.loads(self.out.read_text()) if seen else {}
      self.assertEqual(list(written), seen)
      self.assertLessEqual(limit_s, part.limit_s)
      seen.append(part.name)
      return {'failed': 'for the test'}

    with mock.patch.object(gpu, 'measure', measure):
      results = gpu.measure_all(self.out, limit_s=480, is_toy=False)
    self.assertEqual(json.loads(self.out.read_text()), results)
    self.assertLen(seen, len(gpu.parts(is_toy=False)))
    self.assertLen(set(seen), len(seen))

  def test_parts_without_time_are_named_and_not_begun(self):
    with mock.patch.object(gpu, 'measure', side_effect=AssertionError):
      results = gpu.measure_all(self.out, limit_s=5, is_toy=False)
    reasons = {each['failed'] for each in results.values()}
    self.assertEqual(reasons, {'no time was left'})

  def test_toys_are_of_every_kind_that_is_measured(self):
    self.assertEqual(
      {part.kind for part in gpu.parts(is_toy=True)},
      {part.kind for part in gpu.parts(is_toy=False)},
    )

  @pytest.mark.slow
  def test_in_small_it_runs_to_its_end_on_a_cpu(self):
    command = [sys.executable, '-m', 'benchmarks.gpu', '--toy']
    subprocess.run(
      [*command, f'--out={self.out}', '--limit_s=1500'],
      cwd=_ROOT,
      env=os.environ | {'JAX_PLATFORMS': 'cpu'},
      check=True,
    )
    results = json.loads(self.out.read_text())
    failed = {
      name: each['failed'] for name, each in results.items() if 'failed' in each
    }
    allowed = {'PyTorch is not installed'}
    self.assertContainsSubset(set(failed.values()), allowed)


if __name__ == '__main__':
  absltest.main()
