import numpy as np
from absl.testing import absltest

from psm_jax.data.ingest import faces


def _faces(boxes, scores=None):
  count = len(boxes)
  return faces.Faces(
    np.array(boxes, float).reshape(count, 4),
    np.full((count, 5, 2), np.nan),
    np.array(scores if scores is not None else [0.9] * count, float),
  )


class FacesTest(absltest.TestCase):
  def test_overlap_agrees_with_counted_pixels(self):
    boxes = np.array([[0, 0, 4, 6], [2, 3, 5, 5], [10, 10, 2, 2]])
    painted = np.zeros((3, 20, 20), bool)
    for mask, (x, y, width, height) in zip(painted, boxes, strict=True):
      mask[y : y + height, x : x + width] = True
    both = (painted[:, None] & painted[None]).sum(axis=(2, 3))
    either = (painted[:, None] | painted[None]).sum(axis=(2, 3))
    np.testing.assert_allclose(
      faces.intersection_over_union(boxes[:, None], boxes), both / either
    )

  def test_of_one_face_found_twice_the_better_stays(self):
    found = _faces(
      [[0, 0, 100, 100], [20, 20, 50, 50], [90, 0, 60, 60]], [0.95, 0.99, 0.9]
    )
    np.testing.assert_array_equal(faces.without_doubles(found), [1, 2])

  def test_no_faces_stay_no_faces(self):
    self.assertEmpty(faces.without_doubles(faces.NO_FACES))

  def test_joined_faces_lie_one_behind_another(self):
    parts = [_faces([[0, 0, 4, 6]], [0.5]), _faces([[2, 3, 5, 5]] * 2)]
    joined = faces.joined(parts)
    np.testing.assert_array_equal(joined.scores, [0.5, 0.9, 0.9])
    np.testing.assert_array_equal(joined.boxes[1:], parts[1].boxes)
    self.assertIsNone(joined.details)

  def test_scaling_moves_boxes_and_points(self):
    found = faces.Faces(
      np.array([[1.0, 2, 3, 4]]), np.ones((1, 5, 2)), np.ones(1)
    ).scaled(np.array([2.0, 3.0]))
    np.testing.assert_array_equal(found.boxes, [[2, 6, 6, 12]])
    np.testing.assert_array_equal(found.points[0, 0], [2, 3])


if __name__ == '__main__':
  absltest.main()
