import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized
from sklearn import linear_model, metrics, model_selection, pipeline
from sklearn import preprocessing as skl_preprocessing

from psm_jax.evaluation import controls, probes, regression, splits
from tests.evaluation import people

_CONFIG = probes.ProbeConfig(l2_normalise=False, guard_s=0.0)


def _split(num_frames):
  test = np.arange(num_frames) >= 0.8 * num_frames
  return splits.Split('within', ~test, test, ('AU01',))


def _example(num_frames=300, num_features=8, *, noise=1.0, seed=0):
  generator = np.random.default_rng(seed)
  data = generator.normal(size=(num_frames, num_features))
  target = data @ generator.normal(size=num_features)
  return data, target + noise * generator.normal(size=num_frames)


def _landmarks(points):
  """Returns columns x0, y0, ... of [n, 68, 2]."""
  return {
    f'{axis}{k}': points[:, k, index]
    for k in range(68)
    for index, axis in enumerate('xy')
  }


class IccTest(parameterized.TestCase):
  def test_equals_the_example_of_shrout_and_fleiss(self):
    # Table 2 of Shrout and Fleiss (1979): 6 targets, 4 judges, ICC(3,1) = .71.
    ratings = np.array(
      [
        [9, 2, 5, 8],
        [6, 1, 3, 2],
        [8, 4, 6, 8],
        [7, 1, 2, 6],
        [10, 5, 6, 9],
        [6, 2, 4, 7],
      ],
      float,
    )
    self.assertAlmostEqual(regression.icc(ratings), 0.7148, places=4)

  @parameterized.parameters(0, 1, 2)
  def test_of_two_raters_is_twice_the_covariance_over_the_variances(self, seed):
    ratings = np.random.default_rng(seed).gamma(2.0, size=(40, 2))
    ratings[:, 1] += 0.7 * ratings[:, 0]
    cov = np.cov(ratings.T)
    self.assertAlmostEqual(
      regression.icc(ratings), 2 * cov[0, 1] / (cov[0, 0] + cov[1, 1])
    )

  def test_an_offset_does_not_matter_and_a_scale_does(self):
    label = np.random.default_rng(0).normal(size=30)
    self.assertAlmostEqual(
      regression.icc(np.stack([label, label + 5], axis=1)), 1.0
    )
    # 2 * 3 / (1 + 9) for three times the spread.
    self.assertAlmostEqual(
      regression.icc(np.stack([label, 3 * label], axis=1)), 0.6
    )
    self.assertAlmostEqual(
      regression.icc(np.stack([label, -label], axis=1)), -1.0
    )

  def test_without_any_spread_is_nan(self):
    self.assertTrue(np.isnan(regression.icc(np.ones((5, 2)))))
    self.assertTrue(np.isnan(regression.icc(np.ones((1, 2)))))


class ScoreTest(parameterized.TestCase):
  def _intensity(self, table, split=None, config=_CONFIG):
    rows, _ = regression.score(
      table,
      split or _split(len(table.frames)),
      units=('AU01',),
      config=config,
    )
    return rows

  @parameterized.parameters(1.0, 30.0)
  def test_intensity_equals_a_grid_search_of_scikit_learn(self, noise):
    data, target = _example(noise=noise)
    (row,) = self._intensity(people.given(data, AU01=target))
    train, test = np.arange(240), np.arange(240, 300)
    folds = model_selection.PredefinedSplit(np.repeat(range(4), 60))
    scaler = skl_preprocessing.StandardScaler().fit(data[train])
    search = model_selection.GridSearchCV(
      linear_model.Ridge(),
      {'alpha': regression.ALPHAS},
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
    data, target = _example()
    table = people.given(data, pose_yaw=10 * target, pose_roll=np.nan)
    _, (row,) = regression.score(table, _split(300), units=(), config=_CONFIG)
    model = pipeline.make_pipeline(
      skl_preprocessing.StandardScaler(), linear_model.Ridge(row['alpha'])
    ).fit(data[:240], 10 * target[:240])
    predicted = model.predict(data[240:])
    self.assertEqual(row['target'], 'yaw')
    self.assertAlmostEqual(
      row['r2'], metrics.r2_score(10 * target[240:], predicted), places=5
    )
    self.assertAlmostEqual(
      row['mae_deg'],
      metrics.mean_absolute_error(10 * target[240:], predicted),
      places=4,
    )

  def test_targets_together_equal_each_alone(self):
    data, target = _example()
    other = _example(seed=1)[1]
    both = people.given(data, pose_yaw=target, AU01=other)
    rows, (yaw,) = regression.score(
      both, _split(300), units=('AU01',), config=_CONFIG
    )
    _, (alone,) = regression.score(
      people.given(data, pose_yaw=target), _split(300), units=(), config=_CONFIG
    )
    for name in ('alpha', 'r2', 'mae_deg'):
      self.assertAlmostEqual(yaw[name], alone[name])
    self.assertAlmostEqual(
      rows[0]['mse'], self._intensity(people.given(data, AU01=other))[0]['mse']
    )

  def test_unlabelled_frames_are_left_out_of_both_parts(self):
    data, target = _example()
    known = np.arange(300) % 3 > 0
    (row,) = self._intensity(
      people.given(data, AU01=np.where(known, target, np.nan))
    )
    whole = people.given(data[known], AU01=target[known])
    split = splits.Split(
      'within', np.arange(200) < 160, np.arange(200) >= 160, ('AU01',)
    )
    (expected,) = self._intensity(whole, split)
    self.assertEqual((row['n_train'], row['n_test']), (160, 40))
    self.assertEqual(row['alpha'], expected['alpha'])
    # Features are standardised on all training frames, labelled or not.
    self.assertAlmostEqual(row['mse'], expected['mse'], delta=0.05)

  def test_binary_labels_are_not_graded(self):
    data, target = _example()
    binary = people.given(data, AU01=(target > 0) * 1.0)
    self.assertEmpty(self._intensity(binary))
    self.assertEqual(
      regression.graded(
        pd.DataFrame({'AU01': [0, 1, 2.0], 'AU02_c': [0, 1, 2.0]}),
        ('AU01', 'AU02_c'),
      ),
      ['AU01'],
    )

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
      regression.score(
        people.given(own, **_landmarks(moved)),
        _split(300),
        units=(),
        config=_CONFIG,
      )[1][0]
      for own in (data + noise, generator.normal(size=data.shape))
    )
    self.assertEqual(found['target'], 'landmarks')
    self.assertLess(found['nme'], 0.005)
    self.assertGreater(lost['nme'], 0.02)
    self.assertEqual(found['n_test'], 60)

  def test_head_pose_is_not_asked_for_itself(self):
    data, target = _example()
    table = people.given(data, pose_yaw=target)
    pose, _ = controls.from_labels(table)
    _, rows = regression.score(pose, _split(300), units=(), config=_CONFIG)
    self.assertEmpty(rows)

  def test_nearest_in_time_predicts_the_neighbours_mean(self):
    angle = np.arange(300.0)
    table = people.given(np.zeros((300, 1)), pose_yaw=angle)
    (nearest,) = [
      t for t in controls.from_labels(table) if t.source == 'nearest_in_time'
    ]
    test = np.arange(300) % 3 == 1
    _, (row,) = regression.score(
      nearest,
      splits.Split('within', ~test, test, ()),
      units=(),
      config=_CONFIG,
    )
    self.assertAlmostEqual(row['mae_deg'], 0.0)
    self.assertAlmostEqual(row['r2'], 1.0)
    self.assertTrue(np.isnan(row['alpha']))

  def test_nearest_in_time_without_neighbours_has_no_row(self):
    table = people.given(np.zeros((300, 1)), pose_yaw=np.arange(300.0))
    table.frames['video_id'] = np.repeat(['v1', 'v2'], [240, 60])
    nearest = controls.from_labels(table)[-1]
    _, rows = regression.score(nearest, _split(300), units=(), config=_CONFIG)
    self.assertEmpty(rows)

  def test_constant_angle_has_an_error_but_no_r2(self):
    data, _ = _example()
    _, (row,) = regression.score(
      people.given(data, pose_yaw=3.0), _split(300), units=(), config=_CONFIG
    )
    self.assertTrue(np.isnan(row['r2']))
    self.assertAlmostEqual(row['mae_deg'], 0.0)


class NmeTest(absltest.TestCase):
  def test_distance_is_in_units_of_the_eye_corners(self):
    truth = np.random.default_rng(0).normal(size=(5, 68, 2))
    truth[:, 36], truth[:, 45] = (0, 0), (3, 4)  # 5 apart.
    self.assertAlmostEqual(regression.nme(truth, truth + [0.6, 0.8]), 0.2)

  def test_only_the_true_corners_count_and_frames_without_are_left_out(self):
    truth = np.zeros((2, 68, 2))
    truth[0, 45] = (2, 0)
    self.assertAlmostEqual(regression.nme(truth, truth + [1, 0]), 0.5)
    self.assertTrue(np.isnan(regression.nme(truth[1:], truth[1:])))


if __name__ == '__main__':
  absltest.main()
