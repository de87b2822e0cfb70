import fractions
import os
import pathlib
import struct
from unittest import mock

import av
import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data import frame_times, picture_files
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


def _warnings(counts):
  return counts.warnings(counts.time_s())


def _set_matrix(path, *numbers):
  """Writes a display matrix into the head of an MP4 file."""
  content = path.read_bytes()
  at = content.index(b'tkhd') + 4 + 40
  one = struct.pack('>9i', 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
  assert content[at : at + 36] == one
  a, b, c, d = (65536 * number for number in numbers)
  matrix = struct.pack('>9i', a, b, 0, c, d, 0, 0, 0, 1 << 30)
  path.write_bytes(content[:at] + matrix + content[at + 36 :])


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
      counts.time_s(), np.array(times) / 1000, atol=1e-9
    )
    self.assertEqual([frame.index for frame in frames], list(range(5)))
    self.assertEqual(counts.decoded, 5)
    self.assertEmpty(_warnings(counts))

  def test_frames_of_too_many_pixels_are_refused(self):
    path = films.write(self.folder / 'a.mp4', [_ramp(0)] * 2)
    with (
      mock.patch.object(picture_files, 'MAX_PIXELS', 64 * 48 - 1),
      self.assertRaisesRegex(ValueError, 'have 64 x 48 pixels; at most 3071'),
    ):
      _read(path)

  def test_a_picture_is_turned_as_the_file_says(self):
    path = films.write(self.folder / 'a.mp4', [_ramp(0)] * 3)
    # A telephone held upright: shown after a quarter turn clockwise.
    _set_matrix(path, 0, 1, -1, 0)
    frames, counts = _read(path)
    self.assertEqual(frames[0].size, (48, 64))
    self.assertEqual((counts.width, counts.height), (48, 64))
    pixels = frames[0].picture()
    self.assertEqual(pixels.shape, (64, 48, 3))
    # What was left and top is now right and top.
    self.assertGreater(pixels[4:12, -12:-4].mean(), 200)
    self.assertLess(pixels[4:12, 4:12].mean(), 60)
    self.assertEqual(frames[0].picture(longest_px=32).shape, (32, 24, 3))

  @parameterized.parameters(
    ((1, 0, 0, 1), 'abcd'),
    ((-1, 0, 0, 1), 'badc'),
    ((1, 0, 0, -1), 'cdab'),
    ((-1, 0, 0, -1), 'dcba'),
    ((0, 1, 1, 0), 'acbd'),
    ((0, 1, -1, 0), 'cadb'),
    ((0, -1, 1, 0), 'bdac'),
    ((0, -1, -1, 0), 'dbca'),
  )
  def test_mirrors_and_turns_are_those_of_the_matrix(self, matrix, corners):
    # Left top, right top, left bottom, right bottom: brighter and brighter.
    levels = {'a': 10, 'b': 90, 'c': 170, 'd': 250}
    pixels = np.zeros((48, 48, 3), np.uint8)
    pixels[:24, :24], pixels[:24, 24:] = levels['a'], levels['b']
    pixels[24:, :24], pixels[24:, 24:] = levels['c'], levels['d']
    path = films.write(self.folder / 'a.mp4', [pixels] * 2)
    _set_matrix(path, *matrix)
    shown = _read(path)[0][0].picture()[..., 0]
    quarters = [shown[y, x] for y in (12, 36) for x in (12, 36)]
    np.testing.assert_allclose(
      quarters, [levels[name] for name in corners], atol=12
    )

  def test_times_of_other_frames_are_put_in_order(self):
    # As AVI files store H.264 with B-frames.
    counts = video.Counts(start_s=0.0, rate=25.0)
    counts.times.extend(np.array([1, 3, 4, 2, 6, 5, 8, 7, 10, 9]) / 25)
    times = counts.time_s()
    np.testing.assert_allclose(times, np.arange(10) / 25)
    self.assertIn('do not increase; put in order', counts.warnings(times)[0])

  def test_single_times_out_of_line_move_no_other_frame(self):
    given = np.arange(40) / 25
    counts = video.Counts()
    counts.times.extend(np.where(np.arange(40) == 20, 900.0, given))
    np.testing.assert_allclose(counts.time_s(), given)

  def test_time_goes_on_where_it_jumps_back(self):
    counts = video.Counts()
    counts.times.extend([*np.arange(30) / 25, *np.arange(30) / 25])
    np.testing.assert_allclose(counts.time_s(), np.arange(60) / 25)

  def test_frames_without_times_go_by_the_rate_and_are_counted(self):
    counts = video.Counts(rate=10.0)
    counts.times.extend([np.nan] * 4)
    times = counts.time_s()
    np.testing.assert_allclose(times, [0, 0.1, 0.2, 0.3])
    counts.decoded = 4
    self.assertIn('4 of 4 frames have no time', counts.warnings(times)[0])
    some = video.Counts(rate=10.0)
    some.times.extend([np.nan, 1.0, 1.5, np.nan])
    np.testing.assert_allclose(some.time_s(), [0.9, 1.0, 1.5, 1.6])

  def test_a_frame_every_other_second_is_no_file_cut_short(self):
    path = films.write(
      self.folder / 'a.mp4',
      [_ramp(i) for i in range(6)],
      times_ms=range(0, 12000, 2000),
    )
    _, counts = _read(path)
    counts.promised_s = 12.0
    self.assertEmpty(_warnings(counts))
    counts.promised_s = 20.0
    self.assertIn('cut short', _warnings(counts)[0])

  def test_of_several_pictures_the_one_players_show_is_read(self):
    path = self.folder / 'a.mkv'
    with av.open(str(path), 'w') as container:
      streams = [container.add_stream('mpeg4', rate=25) for _ in range(2)]
      for stream in streams:
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
      streams[0].disposition = 0
      streams[1].disposition = av.stream.Disposition.default
      for level, stream in zip((50, 200), streams, strict=True):
        pixels = np.full((48, 64, 3), level, np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, format='rgb24')
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames, counts = _read(path)
    self.assertGreater(frames[0].picture().mean(), 150)
    self.assertIn('2 moving pictures', ' '.join(_warnings(counts)))

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
    self.assertRegex(' '.join(_warnings(counts)), '30 frames.*cut short')

  def test_half_a_second_that_is_missing_is_warned_about_unless_sound_may(self):
    made = films.write(self.folder / 'a.webm', [_ramp(0)] * 30, codec='libvpx')
    whole = made.read_bytes()
    made.write_bytes(whole[: len(whole) // 2])
    _, counts = _read(made)
    self.assertRegex(' '.join(_warnings(counts)), '1.20 s.*cut short')
    counts.has_sound, counts.promised_s = True, 0.9
    self.assertEmpty(_warnings(counts))

  def test_hidden_frames_of_an_edit_list_are_not_shown(self):
    path = films.SHARED / 'data' / 'video' / 'pyfeat_no_face.mp4'
    if not path.exists():
      self.skipTest(f'{path} is absent')
    frames, counts = _read(path)
    self.assertLen(frames, 95)
    self.assertEqual(counts.hidden, 3)
    self.assertEmpty(_warnings(counts))

  def test_a_damaged_frame_is_marked(self):
    path = films.SHARED / 'data' / 'video' / 'derived' / 'bad_truncated.mpg'
    if not path.exists():
      self.skipTest(f'{path} is absent')
    frames, counts = _read(path)
    self.assertEqual([f.index for f in frames if f.is_damaged], [37])
    self.assertIn('1 of 38 frames', _warnings(counts)[0])


class RateTest(parameterized.TestCase):
  @parameterized.parameters(
    ([0.0, 0.5, 1.0], 2.0),
    # Milliseconds: 33, 34, 33 stand for 30 frames a second.
    ([0.0, 0.033, 0.067, 0.1], 30.0),
    # A camera that drops every fourth frame.
    ([0.0, 0.04, 0.08, 0.16, 0.2, 0.24, 0.32], 18.75),
    # One long gap is no frame rate.
    ([0.0, 0.04, 0.08, 5.0, 5.04], 25.0),
    ([3.0], 25.0),
    ([1.0, 1.0], 25.0),
  )
  def test_frame_rate_leaves_out_pauses_alone(self, times, rate):
    self.assertAlmostEqual(frame_times.frame_rate(np.array(times)), rate)


if __name__ == '__main__':
  absltest.main()
