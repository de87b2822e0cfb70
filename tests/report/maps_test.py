import html
import io
import json
import pathlib
import re

import matplotlib.image
import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.evaluation import features
from psm_jax.report import comparison_page, document, figures, map_views, maps
from tests.report import checker, fake_comparison


def _table(person_id, *, num_frames=40, model_id='m', scale=1.0):
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
  data = scale * generator.normal(size=(num_frames, 8))
  return features.FeatureTable(
    'gm', model_id, person_id, data.astype(np.float32), frames
  )


def _maps(*tables):
  by_model = {}
  for table in tables:
    by_model.setdefault(table.model_id, []).append(table)
  drawn = [maps.draw(t, maps.PCA, max_frames=30) for t in by_model.values()]
  shared = tuple(m for m in drawn if len(m.person_ids) > 1)
  own = tuple(m for m in drawn if len(m.person_ids) == 1)
  return maps.Maps('gm', maps.PCA, shared, own, len(own))


def _views(drawn):
  """Returns the data of each view and the pictures."""
  images = {}
  with figures.style():
    found = map_views.views(drawn, document.embedder(images))
  contents = [re.search('data-map="([^"]*)"', view).group(1) for view in found]
  return [json.loads(html.unescape(c)) for c in contents], images


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
    own = np.linalg.norm(places[:20] - centre[0], axis=1)
    other = np.linalg.norm(places[:20] - centre[1], axis=1)
    self.assertTrue((own < other).all())


class DrawTest(absltest.TestCase):
  def test_everybody_has_as_many_frames_evenly_in_time(self):
    drawn = maps.draw(
      [_table('P2', num_frames=100), _table('P1')], maps.PCA, max_frames=30
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
    drawn = maps.draw([_table('P1')], maps.PCA, max_frames=30)
    np.testing.assert_array_equal(
      drawn.active['AU12'] == 1, drawn.frames['frame'] % 4 == 0
    )


class ViewsTest(absltest.TestCase):
  def test_every_frame_has_a_place_in_every_panel_and_a_text(self):
    (view,), images = _views(_maps(_table('P1'), _table('P2')))
    self.assertLen(view['places'], 2)
    for places in view['places']:
      self.assertEqual(np.shape(places), (30, 2))
      self.assertTrue(((np.array(places) > 0) & (np.array(places) < 1)).all())
    self.assertLen(view['texts'], 30)
    self.assertEqual(view['texts'][0], 'P1, v1, 0.00 s: AU12')
    self.assertIn('no active action unit', view['texts'][1])
    self.assertEqual(list(images), ['map_gm_m'])

  def test_a_place_is_where_the_dot_is(self):
    (view,), images = _views(_maps(_table('P1'), _table('P2')))
    picture = matplotlib.image.imread(io.BytesIO(images['map_gm_m'].png))
    height, width = picture.shape[:2]
    for right, down in view['places'][0] + view['places'][1]:
      pixel = picture[int(down * height), int(right * width), :3]
      self.assertLess(pixel.min(), 0.95)

  def test_models_of_one_person_get_a_map_each(self):
    (view,), images = _views(
      _maps(_table('P1', model_id='a'), _table('P2', model_id='b'))
    )
    self.assertLen(view['places'], 1)
    self.assertLen(view['texts'], 60)
    self.assertEqual(list(images), ['maps_gm'])

  def test_frames_without_labels_are_drawn(self):
    table = _table('P1')
    del table.frames['AU12']
    (view,), _ = _views(_maps(table))
    self.assertNotIn(':', view['texts'][0])


class PageTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.create_tempdir().full_path
    self.folder = fake_comparison.fill(folder)
    for name in ('scores.csv', 'summary.csv'):
      (pathlib.Path(folder) / name).unlink()

  def test_only_the_script_whose_hash_the_policy_names_may_run(self):
    path = comparison_page.write(
      self.folder, drawn=[_maps(_table('P1'), _table('P2'))]
    )
    parsed = checker.parse(path)
    self.assertLen(parsed.of('script'), 1)
    (policy,) = (m['content'] for m in parsed.of('meta') if 'http-equiv' in m)
    self.assertRegex(policy, r"script-src 'sha256-[\w+/]{43}='$")
    self.assertIn('two numbers for each', checker.text(path))
    self.assertIn('alt="Map of the embeddings of gm.', path.read_text('utf-8'))

  def test_a_map_of_no_approach_is_refused(self):
    drawn = maps.Maps('other', maps.PCA, (), (), 0)
    with self.assertRaisesRegex(ValueError, 'map of other, which is no app'):
      comparison_page.write(self.folder, drawn=[drawn])


if __name__ == '__main__':
  absltest.main()
