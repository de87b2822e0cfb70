import ml_collections
import numpy as np
import pandas as pd
from absl.testing import absltest

from benchmarks import driven_truth
from psm_jax.presets import quickstart


class DrivenTruthTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    data = ml_collections.ConfigDict(quickstart.get_config().data)
    data.synthetic.num_frames = 6
    self.videos = driven_truth.Videos(data, stride=3)

  def test_the_truth_moves_as_one_and_is_lit_as_the_other(self):
    mine, theirs = (
      self.videos.acts(p, n) for p, n in (('P001', 0), ('P002', 1))
    )
    moved = driven_truth.moved_as(theirs, mine)
    np.testing.assert_array_equal(moved.intensity, theirs.intensity)
    np.testing.assert_array_equal(moved.pose, theirs.pose)
    self.assertEqual(np.ptp(moved.light, axis=0).tolist(), [0, 0, 0])
    self.assertEqual(moved.background, mine.background)
    self.assertEqual(self.videos.render('P001', moved).shape, (2, 32, 32, 3))

  def test_the_truth_has_no_error_and_a_still_face_no_r2(self):
    truth = self.videos.render('P001', self.videos.acts('P001', 0))
    face = truth[0]
    for driven, expected in ((truth, 1), (truth * 0 + face, 0)):
      sums = driven_truth.errors(driven, truth, face)
      np.testing.assert_allclose(1 - sums['rest'] / sums['still'], expected)

  def test_rows_are_means_over_people(self):
    index = pd.MultiIndex.from_tuples(
      [('own', 'same', 'face', person) for person in 'AB'],
      names=driven_truth._PLACE,
    )
    columns = {'rest': [1.0, 2.0], 'still': [4.0, 4.0], 'num': [1, 1]}
    line = driven_truth.table(pd.DataFrame(columns, index=index), size_px=32)
    self.assertIn('| own | same | face | 0.62 [', line.split('\n')[-1])
    self.assertIn('2 of 2', line)

  def test_other_frames_have_no_truth(self):
    data = quickstart.get_config().data
    data.source = 'frame_folder'
    with self.assertRaisesRegex(ValueError, 'no render is the truth'):
      driven_truth.Videos(data, stride=1)


if __name__ == '__main__':
  absltest.main()
