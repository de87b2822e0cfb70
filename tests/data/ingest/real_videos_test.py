"""Real clips, openly licensed, where they lie beside the repository."""

import pathlib
import tempfile
import unittest
import unittest.mock

import pandas as pd
import pytest
from absl.testing import absltest

from psm_jax import tasks
from psm_jax.data.ingest import batch, detection, jobs
from tests.data.ingest import films

_CLIPS = films.SHARED / 'data' / 'video'
_NAMES = (
  'pyfeat_face_noface.mov',
  'derived/bad_truncated.mpg',
  'derived/bad_truncated.mp4',
  'derived/bad_empty.mp4',
)


class RealVideosTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    if not _CLIPS.is_dir():
      raise unittest.SkipTest(f'{_CLIPS} is absent')
    temporary = tempfile.TemporaryDirectory(prefix='psm_jax_ingest_')
    cls.addClassCleanup(temporary.cleanup)
    cls.root = pathlib.Path(temporary.name)
    manifest = cls.root / 'list.csv'
    manifest.write_text('path\n' + ''.join(f'{_CLIPS / n}\n' for n in _NAMES))
    options = jobs.Options(
      detector=detection.DetectorOptions(longest_px=320, min_face_px=60),
      size_px=32,
    )
    with unittest.mock.patch.object(tasks, 'on_processes', tasks.here):
      outcome = batch.ingest(manifest, cls.root / 'out', options=options)
    cls.rows = {pathlib.Path(row['name']).name: row for row in outcome.rows}

  def _frames(self, name):
    video_id = self.rows[name]['video_id']
    return pd.read_parquet(
      self.root / 'out' / 'videos' / video_id / 'frames.parquet'
    )

  @pytest.mark.thorough
  def test_a_face_is_found_until_the_film_cuts_away_from_it(self):
    table = self._frames('pyfeat_face_noface.mov')
    self.assertLen(table, 169)
    self.assertEqual(
      table.loc[table['success'], 'frame'].tolist(), [*range(72)]
    )
    # The telephone's own irregular steps.
    steps = table['time_s'].diff().dropna()
    self.assertGreater(steps.max() / steps.min(), 2)

  def test_a_film_cut_short_is_used_and_warned_about(self):
    row = self.rows['bad_truncated.mpg']
    self.assertEqual((row['status'], row['decoded']), ('ok', 38))
    self.assertEqual((row['tracks'], row['crops']), (1, 37))
    self.assertIn('1 of 38 frames', row['warnings'])

  def test_what_cannot_be_opened_is_named(self):
    self.assertEqual(self.rows['bad_truncated.mp4']['status'], 'failed')
    self.assertIn('cut short', self.rows['bad_truncated.mp4']['reason'])
    self.assertIn('empty', self.rows['bad_empty.mp4']['reason'])


if __name__ == '__main__':
  absltest.main()
