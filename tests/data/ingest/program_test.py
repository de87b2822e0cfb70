"""launch.ingest as a user starts it, on files of every bad kind."""

import errno
import os
import pathlib
import tempfile
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from absl.testing import absltest

from psm_jax import tasks
from psm_jax.data.ingest import batch, jobs, listing
from tests import programs
from tests.data.ingest import films

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_STRANGE = "ünï 人;=1+1 $(touch x) 'a'.mkv"


def _start(videos, output):
  return programs.start(
    'ingest',
    *('--min_face_px=40', '--size_px=32', '--num_workers=1'),
    *(f'--input={videos}', f'--output={output}'),
  )


def _locked(content):
  """The bytes of an MP4 file with its pictures made noise."""
  start = content.index(b'mdat') + 4
  size = int.from_bytes(content[start - 8 : start - 4], 'big') - 8
  noise = np.random.default_rng(1).bytes(size)
  return content[:start] + noise + content[start + size :]


@pytest.mark.thorough
class ProgramTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    temporary = tempfile.TemporaryDirectory(prefix='psm_jax_ingest_')
    cls.addClassCleanup(temporary.cleanup)
    cls.root = pathlib.Path(temporary.name)
    videos = cls.root / 'videos'
    videos.mkdir()
    good = films.write(
      videos / 'good.mp4',
      [films.picture((0, i, 20 + i, 16)) for i in range(12)],
    ).read_bytes()
    (videos / _STRANGE).write_bytes(
      films.write(cls.root / 'a.mkv', [films.picture()] * 2).read_bytes()
    )
    (videos / 'empty.mp4').touch()
    (videos / 'half.mp4').write_bytes(good[: len(good) // 4])
    films.write_sound(videos / 'sound.mp4')
    noise = np.random.default_rng(0).bytes(9000)
    (videos / 'noise.mp4').write_bytes(noise)
    # As protected recordings are: the container is readable, the film is not.
    (videos / 'locked.mp4').write_bytes(_locked(good))
    cls.first = _start(videos, cls.root / 'out')
    cls.again = _start(videos, cls.root / 'out')
    (videos / 'good.mp4').unlink()
    (videos / _STRANGE).unlink()
    cls.none = _start(videos, cls.root / 'none')

  def test_if_any_video_can_be_used_the_exit_code_is_0(self):
    self.assertEqual(self.first.returncode, 0, self.first.stderr)
    self.assertIn(
      '1 videos with faces, 1 without, 5 failed, 0 other files left out; 1 '
      'people confirmed',
      self.first.stderr,
    )

  def test_if_none_can_it_is_1(self):
    self.assertEqual(self.none.returncode, 1, self.none.stderr)
    self.assertIn('0 videos with faces, 0 without, 5 failed', self.none.stderr)
    self.assertNotIn('Next:', self.none.stderr)

  def test_it_ends_with_the_next_command(self):
    # Of several videos one shows a face.
    self.assertRegex(self.first.stderr, 'Next: python -m launch.train .*/out\n')

  def test_every_video_has_its_row_and_reason(self):
    table = pd.read_csv(self.root / 'out' / 'summary.csv').set_index('name')
    self.assertLen(table, 7)
    for name, reason in (
      ('empty.mp4', 'empty'),
      ('half.mp4', 'cut short'),
      ('sound.mp4', 'only sound'),
      ('noise.mp4', 'not a video'),
      ('locked.mp4', 'no frame in it can be decoded'),
    ):
      self.assertEqual(table.loc[name, 'status'], 'failed')
      self.assertIn(reason, table.loc[name, 'reason'])
    self.assertEqual(table.loc[_STRANGE, 'status'], 'no_face')
    self.assertEqual(table.loc['good.mp4', 'status'], 'ok')

  def test_the_same_command_again_does_only_what_is_missing(self):
    self.assertEqual(self.again.returncode, 0, self.again.stderr)
    self.assertIn('7 videos: 5 to do, 2 done before', self.again.stderr)

  def test_each_person_is_reported_and_too_little_is_flagged(self):
    self.assertRegex(
      self.first.stderr, r'good +1 +12 +0\.5 +0 .* too little: 0\.5 s'
    )

  def test_nobody_sees_a_traceback(self):
    for ended in (self.first, self.again, self.none):
      self.assertNotIn('Traceback', ended.stderr)
    self.assertFalse((_ROOT / 'x').exists())


class UnreadableTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path)

  def _rows(self, path):
    with mock.patch.object(tasks, 'on_processes', tasks.here):
      outcome = batch.ingest(path, self.root / 'out')
    return {row['name']: row for row in outcome.rows}

  def test_a_file_that_may_not_be_read_is_named(self):
    # By a stand-in, as the superuser may read everything.
    films.write(self.root / 'a.mp4', [films.picture()])
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    with mock.patch.object(listing, 'fingerprint', side_effect=denied):
      rows = self._rows(self.root)
    self.assertEqual(rows['a.mp4']['reason'], 'Permission denied')
    self.assertEqual(self._rows(self.root)['a.mp4']['status'], 'no_face')

  def test_a_folder_in_place_of_a_file_is_named(self):
    (self.root / 'a.mp4').mkdir()
    (self.root / 'list.csv').write_text('path\na.mp4\nnone.mp4\n')
    rows = self._rows(self.root / 'list.csv')
    self.assertEqual(rows['a.mp4']['reason'], 'not a file')
    self.assertIn('No such file', rows['none.mp4']['reason'])

  def test_a_picture_of_8k_is_searched_small_and_cut_whole(self):
    picture = np.zeros((4320, 7680, 3), np.uint8)
    face = films.face(0, 0)
    large = face.repeat(20, axis=0).repeat(20, axis=1)
    picture[1000 : 1000 + len(large), 3000 : 3000 + len(large)] = large
    path = films.write(self.root / 'a.avi', [picture], codec='mjpeg')
    options = jobs.Options(min_track_frames=1)
    with mock.patch.object(tasks, 'on_processes', tasks.here):
      (row,) = batch.ingest(path, self.root / 'out', options=options).rows
    self.assertEqual((row['status'], row['crops']), ('ok', 1))
    self.assertEqual((row['width'], row['height']), (7680, 4320))
    self.assertBetween(row['face_px'], 700, 1760)


if __name__ == '__main__':
  absltest.main()
