import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data import alignment
from psm_jax.data.ingest import crops, faces

# Eyes, nose and mouth of a head in its own units: x right, y down, z forward.
_HEAD = np.array(
  [
    [-0.5, 0, 0.1],
    [0.5, 0, 0.1],
    [0, 0.6, 0.55],
    [-0.4, 1.1, 0.1],
    [0.4, 1.1, 0.1],
  ]
)


def _head(yaw_deg=0.0, pitch_deg=0.0, *, scale=40.0, centre=(200.0, 150.0)):
  """[5, 2] the points of a turned head, seen from far away."""
  yaw, pitch = np.radians([yaw_deg, pitch_deg])
  turn = np.array(
    [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
  )
  nod = np.array(
    [
      [1, 0, 0],
      [0, np.cos(pitch), np.sin(pitch)],
      [0, -np.sin(pitch), np.cos(pitch)],
    ]
  )
  return (_HEAD @ (nod @ turn).T)[:, :2] * scale + centre


def _found(points):
  points = np.array(points)
  low, high = points.min(axis=1), points.max(axis=1)
  return faces.Faces(
    np.concatenate([low, high - low], axis=1), points, np.ones(len(points))
  )


def _align(points, fps=25.0):
  times = np.arange(len(points)) / fps
  return crops.align(times, _found(points), eye_distance=0.4)


def _side_px(aligned):
  return np.linalg.norm(aligned[:, :, 0], axis=1)


def _roll_deg(aligned):
  return np.degrees(np.arctan2(aligned[:, 1, 0], aligned[:, 0, 0]))


class AlignTest(parameterized.TestCase):
  def test_the_eyes_of_a_still_head_come_to_their_place(self):
    aligned = _align([_head()] * 5)
    np.testing.assert_allclose(_side_px(aligned), 40 / 0.4)
    for u, eye in ((0.3, [180, 150]), (0.7, [220, 150])):
      place = aligned[2] @ [u, alignment.EYE_HEIGHT, 1]
      np.testing.assert_allclose(place, eye, atol=1e-9)

  @parameterized.parameters(({'yaw_deg': 50.0},), ({'pitch_deg': 35.0},))
  def test_a_turned_head_is_not_zoomed(self, turned):
    away = [_head(**turned)] * 100
    points = [_head()] * 100 + away
    aligned = _align(points)
    eyes = np.linalg.norm(
      np.array(points)[:, 1, :2] - np.array(points)[:, 0], axis=1
    )
    if 'yaw_deg' in turned:
      # By the eyes alone the face would be half as large again.
      self.assertLess(eyes.min(), 0.65 * eyes.max())
    np.testing.assert_allclose(_side_px(aligned), 100.0, rtol=0.02)

  def test_a_moving_jaw_does_not_zoom(self):
    # A jaw that drops and closes four times a second, as in speech.
    points = np.array([_head()] * 150)
    jaw = 3 * (1 + np.sin(2 * np.pi * 4 * np.arange(150) / 25))
    points[:, 3:, 1] += jaw[:, None]
    aligned = _align(points)
    self.assertGreater(np.ptp(jaw), 0.1 * 40)
    self.assertLess(np.ptp(_side_px(aligned)) / 100, 0.02)

  def test_coming_closer_is_followed(self):
    scales = np.linspace(40, 80, 200)
    aligned = _align([_head(scale=s) for s in scales])
    middle = slice(30, -30)
    np.testing.assert_allclose(
      _side_px(aligned)[middle], scales[middle] / 0.4, rtol=0.03
    )

  def test_jitter_of_the_detector_is_smoothed(self):
    noise = np.random.default_rng(0).normal(0, 1.0, (200, 5, 2))
    aligned = _align(np.array([_head()] * 200) + noise)
    corner = aligned[:, :, 2]
    self.assertLess(np.diff(corner, axis=0).std(), 0.4)
    self.assertLess(_side_px(aligned).std() / 100, 0.02)

  def test_roll_is_taken_out(self):
    angle = np.radians(20)
    turn = np.array(
      [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    aligned = _align([_head(centre=(0, 0)) @ turn.T + 150] * 5)
    np.testing.assert_allclose(_roll_deg(aligned), 20, atol=1e-6)

  def test_a_gap_is_not_smoothed_over(self):
    points = [_head()] * 20 + [_head(centre=(300.0, 150.0))] * 20
    times = np.arange(40) / 25 + np.repeat([0, 3.0], 20)
    aligned = crops.align(times, _found(points), eye_distance=0.4)
    centre = aligned @ [0.5, 0.3, 1.0]
    np.testing.assert_allclose(centre[:19, 0], 200)
    np.testing.assert_allclose(centre[21:, 0], 300)

  def test_a_box_alone_gives_an_upright_crop(self):
    found = faces.Faces(
      np.array([[100.0, 50, 50, 70]] * 3),
      np.full((3, 5, 2), np.nan),
      np.ones(3),
    )
    aligned = crops.align(np.arange(3) / 25, found, eye_distance=0.4)
    np.testing.assert_allclose(_roll_deg(aligned), 0)
    np.testing.assert_allclose(aligned[0] @ [0.5, 0.3, 1], [125, 78])

  def test_one_frame_is_enough(self):
    np.testing.assert_allclose(_side_px(_align([_head()])), [100.0])


class CutTest(absltest.TestCase):
  def test_the_whole_picture_at_its_own_size_is_the_picture(self):
    picture = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    whole = np.array([[24.0, 0, 0], [0, 24, 0]])
    np.testing.assert_array_equal(
      crops.cut(picture, whole, size_px=24), picture
    )

  def test_shrinking_averages(self):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    whole = np.array([[64.0, 0, 0], [0, 64, 0]])
    shrunk = crops.cut(stripes, whole, size_px=8)
    np.testing.assert_allclose(shrunk, 100, atol=1)

  def test_outside_the_edge_repeats_and_is_told(self):
    picture = np.full((20, 20, 3), 50, np.uint8)
    beyond = np.array([[20.0, 0, 10], [0, 20, 0]])
    self.assertTrue((crops.cut(picture, beyond, size_px=16) == 50).all())
    self.assertFalse(crops.is_inside(beyond, (20, 20)))
    self.assertTrue(
      crops.is_inside(np.array([[20.0, 0, 0], [0, 20, 0]]), (20, 20))
    )

  def test_blur_and_brightness_order_pictures(self):
    sharp = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    flat = np.full((32, 32, 3), 77, np.uint8)
    self.assertGreater(crops.blur(sharp), crops.blur(flat))
    self.assertAlmostEqual(crops.brightness(flat), 77.0)


if __name__ == '__main__':
  absltest.main()
