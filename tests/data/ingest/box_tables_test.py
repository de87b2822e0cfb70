import pathlib

import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data.ingest import box_tables, video


def _landmarks(shift=0.0):
  """68 points: the eyes' rings are around (30, 40) and (70, 40)."""
  points = np.tile([50.0, 60.0], (68, 1))
  points[36:42], points[42:48] = [30, 40], [70, 40]
  points[48], points[54], points[30] = [38, 80], [62, 80], [50, 62]
  points[0], points[8], points[16] = [10, 45], [50, 100], [90, 45]
  return points + shift


def _landmark_cells(points):
  return ','.join(f'{v:g}' for v in [*points[:, 0], *points[:, 1]])


_HEADER = ', '.join(
  [f'x_{i}' for i in range(68)] + [f'y_{i}' for i in range(68)]
)


class BoxTableTest(parameterized.TestCase):
  def _read(self, text):
    return box_tables.read(
      pathlib.Path(self.create_tempfile(content=text).full_path)
    )

  def _faces(self, table, index):
    return table.detect(video.Frame(index, 0.0, False, (100, 100), None))

  def test_openface_counts_frames_from_one(self):
    # Older versions write no face_id and put spaces into the header.
    text = f'frame, timestamp, confidence, success, {_HEADER}\n'
    text += f'1, 0, 0.98, 1, {_landmark_cells(_landmarks())}\n'
    text += f'2, 0.04, 0.2, 0, {_landmark_cells(_landmarks())}\n'
    text += f'3, 0.08, 0.97, 1, {_landmark_cells(_landmarks(5))}\n'
    table = self._read(text)
    first = self._faces(table, 0)
    np.testing.assert_allclose(first.scores, [0.98])
    np.testing.assert_allclose(first.points[0, :2], [[30, 40], [70, 40]])
    np.testing.assert_allclose(
      first.points[0, 2:], [[50, 62], [38, 80], [62, 80]]
    )
    self.assertEmpty(self._faces(table, 1))
    np.testing.assert_allclose(self._faces(table, 2).points[0, 0], [35, 45])
    self.assertRegex(table.problems[0], '1 rows without a face')

  def test_the_box_around_landmarks_reaches_the_forehead(self):
    text = f'frame, {_HEADER}\n0, {_landmark_cells(_landmarks())}\n'
    box = self._faces(self._read(text), 0).boxes[0]
    np.testing.assert_allclose(box, [10, 28, 80, 72])

  def test_pyfeat_counts_frames_from_zero(self):
    text = 'frame,FaceRectX,FaceRectY,FaceRectWidth,FaceRectHeight,FaceScore\n'
    text += '0,10,20,30,40,0.9\n1,11,20,30,40,0.8\n'
    found = self._faces(self._read(text), 0)
    np.testing.assert_array_equal(found.boxes, [[10, 20, 30, 40]])
    self.assertTrue(np.isnan(found.points).all())

  def test_unsorted_and_repeated_frames_are_sorted_and_counted(self):
    text = 'frame,x,y,width,height\n2,5,5,9,9\n0,1,1,9,9\n0,1,1,9,9\n'
    table = self._read(text + '0,60,1,9,9\n,1,1,9,9\n1.5,1,1,9,9\n1,a,1,9,9\n')
    self.assertLen(self._faces(table, 0), 2)
    self.assertEmpty(self._faces(table, 1))
    self.assertLen(self._faces(table, 2), 1)
    said = ' '.join(table.problems)
    self.assertIn('3 rows without', said)
    self.assertIn('1 rows repeat', said)
    self.assertIn('not in order', said)

  @parameterized.parameters(
    ('x,y\n1,2\n', 'no column `frame`'),
    ('frame,AU01_r\n0,1\n', 'no boxes'),
    ('frame,"\n', 'no CSV table'),
  )
  def test_what_is_no_table_of_boxes_is_named(self, text, message):
    with self.assertRaisesRegex(ValueError, message):
      self._read(text)


if __name__ == '__main__':
  absltest.main()
