import dataclasses

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized
from sklearn import cluster

from psm_jax.discovery import clusters, movements
from psm_jax.evaluation import features, splits


def _blobs(sizes=(60, 25, 15, 10), *, num_units=8, spread=0.15, seed=0):
  """Returns [n, D] points around as many centres, and their centre."""
  generator = np.random.default_rng(seed)
  centres = generator.normal(size=(len(sizes), num_units))
  truth = np.repeat(np.arange(len(sizes)), sizes)
  truth = generator.permutation(truth)
  noise = generator.normal(size=(len(truth), num_units))
  return (centres[truth] + spread * noise).astype(np.float32), truth


def _grid(data, *, config=clusters.DEFAULT):
  """Returns distances, settings and labels of one model."""
  distances = clusters.frame_distances(data, scale=config.scale)
  neighbours = clusters.neighbour_distances(
    distances, num_neighbours=max(config.min_samples)
  )
  settings = clusters.make_settings([neighbours], config=config)
  labels = clusters.label_frames(distances, neighbours, settings, config=config)
  return distances, settings, labels


class FramesTest(absltest.TestCase):
  def test_the_same_numbers_are_selected_for_everybody(self):
    for first in (0, 1):
      number = np.arange(first, first + 4845)[::-1]
      frames = pd.DataFrame(
        {'person_id': 'P', 'video_id': 'v', 'frame': number, 'time_s': number}
      )
      table = features.FeatureTable(
        'psm', 'm', 'P', number[:, None].astype(np.float32), frames
      )
      config = clusters.ClusterConfig(frame_stride=10)
      chosen = clusters.select(table, config=config)
      np.testing.assert_array_equal(
        chosen.features[:, 0], np.arange(10 * first, 4845, 10)
      )

  def test_a_level_that_a_whole_video_shares_is_taken_out(self):
    generator = np.random.default_rng(0)
    data = generator.normal(size=(60, 5)).astype(np.float32)
    frames = pd.DataFrame(
      {
        'person_id': 'P',
        'video_id': np.repeat(['a', 'b'], 30),
        'frame': np.tile(np.arange(30), 2),
        'time_s': np.tile(np.arange(30), 2) / 10,
      }
    )
    level = np.repeat(10 * generator.normal(size=(2, 5)), 30, axis=0)
    shifted = (data + level).astype(np.float32)
    config = clusters.ClusterConfig(frame_stride=3)

    def selected(values, *, unit_length):
      frames.attrs['unit_length'] = unit_length
      table = features.FeatureTable('psm', 'm', 'P', values, frames.copy())
      return clusters.select(table, config=config)

    as_given = selected(shifted, unit_length=True)
    np.testing.assert_array_equal(as_given.features, shifted[::3])
    plain, moved = (
      selected(values, unit_length=False) for values in (data, shifted)
    )
    self.assertLen(plain.frames, 20)
    np.testing.assert_allclose(moved.features, plain.features, atol=1e-5)
    expected = data[30:] - np.median(data[30:], axis=0)
    np.testing.assert_allclose(plain.features[10:], expected[::3], atol=1e-6)


class DistanceTest(parameterized.TestCase):
  def test_equals_differences_of_unit_vectors(self):
    data = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    unit = data / np.linalg.norm(data, axis=1, keepdims=True)
    expected = np.linalg.norm(unit[:, None] - unit, axis=2)
    found = clusters.frame_distances(data, scale=clusters.UNIT)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    spread = clusters.frame_distances(data, scale=clusters.SPREAD)
    np.testing.assert_allclose(
      spread, expected / np.sqrt((expected**2).mean()), atol=1e-6
    )

  @parameterized.parameters(*clusters.SCALES)
  def test_length_of_embeddings_does_not_matter(self, scale):
    data, _ = _blobs()
    factor = np.random.default_rng(0).uniform(0.5, 2, (len(data), 1))
    np.testing.assert_allclose(
      clusters.frame_distances(data * factor, scale=scale),
      clusters.frame_distances(data, scale=scale),
      atol=1e-6,
    )

  def test_spread_matches_models_that_use_a_narrow_cone(self):
    data, _ = _blobs()
    unit = data / np.linalg.norm(data, axis=1, keepdims=True)
    far = np.zeros(8, np.float32)
    far[0] = 1000
    tangent = unit.copy()
    tangent[:, 0] = 0
    plain = np.linalg.norm(tangent[:, None] - tangent, axis=2)
    narrow = clusters.frame_distances(tangent + far, scale=clusters.SPREAD)
    np.testing.assert_allclose(
      narrow, plain / np.sqrt((plain**2).mean()), atol=0.01
    )

  def test_unusable_embeddings_are_named(self):
    data = np.ones((20, 3), np.float32)
    with self.assertRaisesRegex(splits.Impossible, 'do not vary'):
      clusters.frame_distances(data)
    with self.assertRaisesRegex(splits.Impossible, 'larger stride'):
      clusters.frame_distances(np.broadcast_to(data[:1], (16_001, 3)))

  def test_a_frame_at_rest_is_as_far_from_every_direction(self):
    data = np.eye(4, 3, dtype=np.float32)
    distances = clusters.frame_distances(data, scale=clusters.UNIT)
    np.testing.assert_allclose(distances[3], (1, 1, 1, 0), atol=1e-6)

  def test_neighbours_are_the_sorted_rows(self):
    distances = clusters.frame_distances(_blobs()[0])
    np.testing.assert_array_equal(
      clusters.neighbour_distances(distances, num_neighbours=6),
      np.sort(distances, axis=1)[:, :6],
    )
    with self.assertRaisesRegex(splits.Impossible, '110 frames are fewer'):
      clusters.neighbour_distances(distances, num_neighbours=111)


class GridTest(parameterized.TestCase):
  @parameterized.parameters(0, 1, 2)
  def test_labels_are_those_of_scikit_learn_at_all_40_settings(self, seed):
    # Gradual transitions, so that there are chains, borders and noise.
    data, _ = _blobs((90, 60, 40, 30), spread=0.25, seed=seed)
    data *= np.random.default_rng(seed).uniform(0.1, 1, (len(data), 1))
    data += np.random.default_rng(9).normal(size=data.shape[1])
    distances, settings, labels = _grid(data.astype(np.float32))
    self.assertLen(settings, 40)
    for setting, own in zip(settings, labels, strict=True):
      expected = cluster.DBSCAN(
        eps=setting.eps,
        min_samples=setting.min_samples,
        metric='precomputed',
      ).fit(distances)
      np.testing.assert_array_equal(own, expected.labels_)
    self.assertGreater(len({own.max() for own in labels}), 2)

  def test_equal_distances_and_repeated_frames_are_those_of_scikit_learn(self):
    # Points of a grid on a circle: every distance occurs many times.
    angle = np.repeat(np.arange(24), 2) * (np.arange(48) % 3 + 1) * np.pi / 24
    data = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    distances, settings, labels = _grid(data)
    for setting, own in zip(settings, labels, strict=True):
      if setting.eps > 0:  # scikit-learn takes no radius of 0.
        expected = cluster.DBSCAN(
          eps=setting.eps,
          min_samples=setting.min_samples,
          metric='precomputed',
        ).fit(distances)
        np.testing.assert_array_equal(own, expected.labels_)

  def test_radii_are_quantiles_of_the_neighbour_distance_of_all_models(self):
    neighbours = [
      np.sort(np.random.default_rng(i).random((40, 8)), axis=1) for i in (0, 1)
    ]
    settings = clusters.make_settings(neighbours, config=clusters.DEFAULT)
    for setting in settings:
      pooled = np.concatenate(
        [own[:, setting.min_samples - 1] for own in neighbours]
      )
      self.assertIn(setting.eps, pooled)
      self.assertAlmostEqual(
        (pooled <= setting.eps).mean(), setting.quantile, delta=1 / 80
      )
    self.assertEqual({s.min_samples for s in settings}, {4, 5, 6, 7, 8})
    self.assertAlmostEqual(min(s.quantile for s in settings), 0.5)
    self.assertAlmostEqual(max(s.quantile for s in settings), 0.95)

  def test_separate_groups_are_found(self):
    data, truth = _blobs()
    _, _, labels = _grid(data)
    own = labels[clusters.working_setting([labels], min_size=10)]
    for label in range(4):
      names = np.unique(own[(truth == label) & (own >= 0)])
      self.assertLen(names, 1)

  def test_order_of_frames_does_not_matter(self):
    data, _ = _blobs(spread=0.02)
    order = np.random.default_rng(0).permutation(len(data))
    _, _, labels = _grid(data)
    _, _, shuffled = _grid(data[order])
    for own, other in zip(labels, shuffled, strict=True):
      pairs = set(zip(own[order].tolist(), other.tolist(), strict=True))
      self.assertLen(pairs, len(set(own.tolist())))
      self.assertLen(pairs, len(set(other.tolist())))

  def test_rotation_does_not_matter(self):
    data, _ = _blobs()
    rotation, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(8, 8)))
    one, other = (
      clusters.frame_distances(own)
      for own in (data, (data @ rotation).astype(np.float32))
    )
    np.testing.assert_allclose(one, other, atol=1e-5)

  def test_hdbscan_is_that_of_scikit_learn_over_min_samples(self):
    config = dataclasses.replace(clusters.DEFAULT, method=clusters.HDBSCAN)
    distances, settings, labels = _grid(_blobs()[0], config=config)
    self.assertEqual([s.min_samples for s in settings], [4, 5, 6, 7, 8])
    for setting, own in zip(settings, labels, strict=True):
      self.assertTrue(np.isnan(setting.eps))
      model = cluster.HDBSCAN(
        min_cluster_size=10,
        min_samples=setting.min_samples,
        metric='precomputed',
        copy=True,
      )
      np.testing.assert_array_equal(own, model.fit(distances).labels_)
    self.assertEqual(labels.max(), 3)


class CountTest(absltest.TestCase):
  def test_noise_is_counted_apart(self):
    for labels, *expected in (
      ([0, 1, 1, -1], 2, 3, 0.25),
      ([0, 0], 1, 1, 0.0),
      ([-1, -1], 0, 1, 1.0),
    ):
      counted = clusters.count(np.array(labels))
      self.assertEqual(list(counted.values()), expected)

  def test_working_setting_has_most_sizeable_clusters_and_little_noise(self):
    first = np.array(
      [
        [0, 0, 0, 0, 0, 1],  # One sizeable cluster: 1.
        [0, 0, 1, 1, -1, -1],  # Two, a third of the frames lost: 4 / 3.
        [0, 0, 1, 1, 1, -1],  # Two, a sixth lost: 5 / 3.
        [0, 0, 1, 1, 1, -1],
      ]
    )
    second = np.array([[0] * 6, [0] * 6, [-1] * 6, [0] * 6])
    self.assertEqual(clusters.working_setting([first], min_size=2), 2)
    self.assertEqual(clusters.working_setting([first, second], min_size=2), 3)


class StabilityTest(parameterized.TestCase):
  @parameterized.parameters(*clusters.METHODS)
  def test_separate_groups_are_stable_and_a_random_cut_is_not(self, method):
    config = dataclasses.replace(clusters.DEFAULT, method=method)
    data, _ = _blobs((60, 40, 30), spread=0.05)
    distances, settings, labels = _grid(data, config=config)
    working = -1  # The largest radius, at which the groups are whole.
    found = movements.stability(
      distances, labels[working], settings[working], config=config
    )
    self.assertEqual(set(found), {0, 1, 2})
    self.assertGreater(min(found.values()), 0.9)
    halves = np.random.default_rng(0).integers(2, size=130)
    found = movements.stability(
      distances, halves, settings[working], config=config
    )
    self.assertLess(max(found.values()), 0.75)

  def test_among_fewer_frames_fewer_make_a_core(self):
    # Two groups of 20 frames, of which a subsample of 32 has about 16 each.
    group = np.repeat([0, 1], 20)
    distances = (group[:, None] != group).astype(np.float32)
    setting = clusters.Setting(min_samples=18, quantile=0.5, eps=0.5)
    found = movements.stability(
      distances, group, setting, config=clusters.DEFAULT
    )
    self.assertGreater(min(found.values()), 0.75)

  def test_overlaps_are_jaccard_indices(self):
    labels = np.array([0, 0, 0, 1, 1, -1, -1])
    others = np.array([5, 5, 2, 2, 2, 2, -1])
    self.assertEqual(
      movements.overlaps(labels, others), {0: (5, 2 / 3), 1: (2, 0.5)}
    )
    self.assertEqual(
      movements.overlaps(labels, np.full(7, -1)), {0: (-1, 0.0), 1: (-1, 0.0)}
    )
    self.assertEmpty(movements.overlaps(np.full(7, -1), others))


if __name__ == '__main__':
  absltest.main()
