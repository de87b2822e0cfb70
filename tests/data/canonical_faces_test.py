import dataclasses

import numpy as np
from absl.testing import absltest

from psm_jax.data import canonical_faces
from tests import tiny


def _store():
  """Returns a store of two people whose three videos have 3, 5 and 300 frames.

  A frame of video v has bytes around 20 v, but for a few that are 255.
  """
  store = tiny.empty_store(B=(3, 5), A=(300,))
  video = np.repeat([1, 2, 3], [3, 5, 300])
  generator = np.random.default_rng(0)
  frames = 20 * video[:, None] + generator.integers(-3, 4, (308, 12))
  frames[[0, 6, 100, 200]] = 255
  return dataclasses.replace(store, frames=frames.astype(np.uint8)), video


class CanonicalFacesTest(absltest.TestCase):
  def test_a_face_is_what_most_frames_of_its_video_show(self):
    store, _ = _store()
    faces = canonical_faces.of_store(store).faces
    self.assertEqual((faces.shape, faces.dtype), ((3, 12), np.uint8))
    for face, value in zip(faces, (20, 40, 60), strict=True):
      np.testing.assert_allclose(face, value, atol=3)

  def test_rows_are_given_the_face_of_their_own_video(self):
    store, video = _store()
    canonical = canonical_faces.of_store(store)
    rows = np.array([[0, 2, 3], [7, 8, 307]])
    expected = canonical.faces[video[rows] - 1]
    np.testing.assert_array_equal(canonical.of_rows(rows), expected)

  def test_the_median_of_few_frames_is_exact(self):
    frames = np.array([[0, 9], [10, 1], [200, 5]], np.uint8)
    np.testing.assert_array_equal(canonical_faces.median(frames), [10, 5])
    np.testing.assert_array_equal(canonical_faces.median(frames[:1]), [0, 9])


if __name__ == '__main__':
  absltest.main()
