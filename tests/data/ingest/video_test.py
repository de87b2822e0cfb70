import fractions
import os
import pathlib
import struct

import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data.ingest import video
from tests.data.ingest import films


def _ramp(index, size=(64, 48)):
  """A picture whose left top corner is bright and whose ground tells it."""
  pixels = np.full((size[1], size[0], 3), 20 + index, np.uint8)
  pixels[:16, :16] = 240
  return pixels


def _read(path):
  counts = video.Counts()
  return list(video.read(path, counts)), counts


class ReadTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  @parameterized.parameters('a.mp4', 'a.mkv')
  def test_times_are_those_of_a_variable_rate_file(self, name):
    times = [0, 40, 55, 200, 1000]
    path = films.write(
      self.folder / name, [_ramp(i) for i in range(5)], times_ms=times
    )
    frames, counts = _read(path)
    np.testing.assert_allclose(
      [frame.time_s for frame in frames], np.array(times) / 1000, atol=1e-9
    )
    self.assertEqual([frame.index for frame in frames], list(range(5)))
    self.assertEqual(counts.decoded, 5)
    self.assertEmpty(counts.warnings())

  def test_a_picture_is_turned_as_the_file_says(self):
    path = films.write(self.folder / 'a.mp4', [_ramp(0)] * 3)
    content = path.read_bytes()
    at = content.index(b'tkhd') + 4 + 40
    one = struct.pack('>9i', 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    self.assertEqual(content[at : at + 36], one)
    # A telephone held upright: shown after a quarter turn clockwise.
    turned = struct.pack('>9i', 0, 65536, 0, -65536, 0, 0, 48 << 16, 0, 1 << 30)
    path.write_bytes(content[:at] + turned + content[at + 36 :])
    frames, counts = _read(path)
    self.assertEqual(frames[0].size, (48, 64))
    self.assertEqual((counts.width, counts.height), (48, 64))
    pixels = frames[0].picture()
    self.assertEqual(pixels.shape, (64, 48, 3))
    # What was left and top is now right and top.
    self.assertGreater(pixels[4:12, -12:-4].mean(), 200)
    self.assertLess(pixels[4:12, 4:12].mean(), 60)
    self.assertEqual(frames[0].picture(longest_px=32).shape, (32, 24, 3))

  def test_pixels_are_made_square(self):
    path = films.write(
      self.folder / 'a.mkv', [_ramp(0)] * 2, aspect=fractions.Fraction(4, 3)
    )
    frames, _ = _read(path)
    self.assertEqual(frames[0].size, (85, 48))
    self.assertEqual(frames[0].picture().shape, (48, 85, 3))

  def test_colours_are_red_green_blue(self):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[..., 0] = 200
    frames, _ = _read(films.write(self.folder / 'a.mp4', [pixels]))
    red, green, blue = frames[0].picture().mean(axis=(0, 1))
    self.assertGreater(red, 150)
    self.assertLess(max(green, blue), 60)

  def test_any_file_name_is_just_a_name(self):
    made = films.write(self.folder / 'a.mp4', [_ramp(0)] * 2)
    for name in (b'-i.mp4', b'http:host.mp4', 'ünï.mp4'.encode(), b'\xff.mp4'):
      path = pathlib.Path(os.fsdecode(os.fsencode(self.folder) + b'/' + name))
      path.write_bytes(made.read_bytes())
      self.assertLen(_read(path)[0], 2)

  def test_what_is_no_video_is_named(self):
    made = films.write(self.folder / 'a.mp4', [_ramp(0)] * 20)
    (self.folder / 'empty.mp4').write_bytes(b'')
    (self.folder / 'text.mp4').write_text('no video')
    (self.folder / 'half.mp4').write_bytes(made.read_bytes()[:700])
    films.write_sound(self.folder / 'sound.mp4')
    for name, message in (
      ('empty', 'empty'),
      ('text', 'not a video'),
      ('half', 'cut short'),
      ('sound', 'only sound'),
    ):
      with self.assertRaisesRegex(ValueError, message):
        _read(self.folder / f'{name}.mp4')

  def test_a_file_cut_short_is_read_as_far_as_it_goes_and_warned_about(self):
    pictures = [films.picture((0, i % 8, 10, 10)) for i in range(30)]
    made = films.write(self.folder / 'a.avi', pictures, codec='mjpeg')
    whole = made.read_bytes()
    made.write_bytes(whole[: len(whole) // 2])
    frames, counts = _read(made)
    self.assertBetween(len(frames), 5, 25)
    self.assertRegex(' '.join(counts.warnings()), '30 frames.*cut short')

  def test_hidden_frames_of_an_edit_list_are_not_shown(self):
    path = films.SHARED / 'data' / 'video' / 'pyfeat_no_face.mp4'
    if not path.exists():
      self.skipTest(f'{path} is absent')
    frames, counts = _read(path)
    self.assertLen(frames, 95)
    self.assertEqual(counts.hidden, 3)
    self.assertEmpty(counts.warnings())

  def test_a_damaged_frame_is_marked(self):
    path = films.SHARED / 'data' / 'video' / 'derived' / 'bad_truncated.mpg'
    if not path.exists():
      self.skipTest(f'{path} is absent')
    frames, counts = _read(path)
    self.assertEqual([f.index for f in frames if f.is_damaged], [37])
    self.assertIn('1 of 38 frames', counts.warnings()[0])


class RateTest(parameterized.TestCase):
  @parameterized.parameters(
    ([0.0, 0.5, 1.0], 2.0),
    # Milliseconds: 33, 34, 33 stand for 30 frames a second.
    ([0.0, 0.033, 0.067, 0.1], 30.0),
    # One long gap is no frame rate.
    ([0.0, 0.04, 0.08, 5.0, 5.04], 25.0),
    ([3.0], 25.0),
    ([1.0, 1.0], 25.0),
  )
  def test_frame_rate_is_that_of_the_usual_step(self, times, rate):
    self.assertAlmostEqual(video.frame_rate(np.array(times)), rate)


class CutTest(absltest.TestCase):
  def _cuts(self, pictures):
    path = pathlib.Path(self.create_tempdir().full_path) / 'a.mp4'
    finder = video.CutFinder()
    return [
      frame.index
      for frame in video.read(films.write(path, pictures), video.Counts())
      if finder.is_cut(frame)
    ]

  def test_a_cut_to_another_scene_is_found(self):
    one = [films.picture((0, i, 20 + i, 10)) for i in range(12)]
    other = [films.picture((3, i, 40, 20), ground=160) for i in range(12)]
    self.assertEqual(self._cuts(one + other + one), [12, 24])

  def test_movement_is_no_cut(self):
    moved = [films.picture((1, i, 4 * i, i)) for i in range(16)]
    self.assertEmpty(self._cuts(moved))


if __name__ == '__main__':
  absltest.main()
