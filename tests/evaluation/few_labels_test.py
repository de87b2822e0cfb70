import numpy as np
from absl.testing import absltest
from sklearn import metrics

from psm_jax.evaluation import few_labels


def _world(num_frames=240, *, noise=1.0, seed=0):
  """Returns two videos' features that tell two of three units, and labels."""
  generator = np.random.default_rng(seed)
  labels = generator.random((num_frames, 3)) < (0.3, 0.4, 0.3)
  values = generator.standard_normal((num_frames, 20))
  values[:, :2] += 3 / noise * labels[:, :2]
  video = np.repeat([0, 1], num_frames // 2)
  return few_labels.Features(values), labels, video


class AucTest(absltest.TestCase):
  def test_it_is_that_of_scikit_learn_ties_included(self):
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 9, (50, 4)).astype(float)
    labels = generator.random((50, 4)) < 0.3
    expected = [
      metrics.roc_auc_score(labels[:, u], scores[:, u]) for u in range(4)
    ]
    np.testing.assert_allclose(few_labels.auc(scores, labels), expected)

  def test_a_unit_that_never_occurs_has_none(self):
    scores = np.arange(5.0)[:, None]
    self.assertTrue(np.isnan(few_labels.auc(scores, np.zeros((5, 1), bool)))[0])


class ProbeTest(absltest.TestCase):
  def test_units_that_the_features_tell_are_told_and_no_others(self):
    features, labels, video = _world()
    train, test = (np.flatnonzero(video == v) for v in (0, 1))
    values = few_labels.probe_auc(features, labels, train, test)
    self.assertGreater(values[:2].min(), 0.9)
    self.assertBetween(values[2], 0.3, 0.7)

  def test_the_scale_of_a_column_is_of_no_account(self):
    features, labels, video = _world()
    train, test = (np.flatnonzero(video == v) for v in (0, 1))
    scaled = few_labels.Features(
      features.values * np.geomspace(1e-2, 1e2, 20) + 7
    )
    np.testing.assert_allclose(
      few_labels.probe_auc(scaled, labels, train, test),
      few_labels.probe_auc(features, labels, train, test),
    )

  def test_labels_of_the_test_frames_do_not_reach_the_probe(self):
    features, labels, video = _world()
    train, test = (np.flatnonzero(video == v) for v in (0, 1))
    shuffled = labels.copy()
    shuffled[test] = labels[test[::-1]]
    values = few_labels.probe_auc(features, shuffled, train, test)
    self.assertLess(values.max(), 0.7)

  def test_columns_that_are_only_noise_are_left_out_where_that_pays(self):
    generator = np.random.default_rng(1)
    features, labels, video = _world(noise=2.0)
    noisy = np.hstack([features.values, generator.normal(size=(240, 300))])
    train, test = np.arange(40), np.flatnonzero(video == 1)
    fewer, all_of_them = (
      np.nanmean(
        few_labels.probe_auc(
          few_labels.Features(noisy, sizes), labels[:, :2], train, test
        )
      )
      for sizes in ((2, 320), ())
    )
    self.assertGreater(fewer, all_of_them + 0.02)


class CurveTest(absltest.TestCase):
  def test_more_labels_teach_more(self):
    features, labels, video = _world(noise=2.0)
    means = few_labels.curve(
      features, labels[:, :2], video, counts=(10, 60, 0), num_draws=4
    )
    self.assertEqual(list(means), [10, 60, 0])
    self.assertLess(means[10], means[60])
    self.assertLess(means[60], means[0] + 0.02)

  def test_it_is_the_same_each_time(self):
    world = _world()
    first, second = (
      few_labels.curve(*world, counts=(10,), num_draws=2) for _ in range(2)
    )
    self.assertEqual(first, second)


class PixelComponentsTest(absltest.TestCase):
  def test_a_picture_of_two_patterns_has_two_components(self):
    generator = np.random.default_rng(0)
    mixed = generator.normal(size=(90, 2)) @ generator.normal(size=(2, 64))
    features = few_labels.pixel_components(mixed + 5)
    spread = features.values.std(axis=0)
    self.assertGreater(spread[1], 1)
    self.assertLess(spread[2:].max(), 1e-9)

  def test_frames_are_seen_by_the_components_of_those_fitted(self):
    generator = np.random.default_rng(0)
    seen, others = generator.normal(size=(2, 90, 20))
    features = few_labels.pixel_components(others, fit=seen)
    both = few_labels.pixel_components(np.concatenate([seen, others]), fit=seen)
    np.testing.assert_allclose(features.values, both.values[90:])
    self.assertGreater(np.abs(features.values.mean(axis=0)).max(), 0.01)

  def test_probes_of_few_pixels_have_no_more_components(self):
    frames = np.random.default_rng(0).normal(size=(90, 20))
    self.assertEqual(few_labels.pixel_components(frames).sizes, (8, 16))


if __name__ == '__main__':
  absltest.main()
