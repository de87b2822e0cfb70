"""Each data set's own rules: persons, videos, labels and folds of its tree."""

import pathlib
import shutil

import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data import prepare
from psm_jax.data.datasets import trees
from tests.data import fake_trees


class _TreeTest(parameterized.TestCase):
  kind = ''

  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path) / 'copy'
    self.root.mkdir()

  def scan(self, **options):
    return trees.scan(
      prepare.DATASETS[self.kind], self.root, trees.Options(**options)
    )

  def names(self, source):
    return [video.name for video in source.videos]

  def labels(self, source, name, column):
    """A video's labels on its pictures."""
    (video,) = [video for video in source.videos if video.name == name]
    return video.labels.values[column].reindex(list(video.frames)).tolist()

  def reasons(self, source):
    return '\n'.join(f'{p["path"]}: {p["reason"]}' for p in source.problems)


class DisfaTest(_TreeTest):
  kind = 'disfa'

  def test_the_path_names_person_and_camera(self):
    fake_trees.disfa(self.root)
    source = self.scan()
    self.assertEqual(self.names(source), ['SN001/left', 'SN002/left'])
    self.assertEqual(source.videos[0].frames, (1, 2, 3, 4, 5, 6))
    self.assertEqual(source.videos[0].fps, 20.0)

  @parameterized.parameters(
    ('img/SN001/{}.png', 'SN001/video'),
    ('flat/LeftVideoSN001_comp_{:04d}.png', 'SN001/left'),
    ('RightVideo/SN033/frame{}.jpg', 'SN033/right'),
    ('SN001/face_only_aligned/frame{}.jpg', 'SN001/video'),
  )
  def test_trees_of_extracted_frames_in_use_are_read(self, pattern, name):
    for frame in (7, 12):
      fake_trees.picture(self.root / pattern.format(frame))
    source = self.scan()
    self.assertEqual(self.names(source), [name])
    self.assertEqual(source.videos[0].frames, (7, 12))

  def test_labels_are_joined_by_frame_number(self):
    fake_trees.disfa(self.root)
    (self.root / 'frames' / 'LeftVideoSN001' / '00003.jpg').unlink()
    source = self.scan()
    self.assertEqual(len(source.label_columns), 12)
    self.assertEqual(self.labels(source, 'SN001/left', 'AU12'), [0, 1, 3, 4, 5])

  def test_pictures_counted_from_0_stop_with_the_remedy(self):
    fake_trees.disfa(self.root, first=0)
    with self.assertRaisesRegex(
      ValueError,
      '12 pictures have a row .*-1, 10 .*pictures 0 to 5, rows 1 to 6.*'
      "data.tree.label_shift='-1'",
    ):
      self.scan()
    source = self.scan(label_shift='-1')
    self.assertEqual(
      self.labels(source, 'SN002/left', 'AU12'), [0, 1, 2, 3, 4, 5]
    )

  def test_numbers_that_do_not_tell_the_shift_are_remarked(self):
    fake_trees.disfa(self.root)
    for person in ('SN001', 'SN002'):
      for frame in (1, 6):
        (
          self.root / 'frames' / f'LeftVideo{person}' / f'{frame:05d}.jpg'
        ).unlink()
    with self.assertLogs(level='WARNING'):
      source = self.scan()
    self.assertIn('-1 and 1 would fit as well', self.reasons(source))
    self.assertNotIn('would fit', self.reasons(self.scan(label_shift='0')))

  def test_a_missing_action_unit_is_missing_and_named(self):
    fake_trees.disfa(self.root)
    (self.root / 'ActionUnit_Labels' / 'SN001' / 'SN001_au12.txt').unlink()
    source = self.scan()
    self.assertIn(
      'SN001: no file for the action units 12', self.reasons(source)
    )
    self.assertEqual(self.labels(source, 'SN002/left', 'AU12')[1], 1)
    self.assertNotIn('AU12', source.videos[0].labels.values)

  def test_files_of_unequal_length_are_counted(self):
    fake_trees.disfa(self.root)
    path = self.root / 'ActionUnit_Labels' / 'SN001' / 'SN001_au4.txt'
    path.write_text('1,0\n2,3\n')
    source = self.scan()
    self.assertIn('AU04 has no label on 4 frames', self.reasons(source))
    self.assertEqual(
      np.isnan(self.labels(source, 'SN001/left', 'AU04')).tolist(),
      [False, False, True, True, True, True],
    )

  def test_a_frame_column_that_does_not_count_lines_is_reported_and_used(self):
    fake_trees.disfa(self.root)
    path = self.root / 'ActionUnit_Labels' / 'SN001' / 'SN001_au12.txt'
    path.write_text('1,0\n2,1\n4,3\n5,4\n6,5\n')
    source = self.scan()
    self.assertIn('line 3 is of frame 4, not 3', self.reasons(source))
    self.assertEqual(self.labels(source, 'SN001/left', 'AU12')[3], 3)

  @parameterized.parameters('1;0\n', '', '1,high\n', '1.5,2\n')
  def test_a_broken_file_is_reported_and_the_others_used(self, content):
    fake_trees.disfa(self.root)
    path = self.root / 'ActionUnit_Labels' / 'SN001' / 'SN001_au12.txt'
    path.write_text(content)
    source = self.scan()
    self.assertIn('SN001_au12.txt: not used', self.reasons(source))
    self.assertEqual(self.labels(source, 'SN001/left', 'AU04'), [0] * 6)

  def test_codes_outside_the_scale_are_missing(self):
    fake_trees.disfa(self.root)
    path = self.root / 'ActionUnit_Labels' / 'SN001' / 'SN001_au12.txt'
    path.write_text('1,9\n2,-1\n3,7\n4,5\n5,0\n6,999\n')
    source = self.scan()
    np.testing.assert_array_equal(
      self.labels(source, 'SN001/left', 'AU12'),
      [np.nan, np.nan, np.nan, 5, 0, np.nan],
    )
    # Missing codes are no mistakes; 7 is one.
    self.assertIn('1 intensities are not 0 to 5', self.reasons(source))

  def test_published_folds_are_compared_with_the_people(self):
    fake_trees.disfa(self.root, persons=('SN001', 'SN003', 'SN033'))
    source = self.scan()
    self.assertEqual(source.folds, {'SN001': '3', 'SN003': '1'})
    self.assertIn('in no fold: SN033', self.reasons(source))
    self.assertIn('25 people of the table of folds', self.reasons(source))

  def test_two_crops_of_one_video_must_be_chosen_from(self):
    for crop in ('face_only_aligned', 'face_mtcnn'):
      fake_trees.picture(self.root / 'SN001' / crop / 'frame1.jpg')
    with self.assertRaisesRegex(ValueError, 'face_mtcnn.*data.tree.images'):
      self.scan()
    source = self.scan(images='SN*/face_mtcnn')
    self.assertEqual(source.videos[0].folder.name, 'face_mtcnn')

  def test_videos_alone_say_how_to_make_frames(self):
    fake_trees.text(
      self.root / 'Videos_LeftCamera' / 'LeftVideoSN001_comp.avi', 'x'
    )
    with self.assertRaisesRegex(
      ValueError, r'1 videos.*LeftVideoSN001_comp\.avi.*launch\.ingest'
    ):
      self.scan()

  def test_labels_may_lie_elsewhere(self):
    fake_trees.disfa(self.root)
    elsewhere = self.root.parent / 'labels'
    (self.root / 'ActionUnit_Labels').rename(elsewhere)
    self.assertIn('no folder of labels', self.reasons(self.scan()))
    source = self.scan(labels=str(elsewhere))
    self.assertEqual(self.labels(source, 'SN001/left', 'AU12')[2], 2)


class Bp4dTest(_TreeTest):
  kind = 'bp4d'

  def setUp(self):
    super().setUp()
    fake_trees.bp4d(self.root)

  def test_persons_and_tasks_are_in_the_path(self):
    source = self.scan()
    self.assertEqual(
      self.names(source), ['F001/T1', 'F001/T2', 'M002/T1', 'M002/T2']
    )
    self.assertEqual(source.videos[0].frames, (2438, 2439, 2440, 2441))
    self.assertEqual(source.folds, {'F001': '3', 'M002': '2'})

  def test_presence_and_intensity_are_two_columns_and_codes_are_missing(self):
    source = self.scan()
    self.assertEqual(
      source.label_columns,
      ('AU06', 'AU01_c', 'AU02_c', 'AU06_c', 'AU12_c', 'AU27_c'),
    )
    nan = np.nan
    for column, expected in {
      'AU01_c': [nan, nan, 1, 0],
      'AU02_c': [nan, nan, 0, nan],
      'AU12_c': [nan, nan, nan, 1],
      'AU27_c': [nan, nan, 0, nan],
      'AU06': [nan, nan, 3, nan],
    }.items():
      np.testing.assert_array_equal(
        self.labels(source, 'F001/T1', column), expected, column
      )

  def test_an_older_copy_has_its_codes_one_folder_up(self):
    for path in (self.root / 'AUCoding' / 'AU_OCC').iterdir():
      path.rename(path.parent.parent / path.name)
    (self.root / 'AUCoding' / 'AU_OCC').rmdir()
    self.assertIn('AU01_c', self.scan().label_columns)

  def test_frames_under_2d_and_3d_are_read(self):
    inner = self.root / '2D+3D'
    inner.mkdir()
    for person in ('F001', 'M002'):
      (self.root / person).rename(inner / person)
    self.assertLen(self.scan().videos, 4)

  def test_a_sequence_without_table_is_named(self):
    (self.root / 'AUCoding' / 'AU_OCC' / 'F001_T2.csv').unlink()
    source = self.scan()
    self.assertRegex(
      self.reasons(source), 'F001_T2.csv: not used: .*No such file'
    )
    self.assertNotIn('AU01_c', source.videos[1].labels.values)


class GftTest(_TreeTest):
  kind = 'gft'

  def setUp(self):
    super().setUp()
    fake_trees.gft(self.root)

  def test_tables_are_found_by_person_or_by_video(self):
    source = self.scan(images='images')
    self.assertEqual(self.names(source), ['001A/video', '002B/v1'])
    self.assertEqual(source.label_columns, ('AU01_c', 'AU12_c', 'AU06'))
    nan = np.nan
    for name, column, expected in (
      ('001A/video', 'AU01_c', [0, nan, 1, nan]),
      ('001A/video', 'AU12_c', [1, nan, nan, nan]),
      ('001A/video', 'AU06', [2, 5, nan, nan]),
      ('002B/v1', 'AU01_c', [1, nan, nan, 0]),
      ('002B/v1', 'AU12_c', [0, nan, nan, nan]),
    ):
      np.testing.assert_array_equal(
        self.labels(source, name, column), expected, f'{name} {column}'
      )

  def test_folds_come_from_a_table_as_none_are_published(self):
    self.assertEmpty(self.scan(images='images').folds)
    fake_trees.text(self.root / 'folds.csv', 'person_id,fold\n001A,train\n')
    source = self.scan(images='images', folds='folds.csv')
    self.assertEqual(source.folds, {'001A': 'train'})
    self.assertIn('in no fold: 002B', self.reasons(source))

  def test_a_person_without_table_is_named(self):
    (self.root / 'labels' / '001A.csv').unlink()
    source = self.scan(images='images')
    self.assertIn('001A/video: no table of labels', self.reasons(source))


class CkplusTest(_TreeTest):
  kind = 'ckplus'

  def setUp(self):
    super().setUp()
    fake_trees.ckplus(self.root)

  def test_labels_lie_on_the_peak_alone(self):
    source = self.scan()
    self.assertEqual(
      self.names(source), ['S010/001', 'S010/002', 'S011/001', 'S011/002']
    )
    nan = np.nan
    for column, expected in {
      'expression': [nan, nan, 7],
      'AU01_c': [nan, nan, 1],
      'AU01': [nan, nan, nan],  # Present, but not graded.
      'AU25': [nan, nan, 4],
      'AU25_c': [nan, nan, 1],
    }.items():
      np.testing.assert_array_equal(
        self.labels(source, 'S010/001', column), expected, column
      )
      self.assertTrue(
        np.isnan(self.labels(source, 'S010/002', column)).all(), column
      )

  def test_a_unit_listed_for_others_only_is_absent(self):
    fake_trees.text(
      self.root / 'FACS/S011/001/S011_001_00000003_facs.txt', ' 4.0 2.0\n'
    )
    source = self.scan()
    self.assertEqual(self.labels(source, 'S011/001', 'AU25')[2], 0)
    self.assertEqual(self.labels(source, 'S011/001', 'AU25_c')[2], 0)

  def test_a_pain_score_is_not_taken_for_facs_codes(self):
    fake_trees.text(
      self.root / 'FACS/S010/001/S010_001_00000003_facs.txt', ' 2.0\n'
    )
    source = self.scan()
    self.assertIn('pain scores of UNBC-McMaster', self.reasons(source))
    self.assertTrue(np.isnan(self.labels(source, 'S010/001', 'AU25')[2]))

  @parameterized.parameters('none', 'eyes')
  def test_landmarks_are_read(self, align):
    table = self.scan(align=align).videos[0].labels
    self.assertEqual(table.landmarks.shape, (3, 68, 2))
    np.testing.assert_array_equal(table.landmarks[2, 41], [20, 30])

  def test_a_copy_without_landmarks_says_so(self):
    shutil.rmtree(self.root / 'Landmarks')
    source = self.scan()
    self.assertIsNone(source.videos[0].labels.landmarks)
    self.assertIn('no such folder', self.reasons(source))

  def test_ten_people_are_folded_in_order(self):
    fake_trees.ckplus(self.root, num_people=11)
    folds = self.scan().folds
    self.assertEqual(folds['S010'], '1')
    self.assertEqual(folds['S020'], '1')
    self.assertLen(set(folds.values()), 10)


class Voxceleb1Test(_TreeTest):
  kind = 'voxceleb1'

  def test_people_are_called_by_id(self):
    fake_trees.voxceleb1(self.root)
    source = self.scan()
    self.assertEqual(
      self.names(source), ['id10001/v-0xYz_9_2', 'id10002/vabc_00001']
    )
    self.assertEqual(source.folds, {'id10001': 'dev', 'id10002': 'test'})
    self.assertEmpty(source.label_columns)

  def test_without_the_table_an_unsafe_name_is_left_out(self):
    fake_trees.voxceleb1(self.root)
    (self.root / 'vox1_meta.csv').unlink()
    source = self.scan()
    self.assertEqual(self.names(source), ['id10002/vabc_00001'])
    self.assertIn('A.J._Buckley', self.reasons(source))
    self.assertIn('vox1_meta.csv: not found', self.reasons(source))

  def test_a_table_without_a_column_is_not_used(self):
    fake_trees.voxceleb1(self.root)
    (self.root / 'vox1_meta.csv').write_text('VoxCeleb1 ID\tSet\nid1\tdev\n')
    source = self.scan()
    self.assertRegex(
      self.reasons(source), "meta.csv: not used: .* no column 'vggface1 id'"
    )

  def test_the_release_without_tracks_has_a_frame_a_second(self):
    for second in (1, 2):
      folder = self.root / 'unzippedFaces' / 'Aaron_Tveit' / '1.6' / 'xyz'
      fake_trees.picture(folder / f'{second:07d}.jpg')
    source = self.scan()
    self.assertEqual(self.names(source), ['Aaron_Tveit/vxyz'])
    self.assertEqual(source.videos[0].fps, 1.0)
    self.assertEqual(self.scan(fps=2.0).videos[0].fps, 2.0)


class Voxceleb2Test(_TreeTest):
  kind = 'voxceleb2'

  def setUp(self):
    super().setUp()
    fake_trees.voxceleb2(self.root)

  def test_one_track_is_one_video(self):
    source = self.scan()
    self.assertEqual(
      self.names(source),
      ['id00012/v21Uxsk56VDQ_00001', 'id09238/vVqEJCd7pbgQ_0_folder'],
    )
    self.assertEqual(source.videos[1].frames, (0, 1, 2))

  def test_folders_tell_dev_and_test_without_the_table(self):
    self.assertEqual(self.scan().folds, {'id00012': 'dev', 'id09238': 'test'})

  def test_the_table_goes_before_the_folders(self):
    fake_trees.text(
      self.root / 'vox2_meta.csv',
      'VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \nid00012 ,n1 ,m ,test\n',
    )
    source = self.scan()
    self.assertEqual(source.folds, {'id00012': 'test'})
    self.assertIn('in no fold: id09238', self.reasons(source))


if __name__ == '__main__':
  absltest.main()
