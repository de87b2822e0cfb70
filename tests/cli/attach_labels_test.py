"""launch.attach_labels as a user starts it."""

import pathlib

from absl.testing import absltest, parameterized

from tests import programs
from tests.data import fake_trees


class AttachLabelsTest(parameterized.TestCase):
  def test_help_shows_how_to_call_it(self):
    shown = programs.start('attach_labels', '--help').stdout
    for text in ('python -m launch.attach_labels', '--score', 'Exit codes'):
      self.assertIn(text, shown)

  @parameterized.parameters(
    ((), 2, 'labels'),
    (('--labels=/no', '--tool=openface'), 2, 'one of --frames and --workdir'),
    (
      ('--labels=/no', '--tool=openface', '--frames=/no', '--units=a'),
      1,
      '--units=a',
    ),
  )
  def test_what_is_wrong_is_named(self, arguments, code, message):
    ended = programs.start('attach_labels', *arguments)
    self.assertEqual(ended.returncode, code, ended.stderr)
    self.assertIn(message, ended.stderr)
    self.assertNotIn('Traceback', ended.stderr)

  def test_counts_and_differences_are_printed(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    for number in (1, 2, 4, 9):
      fake_trees.picture(folder / 'frames' / 'A' / 'v1' / f'{number}.jpg')
    fake_trees.text(
      folder / 'tables' / 'v1.csv', 'frame,AU12_r\n1,0\n2,1\n3,2\n4,3\n'
    )
    ended = programs.start(
      'attach_labels',
      f'--labels={folder / "tables"}',
      f'--frames={folder / "frames"}',
      '--tool=openface',
    )
    self.assertEqual(ended.returncode, 0, ended.stderr)
    self.assertIn('3 of 4 frames in 1 videos have labels', ended.stderr)
    self.assertIn('A/v1: 1 of 4 frames have no row', ended.stderr)
    self.assertIn('A/v1: 1 rows belong to no frame', ended.stderr)
    self.assertIn('numbered from 1', ended.stderr)
    self.assertRegex(ended.stderr, 'Next: python -m launch.train .*/frames\n')


if __name__ == '__main__':
  absltest.main()
