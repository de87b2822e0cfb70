import pathlib

import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data.labels import readers, tools


class _ReaderTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(self.create_tempdir().full_path) / 'table.csv'

  def read(self, text, tool, **options):
    self.path.write_text(text)
    return readers.read(self.path, tool=tool, **options)


class OpenFaceTest(_ReaderTest):
  def test_frames_count_from_1_and_headers_may_have_spaces(self):
    table = self.read(
      'frame, timestamp, confidence, success, AU06_r, AU06_c, AU28_c\n'
      '1, 0, 0.98, 1, 1.5, 1, 0\n2, 0.04, 0.97, 1, 2.5, 1, 1\n',
      'openface',
    )
    self.assertEqual((table.numbers.tolist(), table.base), ([1, 2], 1))
    self.assertEqual(table.time_s.tolist(), [0, 0.04])
    self.assertEqual(
      list(table.values.columns),
      ['confidence', 'success', 'AU06_r', 'AU06_c', 'AU28_c'],
    )
    self.assertEqual(table.values['AU06_r'].tolist(), [1.5, 2.5])
    self.assertEqual(table.faces.tolist(), ['', ''])
    self.assertEmpty(table.problems)

  @parameterized.parameters(
    ('time_ms', '80', 0.08),
    ('Time (s)', '0.08', 0.08),
    ('timestamp', '00:01:00.08', 60.08),
    ('timestamp', '00:00:07:12', np.nan),
  )
  def test_time_stamps_come_in_several_forms(self, name, cell, time_s):
    table = self.read(f'frame;{name};AU01_r\n3;{cell};1\n', 'openface')
    np.testing.assert_allclose(table.time_s, [time_s])
    with self.assertRaisesRegex(ValueError, 'neither numbers nor times'):
      self.read(f'frame;{name};AU01_r\n;7 o clock;1\n', 'openface')

  def test_cells_that_are_no_numbers_are_counted(self):
    table = self.read('frame,AU01_r\n1,high\n2,NaN\n', 'openface')
    self.assertEqual(
      table.problems, ('1 cells of AU01_r are no numbers; missing',)
    )

  def test_rows_without_success_are_missing_and_counted(self):
    table = self.read(
      'frame,success,confidence,AU01_r\n1,1,0.9,2\n2,0,0.1,0\n', 'openface'
    )
    np.testing.assert_array_equal(table.values['AU01_r'], [2, np.nan])
    np.testing.assert_array_equal(table.values['success'], [1, 0])
    np.testing.assert_allclose(table.values['confidence'], [0.9, 0.1])
    self.assertIn('1 rows say success 0; their values missing', table.problems)

  def test_minus_nan_is_missing(self):
    table = self.read('frame,AU01_r\n1,-nan(ind)\n2,1\n', 'openface')
    np.testing.assert_array_equal(table.values['AU01_r'], [np.nan, 1])

  def test_pose_is_in_degrees_under_our_names(self):
    table = self.read('frame,pose_Rx,pose_Ry,AU01_r\n1,0.1,0.2,1\n', 'openface')
    np.testing.assert_allclose(
      table.values[['pose_pitch', 'pose_yaw']], np.degrees([[0.1, 0.2]]), 1e-6
    )

  def test_landmarks_in_pixels_are_not_those_in_millimetres(self):
    names = [f'{axis}_{i}' for axis in 'xy' for i in range(68)]
    pixels = [str(i) for i in range(136)]
    table = self.read(
      f'frame,{",".join(names)},{",".join(names).upper()},Z_0,AU01_r\n'
      f'1,{",".join(pixels)},{",".join(["9"] * 136)},9,0\n',
      'openface',
    )
    np.testing.assert_array_equal(table.landmarks[0, 36], [36, 68 + 36])
    np.testing.assert_array_equal(table.seen.points[0, 2], [30, 68 + 30])
    self.assertLen(table.left_out, 137)
    self.assertIn('X_0', table.left_out)

  def test_rows_out_of_order_are_named_and_sorted(self):
    table = self.read('frame,AU01_r\n1,1\n3,3\n2,2\n', 'openface')
    self.assertEqual(table.values['AU01_r'].tolist(), [1, 2, 3])
    self.assertIn('first at row 2 (frame 3)', table.problems[0])

  def test_repeated_frames_of_a_face_are_named(self):
    table = self.read(
      'frame,face_id,AU01_r\n1,0,1\n2,0,2\n2,0,3\n2,1,4\n', 'openface'
    )
    self.assertEqual(table.values['AU01_r'].tolist(), [1, 2, 4])
    self.assertEqual(
      table.problems,
      (
        '1 rows repeat a frame and face (frames 2); the first of each was used',
      ),
    )


class OtherToolsTest(_ReaderTest):
  def test_both_versions_of_pyfeat_give_all_emotions(self):
    emotions = 'anger disgust fear happiness sadness surprise neutral'.split()
    second = 'Anger,Disgust,Fear,Happy,Sad,Surprise,Neutral'
    for head in (','.join(emotions), second):
      table = self.read(
        f'frame,AU01,{head},Pitch,gaze_yaw,valence,Embedding_1\n'
        '0,0.5,1,2,3,4,5,6,7,0.1,0.2,0.3,9\n',
        'pyfeat',
      )
      self.assertEqual(table.values.loc[0, emotions].tolist(), [*range(1, 8)])
      self.assertContainsSubset(
        ['pitch_raw', 'gaze_yaw', 'valence'], table.values
      )
      self.assertEqual(table.left_out, ('Embedding_1',))

  def test_mediapipe_gives_blendshapes(self):
    table = self.read(
      'frame,timestamp_ms,_neutral,jawOpen,EyeBlinkLeft\n0,0,0,0.5,1\n'
      '1,40,0,0.25,0\n',
      'mediapipe',
    )
    self.assertEqual(table.time_s.tolist(), [0, 0.04])
    self.assertEqual(
      list(table.values), ['_neutral', 'jawOpen', 'eyeBlinkLeft']
    )
    self.assertLen(tools.BLENDSHAPES, 53)

  def test_numbers_of_pictures_are_what_changes_in_their_names(self):
    table = self.read(
      'AU01,input\n0.1,/d/v1_0007_face0.jpg\n0.2,/d/v1_0009_face0.jpg\n',
      'pyfeat',
    )
    self.assertEqual(table.numbers.tolist(), [7, 9])

  def test_openface_3_has_a_list_of_units(self):
    table = self.read(
      'frame\taction_units\tgaze_yaw\n0\t[0.1, 0.2]\t1\n1\t[0.3, 0.4]\t1\n',
      'openface3',
      units=(1, 12),
    )
    self.assertEqual(table.numbers.tolist(), [0, 1])
    np.testing.assert_allclose(table.values['AU12_raw'], [0.2, 0.4])

  @parameterized.parameters(
    ('[1]', 'a list of 1 values'),
    ('one, two', 'no JSON'),
    ('[1, [2]]', r'\[1\] should be a number, but is \[2\]'),
    ('[1, "2"]', r"\[1\] should be a number, but is '2'"),
    ('[NaN, 2]', r'\[0\] should be a number, but is nan'),
  )
  def test_a_list_of_another_form_is_named_by_line(self, cell, reason):
    with self.assertRaisesRegex(
      ValueError, f'table.csv, line 3, action_units.*{reason}'
    ):
      self.read(
        f'frame\taction_units\n0\t[1, 2]\n1\t{cell}\n',
        'openface3',
        units=(1, 2),
      )

  def test_pyfeat_counts_from_0_and_gives_probabilities(self):
    table = self.read(
      'FaceScore,AU01,AU12,anger,input,frame\n'
      '0.9,0.1,0.7,0.2,clip.mp4,0\n0.8,0.2,0.6,0.1,clip.mp4,1\n',
      'pyfeat',
    )
    self.assertEqual(table.numbers.tolist(), [0, 1])
    self.assertFalse(table.are_pictures)
    self.assertEqual(
      list(table.values.columns), ['confidence', 'AU01_p', 'AU12_p', 'anger']
    )

  def test_pictures_read_one_by_one_keep_their_own_numbers(self):
    table = self.read(
      'AU01,input,frame\n0.1,/d/v1/frame0007.jpg,0\n0.2,/d/v1/frame0009.jpg,0\n',
      'pyfeat',
    )
    self.assertTrue(table.are_pictures)
    self.assertEqual(table.numbers.tolist(), [7, 9])

  def test_libreface_has_intensity_and_presence(self):
    table = self.read(
      'frame_idx,frame_time_in_ms,au_1,au_12_intensity\n0,0,1,2.5\n1,40,0,3\n',
      'libreface',
    )
    self.assertEqual(list(table.values.columns), ['AU01_c', 'AU12_r'])
    self.assertEqual(table.time_s.tolist(), [0, 0.04])

  def test_a_generic_table_may_have_times_alone(self):
    table = self.read('time_s,AU1,AU2_c\n0.0,1,0\n0.5,2,1\n', 'generic')
    self.assertTrue(np.isnan(table.numbers).all())
    self.assertEqual(table.values['AU01_r'].tolist(), [1, 2])

  @parameterized.parameters(
    ('openface', 'AU01_r\n1\n', 'neither frame numbers'),
    ('openface', 'frame,AU01_r\n', 'a head but no rows'),
    ('openface', 'frame,au1_r,AU01_r\n1,2,3\n', 'one column for AU01_r'),
    ('openface', 'frame,AU01_r,AU01_r\n1,2,3\n', 'more than one column'),
    ('openface', '', 'is empty'),
    ('affectiva', 'frame,AU01\n1,2\n', "'affectiva' is none of"),
  )
  def test_what_cannot_be_read_is_named(self, tool, text, message):
    with self.assertRaisesRegex(ValueError, message):
      self.read(text, tool)


if __name__ == '__main__':
  absltest.main()
