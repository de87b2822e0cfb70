import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.data.labels import joining, readers


def _table(
  numbers, values=None, *, time_s=None, faces=None, are_pictures=False
):
  numbers = np.array(numbers, np.float64)
  values = numbers if values is None else np.array(values, np.float64)
  nothing = np.full(len(numbers), np.nan)
  return readers.ToolTable(
    numbers=numbers,
    are_pictures=are_pictures,
    time_s=nothing if time_s is None else np.array(time_s, np.float64),
    faces=np.array(faces if faces is not None else [''] * len(numbers)),
    values=pd.DataFrame({'AU01_r': values.astype(np.float32)}),
    landmarks=None,
    problems=(),
  )


def _target(frames, *, fps=25.0):
  return joining.Target('A/v1', np.array(frames), fps)


class FirstFrameTest(parameterized.TestCase):
  @parameterized.parameters((0, 0), (1, 1))
  def test_numbers_tell_where_frames_begin(self, first, expected):
    pairs = [(_target(range(first, first + 6)), _table(range(6)))]
    found, how = joining.first_frame(pairs, choice='check')
    self.assertEqual(found, expected)
    self.assertIn(f'from {expected}', how)

  def test_open_numbers_stop_and_ask(self):
    pairs = [(_target([3, 4]), _table(range(9)))]
    with self.assertRaisesRegex(ValueError, '2 frames.*from 0, 2 if from 1'):
      joining.first_frame(pairs, choice='check')
    self.assertEqual(joining.first_frame(pairs, choice='1')[0], 1)

  def test_one_video_that_begins_at_0_decides_for_all(self):
    pairs = [
      (_target([3, 4]), _table(range(9))),
      (_target([0, 4]), _table(range(9))),
    ]
    self.assertEqual(joining.first_frame(pairs, choice='check')[0], 0)

  def test_a_choice_against_the_numbers_is_remarked(self):
    pairs = [(_target(range(1, 7)), _table(range(6)))]
    first, how = joining.first_frame(pairs, choice='0')
    self.assertEqual(first, 0)
    self.assertIn('the other would fit better', how)

  def test_pictures_own_numbers_need_none(self):
    pairs = [(_target([3]), _table([3], are_pictures=True))]
    self.assertEqual(joining.first_frame(pairs, choice='check')[0], 0)


class JoinTest(parameterized.TestCase):
  def test_rows_are_joined_by_number(self):
    joined, doubt = joining.join(
      _target([1, 2, 5]), _table([0, 1, 2, 3]), first=1
    )
    np.testing.assert_array_equal(joined.values['AU01_r'], [0, 1, np.nan])
    self.assertEqual(joined.has_row.tolist(), [True, True, False])
    self.assertEqual((joined.num_unused, joined.by, doubt), (2, 'frame', ''))

  def test_pictures_are_joined_by_their_own_numbers(self):
    joined, _ = joining.join(
      _target([3, 7]), _table([3, 7], are_pictures=True), first=1
    )
    self.assertEqual(joined.values['AU01_r'].tolist(), [3, 7])

  def test_without_numbers_the_nearest_time_is_taken(self):
    table = _table(
      [np.nan] * 4, [10, 11, 12, 13], time_s=[0.001, 0.045, 0.5, 0.119]
    )
    joined, doubt = joining.join(_target([1, 2, 3, 4]), table, first=1)
    np.testing.assert_array_equal(joined.values['AU01_r'], [10, 11, np.nan, 13])
    self.assertEqual((joined.by, joined.num_unused), ('time', 1))
    self.assertIn('joined by time', doubt)

  def test_half_a_frame_is_the_farthest(self):
    table = _table([np.nan] * 2, [1, 2], time_s=[0.019, 0.0])
    joined, _ = joining.join(_target([0, 1], fps=25.0), table, first=0)
    np.testing.assert_array_equal(joined.values['AU01_r'], [2, np.nan])
    table = _table([np.nan], [1], time_s=[0.0201])
    joined, _ = joining.join(_target([0, 1], fps=25.0), table, first=0)
    np.testing.assert_array_equal(joined.values['AU01_r'], [np.nan, 1])

  def test_tables_of_another_rate_are_joined_by_time(self):
    rows = np.arange(100)
    table = _table(rows, time_s=rows / 50)
    joined, doubt = joining.join(_target(range(50), fps=25.0), table, first=0)
    self.assertEqual(joined.values['AU01_r'].tolist(), list(range(0, 100, 2)))
    self.assertIn('50 rows a second for 25 frames a second', doubt)

  def test_neither_number_nor_time_is_an_error(self):
    with self.assertRaisesRegex(ValueError, 'A/v1.*no usable frame or time'):
      joining.join(_target([1]), _table([np.nan]), first=0)


class ChooseFaceTest(parameterized.TestCase):
  def test_one_face_is_taken(self):
    table, doubt = joining.choose_face(_table([0, 1], faces=['0', '0']), None)
    self.assertLen(table.values, 2)
    self.assertEqual(doubt, '')

  def test_several_faces_need_a_name(self):
    both = _table([0, 0, 1], [1, 2, 3], faces=['0', '1', '1'])
    table, doubt = joining.choose_face(both, None)
    self.assertEmpty(table.values)
    self.assertIn('2 faces (0, 1)', doubt)
    table, doubt = joining.choose_face(both, '1')
    self.assertEqual(table.values['AU01_r'].tolist(), [2, 3])
    self.assertEqual(doubt, '')

  def test_a_face_that_is_not_there_is_named(self):
    table, doubt = joining.choose_face(_table([0], faces=['0']), '7')
    self.assertEmpty(table.values)
    self.assertIn("no row of face '7'; there are 0", doubt)

  def test_nameless_faces_of_one_frame_are_left_out(self):
    table, doubt = joining.choose_face(_table([0, 1, 1, 2]), None)
    self.assertEqual(table.numbers.tolist(), [0, 2])
    self.assertIn('1 frames have several faces', doubt)


class LagTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    noise = np.random.default_rng(0).standard_normal(400)
    self.signal = pd.Series(noise).rolling(5, min_periods=1).mean()

  @parameterized.parameters(-1, 1, 3)
  def test_labels_on_the_wrong_frames_are_noticed(self, late):
    found = joining.lag(
      pd.DataFrame({'AU12': self.signal}),
      pd.DataFrame({'AU12_r': self.signal.shift(late)}),
    )
    self.assertEqual(found[:2], ('AU12', late))
    self.assertGreater(found[2], 0.999)
    self.assertLess(found[3], 0.9)

  def test_labels_on_the_right_frames_are_not(self):
    noisy = self.signal + 0.1 * np.random.default_rng(1).standard_normal(400)
    self.assertIsNone(
      joining.lag(
        pd.DataFrame({'AU12': self.signal}), pd.DataFrame({'AU12_r': noisy})
      )
    )

  def test_too_few_frames_say_nothing(self):
    few = self.signal[:50]
    self.assertIsNone(
      joining.lag(
        pd.DataFrame({'AU12': few}), pd.DataFrame({'AU12_r': few.shift(1)})
      )
    )


if __name__ == '__main__':
  absltest.main()
