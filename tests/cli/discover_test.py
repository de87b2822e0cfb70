"""launch.discover as a user starts it, on runs whose frames are elsewhere."""

import os
import pathlib

import pandas as pd
from absl.testing import absltest

from psm_jax.discovery import search
from tests import programs
from tests.evaluation import people


class DiscoverLaunchTest(absltest.TestCase):
  def test_runs_without_flows_have_all_but_these(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    for name, noise in (('psm', 0.2), ('gm', 1.0)):
      people.write_run(
        folder / name,
        [
          people.table(people.frames(p), name, model_id=name, noise=noise)
          for p in ('P1', 'P2')
        ],
      )
    ended = programs.start(
      'discover',
      '--stride=2',
      f'--workdir={folder}/psm',
      f'--against={folder}/gm',
    )
    self.assertEqual(ended.returncode, 0, ended.stderr)
    self.assertNotIn('Traceback', ended.stderr)
    self.assertIn('launch.embed --flows', ended.stderr)
    out = folder / 'psm' / 'discovery'
    self.assertEqual(os.stat(out).st_mode & 0o777, 0o700)
    tables = {name: pd.read_csv(out / f'{name}.csv') for name in search.COLUMNS}
    self.assertEmpty(tables['flows'])
    self.assertEqual(
      set(tables['similarities']['person_id']),
      set(tables['persons']['person_id']),
    )
    self.assertLen(tables['persons'], 4)


if __name__ == '__main__':
  absltest.main()
