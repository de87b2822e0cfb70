import dataclasses

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized
from sklearn import decomposition, linear_model, metrics, pipeline
from sklearn import preprocessing as skl_preprocessing

from psm_jax.evaluation import controls, probes, splits
from tests.evaluation import people


def _split(num_frames, *units):
  """Returns the split whose every fifth frame is a test frame."""
  test = np.arange(num_frames) % 5 == 0
  return splits.Split('within', ~test, test, units or ('AU01',))


def _example(num_frames=300, num_features=10, *, weight=1.0, seed=0):
  generator = np.random.default_rng(seed)
  data = generator.normal(size=(num_frames, num_features)) + 0.5
  score = weight * data[:, 0] + generator.normal(size=num_frames)
  labels = pd.DataFrame({'AU01': (score > np.quantile(score, 0.8)) * 1.0})
  return data.astype(np.float32), labels


class ProbeTest(parameterized.TestCase):
  @parameterized.parameters(
    ('psm', {'l2_normalise': True}, [skl_preprocessing.Normalizer()]),
    ('psm', {'l2_normalise': False}, []),
    (
      'psm',
      {'l2_normalise': False, 'num_components': 4},
      [decomposition.PCA(4, svd_solver='full')],
    ),
    ('pixel_pca', {}, [decomposition.PCA(64, svd_solver='full')]),
    ('psm', {'inverse_penalty': 0.1}, [skl_preprocessing.Normalizer()]),
  )
  def test_equals_a_pipeline_of_scikit_learn(self, source, options, steps):
    data, labels = _example(num_features=80)
    split = _split(300)
    config = probes.ProbeConfig(**options)
    (row,), impossible = probes.probe(
      people.given(data, source), labels, split, config=config
    )
    model = pipeline.make_pipeline(
      *steps,
      skl_preprocessing.StandardScaler(),
      linear_model.LogisticRegression(
        C=config.inverse_penalty,
        class_weight='balanced',
        tol=1e-8,
        max_iter=10_000,
      ),
    )
    truth = labels['AU01'].to_numpy()
    data = data.astype(np.float64)
    model.fit(data[split.train], truth[split.train])
    score = model.decision_function(data[split.test])
    predicted = model.predict(data[split.test])
    truth = truth[split.test]
    self.assertEmpty(impossible)
    self.assertEqual(row['n_train'], 240)
    self.assertEqual(row['n_test'], 60)
    self.assertEqual(row['n_positive'], truth.sum())
    self.assertAlmostEqual(row['base_rate'], truth.mean())
    for name, expected in (
      ('f1', metrics.f1_score(truth, predicted)),
      (
        'balanced_accuracy',
        metrics.balanced_accuracy_score(truth, predicted),
      ),
      ('mcc', metrics.matthews_corrcoef(truth, predicted)),
      ('auc', metrics.roc_auc_score(truth, score)),
      ('ap', metrics.average_precision_score(truth, score)),
    ):
      self.assertAlmostEqual(row[name], expected, places=6, msg=name)

  def test_planted_signal_is_found(self):
    data, labels = _example(weight=50.0)
    config = probes.ProbeConfig(l2_normalise=False)
    (row,), _ = probes.probe(
      people.given(data), labels, _split(300), config=config
    )
    self.assertGreater(row['auc'], 0.98)
    self.assertGreater(row['f1'], 0.85)

  def test_noise_is_at_chance(self):
    aucs = []
    for seed in range(8):
      data, labels = _example(weight=0.0, seed=seed)
      (row,), _ = probes.probe(
        people.given(data), labels, _split(300), config=probes.DEFAULT
      )
      aucs.append(row['auc'])
    # A single AUC has a standard deviation of about 0.085 here, the mean 0.03.
    self.assertBetween(np.mean(aucs), 0.4, 0.6)

  def test_unlabelled_frames_are_left_out_and_not_counted_as_inactive(self):
    data, labels = _example()
    split = _split(300)
    # Most frames that are in truth active lose their label.
    known = (labels['AU01'] == 0) | (np.arange(300) % 7 < 3)
    (row,), _ = probes.probe(
      people.given(data), labels.where(known), split, config=probes.DEFAULT
    )
    train, test = probes.prepare(
      data[split.train], data[split.test], source='psm', config=probes.DEFAULT
    )
    truth = labels['AU01'].to_numpy()
    train_known, test_known = known[split.train], known[split.test]
    model = linear_model.LogisticRegression(class_weight='balanced', tol=1e-8)
    model.fit(train[train_known], truth[split.train & known])
    score = model.decision_function(test[test_known])
    truth = truth[split.test & known]
    self.assertEqual(row['n_train'], train_known.sum())
    self.assertEqual(row['n_test'], test_known.sum())
    self.assertEqual(row['n_positive'], truth.sum())
    self.assertLess(row['n_test'], 60)
    self.assertAlmostEqual(row['auc'], metrics.roc_auc_score(truth, score))
    self.assertAlmostEqual(row['f1'], metrics.f1_score(truth, score > 0))

  def test_action_units_are_probed_apart(self):
    data, labels = _example()
    labels['AU02'] = 1 - labels['AU01']
    together, _ = probes.probe(
      people.given(data),
      labels,
      _split(300, 'AU01', 'AU02'),
      config=probes.DEFAULT,
    )
    (alone,), _ = probes.probe(
      people.given(data), labels, _split(300), config=probes.DEFAULT
    )
    self.assertEqual([row['au'] for row in together], ['AU01', 'AU02'])
    self.assertEqual(together[0], alone)

  def test_training_part_of_one_class_is_reported(self):
    data, labels = _example()
    split = _split(300)
    labels['AU01'] = split.test * 1.0
    rows, impossible = probes.probe(
      people.given(data), labels, split, config=probes.DEFAULT
    )
    self.assertEqual((rows, impossible), ([], ['AU01']))

  def test_constant_features_score_at_chance(self):
    data, labels = _example()
    for source in ('psm', 'pixel_pca'):
      (row,), _ = probes.probe(
        people.given(np.ones_like(data), source),
        labels,
        _split(300),
        config=probes.DEFAULT,
      )
      self.assertEqual(row['auc'], 0.5)


class ThresholdTest(absltest.TestCase):
  def _rows(self, labels, data, **options):
    config = probes.ProbeConfig(l2_normalise=False, guard_s=0.1, **options)
    test = np.arange(len(data)) >= 0.75 * len(data)
    split = splits.Split('within', ~test, test, ('AU01',))
    ((row,), _), (decisions, _) = (
      function(people.given(data), labels, split, config=config)
      for function in (probes.probe, probes.decide)
    )
    return row, decisions[0]

  def test_threshold_of_the_training_part_beats_even_odds_on_rare_units(self):
    gains = []
    for seed in range(6):
      data, _ = _example(2000, 6, seed=seed)
      generator = np.random.default_rng(seed + 50)
      score = data[:, 0] + generator.normal(size=2000)
      labels = pd.DataFrame({'AU01': (score > np.quantile(score, 0.95)) * 1.0})
      half, _ = self._rows(labels, data)
      tuned, _ = self._rows(labels, data, threshold_from='validation')
      self.assertEqual(half['auc'], tuned['auc'])
      gains.append(tuned['f1'] - half['f1'])
    self.assertGreater(np.mean(gains), 0.05)

  def test_threshold_knows_nothing_of_the_test_part(self):
    data, labels = _example(400)
    _, one = self._rows(labels, data, threshold_from='validation')
    changed = labels.copy()
    changed.iloc[300:] = 1 - changed.iloc[300:]
    _, other = self._rows(changed, data, threshold_from='validation')
    np.testing.assert_array_equal(one.score, other.score)


class NearestInTimeTest(absltest.TestCase):
  def _probe(self, labels, split, **columns):
    table = people.given(np.zeros((len(labels), 1)))
    table = controls.from_labels(
      dataclasses.replace(table, frames=table.frames.assign(**columns))
    )[-1]
    return probes.probe(table, labels, split, config=probes.DEFAULT)

  def test_long_events_are_told_by_their_neighbours_alone(self):
    labels = pd.DataFrame({'AU01': np.arange(300) // 30 % 2 * 1.0})
    (row,), impossible = self._probe(labels, _split(300))
    self.assertEmpty(impossible)
    self.assertGreater(row['auc'], 0.95)
    self.assertGreater(row['f1'], 0.9)

  def test_noise_is_at_chance(self):
    _, labels = _example(2000)
    (row,), _ = self._probe(labels, _split(2000))
    self.assertBetween(row['auc'], 0.4, 0.6)

  def test_another_video_says_nothing_and_is_not_named(self):
    _, labels = _example(300)
    test = np.arange(300) >= 200
    split = splits.Split('forward', ~test, test, ('AU01',))
    found = self._probe(labels, split, video_id=np.where(test, 'v2', 'v1'))
    self.assertEqual(found, ([], []))


class PrepareTest(parameterized.TestCase):
  def test_training_part_has_mean_0_and_standard_deviation_1(self):
    data, _ = _example()
    train, _ = probes.prepare(
      data[:200], data[200:], source='psm', config=probes.DEFAULT
    )
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(train.std(axis=0), 1, rtol=1e-12)

  @parameterized.parameters('psm', 'pixel_pca')
  def test_test_part_does_not_move_the_training_part(self, source):
    data, _ = _example(num_features=80)
    one, other = (
      probes.prepare(data[:200], test, source=source, config=probes.DEFAULT)[0]
      for test in (data[200:], 100 * data[200:])
    )
    np.testing.assert_array_equal(one, other)

  def test_length_of_an_embedding_does_not_matter(self):
    data, _ = _example()
    scale = np.random.default_rng(0).uniform(1, 9, (300, 1))
    for one, other in zip(
      probes.prepare(
        data[:200], data[200:], source='psm', config=probes.DEFAULT
      ),
      probes.prepare(
        data[:200] * scale[:200],
        data[200:] * scale[200:],
        source='psm',
        config=probes.DEFAULT,
      ),
      strict=True,
    ):
      np.testing.assert_allclose(one, other, atol=1e-5)

  def test_column_constant_in_training_is_0_in_both_parts(self):
    data, _ = _example()
    data[:200, 3] = 0.1
    train, test = probes.prepare(
      data[:200],
      data[200:],
      source='psm',
      config=probes.ProbeConfig(l2_normalise=False),
    )
    np.testing.assert_array_equal(train[:, 3], 0)
    np.testing.assert_array_equal(test[:, 3], 0)

  def test_zero_embedding_stays_finite(self):
    data, _ = _example()
    data[0] = 0
    train, _ = probes.prepare(
      data[:200], data[200:], source='psm', config=probes.DEFAULT
    )
    self.assertTrue(np.isfinite(train).all())

  @parameterized.parameters(6, 300)
  def test_components_beyond_the_rank_are_0(self, num_features):
    generator = np.random.default_rng(0)
    data = generator.normal(size=(150, 3)) @ generator.normal(
      size=(3, num_features)
    )
    train, test = probes.prepare(
      data[:100],
      data[100:],
      source='psm',
      config=probes.ProbeConfig(l2_normalise=False, num_components=6),
    )
    self.assertEqual(train.shape, (100, 6))
    np.testing.assert_array_equal(train[:, 3:], 0)
    np.testing.assert_array_equal(test[:, 3:], 0)
    np.testing.assert_allclose(
      train[:, :3].T @ train[:, :3] / 100, np.eye(3), atol=1e-9
    )

  def test_few_training_frames_give_fewer_components(self):
    data, _ = _example(num_features=80)
    train, test = probes.prepare(
      data[:20], data[20:], source='pixel_pca', config=probes.DEFAULT
    )
    self.assertEqual(train.shape, (20, 20))
    self.assertTrue(np.isfinite(test).all())


class PoseFeaturesTest(absltest.TestCase):
  def test_angles_are_neither_scaled_to_unit_length_nor_reduced(self):
    data, _ = _example(num_features=7)
    train, test = probes.prepare(
      data[:200],
      data[200:],
      source='head_pose',
      config=probes.ProbeConfig(l2_normalise=True, num_components=2),
    )
    mean, std = data[:200].mean(axis=0), data[:200].std(axis=0)
    np.testing.assert_allclose(train, (data[:200] - mean) / std, atol=1e-5)
    np.testing.assert_allclose(test, (data[200:] - mean) / std, atol=1e-5)


class ConfigTest(parameterized.TestCase):
  @parameterized.parameters(
    {'splits': ('loso',)},
    {'splits': ()},
    {'min_base_rate': 1.0},
    {'guard_s': -1.0},
    {'inverse_penalty': 0.0},
    {'num_components': 0},
    {'num_frame_resamples': 0},
    {'num_block_resamples': 0},
    {'block_s': 0.0},
    {'threshold_from': 'test'},
  )
  def test_value_out_of_range_is_an_error_that_names_the_field(self, **options):
    (field,) = options
    with self.assertRaisesRegex(ValueError, field):
      probes.ProbeConfig(**options)


if __name__ == '__main__':
  absltest.main()
