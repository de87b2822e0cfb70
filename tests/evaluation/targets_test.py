import numpy as np
import pandas as pd
from absl.testing import absltest

from psm_jax.evaluation import targets


class ClassesTest(absltest.TestCase):
  def test_text_and_whole_numbers_are_classes_and_empty_is_unknown(self):
    for values, expected in (
      (['a', ' b ', '', None], ['a', 'b', '', '']),
      ([3, 0, 1, 3], ['3', '0', '1', '3']),
      ([3.0, np.nan, 1.5, 0.0], ['3', '', '1.5', '0']),
      (pd.array([3, pd.NA], 'Int64'), ['3', '']),
    ):
      found = targets.expression(pd.DataFrame({'expression': values})).values
      self.assertEqual(found.tolist(), expected)

  def test_without_the_column_all_are_unknown(self):
    found = targets.expression(pd.DataFrame({'frame': [0, 1]})).values
    self.assertEqual(found.tolist(), ['', ''])

  def test_labels_are_one_column_a_class(self):
    labels = targets.as_labels(np.array(['b', '', 'a'], object))
    self.assertEqual(list(labels), ['a', 'b'])
    np.testing.assert_array_equal(labels, [[0, 1], [np.nan, np.nan], [1, 0]])


class NumbersTest(absltest.TestCase):
  def test_binary_labels_and_presence_are_not_graded(self):
    frames = pd.DataFrame(
      {'AU01': [0, 1, 2.0], 'AU02_c': [0, 1, 2.0], 'AU04': [0, 1, 1.0]}
    )
    (graded,) = targets.intensities(frames, ('AU01', 'AU02_c', 'AU04'))
    self.assertEqual(graded.name, 'AU01')
    np.testing.assert_array_equal(graded.values[:, 0], [0, 1, 2])

  def test_landmarks_are_all_or_none_and_known_where_all_are(self):
    points = {f'{axis}{k}': [1.0, 2.0] for k in range(68) for axis in 'xy'}
    frames = pd.DataFrame({**points, 'pose_yaw': [np.nan, 3.0]})
    frames.loc[0, 'y40'] = np.nan
    yaw, marks = targets.numbers(frames)
    self.assertEqual((yaw.name, marks.name), ('yaw', 'landmarks'))
    self.assertEqual(marks.values.shape, (2, 136))
    for target in (yaw, marks):
      self.assertEqual(target.known.tolist(), [False, True])
    self.assertEmpty(targets.numbers(frames[['x0', 'y0']]))

  def test_an_angle_that_is_never_labelled_is_not_asked_for(self):
    self.assertEmpty(targets.numbers(pd.DataFrame({'pose_yaw': [np.nan]})))


if __name__ == '__main__':
  absltest.main()
