import cv2
import numpy as np
from absl.testing import absltest

from psm_jax.data.ingest import sheets


class SheetsTest(absltest.TestCase):
  def test_the_first_and_last_frame_are_shown(self):
    frames = np.arange(100, 400, 3)
    chosen = sheets.chosen_frames(frames)
    self.assertLen(chosen, sheets.COLUMNS)
    self.assertEqual((chosen[0], chosen[-1]), (frames[0], frames[-1]))
    self.assertEqual(sheets.chosen_frames(np.array([7, 9])).tolist(), [7, 9])

  def test_each_track_has_its_row_and_colour(self):
    rows = [
      (f'track {i}', {f: np.full((32, 32, 3), 40 + 60 * i) for f in (3, 9)})
      for i in range(3)
    ]
    rows = [(t, {f: c.astype(np.uint8) for f, c in p.items()}) for t, p in rows]
    (sheet,) = sheets.draw(rows)
    pixels = cv2.imdecode(np.frombuffer(sheet, np.uint8), cv2.IMREAD_GRAYSCALE)
    height = len(pixels) // 3
    for i in range(3):
      self.assertAlmostEqual(
        pixels[i * height + 70, 20:180:90].mean(), 40 + 60 * i, delta=3
      )

  def test_many_tracks_become_several_sheets(self):
    page = {0: np.zeros((8, 8, 3), np.uint8)}
    self.assertLen(sheets.draw([('t', page)] * 95), 3)
    self.assertEmpty(sheets.draw([]))


if __name__ == '__main__':
  absltest.main()
