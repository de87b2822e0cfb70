import io

import av
import numpy as np
import pandas as pd
from absl.testing import absltest

from psm_jax import film
from psm_jax.data import movies


def _shown(num=5):
  generator = np.random.default_rng(0)
  images = generator.integers(0, 256, (num, 32, 32, 3), dtype=np.uint8)
  flow = generator.normal(size=(num, 8, 8, 2)).astype(np.float32)
  return {'input': images, 'reconstruction': images, 'flow': flow}


class FilmTest(absltest.TestCase):
  def test_panels_stand_side_by_side_and_the_line_moves(self):
    labels = pd.DataFrame({'AU12': [0, 1, 2, 3, 4.0], 'mood': list('aabbb')})
    pictures = list(film.pictures(_shown(), labels=labels))
    self.assertLen(pictures, 5)
    height, width = pictures[0].shape[:2]
    self.assertEqual((width % 3, height % 2, width % 2), (0, 0, 0))
    red = [
      np.flatnonzero((picture[-9] == [200, 30, 30]).all(axis=-1)).min()
      for picture in pictures
    ]
    self.assertEqual(red, sorted(set(red)))

  def test_labels_of_other_frames_are_refused(self):
    labels = pd.DataFrame({'AU12': [0, 1]})
    with self.assertRaisesRegex(ValueError, '2 rows of labels for 5 frames'):
      next(film.pictures(_shown(), labels=labels))

  def test_what_is_no_label_is_left_out(self):
    index = pd.DataFrame(
      {'person_id': ['a'], 'frame': [1], 'blur': [3.0], 'AU12': [2.0]}
    )
    self.assertEqual(list(film.labels_of(index)), ['AU12'])
    self.assertIsNone(film.labels_of(index.drop(columns='AU12')))


class MoviesTest(absltest.TestCase):
  def test_a_film_has_its_pictures_and_rate(self):
    pictures = [np.full((48, 64, 3), 40 * i, np.uint8) for i in range(6)]
    data = movies.encode(pictures, fps=12.5)
    with av.open(io.BytesIO(data)) as container:
      stream = container.streams.video[0]
      self.assertEqual((stream.codec_context.name, stream.width), ('h264', 64))
      self.assertEqual(float(stream.average_rate), 12.5)
      means = [f.to_ndarray(format='rgb24').mean() for f in container.decode()]
    np.testing.assert_allclose(means, [40 * i for i in range(6)], atol=3)

  def test_odd_sides_are_refused(self):
    with self.assertRaisesRegex(ValueError, '5 x 4 needs even sides'):
      movies.encode([np.zeros((4, 5, 3), np.uint8)], fps=25)

  def test_no_movement_is_white_and_directions_differ(self):
    flow = np.array([[0, 0], [1, 0], [0, 1], [-1, 0]], np.float32)
    colours = movies.flow_colours(flow[None, None], most=1.0)[0, 0]
    self.assertEqual(colours[0].tolist(), [255, 255, 255])
    self.assertLen({tuple(c) for c in colours.tolist()}, 4)


if __name__ == '__main__':
  absltest.main()
