import numpy as np
import pandas as pd
from absl.testing import absltest

from psm_jax.evaluation import controls, features


def _frames(*lengths, fps=20.0, **columns):
  """Returns videos v0, v1, ... of some lengths."""
  return pd.concat(
    [
      pd.DataFrame(
        {
          'person_id': 'P1',
          'video_id': f'v{video}',
          'frame': np.arange(length),
          'time_s': np.arange(length) / fps,
        }
      )
      for video, length in enumerate(lengths)
    ],
    ignore_index=True,
  ).assign(**columns)


def _table(frames):
  data = np.random.default_rng(0).normal(size=(len(frames), 3))
  return features.FeatureTable(
    'psm', 'm-s0', 'P1', data.astype(np.float32), frames
  )


class FromLabelsTest(absltest.TestCase):
  def test_pose_and_its_square_are_the_features_of_head_pose(self):
    yaw = np.linspace(-20, 20, 10)
    pose, nearest = controls.from_labels(
      _table(_frames(10, pose_yaw=yaw, pose_roll=2.0))
    )
    self.assertEqual(pose.source, 'head_pose')
    np.testing.assert_allclose(pose.features[:, 0], yaw, rtol=1e-6)
    np.testing.assert_allclose(pose.features[:, 1], 2)
    np.testing.assert_allclose(pose.features[:, 2], yaw**2, rtol=1e-6)
    self.assertEqual(nearest.source, 'nearest_in_time')
    self.assertEqual(nearest.features.shape, (10, 0))

  def test_unknown_pose_is_finite_and_marked(self):
    yaw = np.arange(10.0)
    yaw[3] = np.nan
    pose, _ = controls.from_labels(_table(_frames(10, pose_yaw=yaw)))
    self.assertAlmostEqual(pose.features[3, 0], np.nanmean(yaw), places=5)
    np.testing.assert_array_equal(pose.features[:, -1], np.isnan(yaw))

  def test_no_pose_gives_no_head_pose(self):
    for columns in ({}, {'pose_yaw': np.nan}):
      (nearest,) = controls.from_labels(_table(_frames(10, **columns)))
      self.assertEqual(nearest.source, 'nearest_in_time')


class NeighboursTest(absltest.TestCase):
  def test_mean_of_the_frames_before_and_after(self):
    mean = controls.mean_of_neighbours(
      _frames(10),
      np.array([1, 4, 8]),
      np.array([2, 3, 6, 0, 9]),
      np.array([0.0, 1.0, 5.0]),
    )
    # Before the first and after the last training frame there is only one.
    np.testing.assert_allclose(mean, [0.5, 0.5, 3.0, 0.0, 5.0])

  def test_another_video_is_no_neighbour(self):
    mean = controls.mean_of_neighbours(
      _frames(4, 4), np.array([0, 1]), np.array([3, 5]), np.array([1.0, 2.0])
    )
    np.testing.assert_array_equal(mean, [2.0, np.nan])

  def test_equals_a_search_over_all_frames(self):
    generator = np.random.default_rng(0)
    frames = _frames(30, 50)
    frames['time_s'] = generator.random(80)
    order = generator.permutation(80)
    train, test = order[:30], order[30:]
    values = generator.normal(size=(30, 2))
    mean = controls.mean_of_neighbours(frames, train, test, values)
    near = controls.nearest(frames, train, test)
    time_s, video = frames['time_s'].to_numpy(), frames['video_id'].to_numpy()
    for place, row in enumerate(test):
      own = np.flatnonzero(video[train] == video[row])
      gap = time_s[train[own]] - time_s[row]
      around = [
        own[np.where(side, np.abs(gap), np.inf).argmin()]
        for side in (gap < 0, gap > 0)
        if side.any()
      ]
      np.testing.assert_allclose(mean[place], values[around].mean(axis=0))
      self.assertEqual(near[place], own[np.abs(gap).argmin()])


if __name__ == '__main__':
  absltest.main()
