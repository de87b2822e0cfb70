"""The programs as a user starts them: help, wrong usage, bad input."""

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
    ('learning_curve', ('--workdir=x', '--out=y'), '--workdir alone'),
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
    ended = programs.start(program, *arguments)
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
    ('learning_curve', (), 'is no run directory'),
    ('report', ('--show_faces',), 'is no run directory'),
  )
  def test_bad_input_is_named_and_exits_with_1(
    self, program, arguments, message
  ):
    workdir = self.create_tempdir().full_path
    ended = programs.start(program, f'--workdir={workdir}', *arguments)
    self.assertEqual(ended.returncode, 1, ended.stderr)
    self.assertIn(message, ended.stderr)
    self.assertNotIn('Traceback', ended.stderr)


if __name__ == '__main__':
  absltest.main()
