import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.discovery import maps
from psm_jax.evaluation import features


def table(person_id, *, num_frames=40, model_id='m'):
  """Returns features of a person who shows AU12 on every fourth frame."""
  generator = np.random.default_rng(len(person_id))
  frames = pd.DataFrame(
    {
      'person_id': person_id,
      'video_id': 'v1',
      'frame': np.arange(num_frames),
      'time_s': np.arange(num_frames) / 20,
      'AU12': np.where(np.arange(num_frames) % 4 == 0, 3.0, 0.0),
    }
  )
  data = generator.normal(size=(num_frames, 8))
  return features.FeatureTable(
    'gm', model_id, person_id, data.astype(np.float32), frames
  )


class ProjectTest(parameterized.TestCase):
  def test_a_plane_in_many_dimensions_keeps_its_distances(self):
    generator = np.random.default_rng(0)
    plane = generator.normal(size=(20, 2))
    basis, _ = np.linalg.qr(generator.normal(size=(9, 2)))
    places, explained = maps.project(plane @ basis.T, maps.PCA)
    self.assertAlmostEqual(explained, 1.0)

    def distances(points):
      return np.linalg.norm(points[:, None] - points[None], axis=-1)

    np.testing.assert_allclose(distances(places), distances(plane), atol=1e-9)

  @parameterized.parameters((5, 4), (1, 4), (2, 4), (6, 1))
  def test_what_has_no_two_dimensions_is_drawn_at_zero(self, rows, columns):
    places, explained = maps.project(np.ones((rows, columns)), maps.PCA)
    np.testing.assert_array_equal(places, np.zeros((rows, 2)))
    self.assertTrue(np.isnan(explained))

  def test_tsne_keeps_two_far_groups_apart(self):
    data = np.random.default_rng(0).normal(size=(40, 6))
    data[20:] += 100.0
    places, explained = maps.project(data, maps.TSNE)
    self.assertTrue(np.isnan(explained))
    centre = places[:20].mean(axis=0), places[20:].mean(axis=0)
    here = np.linalg.norm(places[:20] - centre[0], axis=1)
    other = np.linalg.norm(places[:20] - centre[1], axis=1)
    self.assertTrue((here < other).all())


class DrawTest(absltest.TestCase):
  def test_everybody_has_as_many_frames_evenly_in_time(self):
    drawn = maps.draw(
      [table('P2', num_frames=100), table('P1')], maps.PCA, max_frames=30
    )
    self.assertEqual(drawn.person_ids, ['P1', 'P2'])
    self.assertEqual(
      drawn.frames['person_id'].value_counts().to_dict(), {'P1': 15, 'P2': 15}
    )
    self.assertEqual(drawn.num_frames, 140)
    taken = drawn.frames.loc[drawn.frames['person_id'] == 'P2', 'frame']
    self.assertEqual((taken.min(), taken.max()), (0, 99))
    self.assertLessEqual(taken.diff().max(), 8)

  def test_labels_follow_their_frames(self):
    drawn = maps.draw([table('P1')], maps.PCA, max_frames=30)
    np.testing.assert_array_equal(
      drawn.active['AU12'] == 1, drawn.frames['frame'] % 4 == 0
    )


if __name__ == '__main__':
  absltest.main()
