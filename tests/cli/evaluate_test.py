"""launch.evaluate as a user starts it."""

import pathlib

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from tests import programs


class EvaluateTest(parameterized.TestCase):
  def test_tables_of_another_program_are_scored(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    generator = np.random.default_rng(0)
    active = np.repeat(generator.random(30) < 0.4, 10)
    table = pd.DataFrame(
      {
        'person_id': 'P1',
        'video_id': 'v1',
        'frame': np.arange(300),
        'time_s': np.arange(300) / 20,
        'AU12': active * 1,
        'e000': active + 0.1 * generator.normal(size=300),
        'e001': 2.0,
      }
    )
    table.to_csv(folder / 'lab.csv', index=False)
    ended = programs.start(
      'evaluate',
      f'--tables=lab={folder}/lab.csv',
      f'--out={folder}/out',
      '--threshold=1',
      '--splits=blocked',
      '--threshold_from=validation',
    )
    self.assertEqual(ended.returncode, 0, ended.stderr)
    scores = pd.read_csv(folder / 'out' / 'scores.csv').set_index('source')
    scores = scores[scores['target'] == 'AU12']
    self.assertGreater(scores.loc['lab', 'auc'], 0.95)
    self.assertIn('nearest_in_time', scores.index)

  @parameterized.parameters(
    ((), 'Give --workdir, or --tables and --out'),
    (('--workdir=x', '--out=y'), '--out not with --workdir'),
    (('--workdir=x', '--splits=loso'), "'loso'"),
  )
  def test_wrong_usage_is_named_and_exits_with_2(self, arguments, message):
    ended = programs.start('evaluate', *arguments)
    self.assertEqual(ended.returncode, 2, ended.stderr)
    self.assertIn(message, ended.stderr)
    self.assertNotIn('Traceback', ended.stderr)

  @parameterized.parameters(
    (('--tables=lab=/no/such.csv',), '/no/such.csv'),
  )
  def test_bad_input_is_named_and_exits_with_1(self, arguments, message):
    out = self.create_tempdir().full_path
    ended = programs.start('evaluate', f'--out={out}', *arguments)
    self.assertEqual(ended.returncode, 1, ended.stderr)
    self.assertIn(message, ended.stderr)
    self.assertNotIn('Traceback', ended.stderr)


if __name__ == '__main__':
  absltest.main()
