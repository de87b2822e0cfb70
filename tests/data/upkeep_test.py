import errno
import os
import pathlib
import shutil
import subprocess
import sys
from unittest import mock

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.data import labels, store, store_changes, upkeep
from tests.data import stores

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
  values = (np.arange(len(rows)) + first_value).astype(np.uint8)
  return stores.write(
    path,
    np.repeat(values[:, None], _SIZE * _SIZE * 3, axis=1),
    index,
    size_px=_SIZE,
    problems=problems,
    source={
      'kind': 'frame_folder',
      'align': 'none',
      'folds': dict.fromkeys(people, '1'),
    },
  )


class _TestCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def _values(self, path):
    """The value of each frame by person."""
    opened = store.open_store(path)
    return {
      person: [
        opened.frames[v.start : v.stop][:, 0].tolist()
        for v in opened.videos(person)
      ]
      for person in opened.person_ids
    }


class VerifyTest(_TestCase):
  def test_each_damaged_person_is_named_with_what_to_do(self):
    path = _write(self.folder / 'ABC')
    self.assertEmpty(upkeep.verify(path))
    stores.flip(path, 'B', row=4)
    (path / 'C.arrow').write_bytes((path / 'C.arrow').read_bytes()[:-1])
    first, second = upkeep.verify(path)
    self.assertRegex(first, 'B.arrow, .* person B, .*frames are.*--remove=B')
    self.assertRegex(second, 'C.arrow, .* person C, .*bytes of')


class AddTest(_TestCase):
  def test_people_are_added_and_the_others_not_touched(self):
    path = _write(self.folder / 'AC', AU12=1.0)
    other = _write(self.folder / 'BD', first_value=100, AU06=2.0)
    before = (path / 'A.arrow').stat()
    self.assertEqual(store_changes.add_people(path, other), ['B', 'D'])
    self.assertEqual(
      self._values(path),
      {
        'A': [[0, 1, 2], [3, 4, 5]],
        'B': [[100, 101, 102], [103, 104, 105]],
        'C': [[6, 7, 8], [9, 10, 11]],
        'D': [[106, 107, 108], [109, 110, 111]],
      },
    )
    self.assertEqual((path / 'A.arrow').stat(), before)
    self.assertEqual(
      (path / 'D.arrow').read_bytes(), (other / 'D.arrow').read_bytes()
    )
    self.assertEmpty(upkeep.verify(path))
    self.assertEmpty(upkeep.strays(path))
    index = store.open_store(path).index
    is_mine = index['person_id'].isin(['A', 'C'])
    self.assertEqual(index['AU12'].notna().tolist(), is_mine.tolist())
    self.assertEqual(index['AU06'].isna().tolist(), is_mine.tolist())

  def test_people_without_landmarks_can_be_added(self):
    points = dict.fromkeys(labels.LANDMARK_COLUMNS, 1.5)
    path = _write(self.folder / 'A', AU12=1.0, **points)
    store_changes.add_people(path, _write(self.folder / 'B', AU06=2.0))
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
        upkeep, 'write_manifest', side_effect=KeyboardInterrupt
      ),
      # As a kill would, it leaves the files.
      mock.patch.object(pathlib.Path, 'unlink'),
      self.assertRaises(KeyboardInterrupt),
    ):
      store_changes.add_people(path, other)
    self.assertEqual(self._values(path), before)
    self.assertEmpty(upkeep.verify(path))
    self.assertEqual([p.name for p in upkeep.strays(path)], ['B.arrow'])
    store_changes.add_people(path, other)
    self.assertEqual(self._values(path)['B'], [[50, 51, 52], [53, 54, 55]])
    self.assertEmpty(upkeep.strays(path))

  def test_whoever_has_it_open_goes_on(self):
    path = _write(self.folder / 'A')
    opened = store.open_store(path)
    store_changes.add_people(path, _write(self.folder / 'B', first_value=50))
    self.assertEqual(opened.frames[:][:, 0].tolist(), [0, 1, 2, 3, 4, 5])

  def test_a_person_in_both_is_refused(self):
    path = _write(self.folder / 'AB')
    with self.assertRaisesRegex(ValueError, 'has b already'):
      store_changes.add_people(path, _write(self.folder / 'b-2'))

  def test_whose_very_file_is_there_is_left_out(self):
    path, other = _write(self.folder / 'A'), _write(self.folder / 'B')
    self.assertEqual(store_changes.add_people(path, other), ['B'])
    before = (path / 'store.json').read_bytes()
    self.assertEmpty(store_changes.add_people(path, other))
    self.assertEqual((path / 'store.json').read_bytes(), before)
    again = _write(self.folder / 'B-2', first_value=50)
    with self.assertRaisesRegex(ValueError, 'has B already'):
      store_changes.add_people(path, again)

  def test_another_alignment_is_refused(self):
    path, other = _write(self.folder / 'A'), _write(self.folder / 'B')
    stores.change_manifest(other, source={'align': 'eyes', 'eye_distance': 0.4})
    with self.assertRaisesRegex(ValueError, 'align=eyes, .*=0.4.*align=none'):
      store_changes.add_people(path, other)

  def test_damage_is_not_taken_over(self):
    path, other = _write(self.folder / 'A'), _write(self.folder / 'B')
    stores.flip(other, 'B')
    with self.assertRaisesRegex(ValueError, 'person B'):
      store_changes.add_people(path, other)
    self.assertEqual(list(self._values(path)), ['A'])

  def test_a_full_disk_leaves_the_store_as_it_was(self):
    path, other = _write(self.folder / 'A'), _write(self.folder / 'BC')
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    copy = shutil.copyfileobj
    with (
      mock.patch.object(
        store_changes.shutil, 'copyfileobj', side_effect=[copy, full]
      ),
      self.assertRaisesRegex(OSError, 'No space left'),
    ):
      store_changes.add_people(path, other)
    self.assertEqual(
      sorted(p.name for p in path.iterdir()), ['A.arrow', 'store.json']
    )
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
    store_changes.remove_person(path, 'B')
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
    stores.change_manifest(path, source={'records': 'frame_folder/abc'})
    made = self.folder / 'tfds' / 'frame_folder'
    for name in ('abc', 'other'):
      (made / name / '1.0.0').mkdir(parents=True)
      (made / name / '1.0.0' / 'dataset_info.json').touch()
    self.assertEqual(store_changes.remove_person(path, 'A'), [made / 'abc'])
    self.assertEqual([p.name for p in made.iterdir()], ['other'])

  def test_a_removal_killed_among_the_records_can_be_repeated(self):
    path = _write(self.folder / 'AB')
    stores.change_manifest(path, source={'records': 'frame_folder/abc'})
    made = self.folder / 'tfds' / 'frame_folder' / 'abc'
    (made / '1.0.0').mkdir(parents=True)
    for name in ('a.tfrecord', 'dataset_info.json', 'features.json'):
      (made / '1.0.0' / name).touch()
    with (
      mock.patch.object(shutil, 'rmtree', side_effect=KeyboardInterrupt),
      self.assertRaises(KeyboardInterrupt),
    ):
      store_changes.remove_person(path, 'A')
    self.assertFalse((made / '1.0.0' / 'a.tfrecord').exists())
    self.assertEqual(store_changes.remove_person(path, 'A'), [made])
    self.assertEqual(list(self._values(path)), ['B'])

  @parameterized.parameters('../../home', '/etc', 'tfds')
  def test_a_store_from_elsewhere_cannot_have_other_folders_deleted(
    self, named
  ):
    path = _write(self.folder / 'AB')
    stores.change_manifest(path, source={'records': named})
    self.assertEmpty(store_changes.remove_person(path, 'A'))

  def test_what_a_killed_removal_leaves_is_named_and_goes_with_the_next(self):
    path = _write(self.folder / 'ABC')
    with mock.patch.object(upkeep, 'strays', return_value=[]):
      store_changes.remove_person(path, 'B')
    self.assertEqual([p.name for p in upkeep.strays(path)], ['B.arrow'])
    (path / 'notes.txt').write_text('mine')
    with self.assertRaisesRegex(ValueError, "no person 'B'"):
      store_changes.remove_person(path, 'B')
    self.assertEmpty(upkeep.strays(path))
    self.assertNotIn(bytes([7]) * 48, self._bytes())
    self.assertTrue((path / 'notes.txt').exists())

  def test_damage_of_others_stays_known(self):
    path = _write(self.folder / 'ABC')
    stores.flip(path, 'A')
    store_changes.remove_person(path, 'B')
    (sentence,) = upkeep.verify(path)
    self.assertIn('person A', sentence)

  def test_a_damaged_or_missing_person_can_be_removed(self):
    path = _write(self.folder / 'ABC')
    (path / 'B.arrow').write_bytes(b'garbage')
    (path / 'C.arrow').unlink()
    store_changes.remove_person(path, 'B')
    store_changes.remove_person(path, 'C')
    self.assertEqual(self._values(path), {'A': [[0, 1, 2], [3, 4, 5]]})

  def test_the_last_person_is_not_removed(self):
    path = _write(self.folder / 'A')
    with self.assertRaisesRegex(ValueError, 'empty without A'):
      store_changes.remove_person(path, 'A')

  def test_two_changes_at_a_time_are_refused(self):
    path = _write(self.folder / 'AB')
    with (
      store_changes._changing(path),
      self.assertRaisesRegex(ValueError, 'Another process is changing'),
    ):
      store_changes.remove_person(path, 'A')

  def test_one_can_be_added_and_removed_again(self):
    path = _write(self.folder / 'A')
    before = self._values(path)
    store_changes.add_people(path, _write(self.folder / 'B', first_value=90))
    store_changes.remove_person(path, 'B')
    self.assertEqual(self._values(path), before)
    self.assertNotIn('"B"', (path / 'store.json').read_text())
    store_changes.add_people(path, self.folder / 'B')
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
    stores.flip(path, 'C')
    ended = self._start(f'--path={path}', '--verify')
    self.assertEqual(ended.returncode, 1, ended.stderr)
    self.assertIn('person C', ended.stderr)
    self.assertNotIn('Traceback', ended.stderr)

  def test_several_verbs_at_once_are_refused(self):
    path = _write(self.folder / 'AB')
    ended = self._start(f'--path={path}', '--remove=A', '--verify')
    self.assertEqual(ended.returncode, 1)
    self.assertIn('one of --verify, --add and --remove', ended.stderr)


if __name__ == '__main__':
  absltest.main()
