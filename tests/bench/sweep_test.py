"""Rows are planned, limited in time, and failures are rows too."""

import json
import os
import pathlib
import subprocess
import sys
from unittest import mock

import pytest
from absl.testing import absltest, parameterized

from psm_jax.bench import row, summary, sweep
from tests import tiny

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def _made_up(num_models, strategy, **fields):
  """Returns a row of nearly ideal scaling."""
  rate = {'loop': 4.0, 'vmap': 3.0 * num_models**0.6}[strategy]
  return {
    'num_models': num_models,
    'strategy': strategy,
    'lowering': 'native' if strategy == 'loop' else 'matmul',
    'precision': 'float32',
    'jax': '0',
    'device': 'cpu',
    'num_devices': 1,
    'compile_s': 12.34,
    'step_s': num_models / rate,
    'model_step_s': 1 / rate,
    'model_steps_per_s': rate,
    'frames_per_s': 32 * rate,
    'alone_model_step_s': 0.25,
    'speedup': rate / 4,
    'peak_bytes': 2**31,
    'tflop_per_s': 0.031,
    'matmul_tflop_per_s': 0.1,
    'utilisation': 0.31,
    'input_wait_share': 0.002,
    **fields,
  }


def _result():
  rows = [
    _made_up(size, strategy)
    for size in (1, 2, 4, 8)
    for strategy in ('loop', 'vmap')
  ]
  rows.append(
    {
      'num_models': 8,
      'strategy': 'vmap',
      'lowering': 'grouped',
      'precision': 'float32',
      'failed': 'over 60 s',
    }
  )
  return {
    'config': tiny.config().to_dict(),
    'rows': rows,
    'embed': {'batch': 64, 'frames_per_s': 1234.5, 'tflop_per_s': 0.05},
  }


class SweepTest(parameterized.TestCase):
  def _run(self, measure, **fields):
    with mock.patch.object(sweep, 'measure_row', measure):
      return sweep.run(tiny.config(), **fields)

  def test_every_combination_is_a_row_and_a_loop_has_one_lowering(self):
    asked = []

    def measure(task, config, num_models, options):
      del config, options
      asked.append((task, num_models))
      return {'failed': 'not tried'}

    result = self._run(
      measure,
      num_models=(2, 1),
      strategies=('loop', 'vmap'),
      lowerings=('matmul', 'grouped'),
    )
    rows = [
      (r['num_models'], r['strategy'], r['lowering']) for r in result['rows']
    ]
    expected = [('loop', 'native'), ('vmap', 'matmul'), ('vmap', 'grouped')]
    self.assertEqual(
      rows, [(size, *each) for size in (1, 2) for each in expected]
    )
    self.assertEqual(
      asked, [('step', 1)] * 3 + [('step', 2)] * 3 + [('embed', 1)]
    )

  def test_what_takes_too_long_is_not_tried_with_more_models(self):
    asked = []

    def measure(task, config, num_models, options):
      if task == 'step':
        asked.append((num_models, config.population.lowering))
      if config.population.lowering == 'grouped':
        return {'failed': f'over {options.limit_s:g} s'}
      return {'failed': 'want of memory'}

    result = self._run(
      measure,
      num_models=(1, 2),
      strategies=('vmap',),
      lowerings=('matmul', 'grouped'),
      options=row.Options(limit_s=7),
    )
    self.assertEqual(asked, [(1, 'matmul'), (1, 'grouped'), (2, 'matmul')])
    self.assertEqual(result['rows'][3]['failed'], 'over 7 s for fewer models')

  def test_random_bytes_need_no_data_path(self):
    measure = mock.Mock(return_value={'failed': ''})
    self._run(measure, num_models=(1,))
    config = measure.call_args_list[0].args[1]
    self.assertEqual(config.data.source, 'synthetic_faces')

  @parameterized.parameters(
    ({'strategies': ('fast',)}, 'population.strategy'),
    ({'lowerings': ('fast',)}, 'population.lowering'),
    ({'num_models': (0, 1)}, 'num_models is 0'),
  )
  def test_wrong_fields_are_named_before_anything_runs(self, fields, message):
    with self.assertRaisesRegex(ValueError, message):
      self._run(self.fail, **{'num_models': (1,), **fields})


@pytest.mark.thorough
class ProcessTest(absltest.TestCase):
  """Real processes."""

  def _measure(self, task, **fields):
    options = row.Options(repeats=1, steps=1, **fields)
    config = tiny.config(data__feed='resident')
    return sweep.measure_row(task, config, 1, options)

  def test_a_row_is_measured_in_a_process_of_its_own(self):
    flags = {'XLA_FLAGS': '--xla_backend_optimization_level=0'}
    with mock.patch.dict(os.environ, flags):
      made = self._measure('embed', num_frames=30)
    self.assertNotIn('failed', made)
    self.assertGreater(made['frames_per_s'], 0)

  def test_a_row_that_takes_too_long_is_ended(self):
    made = self._measure('step', num_frames=30, limit_s=0.3)
    self.assertEqual(made, {'failed': 'over 0.3 s'})

  def test_a_row_that_cannot_be_measured_says_why(self):
    made = self._measure('step', num_frames=2)
    self.assertRegex(made['failed'], 'model0 has 2 usable')

  def test_the_program_lists_failures_and_exits_with_1(self):
    folder = pathlib.Path(self.create_tempdir().full_path)

    def start(*arguments):
      return subprocess.run(
        [
          *(sys.executable, '-m', 'launch.bench'),
          *('--config=configs/narrow.py', f'--out={folder}/bench'),
          *arguments,
        ],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
      )

    ended = start('--num_models=1,2', '--limit_s=0.1')
    self.assertEqual(ended.returncode, 1, ended.stderr)
    self.assertIn('over 0.1 s for fewer models', ended.stdout)
    result = json.loads((folder / 'bench' / 'bench.json').read_text())
    self.assertLen(result['rows'], 2)
    ended = start('--num_models=a')
    self.assertEqual(ended.returncode, 2, ended.stderr)
    self.assertIn('Expected numbers of models', ended.stderr)


class SummaryTest(absltest.TestCase):
  def test_the_table_has_a_line_a_row(self):
    lines = summary.table(_result()).splitlines()
    self.assertLen(lines, 2 + 9 + 1)
    self.assertIn('1 x cpu, jax 0; facecycle, width 0.0625, 32 px', lines[0])
    cells = lines[2].split()
    self.assertEqual(cells[:5], ['1', 'loop', 'native', 'float32', '12.3'])
    self.assertEqual(
      cells[-6:], ['1.00', '2.00', '0.031', '0.1', '31.0', '0.2']
    )
    self.assertRegex(lines[-2], r'8  vmap +grouped +float32 +over 60 s$')
    self.assertRegex(lines[-1], 'batches of 64: 1234 frames/s')

  def test_the_columns_stand_under_each_other(self):
    heading, *rows = summary.table(_result()).splitlines()[1:-2]
    for line in rows:
      self.assertLen(line, len(heading))

  def test_the_files_hold_the_result_and_a_picture(self):
    folder = pathlib.Path(self.create_tempdir().full_path) / 'new'
    result = _result()
    numbers, picture = summary.write(result, folder)
    self.assertEqual(
      json.loads(numbers.read_text())['rows'][-1]['failed'], 'over 60 s'
    )
    self.assertEqual(picture.read_bytes()[:4], b'\x89PNG')

  def test_nothing_measured_draws_nothing(self):
    result = _result() | {'rows': _result()['rows'][-1:]}
    folder = self.create_tempdir().full_path
    self.assertLen(summary.write(result, folder), 1)
    self.assertIn('over 60 s', summary.table(result))


if __name__ == '__main__':
  absltest.main()
