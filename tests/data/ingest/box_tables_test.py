import pathlib

import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data.ingest import box_tables, video
from psm_jax.data.labels import joining


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
  def _place(self, text, *, count=3, size=(100, 110)):
    path = pathlib.Path(self.create_tempfile(content=text).full_path)
    counts = video.Counts(width=size[0], height=size[1], stored=size)
    return box_tables.place(
      box_tables.read(path, first_row=None),
      np.arange(count) / 25,
      counts,
      joining.Settings(),
    )

  def test_openface_counts_frames_from_one(self):
    # Older versions write no face_id and put spaces into the header.
    text = f'frame, timestamp, confidence, success, {_HEADER}\n'
    text += f'1, 0, 0.98, 1, {_landmark_cells(_landmarks())}\n'
    text += f'2, 0.04, 0.2, 0, {_landmark_cells(_landmarks())}\n'
    text += f'3, 0.08, 0.97, 1, {_landmark_cells(_landmarks(5))}\n'
    frames, faces, problems = self._place(text)
    self.assertEqual(frames.tolist(), [0, 2])
    np.testing.assert_allclose(faces.scores, [0.98, 0.97])
    np.testing.assert_allclose(
      faces.points[0], [[30, 40], [70, 40], [50, 62], [38, 80], [62, 80]]
    )
    np.testing.assert_allclose(faces.points[1, 0], [35, 45])
    self.assertIn('1 rows without a face', ' '.join(problems))

  def test_the_box_around_landmarks_reaches_the_forehead(self):
    text = f'frame, {_HEADER}\n0, {_landmark_cells(_landmarks())}\n'
    _, faces, _ = self._place(text)
    np.testing.assert_allclose(faces.boxes, [[10, 28, 80, 72]])

  def test_pyfeat_counts_frames_from_zero(self):
    text = 'frame,FaceRectX,FaceRectY,FaceRectWidth,FaceRectHeight,FaceScore\n'
    text += '0,10,20,30,40,0.9\n1,11,20,30,40,0.8\n'
    frames, faces, _ = self._place(text)
    self.assertEqual(frames.tolist(), [0, 1])
    np.testing.assert_array_equal(faces.boxes[0], [10, 20, 30, 40])
    self.assertTrue(np.isnan(faces.points).all())

  def test_unsorted_and_repeated_frames_are_sorted_and_counted(self):
    text = 'frame,x,y,width,height\n2,5,5,9,9\n0,1,1,9,9\n0,1,1,9,9\n'
    text += '0,60,1,9,9\n,1,1,9,9\n1.5,1,1,9,9\n1,a,1,9,9\n'
    frames, _, problems = self._place(text)
    self.assertEqual(frames.tolist(), [0, 0, 2])
    said = ' '.join(problems)
    self.assertIn('2 rows have no frame number', said)
    self.assertIn('1 rows without', said)
    self.assertIn('1 rows repeat', said)
    self.assertIn('not in order', said)

  def test_boxes_beside_the_picture_are_remarked(self):
    text = 'frame,x,y,width,height\n0,300,5,9,9\n'
    _, _, problems = self._place(text)
    self.assertIn('1 boxes lie outside the picture as shown', problems[0])

  @parameterized.parameters(
    ('x,y\n1,2\n', 'neither frame numbers'),
    ('frame,AU01_r\n0,1\n', 'no boxes'),
    ('frame,x,y,width,height\n', 'a head but no rows'),
    ('PK\3\4', 'Excel workbook'),
  )
  def test_what_is_no_table_of_boxes_is_named(self, text, message):
    with self.assertRaisesRegex(ValueError, message):
      self._place(text)


if __name__ == '__main__':
  absltest.main()
