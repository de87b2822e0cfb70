import dataclasses
from unittest import mock

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized
from sklearn import (
  decomposition,
  linear_model,
  metrics,
  model_selection,
  pipeline,
  preprocessing as skl_preprocessing,
)

from psm_jax.evaluation import (
  asking,
  controls,
  features,
  probes,
  splits,
  targets,
)
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


def _ask(table, labels, split, *, config=probes.DEFAULT):
  """Returns the metrics of each action unit, and what could not be fitted."""
  asked = targets.units(labels, split.action_units)
  answers, impossible = asking.ask(table, split, asked, config=config)
  return [
    {
      'au': a.target,
      'n_train': len(a.train),
      'n_test': len(a.rows),
      **a.score(config),
    }
    for a in answers
  ], impossible


def _prepare(train, test, *, source='psm', config=probes.DEFAULT):
  """Returns both parts prepared as the training part asks."""
  table = people.given(np.concatenate([train, test]), source)
  both = probes.scaled(table, config)
  train, test = np.split(both, [len(train)])
  made = probes.preparation(train, source=source, config=config)
  return made.transform(train), made.transform(test)


class ProbeTest(parameterized.TestCase):
  @parameterized.parameters(
    ('psm', {}, [skl_preprocessing.Normalizer()]),
    ('psm', {'l2_normalise': False}, []),
    (
      'pixel_pca',
      {'pixel_components': (4,)},
      [decomposition.PCA(4, svd_solver='full')],
    ),
    (
      'pixel_pca',
      {'pixel_components': (64,)},
      [decomposition.PCA(64, svd_solver='full')],
    ),
    ('psm', {'inverse_penalties': (0.1,)}, [skl_preprocessing.Normalizer()]),
  )
  def test_equals_a_pipeline_of_scikit_learn(self, source, options, steps):
    data, labels = _example(num_features=80)
    split = _split(300)
    options = {'inverse_penalties': (1.0,)} | options
    config = probes.ProbeConfig(**options)
    (row,), impossible = _ask(
      people.given(data, source), labels, split, config=config
    )
    model = pipeline.make_pipeline(
      *steps,
      skl_preprocessing.StandardScaler(),
      linear_model.LogisticRegression(
        C=config.inverse_penalties[0],
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

  def test_each_training_frame_is_once_told_by_probes_of_other_blocks(self):
    data, labels = _example()
    with mock.patch.object(probes, 'fit', wraps=probes.fit) as fit:
      config = probes.ProbeConfig(guard_s=0.1)
      _ask(people.given(data), labels, _split(300), config=config)
    ((train, _, folds),) = (call.args for call in fit.call_args_list)
    self.assertLen(folds, probes.NUM_INNER_FOLDS)
    validated = np.sum([validate for _, validate in folds], axis=0)
    np.testing.assert_array_equal(validated, np.ones(len(train)))
    for inside, validate in folds:
      self.assertFalse((inside & validate).any())
      self.assertGreater(inside.sum(), 2 * validate.sum())

  def test_planted_signal_is_found(self):
    data, labels = _example(weight=50.0)
    config = probes.ProbeConfig(l2_normalise=False)
    (row,), _ = _ask(people.given(data), labels, _split(300), config=config)
    self.assertGreater(row['auc'], 0.98)
    self.assertGreater(row['f1'], 0.85)

  def test_noise_is_at_chance(self):
    aucs = []
    for seed in range(8):
      data, labels = _example(weight=0.0, seed=seed)
      (row,), _ = _ask(
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
    (row,), _ = _ask(
      people.given(data), labels.where(known), split, config=probes.DEFAULT
    )
    train, test = _prepare(
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
    together, _ = _ask(
      people.given(data),
      labels,
      _split(300, 'AU01', 'AU02'),
      config=probes.DEFAULT,
    )
    (alone,), _ = _ask(
      people.given(data), labels, _split(300), config=probes.DEFAULT
    )
    self.assertEqual([row['au'] for row in together], ['AU01', 'AU02'])
    self.assertEqual(together[0], alone)

  def test_training_part_of_one_class_is_reported(self):
    data, labels = _example()
    split = _split(300)
    labels['AU01'] = split.test * 1.0
    rows, impossible = _ask(
      people.given(data), labels, split, config=probes.DEFAULT
    )
    self.assertEqual((rows, impossible), ([], ['AU01']))

  def test_constant_features_score_at_chance(self):
    data, labels = _example()
    for source in ('psm', 'pixel_pca'):
      (row,), _ = _ask(
        people.given(np.ones_like(data), source),
        labels,
        _split(300),
        config=probes.DEFAULT,
      )
      self.assertEqual(row['auc'], 0.5)


class ThresholdTest(absltest.TestCase):
  def _rows(self, labels, data, **options):
    """Returns the metrics, and the scores of the test part."""
    config = probes.ProbeConfig(l2_normalise=False, guard_s=0.1, **options)
    test = np.arange(len(data)) >= 0.75 * len(data)
    split = splits.Split('within', ~test, test, ('AU01',))
    (answer,), _ = asking.ask(
      people.given(data),
      split,
      targets.units(labels, ('AU01',)),
      config=config,
    )
    return answer.score(config), answer.told

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
    np.testing.assert_array_equal(one, other)


class ChoiceTest(absltest.TestCase):
  """C and the number of components, chosen on blocks of the training part."""

  def _labels(self, data, seed):
    generator = np.random.default_rng(seed + 100)
    score = data[:, 0] + 0.5 * generator.normal(size=len(data))
    return pd.DataFrame({'AU01': (score > 0.5) * 1.0})

  def _auc(self, data, labels, source='psm', **options):
    config = probes.ProbeConfig(l2_normalise=False, guard_s=0.0, **options)
    test = np.arange(len(data)) >= len(data) // 2
    split = splits.Split('within', ~test, test, ('AU01',))
    (row,), _ = _ask(people.given(data, source), labels, split, config=config)
    return row['auc']

  def test_of_many_useless_features_the_strong_penalty_is_chosen(self):
    gains = []
    for seed in range(5):
      data = np.random.default_rng(seed).normal(size=(240, 60))
      labels = self._labels(data, seed)
      weak, strong = (
        self._auc(data, labels, inverse_penalties=(c,)) for c in (100.0, 0.003)
      )
      chosen = self._auc(data, labels, inverse_penalties=(100.0, 0.003))
      self.assertIn(chosen, (weak, strong))
      gains.append(chosen - weak)
    self.assertGreater(np.mean(gains), 0.01)

  def test_as_many_components_are_taken_as_tell_the_action_unit(self):
    # The action unit is in the third of the widest directions.
    data = np.random.default_rng(0).normal(size=(240, 40))
    labels = self._labels(data, 0)
    data[:, 1:3] *= 3
    data[:, 0] *= 2
    few, right, chosen = (
      self._auc(data, labels, 'pixel_pca', pixel_components=sizes)
      for sizes in ((2,), (3,), (2, 3))
    )
    self.assertGreater(right, few + 0.2)
    self.assertEqual(chosen, right)

  def test_one_value_asks_no_block(self):
    data = np.random.default_rng(0).normal(size=(60, 4))
    labels = self._labels(data, 0)
    with absltest.mock.patch.object(probes.logistic, 'validated') as validated:
      self._auc(data, labels)
    validated.assert_not_called()


class NearestInTimeTest(absltest.TestCase):
  def _probe(self, labels, split, **columns):
    table = people.given(np.zeros((len(labels), 1)))
    table = controls.from_labels(
      dataclasses.replace(table, frames=table.frames.assign(**columns))
    )[-1]
    return _ask(table, labels, split, config=probes.DEFAULT)

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
    train, _ = _prepare(
      data[:200], data[200:], source='psm', config=probes.DEFAULT
    )
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(train.std(axis=0), 1, rtol=1e-12)

  @parameterized.parameters('psm', 'pixel_pca')
  def test_test_part_does_not_move_the_training_part(self, source):
    data, _ = _example(num_features=80)
    one, other = (
      _prepare(data[:200], test, source=source, config=probes.DEFAULT)[0]
      for test in (data[200:], 100 * data[200:])
    )
    np.testing.assert_array_equal(one, other)

  def test_length_of_an_embedding_does_not_matter(self):
    data, _ = _example()
    scale = np.random.default_rng(0).uniform(1, 9, (300, 1))
    for one, other in zip(
      _prepare(data[:200], data[200:], source='psm', config=probes.DEFAULT),
      _prepare(
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
    train, test = _prepare(
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
    train, _ = _prepare(
      data[:200], data[200:], source='psm', config=probes.DEFAULT
    )
    self.assertTrue(np.isfinite(train).all())

  @parameterized.parameters(6, 300)
  def test_components_beyond_the_rank_are_0(self, num_features):
    generator = np.random.default_rng(0)
    data = generator.normal(size=(150, 3)) @ generator.normal(
      size=(3, num_features)
    )
    train, test = _prepare(
      data[:100],
      data[100:],
      source='pixel_pca',
      config=probes.ProbeConfig(pixel_components=(6,)),
    )
    self.assertEqual(train.shape, (100, 6))
    np.testing.assert_array_equal(train[:, 3:], 0)
    np.testing.assert_array_equal(test[:, 3:], 0)
    np.testing.assert_allclose(
      train[:, :3].T @ train[:, :3] / 100, np.eye(3), atol=1e-9
    )

  def test_few_training_frames_give_fewer_components(self):
    data, _ = _example(num_features=80)
    train, test = _prepare(
      data[:20], data[20:], source='pixel_pca', config=probes.DEFAULT
    )
    self.assertEqual(train.shape, (20, 20))
    self.assertTrue(np.isfinite(test).all())


class PoseFeaturesTest(absltest.TestCase):
  def test_angles_are_neither_scaled_to_unit_length_nor_reduced(self):
    data, _ = _example(num_features=7)
    train, test = _prepare(
      data[:200],
      data[200:],
      source='head_pose',
      config=probes.DEFAULT,
    )
    mean, std = data[:200].mean(axis=0), data[:200].std(axis=0)
    np.testing.assert_allclose(train, (data[:200] - mean) / std, atol=1e-5)
    np.testing.assert_allclose(test, (data[200:] - mean) / std, atol=1e-5)


_PLAIN = probes.ProbeConfig(
  l2_normalise=False, guard_s=0.0, inverse_penalties=(1.0,)
)


def _classes(num_frames=300, *, noise=1.0, seed=0):
  generator = np.random.default_rng(seed)
  number = generator.integers(3, size=num_frames)
  data = 2 * np.eye(3, 6)[number] + noise * generator.normal(
    size=(num_frames, 6)
  )
  return data, np.array(['anger', 'happy', 'sad'])[number]


def _told(table, split):
  """Returns the metrics of the classes of a table, None without an answer."""
  asked = [targets.expression(table.frames)]
  answers, _ = asking.ask(table, split, asked, config=_PLAIN)
  if not answers:
    return None
  (answer,) = answers
  sizes = {'n_train': len(answer.train), 'n_test': len(answer.rows)}
  return {**sizes, **answer.score(_PLAIN)}


class ExpressionTest(parameterized.TestCase):
  @parameterized.parameters(0, 1)
  def test_equals_a_pipeline_of_scikit_learn(self, seed):
    data, expression = _classes(noise=2.0, seed=seed)
    table, split = people.given(data, expression=expression), _split(300)
    row = _told(table, split)
    model = pipeline.make_pipeline(
      skl_preprocessing.StandardScaler(),
      linear_model.LogisticRegression(
        class_weight='balanced', tol=1e-8, max_iter=5000
      ),
    ).fit(data[split.train], expression[split.train])
    truth = expression[split.test]
    predicted = model.predict(data[split.test])
    self.assertEqual((row['n_train'], row['n_test']), (240, 60))
    self.assertEqual((row['num_classes'], row['num_test_classes']), (3, 3))
    self.assertAlmostEqual(
      row['accuracy'], metrics.accuracy_score(truth, predicted)
    )
    self.assertAlmostEqual(
      row['balanced_accuracy'],
      metrics.balanced_accuracy_score(truth, predicted),
    )
    self.assertAlmostEqual(
      row['macro_f1'], metrics.f1_score(truth, predicted, average='macro')
    )

  def test_unknown_frames_take_no_part(self):
    data, expression = _classes()
    hidden = expression.astype(object)
    hidden[np.arange(300) % 7 == 0] = None
    table = people.given(data, expression=hidden)
    row = _told(table, _split(300))
    self.assertEqual(row['n_train'] + row['n_test'], (hidden != None).sum())  # noqa: E711

  def test_a_part_without_classes_gives_no_row(self):
    data, expression = _classes()
    split = _split(300)
    for hidden in (
      np.where(split.train, 'anger', expression),
      np.where(split.test, '', expression),
    ):
      table = people.given(data, expression=hidden)
      self.assertIsNone(_told(table, split))

  def test_nearest_in_time_takes_the_nearest_class(self):
    table = people.given(
      np.zeros((300, 1)), expression=np.repeat(['a', 'b', 'c'], 100)
    )
    nearest = controls.from_labels(table)[-1]
    row = _told(nearest, _split(300))
    # Frames 100 and 200 are as near to the class before.
    self.assertAlmostEqual(row['accuracy'], 58 / 60)
    apart = table.frames.assign(video_id=np.where(_split(300).test, 'v2', 'v1'))
    nearest = features.FeatureTable(
      'nearest_in_time', 'm', 'P1', nearest.features, apart
    )
    self.assertIsNone(_told(nearest, _split(300)))


def _regression(num_frames=300, num_features=8, *, noise=1.0, seed=0):
  generator = np.random.default_rng(seed)
  data = generator.normal(size=(num_frames, num_features))
  target = data @ generator.normal(size=num_features)
  return data, target + noise * generator.normal(size=num_frames)


def _last_fifth(num_frames):
  test = np.arange(num_frames) >= 0.8 * num_frames
  return splits.Split('within', ~test, test, ('AU01',))


def _landmarks(points):
  """Returns columns x0, y0, ... of [n, 68, 2]."""
  return {
    f'{axis}{k}': points[:, k, index]
    for k in range(68)
    for index, axis in enumerate('xy')
  }


def _number(table, name, split=None):
  """Returns the metrics of a number of a table, None without an answer."""
  split = split or _last_fifth(len(table.frames))
  units = ('AU01',) if 'AU01' in table.frames else ()
  asked = targets.intensities(table.frames, units)
  asked += targets.numbers(table.frames)
  answers, _ = asking.ask(table, split, asked, config=_PLAIN)
  for answer in answers:
    if answer.target == name:
      sizes = {'n_train': len(answer.train), 'n_test': len(answer.rows)}
      return {**sizes, **answer.score(_PLAIN)}
  return None


class NumbersTest(parameterized.TestCase):
  @parameterized.parameters(1.0, 30.0)
  def test_intensity_equals_a_grid_search_of_scikit_learn(self, noise):
    data, target = _regression(noise=noise)
    row = _number(people.given(data, AU01=target), 'AU01')
    train, test = np.arange(240), np.arange(240, 300)
    folds = model_selection.PredefinedSplit(np.repeat(range(4), 60))
    scaler = skl_preprocessing.StandardScaler().fit(data[train])
    search = model_selection.GridSearchCV(
      linear_model.Ridge(),
      {'alpha': probes.ALPHAS},
      scoring='neg_mean_squared_error',
      cv=folds,
    ).fit(scaler.transform(data[train]), target[train])
    predicted = search.predict(scaler.transform(data[test]))
    self.assertEqual(row['alpha'], search.best_params_['alpha'])
    self.assertEqual((row['n_train'], row['n_test']), (240, 60))
    self.assertAlmostEqual(
      row['mse'],
      metrics.mean_squared_error(target[test], predicted),
      places=5,
    )
    self.assertAlmostEqual(
      row['pearson'], np.corrcoef(predicted, target[test])[0, 1], places=6
    )

  def test_pose_equals_scikit_learn(self):
    data, target = _regression()
    table = people.given(data, pose_yaw=10 * target, pose_roll=np.nan)
    row = _number(table, 'yaw')
    model = pipeline.make_pipeline(
      skl_preprocessing.StandardScaler(), linear_model.Ridge(row['alpha'])
    ).fit(data[:240], 10 * target[:240])
    predicted = model.predict(data[240:])
    self.assertAlmostEqual(
      row['r2'], metrics.r2_score(10 * target[240:], predicted), places=5
    )
    self.assertAlmostEqual(
      row['mae_deg'],
      metrics.mean_absolute_error(10 * target[240:], predicted),
      places=4,
    )

  def test_targets_together_equal_each_alone(self):
    data, target = _regression()
    other = _regression(seed=1)[1]
    both = people.given(data, pose_yaw=target, AU01=other)
    yaw, alone = (
      _number(table, 'yaw')
      for table in (both, people.given(data, pose_yaw=target))
    )
    for name in ('alpha', 'r2', 'mae_deg'):
      self.assertAlmostEqual(yaw[name], alone[name])
    self.assertAlmostEqual(
      _number(both, 'AU01')['mse'],
      _number(people.given(data, AU01=other), 'AU01')['mse'],
    )

  def test_unlabelled_frames_are_left_out_of_both_parts(self):
    data, target = _regression()
    known = np.arange(300) % 3 > 0
    row = _number(
      people.given(data, AU01=np.where(known, target, np.nan)), 'AU01'
    )
    whole = people.given(data[known], AU01=target[known])
    split = splits.Split(
      'within', np.arange(200) < 160, np.arange(200) >= 160, ('AU01',)
    )
    expected = _number(whole, 'AU01', split)
    self.assertEqual((row['n_train'], row['n_test']), (160, 40))
    self.assertEqual(row['alpha'], expected['alpha'])
    # Features are standardised on all training frames, labelled or not.
    self.assertAlmostEqual(row['mse'], expected['mse'], delta=0.05)

  def test_landmarks_in_the_features_are_found(self):
    generator = np.random.default_rng(0)
    data = generator.normal(size=(300, 4))
    shape = 100 * generator.random((68, 2))
    shape[36], shape[45] = (0, 0), (50, 0)
    moved = shape + np.einsum(
      'nd,dkc->nkc', data, generator.normal(size=(4, 68, 2))
    )
    noise = 0.01 * generator.normal(size=data.shape)
    found, lost = (
      _number(people.given(own, **_landmarks(moved)), 'landmarks')
      for own in (data + noise, generator.normal(size=data.shape))
    )
    self.assertLess(found['nme'], 0.005)
    self.assertGreater(lost['nme'], 0.02)
    self.assertEqual(found['n_test'], 60)

  def test_head_pose_is_not_asked_for_itself(self):
    data, target = _regression()
    table = people.given(data, pose_yaw=target)
    pose, _ = controls.from_labels(table)
    self.assertIsNone(_number(pose, 'yaw'))

  def test_nearest_in_time_predicts_the_neighbours_mean(self):
    angle = np.arange(300.0)
    table = people.given(np.zeros((300, 1)), pose_yaw=angle)
    (nearest,) = [
      t for t in controls.from_labels(table) if t.source == 'nearest_in_time'
    ]
    test = np.arange(300) % 3 == 1
    row = _number(nearest, 'yaw', splits.Split('within', ~test, test, ()))
    self.assertAlmostEqual(row['mae_deg'], 0.0)
    self.assertAlmostEqual(row['r2'], 1.0)
    self.assertTrue(np.isnan(row['alpha']))

  def test_nearest_in_time_without_neighbours_has_no_row(self):
    table = people.given(np.zeros((300, 1)), pose_yaw=np.arange(300.0))
    table.frames['video_id'] = np.repeat(['v1', 'v2'], [240, 60])
    nearest = controls.from_labels(table)[-1]
    self.assertIsNone(_number(nearest, 'yaw'))

  def test_constant_angle_has_an_error_but_no_r2(self):
    data, _ = _regression()
    row = _number(people.given(data, pose_yaw=3.0), 'yaw')
    self.assertTrue(np.isnan(row['r2']))
    self.assertAlmostEqual(row['mae_deg'], 0.0)


class ConfigTest(parameterized.TestCase):
  @parameterized.parameters(
    {'splits': ('loso',)},
    {'splits': ()},
    {'inverse_penalties': (1.0, 0.0)},
    {'inverse_penalties': ()},
    {'pixel_components': (0,)},
  )
  def test_value_out_of_range_is_an_error_that_names_the_field(self, **options):
    (field,) = options
    with self.assertRaisesRegex(ValueError, field):
      probes.ProbeConfig(**options)


if __name__ == '__main__':
  absltest.main()
