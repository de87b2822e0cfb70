import io
import json

import matplotlib.image
import numpy as np
from absl.testing import absltest

from psm_jax.discovery import maps
from psm_jax.report import figures, map_views
from tests.discovery import maps_test


def _view(*tables):
  """Returns the data of the only view, and the picture."""
  with figures.style():
    (view,) = map_views.views(maps.of_tables('gm', tables))
  return json.loads(view.data), view.drawn


class MapViewsTest(absltest.TestCase):
  def test_every_frame_has_a_place_in_every_panel_and_a_text(self):
    view, drawn = _view(maps_test.table('P1'), maps_test.table('P2'))
    self.assertLen(view['places'], 2)
    for places in view['places']:
      self.assertEqual(np.shape(places), (80, 2))
      self.assertTrue(((np.array(places) > 0) & (np.array(places) < 1)).all())
    self.assertLen(view['texts'], 80)
    self.assertEqual(view['texts'][0], 'P1, v1, 0.00 s: AU12 lip corner puller')
    self.assertIn('no active action unit', view['texts'][1])
    self.assertEqual(drawn.name, 'map_gm_m')

  def test_a_place_is_where_the_dot_is(self):
    view, drawn = _view(maps_test.table('P1'), maps_test.table('P2'))
    picture = matplotlib.image.imread(io.BytesIO(drawn.file('png')))
    height, width = picture.shape[:2]
    for right, down in view['places'][0] + view['places'][1]:
      pixel = picture[int(down * height), int(right * width), :3]
      self.assertLess(pixel.min(), 0.95)

  def test_models_of_one_person_get_a_map_each(self):
    view, drawn = _view(*(maps_test.table(f'P{m}', model_id=m) for m in '12'))
    self.assertLen(view['places'], 1)
    self.assertLen(view['texts'], 80)
    self.assertEqual(drawn.name, 'maps_gm')

  def test_frames_without_labels_are_drawn(self):
    table = maps_test.table('P1')
    del table.frames['AU12']
    view, _ = _view(table)
    self.assertNotIn(':', view['texts'][0])


if __name__ == '__main__':
  absltest.main()
