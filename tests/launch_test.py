"""The programs as a user starts them: help, wrong usage, bad input."""

import pathlib
import subprocess
import sys

from absl.testing import absltest, parameterized

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_PROGRAMS = (
  'train',
  'embed',
  'evaluate',
  'report',
  'discover',
  'attach_labels',
  'export',
)
_CONFIG = '--config=configs/quickstart.py'


def _start(program, *arguments):
  return subprocess.run(
    [sys.executable, '-m', f'launch.{program}', *arguments],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    timeout=120,
  )


class LaunchTest(parameterized.TestCase):
  @parameterized.parameters(*_PROGRAMS)
  def test_help_shows_how_to_call_it(self, program):
    shown = _start(program, '--help').stdout
    self.assertIn(f'python -m launch.{program}', shown)
    self.assertIn('--workdir', shown)
    self.assertIn('Exit codes', shown)

  @parameterized.parameters(
    ('embed', (), 'workdir'),
    ('embed', ('--workdir=x', '--model=y'), '--workdir alone'),
    (
      'report',
      ('--workdir=x', '--comparison=y'),
      'Give --workdir or --comparison',
    ),
    ('export', ('--workdir=x',), 'out'),
    ('import_reference', ('--out=x',), 'checkpoint'),
    ('discover', ('--workdir=x',), 'against'),
    ('train', (_CONFIG,), 'workdir'),
    ('train', (_CONFIG, '--workdir=x', 'more'), 'Unknown arguments: more'),
    ('train', (_CONFIG, '--workdir=x', '--config.train.stps=1'), 'stps'),
    ('train', (_CONFIG, '--workdir=x', '--config.train.steps=a'), "'a'"),
  )
  def test_wrong_usage_is_named_and_exits_with_2(
    self, program, arguments, message
  ):
    ended = _start(program, *arguments)
    self.assertEqual(ended.returncode, 2, ended.stderr)
    self.assertIn(message, ended.stderr)
    self.assertNotIn('Traceback', ended.stderr)

  @parameterized.parameters(
    ('train', (_CONFIG, '--config.data.size_px=20'), 'data.size_px is 20'),
    (
      'train',
      (_CONFIG, '--config.data.source=frame_folder', '--config.data.path=/no'),
      '/no',
    ),
    ('embed', (), 'is no run directory'),
    ('evaluate', (), 'is no run directory'),
    ('report', ('--show_faces',), 'is no run directory'),
  )
  def test_bad_input_is_named_and_exits_with_1(
    self, program, arguments, message
  ):
    workdir = self.create_tempdir().full_path
    ended = _start(program, f'--workdir={workdir}', *arguments)
    self.assertEqual(ended.returncode, 1, ended.stderr)
    self.assertIn(message, ended.stderr)
    self.assertNotIn('Traceback', ended.stderr)


if __name__ == '__main__':
  absltest.main()
