import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized
from sklearn import linear_model, metrics, pipeline
from sklearn import preprocessing as skl_preprocessing

from psm_jax.evaluation import controls, expressions, features, probes, splits
from tests.evaluation import people

_CONFIG = probes.ProbeConfig(l2_normalise=False)


def _example(num_frames=300, *, noise=1.0, seed=0):
  generator = np.random.default_rng(seed)
  number = generator.integers(3, size=num_frames)
  data = 2 * np.eye(3, 6)[number] + noise * generator.normal(
    size=(num_frames, 6)
  )
  return data, np.array(['anger', 'happy', 'sad'])[number]


def _split(num_frames):
  test = np.arange(num_frames) % 5 == 0
  return splits.Split('within', ~test, test, ())


class ClassesTest(absltest.TestCase):
  def test_text_and_whole_numbers_are_classes_and_empty_is_unknown(self):
    for values, expected in (
      (['a', ' b ', '', None], ['a', 'b', '', '']),
      ([3, 0, 1, 3], ['3', '0', '1', '3']),
      ([3.0, np.nan, 1.5, 0.0], ['3', '', '1.5', '0']),
      (pd.array([3, pd.NA], 'Int64'), ['3', '']),
    ):
      found = expressions.classes(pd.DataFrame({'expression': values}))
      self.assertEqual(found.tolist(), expected)

  def test_without_the_column_all_are_unknown(self):
    found = expressions.classes(pd.DataFrame({'frame': [0, 1]}))
    self.assertEqual(found.tolist(), ['', ''])

  def test_labels_are_one_column_a_class(self):
    labels = expressions.as_labels(np.array(['b', '', 'a'], object))
    self.assertEqual(list(labels), ['a', 'b'])
    np.testing.assert_array_equal(labels, [[0, 1], [np.nan, np.nan], [1, 0]])


class ProbeTest(parameterized.TestCase):
  @parameterized.parameters(0, 1)
  def test_equals_a_pipeline_of_scikit_learn(self, seed):
    data, expression = _example(noise=2.0, seed=seed)
    table, split = people.given(data, expression=expression), _split(300)
    row = expressions.probe(
      table, expressions.classes(table.frames), split, config=_CONFIG
    )
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
    data, expression = _example()
    hidden = expression.astype(object)
    hidden[np.arange(300) % 7 == 0] = None
    table = people.given(data, expression=hidden)
    row = expressions.probe(
      table, expressions.classes(table.frames), _split(300), config=_CONFIG
    )
    self.assertEqual(row['n_train'] + row['n_test'], (hidden != None).sum())  # noqa: E711

  def test_a_part_without_classes_gives_no_row(self):
    data, expression = _example()
    split = _split(300)
    for hidden in (
      np.where(split.train, 'anger', expression),
      np.where(split.test, '', expression),
    ):
      table = people.given(data, expression=hidden)
      found = expressions.classes(table.frames)
      self.assertIsNone(expressions.probe(table, found, split, config=_CONFIG))

  def test_nearest_in_time_takes_the_nearest_class(self):
    table = people.given(
      np.zeros((300, 1)), expression=np.repeat(['a', 'b', 'c'], 100)
    )
    found = expressions.classes(table.frames)
    nearest = controls.from_labels(table)[-1]
    row = expressions.probe(nearest, found, _split(300), config=_CONFIG)
    # Frames 100 and 200 are as near to the class before.
    self.assertAlmostEqual(row['accuracy'], 58 / 60)
    apart = table.frames.assign(video_id=np.where(_split(300).test, 'v2', 'v1'))
    nearest = features.FeatureTable(
      'nearest_in_time', 'm', 'P1', nearest.features, apart
    )
    self.assertIsNone(
      expressions.probe(nearest, found, _split(300), config=_CONFIG)
    )


class ScoreTest(absltest.TestCase):
  def test_class_that_training_lacks_counts_as_missed(self):
    row = expressions.score(
      np.array(['a', 'b'], object),
      np.array(['a', 'a', 'b', 'c'], object),
      np.array(['a', 'a', 'b', 'b'], object),
    )
    self.assertEqual((row['num_classes'], row['num_test_classes']), (2, 3))
    self.assertAlmostEqual(row['accuracy'], 0.75)
    self.assertAlmostEqual(row['balanced_accuracy'], 2 / 3)
    self.assertAlmostEqual(row['macro_f1'], (1 + 2 / 3 + 0) / 3)
    self.assertAlmostEqual(row['largest_share'], 0.5)


if __name__ == '__main__':
  absltest.main()
