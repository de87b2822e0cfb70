import numpy as np
from absl.testing import absltest

from psm_jax.data.ingest import faces, tracking


def _at(*lefts, tops=None):
  """Faces of 20x20 px at some places of a row."""
  boxes = [[left, 0, 20, 20] for left in lefts]
  points = [np.full((5, 2), float(left)) for left in lefts]
  return faces.Faces(
    np.array(boxes, float).reshape(-1, 4),
    np.array(points).reshape(-1, 5, 2),
    np.full(len(lefts), 0.9),
  )


def _track(moments, *, gap_s=1.0, min_frames=1, cuts=()):
  tracker = tracking.Tracker(gap_s=gap_s)
  for frame, found in enumerate(moments):
    if frame in cuts:
      tracker.cut()
    tracker.add(frame, 0.1 * frame, found)
  return tracker.finish(min_frames=min_frames)


class TrackerTest(absltest.TestCase):
  def test_two_people_are_two_tracks_whatever_the_order_found(self):
    moments = [_at(i, 100 - i) if i % 2 else _at(100 - i, i) for i in range(20)]
    (one, other), dropped = _track(moments)
    np.testing.assert_array_equal(one.found.boxes[:, 0], range(20))
    np.testing.assert_array_equal(other.found.boxes[:, 0], 100 - np.arange(20))
    np.testing.assert_array_equal(one.frames, range(20))
    self.assertEqual(dropped, 0)

  def test_pairs_are_the_best_for_all_together(self):
    # Greedily 0 would take 8, and 12 would be left with nothing.
    (one, other), _ = _track([_at(0, 12), _at(8, 22)])
    np.testing.assert_array_equal(one.found.boxes[:, 0], [0, 8])
    np.testing.assert_array_equal(other.found.boxes[:, 0], [12, 22])

  def test_a_short_gap_is_bridged_and_a_long_one_is_not(self):
    moments = [_at(5)] * 3 + [_at()] * 5 + [_at(6)] * 3
    (bridged,), _ = _track(moments)
    self.assertEqual(bridged.frames.tolist(), [0, 1, 2, 8, 9, 10])
    apart, _ = _track(moments, gap_s=0.4)
    self.assertEqual([t.frames[0] for t in apart], [0, 8])

  def test_no_track_runs_across_a_cut(self):
    tracks, _ = _track([_at(5)] * 6, cuts=(3,))
    self.assertEqual(
      [t.frames.tolist() for t in tracks], [[0, 1, 2], [3, 4, 5]]
    )

  def test_short_tracks_are_left_out_and_counted(self):
    moments = [_at(5)] * 6 + [_at(5, 200)] * 2 + [_at(5)] * 2
    tracks, dropped = _track(moments, min_frames=3)
    self.assertLen(tracks, 1)
    self.assertEqual(dropped, 2)

  def test_somebody_elsewhere_is_somebody_else(self):
    tracks, _ = _track([_at(5)] * 3 + [_at(90)] * 3)
    self.assertLen(tracks, 2)


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
    self.assertIs(filled, found)
    self.assertFalse(is_made_up.any())


if __name__ == '__main__':
  absltest.main()
