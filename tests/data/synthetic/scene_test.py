import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data import synthetic
from psm_jax.data.synthetic import geometry, scene

_SIZE = 64


def _make_scene(*, pose, **units):
  person = synthetic.sample_person(0, 1)
  weights = np.zeros(12)
  for name, value in units.items():
    weights[geometry.unit_index(name)] = value
  return scene.Scene(
    person=person,
    weights=weights,
    blink=0.0,
    gaze=np.zeros(2),
    turn=geometry.rotation(np.array(pose, float)),
    shift=np.array([0.02, -0.01]),
    canvas=np.zeros((4 * _SIZE, 4 * _SIZE, 3), np.uint8),
    size_px=_SIZE,
  )


class NeutralPositionsTest(parameterized.TestCase):
  @parameterized.parameters(
    {'pose': (0, 0, 0)},
    {'pose': (12, -6, 5)},
    {'pose': (0, 0, 0), 'AU12': 1.0, 'AU06': 1.0},
    {'pose': (-10, 5, -3), 'AU01': 1.0, 'AU02': 1.0, 'AU09': 0.5},
  )
  def test_skin_drawn_there_is_seen_at_the_pixel(self, **kwargs):
    made = _make_scene(**kwargs)
    where = made.neutral_positions().astype(float)
    x, y = where[..., 0], where[..., 1]
    moved = geometry.skin_displacement(made.person, x, y)
    moved = np.tensordot(made.weights, moved, axes=1)
    z = geometry.depth(made.person, x, y)
    points = np.concatenate([where + moved, z[..., None]], axis=-1)
    seen = (made.project(points) + 0.5) / 4 - 0.5
    grid = np.stack(np.meshgrid(np.arange(_SIZE), np.arange(_SIZE)), axis=-1)
    error_px = np.linalg.norm(seen - grid, axis=-1)
    face = (np.abs(x) < 0.5) & (y > -0.6) & (y < 0.8)
    self.assertGreater(face.sum(), 900)
    self.assertLess(np.median(error_px[face]), 0.1)
    self.assertLess(np.quantile(error_px[face], 0.95), 1.0)

  def test_without_movement_a_pixel_shows_its_own_place(self):
    made = _make_scene(pose=(0, 0, 0))
    middle = made.neutral_positions()[_SIZE // 2, _SIZE // 2]
    half_pixel = 0.5 / _SIZE / scene.ZOOM
    np.testing.assert_allclose(
      middle, scene.CENTRE - made.shift + half_pixel, atol=1e-5
    )


class DrawingTest(absltest.TestCase):
  def test_a_filled_square_covers_its_pixels(self):
    made = _make_scene(pose=(0, 0, 0))
    square = np.array([(10, 10), (19, 10), (19, 19), (10, 19)], float)
    made.fill(square, (1.0, 2.0, 3.0))
    self.assertEqual((made.canvas[..., 1] == 2).sum(), 100)

  def test_a_window_is_pasted_inside_its_curve_only(self):
    made = _make_scene(pose=(0, 0, 0))
    square = np.array([(10, 10), (19, 10), (19, 19), (10, 19)], float)
    corner, picture = made.window(square)
    picture[:] = 9
    made.paste(picture, square, corner)
    self.assertEqual((made.canvas == 9).all(axis=2).sum(), 100)

  def test_a_window_outside_the_canvas_is_empty(self):
    made = _make_scene(pose=(0, 0, 0))
    square = np.array([(900, 900), (950, 900), (950, 950)], float)
    self.assertEqual(made.window(square)[1].size, 0)


if __name__ == '__main__':
  absltest.main()
