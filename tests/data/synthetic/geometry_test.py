import dataclasses

import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data import synthetic
from psm_jax.data.synthetic import geometry

_PERSON = dataclasses.replace(
  synthetic.sample_person(0, 0), asymmetry=(0.0,) * 12
)


def _basis(curve, name):
  """[P, 3] movement of a curve's points under one action unit."""
  _, basis = geometry.build_curves(_PERSON)[curve]
  return basis[geometry.unit_index(name)]


def _moved(curve, name, axis):
  """Mean movement of a curve's points along an axis under one action unit."""
  return _basis(curve, name)[:, axis].mean()


class RotationTest(parameterized.TestCase):
  def test_no_pose_is_no_rotation(self):
    np.testing.assert_array_equal(geometry.rotation(np.zeros(3)), np.eye(3))

  @parameterized.parameters(
    # The nose points at the camera, the right of the picture is +x, down +y.
    ((30, 0, 0), (0, 0, 1), (0.5, 0, 0.75**0.5)),
    ((0, 30, 0), (0, 0, 1), (0, 0.5, 0.75**0.5)),
    ((0, 0, 30), (1, 0, 0), (0.75**0.5, 0.5, 0)),
  )
  def test_signs_are_those_of_the_labels(self, pose, point, expected):
    turned = geometry.rotation(np.array(pose)) @ np.array(point)
    np.testing.assert_allclose(turned, expected, atol=1e-12)

  def test_is_orthogonal(self):
    turn = geometry.rotation(np.array([12.0, -7.0, 4.0]))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)


class ActionUnitTest(parameterized.TestCase):
  @parameterized.parameters(
    ('AU01', 'brow_left', -1),
    ('AU02', 'brow_left', -1),
    ('AU04', 'brow_left', 1),
    ('AU09', 'wing_left', -1),
    ('AU17', 'lip_lower_outer', -1),
    ('AU25', 'lip_upper_inner', -1),
    ('AU25', 'lip_lower_inner', 1),
    ('AU26', 'lip_lower_inner', 1),
    ('AU26', 'outline', 1),
  )
  def test_moves_its_part_up_or_down(self, name, curve, sign):
    self.assertGreater(sign * _moved(curve, name, 1), 0.005)

  @parameterized.parameters(('AU12', -1), ('AU15', 1))
  def test_smile_and_frown_move_the_corners_apart_from_the_middle(
    self, name, sign
  ):
    line = _basis('lip_upper_inner', name)[:, 1]
    self.assertGreater(sign * (line[0] - line[len(line) // 2]), 0.05)

  def test_stretching_widens_the_mouth(self):
    across = _basis('lip_lower_outer', 'AU20')[:, 0]
    self.assertGreater(across[-1] - across[0], 0.1)

  def test_inner_brow_rises_more_than_outer_in_au01_and_less_in_au02(self):
    base, _ = geometry.build_curves(_PERSON)['brow_right']
    inner, outer = np.argmin(base[:, 0]), np.argmax(base[:, 0])
    one, two = (-_basis('brow_right', name)[:, 1] for name in ('AU01', 'AU02'))
    self.assertGreater(one[inner], one[outer])
    self.assertGreater(two[outer], two[inner])

  @parameterized.parameters('AU12', 'AU06', 'AU09', 'AU15', 'AU20')
  def test_only_au25_and_au26_part_the_lips(self, name):
    curves = geometry.build_curves(_PERSON)
    lower, upper = (
      curves[curve][0] + _basis(curve, name)
      for curve in ('lip_lower_inner', 'lip_upper_inner')
    )
    gap = lower[:, 1] - upper[:, 1]
    self.assertLess(gap.max(), 0.01)

  def test_a_symmetric_person_moves_symmetrically(self):
    axis = np.linspace(-0.6, 0.6, 7)
    x, y = np.meshgrid(axis, axis)
    moved = geometry.skin_displacement(_PERSON, x, y)
    mirrored = moved[:, :, ::-1] * np.array([-1.0, 1.0])
    np.testing.assert_allclose(moved, mirrored, atol=1e-12)

  def test_asymmetry_strengthens_one_half(self):
    person = dataclasses.replace(_PERSON, asymmetry=(0.2,) * 12)
    self.assertGreater(geometry.side_gain(person, 'AU12', 1.0), 1)
    self.assertLess(geometry.side_gain(person, 'AU12', -1.0), 1)


class DepthTest(absltest.TestCase):
  def test_the_tip_of_the_nose_stands_out_most(self):
    axis = np.linspace(-1, 1, 201)
    x, y = np.meshgrid(axis, axis)
    z = geometry.depth(_PERSON, x, y)
    row, column = np.unravel_index(z.argmax(), z.shape)
    self.assertAlmostEqual(axis[column], 0, delta=0.011)
    self.assertAlmostEqual(axis[row], geometry.nose_tip_y(_PERSON), delta=0.06)


if __name__ == '__main__':
  absltest.main()
