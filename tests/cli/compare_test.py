"""launch.compare as a user starts it, on runs made of files."""

import os
import pathlib
import tempfile

import pandas as pd
from absl.testing import absltest, parameterized

from tests import programs
from tests.evaluation import people


class CompareLaunchTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    for name, is_own in (('psm-s0', True), ('psm-s1', True), ('gm', False)):
      people.write_run(
        cls.folder / name,
        [
          people.table(
            people.frames(p, length=120),
            name,
            model_id=f'm-{p if is_own else "all"}-s0',
            noise=1.0 if is_own else 3.0,
          )
          for p in ('P1', 'P2', 'P3')[: 3 if is_own else 2]
        ],
      )
    table = people.table(people.frames('P1', length=120), 'lab')
    units = [f'e{unit:03d}' for unit in range(people.NUM_FEATURES)]
    frames = table.frames.assign(person_id='P9')
    pd.concat(
      [frames, pd.DataFrame(table.features, columns=units)], axis=1
    ).to_parquet(cls.folder / 'other.parquet')
    (cls.folder / 'empty').mkdir(exist_ok=True)

  def test_runs_and_seeds_are_compared_and_what_is_missing_is_said(self):
    out = self.folder / 'out'
    rules = self.folder / 'rules.json'
    rules.write_text('[{"movement": "smile", "at_least": {"AU12": 2}}]')
    ended = programs.start(
      'compare',
      f'--run=psm-s0={self.folder}/psm-s0',
      f'--run=psm-s1={self.folder}/psm-s1',
      f'--run=gm={self.folder}/gm',
      '--seed_group',
      '--baseline=gm',
      '--splits=cross_video',
      f'--movements={rules}',
      f'--out={out}',
    )
    self.assertEqual(ended.returncode, 0, ended.stderr)
    self.assertIn('Left out 240 frames of person P3 of psm', ended.stderr)
    self.assertIn('No controls of gm', ended.stderr)
    self.assertIn('do not share coordinates', ended.stderr)
    self.assertIn('gm *', ended.stdout)
    table = pd.read_csv(out / 'approaches.csv').set_index('approach')
    self.assertEqual(table.index.tolist(), ['psm', 'gm'])
    self.assertEqual(table.loc['psm', 'num_seeds'], 2)
    self.assertEqual(table.loc['psm', 'steps'], 600)
    self.assertGreater(table.loc['psm', 'auc_cross_video_seed_sd'], 0)
    self.assertTrue(table['ami'].notna().all())
    self.assertEqual(os.stat(out).st_mode & 0o777, 0o700)

  @parameterized.parameters(
    ('--run=a={}/empty', 'Run a: {}/empty is no run directory'),
    ('--table=x={}/other.parquet', 'No frame of any person is in all'),
    ('--run=empty', '--run=empty should be NAME=PLACE'),
    ('--baseline=other', "baseline 'other' is none of gm"),
  )
  def test_bad_input_is_named_and_exits_with_1(self, argument, message):
    out = self.folder / 'bad'
    ended = programs.start(
      'compare',
      f'--run=gm={self.folder}/gm',
      argument.format(self.folder),
      f'--out={out}',
    )
    self.assertEqual(ended.returncode, 1, ended.stderr)
    self.assertIn(message.format(self.folder), ended.stderr)
    self.assertNotIn('Traceback', ended.stderr)
    self.assertFalse(out.exists())

  def test_help_shows_how_to_call_it(self):
    shown = programs.start('compare', '--help').stdout
    self.assertIn('python -m launch.compare', shown)
    self.assertIn('--baseline', shown)
    self.assertIn('Exit codes', shown)


if __name__ == '__main__':
  absltest.main()
