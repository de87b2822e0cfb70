import numpy as np
from absl.testing import absltest
from sklearn import linear_model, model_selection

from psm_jax.evaluation import ridge


def _data(num_train=60, num_features=8, *, noise):
  generator = np.random.default_rng(0)
  data = generator.normal(size=(num_train + 30, num_features))
  weights = generator.normal(size=(num_features, 2))
  target = data @ weights + noise * generator.normal(size=(len(data), 2)) + 7
  return data[:num_train], target[:num_train], data[num_train:]


class PredictTest(absltest.TestCase):
  def test_it_is_what_a_search_of_scikit_learn_finds(self):
    for size, noise in ((8, 0.1), (8, 20.0), (90, 3.0)):
      train, known, test = _data(num_features=size, noise=noise)
      told = ridge.predict(train, known, test)
      for target in range(2):
        model = linear_model.RidgeCV(
          ridge.PENALTIES,
          cv=model_selection.KFold(ridge.NUM_FOLDS),
          scoring='neg_mean_squared_error',
        ).fit(train, known[:, target])
        np.testing.assert_allclose(
          told[:, target], model.predict(test), rtol=1e-6
        )

  def test_noise_is_told_by_its_mean(self):
    generator = np.random.default_rng(1)
    train, test = generator.normal(size=(2, 200, 10))
    known = generator.normal(size=(200, 1)) + 5
    told = ridge.predict(train, known, test)
    np.testing.assert_allclose(told, known.mean(), atol=0.1)

  def test_too_few_frames_are_an_error(self):
    with self.assertRaisesRegex(ValueError, '4 training frames'):
      ridge.predict(np.zeros((4, 2)), np.zeros((4, 1)), np.zeros((1, 2)))


if __name__ == '__main__':
  absltest.main()
