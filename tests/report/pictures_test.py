import dataclasses
import pathlib

import numpy as np
from absl.testing import absltest

from psm_jax.report import figures, pictures


def _pictures(num_frames=2, *, size=16, shift=0.1):
  image = np.zeros((num_frames, size, size, 3), np.uint8)
  return pictures.Pictures(
    input=image,
    made={'neutral': image, 'reconstruction': image},
    flow=np.full((num_frames, 4, 4, 2), shift, np.float32),
    frames=[('P01', 'v1', frame) for frame in range(num_frames)],
  )


class PicturesTest(absltest.TestCase):
  def test_a_row_for_each_kind_and_a_column_for_each_frame(self):
    drawn = pictures.draw('facecycle-P01-s0', _pictures(3))
    self.assertLen(drawn.figure.axes, 4 * 3)
    self.assertEqual(drawn.name, 'faces_facecycle-P01-s0')

  def test_a_method_without_flow_has_no_row_for_it(self):
    example = dataclasses.replace(_pictures(2), flow=None)
    drawn = pictures.draw('m', example)
    self.assertLen(drawn.figure.axes, 3 * 2)
    self.assertNotIn('Flow', drawn.caption)

  def test_every_row_that_a_model_makes_is_explained(self):
    image = _pictures(2).input
    for name in ('neutral', 'driven', 'reconstruction'):
      example = dataclasses.replace(_pictures(2), made={name: image})
      drawn = pictures.draw('m', example)
      self.assertIn(f'{name.capitalize()}: ', drawn.caption)

  def test_the_largest_shift_is_in_percent_of_the_side(self):
    drawn = pictures.draw('m', _pictures(1, shift=0.1))
    # (.1, .1) in units of half a side is sqrt(2) * 5 % of the side.
    self.assertEqual(drawn.figure.axes[3].get_xlabel(), 'up to 7.1%')

  def test_an_arrow_points_the_way_of_the_flow(self):
    example = _pictures(1, shift=0.0)
    example.flow[..., 0] = 0.25  # To the right.
    drawn = pictures.draw('m', example)
    (arrows,) = drawn.figure.axes[3].collections
    self.assertTrue((arrows.U > 0).all())
    self.assertTrue((arrows.V == 0).all())

  def test_a_face_that_does_not_move_is_drawn(self):
    with figures.style():
      drawn = pictures.draw('m', _pictures(1, shift=0.0))
    self.assertStartsWith(drawn.file('png'), b'\x89PNG')


class ReadTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(self.create_tempdir().full_path)

  def test_what_was_written_is_shown_in_its_order(self):
    (self.workdir / 'pictures').mkdir()
    image = np.zeros((2, 16, 16, 3), np.uint8)
    for name in ('b', 'a'):
      np.savez(
        self.workdir / f'pictures/{name}.npz',
        input=image,
        made_00_target=image + 1,
        made_01_neutral=image,
        frames=np.array([['NA', 'v1', '7'], ['NA', 'v1', '9']]),
      )
    read = pictures.read(self.workdir, max_models=5)
    self.assertEqual(list(read), ['a', 'b'])
    self.assertEqual(list(read['a'].made), ['target', 'neutral'])
    self.assertIsNone(read['a'].flow)
    self.assertEqual(read['a'].frames, [('NA', 'v1', 7), ('NA', 'v1', 9)])
    self.assertLen(pictures.read(self.workdir, max_models=1), 1)

  def test_what_is_missing_says_the_command(self):
    with self.assertRaisesRegex(ValueError, 'launch.embed .* --pictures=5'):
      pictures.read(self.workdir, max_models=5)

  def test_another_file_is_named(self):
    (self.workdir / 'pictures').mkdir()
    (self.workdir / 'pictures/a.npz').write_bytes(b'no archive')
    with self.assertRaisesRegex(ValueError, r'a\.npz is not a whole'):
      pictures.read(self.workdir, max_models=5)


if __name__ == '__main__':
  absltest.main()
