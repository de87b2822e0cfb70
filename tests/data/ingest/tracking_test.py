import numpy as np
from absl.testing import absltest

from psm_jax.data.ingest import faces, tracking


def _at(*lefts):
  """Faces of 20x20 px at some places of a row."""
  boxes = [[left, 0, 20, 20] for left in lefts]
  points = [np.full((5, 2), float(left)) for left in lefts]
  return faces.Faces(
    np.array(boxes, float).reshape(-1, 4),
    np.array(points).reshape(-1, 5, 2),
    np.full(len(lefts), 0.9),
  )


def _follow(moments, *, gap_s=1.0, cuts=(), step_s=0.1):
  """(frames, left edges) of each track; a moment holds left edges."""
  frames = np.repeat(np.arange(len(moments)), [len(m) for m in moments])
  boxes = np.array([[x, 0, 20, 20] for m in moments for x in m], float)
  boxes = boxes.reshape(-1, 4)
  tracks = tracking.follow(
    frames,
    boxes,
    np.arange(len(moments)) * step_s,
    np.array(cuts, int),
    gap_s=gap_s,
    step_s=step_s,
  )
  return [(frames[t].tolist(), boxes[t, 0].tolist()) for t in tracks]


class FollowTest(absltest.TestCase):
  def test_two_people_are_two_tracks_whatever_the_order_found(self):
    moments = [(i, 100 - i) if i % 2 else (100 - i, i) for i in range(20)]
    one, other = _follow(moments)
    self.assertEqual(one, (list(range(20)), list(range(20))))
    self.assertEqual(other[1], list(range(100, 80, -1)))

  def test_pairs_are_the_best_for_all_together(self):
    # Greedily 0 would take 8, and 12 would be left with nothing.
    one, other = _follow([(0, 12), (8, 22)])
    self.assertEqual((one[1], other[1]), ([0, 8], [12, 22]))

  def test_a_short_gap_is_bridged_and_a_long_one_is_not(self):
    moments = [(5,)] * 3 + [()] * 5 + [(6,)] * 3
    (bridged,) = _follow(moments)
    self.assertEqual(bridged[0], [0, 1, 2, 8, 9, 10])
    apart = _follow(moments, gap_s=0.4)
    self.assertEqual([frames[0] for frames, _ in apart], [0, 8])

  def test_a_film_slower_than_the_gap_is_followed_from_frame_to_frame(self):
    moments = [(5,), (6,), (), (6,), (5,)]
    tracks = _follow(moments, step_s=2.0)
    self.assertEqual([frames for frames, _ in tracks], [[0, 1], [3, 4]])

  def test_no_track_runs_across_a_cut(self):
    tracks = _follow([(5,)] * 6, cuts=(3,))
    self.assertEqual([frames for frames, _ in tracks], [[0, 1, 2], [3, 4, 5]])

  def test_somebody_elsewhere_is_somebody_else(self):
    self.assertLen(_follow([(5,)] * 3 + [(90,)] * 3), 2)

  def test_no_face_is_no_track(self):
    self.assertEmpty(_follow([(), ()]))


class FillTest(absltest.TestCase):
  def test_faces_between_lie_on_a_line_and_are_marked(self):
    found = _at(0, 6, 60)
    frames, filled, is_made_up = tracking.fill(
      np.array([0, 3, 30]), found, every=3
    )
    # Over the long gap nothing is made up.
    self.assertEqual(frames.tolist(), [0, 1, 2, 3, 30])
    self.assertEqual(is_made_up.tolist(), [False, True, True, False, False])
    np.testing.assert_allclose(filled.boxes[:, 0], [0, 2, 4, 6, 60])
    np.testing.assert_allclose(filled.points[1], 2.0)
    self.assertTrue(np.isnan(filled.scores[1]))
    self.assertEqual(filled.scores[3], 0.9)

  def test_without_skipped_frames_nothing_is_made_up(self):
    found = _at(0, 6)
    frames, filled, is_made_up = tracking.fill(np.array([0, 3]), found, every=1)
    self.assertEqual(frames.tolist(), [0, 3])
    for name in ('boxes', 'points', 'scores'):
      np.testing.assert_array_equal(getattr(filled, name), getattr(found, name))
    self.assertFalse(is_made_up.any())


if __name__ == '__main__':
  absltest.main()
