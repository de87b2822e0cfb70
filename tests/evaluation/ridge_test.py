import numpy as np
from absl.testing import absltest, parameterized
from sklearn import linear_model, model_selection

from psm_jax.evaluation import ridge

_PENALTIES = (1.0, 10.0, 100.0, 1000.0)


def _data(num_train=60, num_features=8, *, noise):
  generator = np.random.default_rng(0)
  data = generator.normal(size=(num_train + 30, num_features))
  weights = generator.normal(size=(num_features, 2))
  target = data @ weights + noise * generator.normal(size=(len(data), 2)) + 7
  return data[:num_train], target[:num_train], data[num_train:]


def _folds(num_frames):
  """Returns five stretches of frames, each left out once."""
  stretch = np.arange(num_frames) * 5 // num_frames
  return [(stretch != number, stretch == number) for number in range(5)]


def _predict(train, known, test, **options):
  """Returns what is told of the test part, and the penalties."""
  options = {'folds': _folds(len(train)), **options}
  model = ridge.fit(train, known, penalties=_PENALTIES, **options)
  return model.predict(test).reshape(len(test), -1), model.alpha


class PredictTest(parameterized.TestCase):
  @parameterized.parameters((8, 0.1), (8, 20.0), (90, 3.0))
  def test_it_is_what_a_search_of_scikit_learn_finds(self, size, noise):
    train, known, test = _data(num_features=size, noise=noise)
    told, chosen = _predict(train, known, test)
    for target in range(2):
      model = linear_model.RidgeCV(
        _PENALTIES,
        cv=model_selection.KFold(5),
        scoring='neg_mean_squared_error',
      ).fit(train, known[:, target])
      self.assertEqual(chosen[target], model.alpha_)
      np.testing.assert_allclose(
        told[:, target], model.predict(test), rtol=1e-6
      )

  def test_noise_is_told_by_its_mean(self):
    generator = np.random.default_rng(1)
    train, test = generator.normal(size=(2, 200, 10))
    known = generator.normal(size=(200, 1)) + 5
    told, _ = _predict(train, known, test)
    np.testing.assert_allclose(told, known.mean(), atol=0.2)

  def test_a_group_has_the_penalty_of_its_summed_errors(self):
    train, known, test = _data(noise=0.1)
    # The second target is noise and wants the largest penalty.
    noise = 100 * np.random.default_rng(3).normal(size=len(train))
    known = np.stack([known[:, 0], noise, known[:, 1]], axis=1)
    _, alone = _predict(train, known, test)
    _, grouped = _predict(train, known, test, sizes=[2, 1])
    self.assertEqual(alone.tolist(), [1.0, 1000.0, 1.0])
    self.assertEqual(grouped.tolist(), [1000.0, 1000.0, 1.0])

  def test_folds_of_an_empty_part_leave_the_middle_penalty(self):
    train, known, test = _data(noise=0.1)
    nobody = np.zeros(len(train), bool)
    _, chosen = _predict(train, known, test, folds=[(~nobody, nobody)])
    self.assertEqual(chosen.tolist(), [100.0, 100.0])


class ValidationErrorsTest(absltest.TestCase):
  def test_they_equal_ridge_of_scikit_learn_for_every_penalty(self):
    data, targets, _ = _data(80, 5, noise=1.0)
    fit = np.arange(80) < 50
    errors = ridge.validation_errors(
      data, targets, penalties=_PENALTIES, folds=[(fit, ~fit)]
    )
    for penalty, own in zip(_PENALTIES, errors, strict=True):
      model = linear_model.Ridge(penalty).fit(data[fit], targets[fit])
      expected = (model.predict(data[~fit]) - targets[~fit]) ** 2
      np.testing.assert_allclose(own, expected.sum(axis=0), rtol=1e-8)


if __name__ == '__main__':
  absltest.main()
