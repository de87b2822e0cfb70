import json
import os
import pathlib

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.data import folders, labels


class ScanTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path) / 'data'
    self.root.mkdir()
    (self.root / 'dataset.json').write_text('{"fps": 20}')

  def _add(self, *names, content=b'x'):
    for name in names:
      path = self.root / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(content)

  def _reasons(self, source):
    return {problem['path']: problem['reason'] for problem in source.problems}

  def test_videos_and_frames_are_sorted_by_id_and_number(self):
    self._add('B/v1/1.jpg', 'A/v2/f10.png', 'A/v2/f9.JPEG', 'A/v1/x3.jpg')
    source = folders.scan(self.root)
    self.assertEqual(
      [video.name for video in source.videos], ['A/v1', 'A/v2', 'B/v1']
    )
    self.assertEqual(source.videos[1].frames, (9, 10))
    self.assertEqual(source.videos[1].files, ('f9.JPEG', 'f10.png'))

  @parameterized.parameters(
    ('frame000017.jpg', 17),
    ('img_0_005.png', 5),
    ('SN001_0000_lm3.jpg', 3),
    ('2440.jpg', 2440),
    ('take2.final.0012.jpg', 12),
  )
  def test_the_frame_number_is_the_last_integer_of_the_stem(self, name, frame):
    self._add(f'A/v1/{name}')
    self.assertEqual(folders.scan(self.root).videos[0].frames, (frame,))

  def test_gaps_between_frame_numbers_stay(self):
    self._add('A/v1/1.jpg', 'A/v1/2.jpg', 'A/v1/50.jpg')
    self.assertEqual(folders.scan(self.root).videos[0].frames, (1, 2, 50))

  def test_other_and_hidden_files_are_ignored(self):
    self._add(
      'A/v1/1.jpg',
      'A/v1/.2.jpg',
      'A/v1/notes.txt',
      'A/person.json',
      '.x/y/1.jpg',
    )
    source = folders.scan(self.root)
    self.assertEqual(source.videos[0].files, ('1.jpg',))
    self.assertEmpty(source.problems)

  def test_files_without_a_usable_number_are_reported(self):
    self._add('A/v1/1.jpg', 'A/v1/portrait.jpg', f'A/v1/{"9" * 40}.jpg')
    source = folders.scan(self.root)
    self.assertEqual(source.videos[0].frames, (1,))
    self.assertLen(source.problems, 2)
    self.assertIn('frame number', self._reasons(source)['A/v1/portrait.jpg'])

  def test_a_second_file_of_one_number_is_reported(self):
    self._add('A/v1/01.jpg', 'A/v1/1.png')
    source = folders.scan(self.root)
    self.assertEqual(source.videos[0].files, ('01.jpg',))
    self.assertIn('01.jpg', self._reasons(source)['A/v1/1.png'])

  def test_an_empty_video_and_an_empty_person_are_reported(self):
    self._add('A/v1/1.jpg')
    (self.root / 'A' / 'v2').mkdir()
    (self.root / 'B').mkdir()
    source = folders.scan(self.root)
    self.assertLen(source.videos, 1)
    self.assertEqual(
      self._reasons(source), {'A/v2': 'no pictures', 'B': 'no video folders'}
    )

  def test_pictures_beside_the_video_folders_are_reported(self):
    self._add('A/v1/1.jpg', 'A/1.jpg', 'A/2.jpg')
    self.assertIn('2 pictures', self._reasons(folders.scan(self.root))['A'])

  def test_a_folder_without_pictures_says_what_was_expected(self):
    self._add('A/1.jpg')
    with self.assertRaisesRegex(
      ValueError, f'{self.root}.*PERSON/VIDEO.*1 pictures outside'
    ):
      folders.scan(self.root)

  def test_an_empty_folder_is_refused(self):
    with self.assertRaisesRegex(ValueError, f'No pictures under {self.root}'):
      folders.scan(self.root)

  def test_a_missing_folder_is_named(self):
    with self.assertRaisesRegex(ValueError, 'nowhere.*not a folder'):
      folders.scan(self.root / 'nowhere')

  @parameterized.parameters('A B/v1/1.jpg', 'A/vidéo/1.jpg', 'nul/v1/1.jpg')
  def test_unsafe_ids_are_refused_by_path(self, name):
    self._add(name)
    with self.assertRaisesRegex(ValueError, f'{self.root}.*(_id)'):
      folders.scan(self.root)

  @parameterized.parameters(
    ('A/v1/1.jpg', 'a/v1/1.jpg'), ('A/v1/1.jpg', 'A/V1/1.jpg')
  )
  def test_ids_that_differ_in_case_alone_are_refused(self, *names):
    self._add(*names)
    if len({str(p).lower() for p in self.root.rglob('*')}) == len(
      list(self.root.rglob('*'))
    ):
      self.skipTest('this file system does not tell case apart')
    with self.assertRaisesRegex(ValueError, 'differ only in case'):
      folders.scan(self.root)

  def test_people_are_chosen_by_id(self):
    self._add('A/v1/1.jpg', 'B/v1/1.jpg')
    source = folders.scan(self.root, persons=('B',))
    self.assertEqual([video.name for video in source.videos], ['B/v1'])

  def test_an_absent_person_is_named_with_those_there(self):
    self._add('A/v1/1.jpg')
    with self.assertRaisesRegex(ValueError, 'Z.*which has A'):
      folders.scan(self.root, persons=('Z',))

  def test_it_is_told_whether_labels_name_landmarks(self):
    names = ','.join(labels.LANDMARK_COLUMNS)
    self._add('A/v1/1.jpg', 'A/v2/1.jpg', 'A/v3/1.jpg')
    self._add('A/v2/labels.csv', content=b'frame,au1\n')
    self._add('A/v3/labels.csv', content=f'frame,{names}\n'.encode())
    source = folders.scan(self.root)
    self.assertEqual(
      [v.labels is not None for v in source.videos], [False, True, True]
    )
    self.assertTrue(source.has_landmarks)
    self.assertEmpty(source.label_columns[1:])
    (self.root / 'A' / 'v3' / 'labels.csv').unlink()
    self.assertFalse(folders.scan(self.root).has_landmarks)


class ShotsTest(absltest.TestCase):
  def test_times_count_from_the_first_picture_though_it_cannot_be_aligned(self):
    root = pathlib.Path(self.create_tempdir().full_path)
    folder = root / 'A' / 'v1'
    folder.mkdir(parents=True)
    for frame in range(3, 9):
      (folder / f'{frame}.jpg').write_bytes(b'x')
    points = pd.DataFrame(0.0, [5, 6, 8], labels.LANDMARK_COLUMNS)
    points[[f'x{i}' for i in range(42, 48)]] = 20.0
    points.to_csv(folder / 'labels.csv', index_label='frame')
    source = folders.scan(root, align='eyes', fps=20.0)
    shots = source.shots(source.videos[0], lambda path, reason: None)
    self.assertEqual(shots.frames.tolist(), [5, 6, 8])
    np.testing.assert_allclose(shots.time_s, [0.1, 0.15, 0.25])


class FpsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path)
    (self.root / 'A' / 'v1').mkdir(parents=True)
    (self.root / 'A' / 'v1' / '1.jpg').write_bytes(b'x')

  def _write(self, text):
    (self.root / 'dataset.json').write_text(text)

  def test_comes_from_dataset_json(self):
    self._write('{"fps": 29.97}')
    self.assertEqual(folders.scan(self.root).videos[0].fps, 29.97)

  def test_the_config_goes_before_dataset_json(self):
    self._write('{"fps": 30}')
    self.assertEqual(folders.scan(self.root, fps=12.5).videos[0].fps, 12.5)

  def test_is_assumed_aloud_if_nobody_gives_it(self):
    with self.assertLogs(level='WARNING') as logs:
      self.assertEqual(folders.scan(self.root).videos[0].fps, 25.0)
    self.assertIn('assume 25 frames a second', logs.output[0])

  @parameterized.parameters(
    '{', '{"fps": "20"}', '{"fps": -1}', '{"fps": true}'
  )
  def test_a_wrong_dataset_json_is_named(self, text):
    self._write(text)
    with self.assertRaisesRegex(ValueError, 'dataset.json'):
      folders.scan(self.root)

  @parameterized.parameters(
    ({'fps': -1.0}, 'data.fps'),
    ({'fps': float('nan')}, 'data.fps'),
    ({'align': 'nose'}, 'data.align.*none.*eyes'),
    ({'eye_distance': 40.0}, 'data.eye_distance'),
  )
  def test_options_out_of_range_are_named(self, options, message):
    with self.assertRaisesRegex(ValueError, message):
      folders.scan(self.root, **options)


class FingerprintTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path)
    for video in ('v1', 'v2'):
      (self.root / 'A' / video).mkdir(parents=True)
      for frame in range(3):
        (self.root / 'A' / video / f'{frame}.jpg').write_bytes(b'pixels')
    (self.root / 'A' / 'v1' / 'labels.csv').write_text('frame,au1\n1,2\n')
    (self.root / 'dataset.json').write_text(json.dumps({'fps': 20}))
    self.before = self._scan().fingerprint

  def _scan(self, **options):
    return folders.scan(self.root, **options)

  def test_stays_while_nothing_changes(self):
    self.assertEqual(self._scan().fingerprint, self.before)

  def test_changes_with_a_pictures_time(self):
    os.utime(self.root / 'A/v1/1.jpg', ns=(1, 1))
    self.assertNotEqual(self._scan().fingerprint, self.before)

  def test_changes_with_a_pictures_size(self):
    path = self.root / 'A/v1/1.jpg'
    times = path.stat()
    path.write_bytes(b'other pixels')
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    self.assertNotEqual(self._scan().fingerprint, self.before)

  def test_changes_with_a_label_even_if_size_and_time_agree(self):
    path = self.root / 'A/v1/labels.csv'
    times = path.stat()
    path.write_text('frame,au1\n1,3\n')
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    self.assertNotEqual(self._scan().fingerprint, self.before)

  def test_changes_with_a_new_and_with_a_renamed_picture(self):
    (self.root / 'A/v2/2.jpg').rename(self.root / 'A/v2/3.jpg')
    renamed = self._scan().fingerprint
    (self.root / 'A/v2/2.jpg').write_bytes(b'pixels')
    self.assertLen({self.before, renamed, self._scan().fingerprint}, 3)

  @parameterized.parameters(
    {'fps': 21.0}, {'align': 'eyes'}, {'eye_distance': 0.5}
  )
  def test_changes_with_an_option(self, **options):
    self.assertNotEqual(self._scan(**options).fingerprint, self.before)

  def test_does_not_depend_on_where_the_folder_lies(self):
    moved = self.root.with_name(self.root.name + '_moved')
    self.root.rename(moved)
    self.assertEqual(folders.scan(moved).fingerprint, self.before)


if __name__ == '__main__':
  absltest.main()
