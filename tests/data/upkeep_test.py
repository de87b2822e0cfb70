import errno
import json
import os
import pathlib
import subprocess
import sys
from unittest import mock

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.data import labels, store, upkeep

_ROOT = pathlib.Path(__file__).parents[2]
_SIZE = 4


def _write(path, first_value=0, problems=(), **columns):
  """A store of people with two videos of 3 frames, each frame of one value.

  Args:
    path: whose name begins with the people's letters: 'AC-1' has A and C.
    first_value: of the first frame; those behind count on.
    problems: see `store.FrameStore`.
    **columns: of labels or landmarks, a value each.
  """
  people = path.name.split('-')[0]
  rows = [
    (person, video, frame, frame / 10)
    for person in people
    for video in ('v1', 'v2')
    for frame in range(3)
  ]
  index = pd.DataFrame(rows, columns=list(store.KEY_COLUMNS))
  index = pd.concat([index, pd.DataFrame(columns, index.index)], axis=1)
  values = np.arange(len(rows)) + first_value
  with store.writing(path, num_frames=len(rows), size_px=_SIZE) as writer:
    writer.frames[:] = values[:, None]
    writer.finish(
      index,
      fps={
        (person, video): 10.0 for person in people for video in ('v1', 'v2')
      },
      problems=problems,
      source={
        'kind': 'frame_folder',
        'align': 'none',
        'folds': dict.fromkeys(people, '1'),
      },
    )
  return path


class _TestCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def _flip(self, path, row):
    """Changes one bit of a frame, as a disk or a copy might."""
    frames = path / json.loads((path / 'store.json').read_text())['frames']
    content = bytearray(frames.read_bytes())
    row_bytes = _SIZE * _SIZE * 3
    num_frames = json.loads((path / 'store.json').read_text())['num_frames']
    content[len(content) - (num_frames - row) * row_bytes] ^= 1
    frames.write_bytes(content)

  def _values(self, path):
    """The value of each frame by person."""
    opened = store.open_store(path)
    values = opened.frames[:, 0].tolist()
    return {
      person: [values[v.start : v.stop] for v in opened.videos(person)]
      for person in opened.person_ids
    }


class VerifyTest(_TestCase):
  def test_a_flipped_byte_is_named_by_person_and_video(self):
    path = _write(self.folder / 'ABC')
    self.assertEmpty(upkeep.verify(path))
    self._flip(path, 10)
    (sentence,) = upkeep.verify(path)
    self.assertIn(
      'frames.npy: frames of person B, video v2 (rows 9 to 11)', sentence
    )

  def test_each_damaged_video_is_named(self):
    path = _write(self.folder / 'ABC')
    for row in (0, 1, 17):
      self._flip(path, row)
    self.assertLen(upkeep.verify(path), 2)

  def test_frames_are_read_once_until_they_are_copied_or_changed(self):
    path = _write(self.folder / 'AB')
    with mock.patch.object(upkeep, 'verify', return_value=[]) as verify:
      upkeep.verify_once(path)
      verify.assert_not_called()
      os.utime(path / 'frames.npy', ns=(5, 5))
      upkeep.verify_once(path)
      verify.assert_called_once()
    upkeep.verify_once(path)
    with mock.patch.object(upkeep, 'verify', side_effect=AssertionError):
      upkeep.verify_once(path)

  def test_a_store_that_may_not_be_written_is_verified_each_time(self):
    path = _write(self.folder / 'AB')
    (path / 'verified.json').unlink()
    with mock.patch.object(
      upkeep.store_files.paths, 'write_atomic', side_effect=PermissionError
    ):
      upkeep.verify_once(path)
    self.assertFalse((path / 'verified.json').exists())

  def test_damage_stops_with_what_to_do(self):
    path = _write(self.folder / 'AB')
    self._flip(path, 0)
    with self.assertRaisesRegex(ValueError, 'person A, video v1.*prepare it'):
      upkeep.verify_once(path)


class AddTest(_TestCase):
  def test_people_are_added_behind_those_there(self):
    path = _write(self.folder / 'AC', AU12=1.0)
    other = _write(self.folder / 'BD', first_value=100, AU06=2.0)
    before = (path / 'frames.npy').stat().st_ino
    self.assertEqual(upkeep.add_people(path, other), ['B', 'D'])
    self.assertEqual(
      self._values(path),
      {
        'A': [[0, 1, 2], [3, 4, 5]],
        'B': [[100, 101, 102], [103, 104, 105]],
        'C': [[6, 7, 8], [9, 10, 11]],
        'D': [[106, 107, 108], [109, 110, 111]],
      },
    )
    # The same file, longer, and still one that NumPy reads.
    self.assertEqual((path / 'frames.npy').stat().st_ino, before)
    self.assertEqual(np.load(path / 'frames.npy').shape, (24, 48))
    self.assertEmpty(upkeep.verify(path))
    self.assertEmpty(upkeep.strays(path))
    index = store.open_store(path).index
    self.assertEqual(index['AU12'].notna().tolist(), [True] * 12 + [False] * 12)
    self.assertEqual(index['AU06'].notna().tolist(), [False] * 12 + [True] * 12)

  def test_people_without_landmarks_can_be_added(self):
    points = dict.fromkeys(labels.LANDMARK_COLUMNS, 1.5)
    path = _write(self.folder / 'A', AU12=1.0, **points)
    upkeep.add_people(path, _write(self.folder / 'B', AU06=2.0))
    opened = store.open_store(path)
    self.assertEqual(opened.label_columns, ['AU12', 'AU06'])
    np.testing.assert_array_equal(
      opened.index[list(labels.LANDMARK_COLUMNS)],
      np.repeat([[1.5], [np.nan]], 6, axis=0) * np.ones(136),
    )

  def test_a_killed_addition_changes_nothing_and_can_be_repeated(self):
    path = _write(self.folder / 'A')
    other = _write(self.folder / 'B', first_value=50)
    before = self._values(path)
    with (
      mock.patch.object(
        upkeep.store_files, 'write_description', side_effect=KeyboardInterrupt
      ),
      self.assertRaises(KeyboardInterrupt),
    ):
      upkeep.add_people(path, other)
    self.assertEqual(self._values(path), before)
    self.assertEmpty(upkeep.verify(path))
    upkeep.add_people(path, other)
    self.assertEqual(self._values(path)['B'], [[50, 51, 52], [53, 54, 55]])
    self.assertEqual(np.load(path / 'frames.npy').shape, (12, 48))

  def test_whoever_has_it_open_goes_on(self):
    path = _write(self.folder / 'A')
    opened = store.open_store(path)
    upkeep.add_people(path, _write(self.folder / 'B', first_value=50))
    self.assertEqual(opened.frames[:, 0].tolist(), [0, 1, 2, 3, 4, 5])

  def test_a_person_in_both_is_refused(self):
    path = _write(self.folder / 'AB')
    with self.assertRaisesRegex(ValueError, 'has b already'):
      upkeep.add_people(path, _write(self.folder / 'b-2'))

  def test_another_alignment_is_refused(self):
    path, other = _write(self.folder / 'A'), _write(self.folder / 'B')
    described = json.loads((other / 'store.json').read_text())
    described['source'] |= {'align': 'eyes', 'eye_distance': 0.4}
    (other / 'store.json').write_text(json.dumps(described))
    with self.assertRaisesRegex(ValueError, 'align=eyes, .*=0.4.*align=none'):
      upkeep.add_people(path, other)

  def test_damage_is_not_taken_over(self):
    path, other = _write(self.folder / 'A'), _write(self.folder / 'B')
    self._flip(other, 2)
    with self.assertRaisesRegex(ValueError, 'person B, video v1'):
      upkeep.add_people(path, other)
    self.assertEqual(list(self._values(path)), ['A'])

  def test_a_full_disk_leaves_the_store_as_it_was(self):
    path, other = _write(self.folder / 'A'), _write(self.folder / 'B')
    size = (path / 'frames.npy').stat().st_size
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
      mock.patch.object(upkeep.os, 'fsync', side_effect=full),
      self.assertRaisesRegex(OSError, 'No space left'),
    ):
      upkeep.add_people(path, other)
    self.assertEqual((path / 'frames.npy').stat().st_size, size)
    self.assertEmpty(upkeep.verify(path))


class RemoveTest(_TestCase):
  def _bytes(self):
    """All bytes in all files below the folder."""
    return b''.join(
      entry.read_bytes() for entry in self.folder.rglob('*') if entry.is_file()
    )

  def test_a_persons_bytes_are_gone_and_the_others_stay(self):
    problems = [
      {'path': 'B/v1/7.png', 'reason': 'unreadable'},
      {'path': 'A/v1', 'reason': 'sizes'},
    ]
    path = _write(self.folder / 'ABC', problems=problems, AU12=1.0)
    frame = bytes([7]) * 48
    self.assertIn(frame, self._bytes())
    upkeep.remove_person(path, 'B')
    self.assertNotIn(frame, self._bytes())
    self.assertEqual(
      self._values(path),
      {'A': [[0, 1, 2], [3, 4, 5]], 'C': [[12, 13, 14], [15, 16, 17]]},
    )
    opened = store.open_store(path)
    self.assertEqual(opened.problems, (problems[1],))
    self.assertEqual(opened.source['folds'], {'A': '1', 'C': '1'})
    self.assertNotIn('"B"', (path / 'store.json').read_text())
    self.assertEmpty(upkeep.verify(path))

  def test_the_records_beside_it_go_too_but_nothing_else(self):
    path = _write(self.folder / 'AB')
    described = json.loads((path / 'store.json').read_text())
    described['source']['records'] = 'frame_folder/abc'
    (path / 'store.json').write_text(json.dumps(described))
    made = self.folder / 'tfds' / 'frame_folder'
    for name in ('abc', 'other'):
      (made / name / '1.0.0').mkdir(parents=True)
      (made / name / '1.0.0' / 'dataset_info.json').touch()
    self.assertEqual(upkeep.remove_person(path, 'A'), [made / 'abc'])
    self.assertEqual([p.name for p in made.iterdir()], ['other'])

  @parameterized.parameters('../../home', '/etc', 'tfds')
  def test_a_store_from_elsewhere_cannot_have_other_folders_deleted(
    self, named
  ):
    path = _write(self.folder / 'AB')
    described = json.loads((path / 'store.json').read_text())
    described['source']['records'] = named
    (path / 'store.json').write_text(json.dumps(described))
    self.assertEmpty(upkeep.remove_person(path, 'A'))

  def test_what_a_killed_removal_leaves_is_named_and_goes_with_the_next(self):
    path = _write(self.folder / 'ABC')
    with (
      mock.patch.object(upkeep, 'strays', return_value=[]),
    ):
      upkeep.remove_person(path, 'B')
    self.assertEqual(
      [p.name for p in upkeep.strays(path)], ['frames.npy', 'index.parquet']
    )
    (path / 'notes.txt').write_text('mine')
    with self.assertRaisesRegex(ValueError, "no person 'B'"):
      upkeep.remove_person(path, 'B')
    self.assertEmpty(upkeep.strays(path))
    self.assertNotIn(bytes([7]) * 48, self._bytes())
    self.assertTrue((path / 'notes.txt').exists())

  def test_damage_of_others_stays_known(self):
    path = _write(self.folder / 'ABC')
    self._flip(path, 0)
    upkeep.remove_person(path, 'B')
    (sentence,) = upkeep.verify(path)
    self.assertIn('person A, video v1', sentence)

  def test_the_last_person_is_not_removed(self):
    path = _write(self.folder / 'A')
    with self.assertRaisesRegex(ValueError, 'empty without A'):
      upkeep.remove_person(path, 'A')

  def test_two_changes_at_a_time_are_refused(self):
    if upkeep.fcntl is None:
      self.skipTest('no locks here')
    path = _write(self.folder / 'AB')
    with (
      upkeep._held(path),
      self.assertRaisesRegex(ValueError, 'Another process is changing'),
    ):
      upkeep.remove_person(path, 'A')

  def test_one_can_be_added_and_removed_again(self):
    path = _write(self.folder / 'A')
    before = self._values(path)
    upkeep.add_people(path, _write(self.folder / 'B', first_value=90))
    upkeep.remove_person(path, 'B')
    self.assertEqual(self._values(path), before)
    self.assertNotIn('"B"', (path / 'store.json').read_text())
    upkeep.add_people(path, self.folder / 'B')
    self.assertEqual(list(self._values(path)), ['A', 'B'])
    self.assertEmpty(upkeep.verify(path))


class ProgramTest(_TestCase):
  def _start(self, *arguments):
    return subprocess.run(
      [sys.executable, '-m', 'launch.store', *map(str, arguments)],
      cwd=_ROOT,
      capture_output=True,
      text=True,
      check=False,
    )

  def test_a_store_is_listed_changed_and_checked(self):
    path = _write(self.folder / 'AB')
    other = _write(self.folder / 'C', first_value=30)
    ended = self._start(f'--path={path}', f'--add={other}')
    self.assertEqual(ended.returncode, 0, ended.stderr)
    ended = self._start(f'--path={path}', '--remove=B')
    self.assertEqual(ended.returncode, 0, ended.stderr)
    ended = self._start(f'--path={path}')
    self.assertEqual(
      ended.stdout,
      'person_id,videos,frames,seconds\nA,2,6,0.6\nC,2,6,0.6\n',
      ended.stderr,
    )
    self._flip(path, 7)
    ended = self._start(f'--path={path}', '--verify')
    self.assertEqual(ended.returncode, 1, ended.stderr)
    self.assertIn('person C, video v1', ended.stderr)
    self.assertNotIn('Traceback', ended.stderr)

  def test_several_verbs_at_once_are_refused(self):
    path = _write(self.folder / 'AB')
    ended = self._start(f'--path={path}', '--remove=A', '--verify')
    self.assertEqual(ended.returncode, 1)
    self.assertIn('one of --verify, --add and --remove', ended.stderr)


if __name__ == '__main__':
  absltest.main()
