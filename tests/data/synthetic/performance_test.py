import dataclasses

import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data import synthetic
from psm_jax.data.synthetic import performance as performance_lib

_PERSON = synthetic.sample_person(0, 2)


class SamplePerformanceTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.performance = synthetic.sample_performance(_PERSON, 0, 0, 1500, 25.0)

  def test_the_same_arguments_give_the_same_performance(self):
    again = synthetic.sample_performance(_PERSON, 0, 0, 1500, 25.0)
    for field in dataclasses.fields(again):
      np.testing.assert_array_equal(
        getattr(again, field.name), getattr(self.performance, field.name)
      )

  def test_videos_of_one_person_differ(self):
    other = synthetic.sample_performance(_PERSON, 0, 1, 1500, 25.0)
    self.assertGreater(
      np.abs(other.intensity - self.performance.intensity).max(), 1
    )

  def test_intensities_lie_between_0_and_5(self):
    intensity = self.performance.intensity
    self.assertEqual(intensity.shape, (1500, 12))
    self.assertEqual(intensity.min(), 0)
    self.assertLessEqual(intensity.max(), synthetic.MAX_INTENSITY)

  def test_faces_are_mostly_at_rest_but_reach_strong_intensities(self):
    intensity = self.performance.intensity
    self.assertGreater((intensity < 1).mean(), 0.6)
    self.assertGreater(intensity.max(), 3.5)

  def test_expressions_come_and_go_without_jumps(self):
    slow = [
      i
      for i, name in enumerate(synthetic.ACTION_UNITS)
      if name not in ('AU20', 'AU25', 'AU26')
    ]
    steps = np.abs(np.diff(self.performance.intensity[:, slow], axis=0))
    # A smooth step over the shortest onset, 0.2 s: slope 1.5 / 5 frames, of 5.
    self.assertLess(steps.max(), 1.5 / 5 * 5 + 1e-4)

  def test_an_open_jaw_parts_the_lips(self):
    lips = self.performance.intensity[:, synthetic.ACTION_UNITS.index('AU25')]
    jaw = self.performance.intensity[:, synthetic.ACTION_UNITS.index('AU26')]
    self.assertTrue((lips >= 0.7 * jaw - 1e-5).all())

  def test_the_head_turns_smoothly_and_within_bounds(self):
    pose = self.performance.pose
    self.assertLess(np.abs(pose).max(), 20)
    self.assertGreater(pose[:, 0].std(), 1)
    self.assertLess(np.abs(np.diff(pose, axis=0)).max(), 1.5)

  def test_people_blink_some_times_a_minute_and_briefly(self):
    blink = self.performance.blink
    blinks = ((blink[1:] > 0.5) & (blink[:-1] <= 0.5)).sum()
    self.assertBetween(blinks, 2, 40)
    self.assertLess((blink > 0.5).mean(), 0.2)

  @parameterized.parameters(1, 2, 7)
  def test_short_videos_are_allowed(self, num_frames):
    short = synthetic.sample_performance(_PERSON, 0, 0, num_frames, 30.0)
    self.assertEqual(short.num_frames, num_frames)
    self.assertEqual(short.gaze.shape, (num_frames, 2))


class EnvelopeTest(absltest.TestCase):
  def test_rises_holds_and_falls(self):
    time_s = np.array([-0.1, 0.0, 0.25, 0.5, 1.0, 1.5, 1.75, 2.0, 3.0])
    np.testing.assert_allclose(
      performance_lib.envelope(time_s, 0.5, 1.0, 0.5),
      [0, 0, 0.5, 1, 1, 1, 0.5, 0, 0],
    )


if __name__ == '__main__':
  absltest.main()
