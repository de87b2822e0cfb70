import pathlib

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.data import labels
from psm_jax.evaluation import targets


class ColumnNameTest(parameterized.TestCase):
  @parameterized.parameters(
    ('au1', 'AU01'),
    ('AU26', 'AU26'),
    (' AU06_r', 'AU06_r'),
    ('AU9_c', 'AU09_c'),
    ('au1_int', 'au1_int'),
    ('yaw', 'pose_yaw'),
    ('Pitch', 'pose_pitch'),
    ('gaze_yaw', 'gaze_yaw'),
    ('blink', 'blink'),
  )
  def test_known_spellings_become_one(self, name, expected):
    self.assertEqual(labels.column_name(name), expected)


class ReadLabelsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(self.create_tempdir().full_path) / 'labels.csv'

  def _read(self, text, **kwargs):
    self.path.write_text(text, **kwargs)
    return labels.read_labels(self.path)

  def test_rows_are_indexed_by_frame(self):
    table = self._read('frame,au1,yaw\n7,2.5,10\n3,0,-4\n')
    self.assertEqual(table.values.index.tolist(), [7, 3])
    self.assertEqual(list(table.values.columns), ['AU01', 'pose_yaw'])
    self.assertEqual(table.values.loc[7, 'AU01'], 2.5)
    self.assertEqual(table.values.dtypes.iloc[0], np.float32)
    self.assertIsNone(table.landmarks)
    self.assertEmpty(table.problems)

  def test_empty_cells_are_missing_without_complaint(self):
    table = self._read('frame,au1,au2\n1,,nan\n')
    self.assertTrue(table.values.isna().all(axis=None))
    self.assertEmpty(table.problems)

  @parameterized.parameters('high', '-nan(ind)', 'inf', '1,500')
  def test_cells_that_are_no_numbers_are_missing_and_counted(self, cell):
    table = self._read(f'frame,au1,au2\n1,"{cell}",1\n2,1,1\n')
    self.assertTrue(np.isnan(table.values.loc[1, 'AU01']))
    self.assertEqual(table.problems, ('1 cells are not numbers',))

  def test_rows_without_a_whole_frame_number_are_dropped_and_counted(self):
    table = self._read('frame,au1\n1,1\n1.5,2\n,3\n4,4\n')
    self.assertEqual(table.values.index.tolist(), [1, 4])
    self.assertIn('2 rows have no whole frame number', table.problems)

  def test_the_first_of_repeated_frames_is_kept_and_the_rest_counted(self):
    table = self._read('frame,au1\n1,1\n1,2\n')
    self.assertEqual(table.values['AU01'].tolist(), [1])
    self.assertIn('1 rows repeat a frame number', table.problems)

  def test_landmarks_are_kept_apart(self):
    names = [f'{axis}{i}' for axis in 'xy' for i in range(68)]
    values = [str(i) for i in range(136)]
    table = self._read(f'frame,au1,{",".join(names)}\n1,2,{",".join(values)}\n')
    self.assertEqual(list(table.values.columns), ['AU01'])
    np.testing.assert_array_equal(table.landmarks[0, 40], [40, 68 + 40])

  def test_some_of_the_landmark_columns_are_not_used_and_reported(self):
    table = self._read('frame,au1,x0,y0\n1,2,3,4\n')
    self.assertIsNone(table.landmarks)
    self.assertEqual(list(table.values.columns), ['AU01'])
    self.assertStartsWith(table.problems[0], '2 of 136 landmark columns')

  def test_a_byte_order_mark_and_spaces_in_the_header_do_not_matter(self):
    table = self._read('\ufeffframe, au1\n1,2\n', encoding='utf-8')
    self.assertEqual(table.values.loc[1, 'AU01'], 2)

  def test_a_table_without_rows_is_empty(self):
    self.assertEmpty(self._read('frame,au1\n').values)

  @parameterized.parameters(
    ('', 'is empty'),
    ('time,au1\n1,2\n', 'no column `frame`'),
    ('frame,au1,AU01\n1,2,3\n', "more than one column.*'AU01'"),
    ('frame,au1,au1\n1,2,3\n', 'more than one column'),
    ('frame,time_s\n1,2\n', 'time_s'),
    ('frame,au1\n1,2\n1,2,3,4\n', 'more cells'),
  )
  def test_a_table_that_cannot_be_understood_is_refused(self, text, message):
    with self.assertRaisesRegex(ValueError, message):
      self._read(text)

  def test_binary_content_is_refused_by_path(self):
    self.path.write_bytes(b'\xff\xfe\x00frame')
    with self.assertRaisesRegex(ValueError, str(self.path)):
      labels.read_labels(self.path)

  def test_columns_can_be_read_without_the_rows(self):
    self.path.write_text('frame,au1,x0,yaw\nnot a row at all\n')
    self.assertEqual(labels.read_columns(self.path), ['AU01', 'pose_yaw'])


class NamesLandmarksTest(parameterized.TestCase):
  @parameterized.parameters(
    ('frame,', ''), ('\ufeff"frame", au1 ,', ''), ('frame,', ',gaze\r')
  )
  def test_all_columns_are_needed_in_any_spelling(self, before, after):
    names = labels.LANDMARK_COLUMNS
    head = f'{before}{", ".join(reversed(names))}{after}\n1,2\n'
    self.assertContainsSubset(names, self._columns(head))
    less = f'{before}{",".join(names[:-1])}{after}\n{names[-1]}\n'
    self.assertTrue(set(names).isdisjoint(self._columns(less)))

  def _columns(self, content):
    file = self.create_tempfile(content=content.encode(), mode='wb')
    return labels.read_columns(pathlib.Path(file.full_path))

  def test_evaluation_knows_them_by_these_names(self):
    frames = pd.DataFrame([range(136)], columns=list(labels.LANDMARK_COLUMNS))
    (target,) = targets.numbers(frames)
    self.assertEqual(target.values.tolist(), [list(range(136))])


if __name__ == '__main__':
  absltest.main()
