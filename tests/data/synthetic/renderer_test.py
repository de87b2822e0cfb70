import dataclasses
import itertools

import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data import synthetic
from psm_jax.data.synthetic import geometry, scene

_SIZE = 64


def _still(person, *, pose=(0.0, 0.0, 0.0), blink=0.0, gaze=(0, 0), **units):
  """A performance of one frame with known movements."""
  intensity = np.zeros((1, 12), np.float32)
  for name, value in units.items():
    intensity[0, synthetic.ACTION_UNITS.index(name)] = value
  return dataclasses.replace(
    synthetic.sample_performance(person, 0, 0, 1, 25.0),
    intensity=intensity,
    blink=np.array([blink], np.float32),
    gaze=np.array([gaze], np.float32),
    pose=np.array([pose], np.float32),
    shift=np.zeros((1, 2), np.float32),
    light=np.array([[0.0, 30.0, 1.0]], np.float32),
  )


def _render(person, size_px=_SIZE, **movements):
  return synthetic.render(
    person, _still(person, **movements), 0, size_px=size_px
  ).astype(int)


def _row(y):
  """The picture's row at a height in face units."""
  return int((0.5 + (y - scene.CENTRE[1]) * scene.ZOOM) * _SIZE)


def _plain_person(index=0):
  """Somebody whose hair and glasses hide nothing."""
  return dataclasses.replace(
    synthetic.sample_person(0, index),
    hair_style='short',
    glasses=False,
    beard='none',
    asymmetry=(0.0,) * 12,
  )


class RenderTest(parameterized.TestCase):
  def test_the_same_arguments_give_the_same_bytes(self):
    person = synthetic.sample_person(0, 1)
    performance = synthetic.sample_performance(person, 0, 0, 20, 25.0)
    one = synthetic.render(person, performance, 13, size_px=_SIZE)
    synthetic.render(person, performance, 5, size_px=_SIZE)
    again = synthetic.render(person, performance, 13, size_px=_SIZE)
    np.testing.assert_array_equal(one, again)

  @parameterized.parameters(8, 32, 64, 96, 128, 200)
  def test_any_size_gives_a_picture_that_uses_the_range(self, size_px):
    person = synthetic.sample_person(0, 1)
    performance = synthetic.sample_performance(person, 0, 0, 1, 25.0)
    picture = synthetic.render(person, performance, 0, size_px=size_px)
    self.assertEqual(picture.shape, (size_px, size_px, 3))
    self.assertEqual(picture.dtype, np.uint8)
    self.assertGreater(picture.std(), 20)

  def test_sizes_show_the_same_face(self):
    person = _plain_person()
    large = _render(person, size_px=128)
    halved = large.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    small = _render(person, size_px=64)
    self.assertLess(np.abs(halved - small).mean(), 3)

  def test_every_person_can_be_drawn_at_any_pose(self):
    for index in range(16):
      person = synthetic.sample_person(2, index)
      for pose in ((25, 10, 8), (-25, -10, -8)):
        _render(person, pose=pose, blink=0.5, AU12=5, AU26=5, AU25=5)

  def test_people_differ_more_than_one_persons_frames(self):
    people = [synthetic.sample_person(0, index) for index in range(6)]
    faces = [_render(person) for person in people]
    between = min(
      np.abs(one - other).mean()
      for one, other in itertools.combinations(faces, 2)
    )
    within = max(
      np.abs(_render(person, AU12=5, AU06=5) - face).mean()
      for person, face in zip(people, faces, strict=True)
    )
    self.assertGreater(between, 2 * within)

  @parameterized.product(
    unit=(
      ('AU01', -0.75, 0.12),
      ('AU02', -0.75, 0.12),
      ('AU04', -0.75, 0.25),
      ('AU05', -0.45, 0.15),
      ('AU06', -0.30, 0.85),
      ('AU09', -0.45, 0.85),
      ('AU12', 0.10, 1.00),
      ('AU15', 0.45, 1.00),
      ('AU17', 0.45, 1.05),
      ('AU20', 0.35, 1.00),
      ('AU25', 0.50, 0.95),
      ('AU26', 0.30, 1.25),
    ),
    index=(0, 1, 2),
  )
  def test_an_action_unit_changes_its_region_and_little_else(self, unit, index):
    name, top, bottom = unit
    person = _plain_person(index)
    change = np.abs(_render(person, **{name: 5}) - _render(person)).sum(axis=2)
    self.assertGreater(change.max(), 30)
    inside = change[_row(top) : _row(bottom) + 1].sum()
    self.assertGreater(inside, 0.93 * change.sum())

  @parameterized.parameters(*synthetic.ACTION_UNITS)
  def test_a_stronger_action_unit_changes_more(self, name):
    person = _plain_person()
    rest = _render(person)
    changes = [
      np.abs(_render(person, **{name: value}) - rest).sum()
      for value in (1, 3, 5)
    ]
    self.assertLess(changes[0], changes[1])
    self.assertLess(changes[1], changes[2])

  def test_a_blink_covers_the_whites_of_the_eyes(self):
    person = _plain_person()
    eyes = slice(_row(-0.15), _row(0.12))
    opened = _render(person, blink=0.0)[eyes].min(axis=2)
    closed = _render(person, blink=1.0)[eyes].min(axis=2)
    self.assertGreater((opened > 200).sum(), (closed > 200).sum() + 5)

  def test_gaze_moves_the_pupils(self):
    person = _plain_person()
    columns = []
    for yaw in (-20, 20):
      eyes = _render(person, gaze=(yaw, 0))[_row(-0.06) : _row(0.06), 20:44]
      dark = np.clip(90 - eyes.sum(axis=2), 0, None).sum(axis=0)
      columns.append((dark * np.arange(len(dark))).sum() / dark.sum())
    self.assertGreater(columns[1], columns[0] + 0.5)

  def test_yaw_moves_the_nose_more_than_the_outline(self):
    curves = geometry.build_curves(_plain_person())
    turn = geometry.rotation(np.array([15.0, 0.0, 0.0]))

    def shift(name):
      points, _ = curves[name]
      turned = (points - geometry.PIVOT) @ turn.T + geometry.PIVOT
      return (turned - points)[:, 0].mean()

    self.assertGreater(shift('nostril_left'), shift('outline') + 0.08)

  def test_an_absent_frame_is_an_index_error(self):
    person = _plain_person()
    with self.assertRaises(IndexError):
      synthetic.render(person, _still(person), 1, size_px=_SIZE)


if __name__ == '__main__':
  absltest.main()
