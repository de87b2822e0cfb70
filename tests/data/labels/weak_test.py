import numpy as np
import pandas as pd
from absl.testing import absltest

from psm_jax.data.labels import weak
from psm_jax.evaluation import splits


def _frames(**columns):
  base = {'frame': [0, 1, 2], 'blur': [1.0, 2.0, 3.0]}
  return pd.DataFrame(base | columns)


_SMILE, _POSE = 'weak_mouthSmileLeft', 'weak_pose_yaw'


class ChooseTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.frames = _frames(
      AU12=[0.0, 3.0, 5.0],
      AU04_c=[0, 1, 1],
      expression=['a', 'b', 'a'],
      pose_yaw=[9.0, 9.0, 9.0],
      **{_SMILE: [0.1, 0.5, 0.9], _POSE: [1.0, 2.0, 3.0]},
    )

  def test_coded_labels_come_without_weak_ones(self):
    chosen = weak.choose(self.frames, weak.CODED)
    self.assertNotIn(_SMILE, chosen)
    self.assertNotIn(_POSE, chosen)
    self.assertEqual(chosen['pose_yaw'].tolist(), [9.0] * 3)
    self.assertEqual(splits.action_unit_columns(chosen), ['AU12', 'AU04_c'])

  def test_blendshapes_come_without_coded_labels(self):
    chosen = weak.choose(self.frames, weak.BLENDSHAPES)
    self.assertEqual(splits.action_unit_columns(chosen), [_SMILE])
    self.assertNotIn('expression', chosen)
    self.assertEqual(chosen['pose_yaw'].tolist(), [1.0, 2.0, 3.0])
    self.assertEqual(chosen['blur'].tolist(), [1.0, 2.0, 3.0])

  def test_a_blendshape_is_active_from_a_half_on_whatever_the_threshold(self):
    chosen = weak.choose(self.frames, weak.BLENDSHAPES)
    for threshold in (0.01, 2):
      active = splits.action_unit_labels(chosen, threshold=threshold)
      self.assertEqual(active[_SMILE].tolist(), [0, 1, 1])

  def test_blendshapes_of_another_table_count_where_there_are_no_others(self):
    frames = _frames(mouthSmileLeft=[0.0, 1.0, 0.0], jawOpen=[1.0, 0.0, 0.0])
    chosen = weak.choose(frames.assign(**{_SMILE: 0.2}), weak.BLENDSHAPES)
    self.assertEqual(chosen[_SMILE].tolist(), [0.2] * 3)
    self.assertEqual(chosen['weak_jawOpen'].tolist(), [1, 0, 0])

  def test_the_neutral_output_is_no_movement(self):
    self.assertFalse(weak.is_unit('weak__neutral'))
    self.assertTrue(weak.is_unit('weak_noseSneerRight'))
    self.assertFalse(weak.is_unit(_POSE))

  def test_blendshapes_that_are_nowhere_are_named(self):
    with self.assertRaisesRegex(ValueError, '--detector=landmarker'):
      weak.check([_frames(AU12=[1.0] * 3)], weak.BLENDSHAPES)
    weak.check([_frames(), _frames(**{_SMILE: [0.0] * 3})], weak.BLENDSHAPES)

  def test_names_match_the_52_outputs(self):
    table = weak.table(3, np.arange(2), np.ones((2, 3)), np.zeros((2, 52)))
    self.assertEqual(list(table), ['track', 'frame', *weak.COLUMNS])
    self.assertLen(weak.NAMES, 52)
    self.assertNotIn('tongueOut', weak.NAMES)


if __name__ == '__main__':
  absltest.main()
