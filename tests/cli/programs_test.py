"""The programs as a user starts them: help, wrong usage, bad input."""

import os
import pathlib
from unittest import mock

import pytest
from absl.testing import absltest, parameterized

from tests import programs

_PROGRAMS = (
  'train',
  'embed',
  'evaluate',
  'report',
  'discover',
  'attach_labels',
  'export',
  'learning_curve',
)
_CONFIG = '--config=configs/quickstart.py'


class LaunchTest(parameterized.TestCase):
  @parameterized.parameters(*_PROGRAMS)
  def test_help_shows_how_to_call_it(self, program):
    shown = programs.start(program, '--help').stdout
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
    ('report', ('--workdir=x', '--maps=a=b'), '--maps is for --comparison'),
    ('report', ('--comparison=x', '--show_faces'), 'has no faces to show'),
    ('film', ('--source=x', '--video=y'), '--video is for films without'),
    ('label', ('--workdir=x', '--labels=a', '--more=2'), '--more later'),
    ('compare', ('--out=x',), 'Name an approach'),
    (
      'train',
      (_CONFIG, '--workdir=x', '--shard=0/2', '--distributed'),
      'Give --shard or --distributed',
    ),
    ('learning_curve', ('--workdir=x', '--out=y'), '--workdir alone'),
    ('import_reference', ('--out=x',), 'checkpoint'),
    ('discover', ('--workdir=x',), 'against'),
    ('train', (_CONFIG,), 'workdir'),
    ('train', (_CONFIG, '--workdir=x', 'more'), 'Unknown arguments: more'),
    ('train', (_CONFIG, '--workdir=x', '--config.train.stps=1'), 'stps'),
    ('train', (_CONFIG, '--workdir=x', '--config.train.steps=a'), "'a'"),
    ('train', (_CONFIG, '--workdir='), "--workdir=: it is ''"),
    ('train', (_CONFIG, '--workdir=gs://bucket/run'), 'an address'),
    ('status', ('--workdir=x', '--workdir=gs://bucket/run'), 'an address'),
    ('train', ('--config=no/such.py', '--workdir=x'), 'no/such.py'),
  )
  def test_wrong_usage_is_named_and_exits_with_2(
    self, program, arguments, message
  ):
    ended = programs.start(program, *arguments)
    self.assertEqual(ended.returncode, 2, ended.stderr)
    self.assertIn(message, ended.stderr)
    self.assertNotIn('Traceback', ended.stderr)

  @parameterized.parameters(
    ('train', (_CONFIG, '--config.data.size_px=18'), 'data.size_px is 18'),
    ('train', (_CONFIG, '--config.optim.learning_rate=nan'), 'finite numbers'),
    ('train', (_CONFIG, '--config.data.persons=a,b'), 'data.persons is'),
    (
      'train',
      (_CONFIG, '--config.data.source=frame_folder', '--config.data.path=/no'),
      '/no',
    ),
    ('embed', (), 'is no run directory'),
    ('evaluate', (), 'launch.embed'),
    ('learning_curve', (), 'launch.embed'),
    ('report', ('--show_faces',), 'launch.embed'),
  )
  @pytest.mark.thorough
  def test_bad_input_is_named_and_exits_with_1(
    self, program, arguments, message
  ):
    workdir = self.create_tempdir().full_path
    ended = programs.start(program, f'--workdir={workdir}', *arguments)
    self.assertEqual(ended.returncode, 1, ended.stderr)
    self.assertIn(message, ended.stderr)
    self.assertNotIn('Traceback', ended.stderr)

  def test_what_is_unforeseen_is_a_line_that_names_the_traceback(self):
    path = self.create_tempfile(
      'broken.py', 'def get_config():\n  return 1 / 0\n'
    )
    folder = self.create_tempdir().full_path
    with mock.patch.dict(os.environ, TMPDIR=folder):
      ended = programs.start(
        'train', f'--config={path.full_path}', '--workdir=x'
      )
    self.assertEqual(ended.returncode, 1, ended.stderr)
    self.assertIn('ZeroDivisionError: division by zero', ended.stderr)
    self.assertNotIn('Traceback', ended.stderr)
    (log,) = pathlib.Path(folder).glob('psm_jax-*-train.log')
    self.assertIn(str(log), ended.stderr)
    self.assertIn('return 1 / 0', log.read_text())
    self.assertEqual(log.stat().st_mode & 0o777, 0o600)

  @parameterized.parameters(
    ((_CONFIG, '--topology=v9:2x2'), 1, "Unknown topology 'v9:2x2'"),
    (('--topology=v5e:2x2',), 2, '--config, or give --layers'),
  )
  def test_compile_names_what_it_cannot_compile_for(
    self, arguments, code, message
  ):
    ended = programs.start('compile', *arguments)
    self.assertEqual(ended.returncode, code, ended.stderr)
    self.assertIn(message, ended.stderr)


if __name__ == '__main__':
  absltest.main()
