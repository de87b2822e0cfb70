import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data import alignment
from psm_jax.data.ingest import landmark_alignment
from tests.data.ingest import landmarker_test


def _face(yaw=0.0, pitch=0.0, roll=0.0, *, scale=40.0, centre=(200.0, 150.0)):
  """[478, 2] a head turned in space, each part of it in one place."""
  # Right, up, to the camera.
  turn = landmarker_test.rotation(yaw, pitch, roll) * scale
  parts = (landmark_alignment._HEAD * [1, -1, -1]) @ turn.T
  points = np.full((478, 2), 1e4)
  for group, part in zip(landmark_alignment._GROUPS, parts, strict=True):
    points[list(group)] = part[:2] * [1, -1] + centre
  return points


def _align(poses, **options):
  points = np.array([_face(*pose, **options) for pose in poses])
  return landmark_alignment.align(
    np.arange(len(poses)) / 25, points, np.array(poses), eye_distance=0.4
  )


def _sides(aligned):
  return np.linalg.norm(aligned[:, :, 0], axis=1)


class AlignTest(parameterized.TestCase):
  def test_the_eyes_of_a_still_head_come_to_their_place(self):
    aligned = _align([(0.0, 0.0, 0.0)] * 5)
    np.testing.assert_allclose(_sides(aligned), 40 / 0.4)
    for u, eye in ((0.3, [180, 150]), (0.7, [220, 150])):
      place = aligned[2] @ [u, alignment.EYE_HEIGHT, 1]
      np.testing.assert_allclose(place, eye, atol=1e-9)

  @parameterized.parameters(
    (50.0, 0.0), (-70.0, 0.0), (0.0, 35.0), (30.0, -20.0)
  )
  def test_a_turned_head_is_neither_zoomed_nor_moved(self, yaw, pitch):
    # Longer than the median that would leave a short turn out anyway.
    aligned = _align([(0.0, 0.0, 0.0)] * 100 + [(yaw, pitch, 0.0)] * 100)
    np.testing.assert_allclose(_sides(aligned), 100, rtol=1e-6)
    np.testing.assert_allclose(aligned[-1], aligned[0], atol=1e-6)

  def test_a_rolled_head_is_upright(self):
    aligned = _align([(20.0, 10.0, 25.0)] * 4)
    right, down = aligned[:, :, 0].T
    np.testing.assert_allclose(np.degrees(np.arctan2(down, right)), 25)

  def test_a_frame_without_landmarks_lies_between_its_neighbours(self):
    points = np.array([_face(centre=(100.0 + 2 * i, 90.0)) for i in range(9)])
    poses = np.zeros((9, 3))
    points[4], poses[4] = np.nan, np.nan
    aligned = landmark_alignment.align(
      np.arange(9) / 25, points, poses, eye_distance=0.4
    )
    centre = aligned[:, 0] @ [0.5, 0, 1]
    np.testing.assert_allclose(centre[4], 108, atol=1e-6)

  def test_a_track_without_landmarks_is_refused(self):
    with self.assertRaisesRegex(ValueError, 'landmarks'):
      landmark_alignment.align(
        np.arange(2.0),
        np.full((2, 478, 2), np.nan),
        np.full((2, 3), np.nan),
        eye_distance=0.4,
      )


if __name__ == '__main__':
  absltest.main()
