import types

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

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


class GreyPixelsTest(parameterized.TestCase):
  @parameterized.parameters((64, 64), (32, 32), (96, 64), (45, 70), (20, 33))
  def test_constant_frame_keeps_its_luma(self, height, width):
    frames = np.empty((2, height, width, 3), np.uint8)
    frames[:] = (10, 100, 200)
    grey = controls.grey_pixels(frames)
    self.assertEqual(grey.shape, (2, 1024))
    np.testing.assert_allclose(
      grey, (0.299 * 10 + 0.587 * 100 + 0.114 * 200) / 255, rtol=1e-5
    )

  def test_multiples_of_32_are_block_means(self):
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), np.uint8)
    luma = frames @ np.array([0.299, 0.587, 0.114]) / 255
    blocks = luma.reshape(3, 32, 2, 32, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(
      controls.grey_pixels(frames), blocks.reshape(3, -1), atol=1e-6
    )

  @parameterized.parameters(40, 31, 77)
  def test_any_size_equals_means_of_finely_repeated_pixels(self, size):
    frames = np.random.default_rng(1).integers(
      0, 256, (1, size, size, 3), np.uint8
    )
    luma = frames[0] @ np.array([0.299, 0.587, 0.114]) / 255
    fine = luma.repeat(32, axis=0).repeat(32, axis=1)
    blocks = fine.reshape(32, size, 32, size).mean(axis=(1, 3))
    np.testing.assert_allclose(
      controls.grey_pixels(frames)[0], blocks.ravel(), atol=1e-6
    )

  def test_pixels_are_row_major(self):
    frames = np.zeros((1, 32, 32, 3), np.uint8)
    frames[0, 2, 5] = 255
    self.assertEqual(controls.grey_pixels(frames)[0].argmax(), 2 * 32 + 5)

  def test_float_frames_are_an_error(self):
    with self.assertRaisesRegex(ValueError, 'float32'):
      controls.grey_pixels(np.zeros((1, 32, 32, 3), np.float32))


class PixelTableTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    index = pd.concat(
      [
        pd.DataFrame(
          {'person_id': p, 'video_id': 'v1', 'frame': [0, 1], 'time_s': [0, 1]}
        )
        for p in ('P1', 'P2')
      ],
      ignore_index=True,
    )
    frames = np.arange(4, dtype=np.uint8)[:, None].repeat(8 * 8 * 3, axis=1)
    self.store = types.SimpleNamespace(
      path='store', size_px=8, index=index, frames=frames * 10
    )

  def _embeddings(self, frame):
    return features.FeatureTable(
      'psm',
      'm-s0',
      'P2',
      np.zeros((len(frame), 2), np.float32),
      pd.DataFrame(
        {
          'person_id': 'P2',
          'video_id': 'v1',
          'frame': frame,
          'time_s': np.float64(frame),
          'AU01': 3.0,
        }
      ),
    )

  def test_rows_follow_the_embeddings(self):
    table = controls.pixel_table(self._embeddings([1, 0]), self.store)
    np.testing.assert_allclose(table.features[:, 0] * 255, [30, 20], rtol=1e-5)
    self.assertEqual(
      (table.source, table.model_id, table.features.shape),
      ('pixel_pca', 'm-s0', (2, 1024)),
    )
    self.assertEqual(table.frames['AU01'].tolist(), [3.0, 3.0])

  def test_frames_of_the_store_are_rows_of_rgb_pixels(self):
    self.store.frames[:] = np.tile(np.uint8([200, 0, 0]), 64)
    table = controls.pixel_table(self._embeddings([0]), self.store)
    np.testing.assert_allclose(table.features, 0.299 * 200 / 255, rtol=1e-5)

  def test_frame_that_the_store_lacks_is_an_error(self):
    with self.assertRaisesRegex(ValueError, 'lacks 1 of the 2'):
      controls.pixel_table(self._embeddings([1, 7]), self.store)


if __name__ == '__main__':
  absltest.main()
