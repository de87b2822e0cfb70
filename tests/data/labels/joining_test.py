import pathlib
import re

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.data.labels import joining, lags, numbering, readers


def table_of(numbers, *, time_s=None, tool='openface', base=1, pictures=False):
  numbers = np.array(numbers, np.float64)
  nothing = np.full(len(numbers), np.nan)
  return readers.ToolTable(
    path=pathlib.Path('t.csv'),
    tool=tool,
    numbers=numbers,
    are_pictures=pictures,
    base=base,
    is_base_said=False,
    is_base_sure=tool == 'openface' and not pictures,
    time_s=nothing if time_s is None else np.array(time_s, np.float64),
    faces=np.full(len(numbers), ''),
    values=pd.DataFrame({'AU01_r': numbers.astype(np.float32)}),
    landmarks=None,
    seen=None,
    left_out=(),
    problems=(),
  )


def video(time_s):
  time_s = np.array(time_s, np.float64)
  return joining.Target('A/v1', np.arange(len(time_s)), time_s, is_whole=True)


def _read(target, table, *, first=0, **settings):
  return joining.read(
    target, table, first=first, settings=joining.Settings(**settings)
  )


# As webcams in the dark: every eighth frame is not there.
_WEBCAM = np.array([k for k in range(80) if k % 8 != 7]) / 30


class NumbersTest(parameterized.TestCase):
  def test_numbers_that_fit_are_used_whatever_the_times_say(self):
    count = len(_WEBCAM)
    mean_rate = np.arange(count) * 80 / 30 / count
    for time_s in (mean_rate, mean_rate * 2, np.arange(count) * 1e-3, None):
      read = _read(video(_WEBCAM), table_of(range(1, count + 1), time_s=time_s))
      self.assertEqual((read.by, read.remark), ('number', ''))
      np.testing.assert_array_equal(read.place, np.arange(count))

  def test_the_largest_difference_of_times_is_told(self):
    count = len(_WEBCAM)
    mean_rate = np.arange(count) * 80 / 30 / count
    read = _read(
      video(_WEBCAM + 9), table_of(range(1, count + 1), time_s=mean_rate)
    )
    self.assertAlmostEqual(
      read.difference_s, np.abs(_WEBCAM - mean_rate).max(), places=9
    )

  def test_a_few_rows_too_few_with_times_that_drift_are_asked_about(self):
    count = len(_WEBCAM)
    table = table_of(
      range(1, count - 1), time_s=np.arange(count - 2) * 80 / 30 / count
    )
    with self.assertRaisesRegex(
      ValueError,
      r'--join=number: frame 4 \(0.133 s\) gets row 5.*68 of 70 frames.*'
      r'--join=time: frame 4 \(0.133 s\) gets no row',
    ):
      _read(video(_WEBCAM), table)
    for join in ('number', 'time'):
      self.assertEqual(_read(video(_WEBCAM), table, join=join).by, join)
    place = _read(video(_WEBCAM), table, join='number').place
    np.testing.assert_array_equal(place, np.arange(count - 2))

  def test_the_flag_moves_no_table_that_is_certain(self):
    count = len(_WEBCAM)
    table = table_of(range(1, count + 1), time_s=np.arange(count) / 15)
    self.assertEqual(_read(video(_WEBCAM), table, join='time').by, 'number')

  def test_rows_of_other_frames_do_not_move_those_there(self):
    target = joining.Target('A/v1', np.array([1, 2, 5]), None)
    read = _read(target, table_of([1, 2, 3, 4]), first=1)
    self.assertEqual(read.place.tolist(), [0, 1, -1, -1])
    self.assertEqual(read.num_frames, 2)

  def test_nonsense_time_stamps_do_not_stop_numbers(self):
    table = table_of(range(1, 9), time_s=np.arange(8) * 1e-3)
    read = _read(video(np.arange(50) / 25), table)
    self.assertEqual(read.by, 'number')
    self.assertIn('time stamps do not fit', read.remark)


class TimesTest(parameterized.TestCase):
  def test_a_table_of_another_rate_goes_by_the_frames_own_times(self):
    rows = np.arange(2 * 80)
    read = _read(video(_WEBCAM), table_of(rows + 1, time_s=rows / 60))
    self.assertEqual(read.by, 'time')
    self.assertIn('do not fit 70 frames', read.remark)
    for place, time_s in enumerate(_WEBCAM):
      (row,) = np.flatnonzero(read.place == place)
      self.assertAlmostEqual(row / 60, time_s)

  def test_half_a_frame_is_the_farthest(self):
    table = table_of([np.nan] * 3, time_s=[0.0, 0.059, 0.1019], tool='openface')
    target = video([0.0, 0.04, 0.08, 0.12, 0.2])
    read = _read(target, table, join='time')
    self.assertEqual(read.place.tolist(), [0, 1, 3])
    table = table_of([np.nan] * 2, time_s=[0.0, 0.1401])
    read = _read(video([0.0, 0.04, 0.08, 0.12, 0.2]), table, join='time')
    self.assertEqual(read.place.tolist(), [0, -1])

  @parameterized.parameters(
    (np.arange(60) / 25 + 0.5,),  # Another beginning.
    (np.arange(60) / 25.5,),  # Another rate.
    (np.arange(90) / 25,),  # Longer than the video.
  )
  def test_times_of_another_clock_are_asked_about(self, stamps):
    target = video(np.arange(62) / 25)
    table = table_of([np.nan] * len(stamps), time_s=stamps)
    with self.assertRaisesRegex(ValueError, 't.csv.*--join=time: frame'):
      _read(target, table)

  def test_times_of_some_frames_go_to_these(self):
    stamps = np.round(np.arange(0, 60, 5) / 25, 2)
    read = _read(
      video(np.arange(60) / 25), table_of([np.nan] * 12, time_s=stamps)
    )
    self.assertEqual(read.place.tolist(), list(range(0, 60, 5)))
    self.assertIn('joined by time', read.remark)

  @parameterized.parameters(3, 6)
  def test_steps_tell_the_unit_of_time_stamps(self, power):
    stamps = np.arange(49) * 40 * 10.0 ** (power - 3)
    read = _read(
      video(np.arange(50) / 25), table_of([np.nan] * 49, time_s=stamps)
    )
    np.testing.assert_array_equal(read.place, np.arange(49))
    self.assertIn(f'units of 1e-{power} s', read.remark)

  def test_stamps_of_ends_are_recognised_by_both_ends_or_asked_about(self):
    target = video(np.arange(10) / 25)
    for rows, place in ((range(10), range(10)), (range(1, 11), range(10))):
      stamps = np.array(rows) / 25
      table = table_of([np.nan] * 10, time_s=stamps, tool='generic', base=0)
      read = _read(target, table)
      self.assertEqual(read.place.tolist(), list(place))
    some = table_of(
      [np.nan] * 4, time_s=np.arange(3, 7) / 25, tool='generic', base=0
    )
    with self.assertRaisesRegex(
      ValueError, '--times=start: .*4 of 10 frames.*--times=end: .*4 of 10'
    ):
      _read(target, some)
    start = _read(target, some, times='start').place
    end = _read(target, some, times='end').place
    np.testing.assert_array_equal(start, end + 1)

  def test_a_clock_that_does_not_begin_at_0_is_recognised(self):
    target = video(3600 + _WEBCAM)
    for stamps in (_WEBCAM, 3600 + _WEBCAM):
      read = _read(
        target, table_of([np.nan] * 70, time_s=stamps, tool='generic', base=0)
      )
      np.testing.assert_array_equal(read.place, np.arange(70))

  def test_as_many_moments_as_frames_and_other_times_are_asked_about(self):
    stamps = np.arange(70) * 80 / 30 / 70
    table = table_of([np.nan] * 70, time_s=stamps)
    with self.assertRaisesRegex(ValueError, '--join=number.*70 of 70 frames'):
      _read(video(_WEBCAM), table)
    read = _read(video(_WEBCAM), table, join='number')
    np.testing.assert_array_equal(read.place, np.arange(70))

  def test_frames_in_the_middle_keep_their_times(self):
    target = joining.Target('A/v1', np.arange(30, 40), np.arange(30, 40) / 25)
    table = table_of([np.nan] * 50, time_s=np.arange(50) / 25)
    place = _read(target, table).place
    self.assertEqual(np.flatnonzero(place >= 0).tolist(), list(range(30, 40)))

  def test_a_rate_that_nobody_stated_moves_nothing(self):
    target = joining.Target('A/v1', np.arange(4), None)
    table = table_of([np.nan] * 4, time_s=np.arange(4) / 30)
    with self.assertRaisesRegex(ValueError, 'A/v1.*--fps'):
      _read(target, table)

  def test_neither_number_nor_time_is_an_error(self):
    with self.assertRaisesRegex(ValueError, 'A/v1.*no usable frame numbers'):
      _read(video([0.0]), table_of([np.nan]))

  def test_an_unknown_setting_is_named(self):
    with self.assertRaisesRegex(ValueError, '--join=rate'):
      joining.Settings(join='rate')


class FirstRowTest(parameterized.TestCase):
  def _first(self, *numbers, tool='generic', base=None, pictures=True, **times):
    target = video(np.arange(6) / 25)
    pairs = [
      (target, table_of(n, tool=tool, base=base, pictures=pictures, **times))
      for n in numbers
    ]
    for pair in pairs:
      numbering.check_habit(*pair)
    return [table.base for table in numbering.first_rows(pairs)]

  @parameterized.parameters(
    (range(6), 0), (range(1, 7), 1), ([0, 3], 0), ([6], 1)
  )
  def test_pictures_of_a_video_tell_where_they_begin(self, numbers, base):
    self.assertEqual(self._first(numbers), [base])

  def test_pictures_that_do_not_tell_are_asked_about(self):
    with self.assertRaisesRegex(
      ValueError,
      '--first_row=0: frame 0 .* gets no row.*--first_row=1: frame 0 .* row 1',
    ):
      self._first([1, 2, 3])

  def test_pictures_of_one_video_tell_it_for_all(self):
    self.assertEqual(self._first([1, 2, 3], range(1, 7)), [1, 1])

  def test_numbers_that_fit_against_a_tools_habit_are_asked_about(self):
    with self.assertRaisesRegex(ValueError, '--first_row=1.*--first_row=0'):
      self._openface(range(6))
    self.assertEqual(self._openface(range(1, 7)), [1])
    self.assertEqual(self._openface([2, 4]), [1])
    # Time stamps may be those of ends: numbers that fit are enough.
    self.assertEqual(
      self._openface(range(1, 7), time_s=np.arange(1, 7) / 25), [1]
    )

  def _openface(self, numbers, **times):
    return self._first(
      numbers, tool='openface', base=1, pictures=False, **times
    )

  def test_numbers_or_times_against_a_tools_habit_are_refused(self):
    with self.assertRaisesRegex(ValueError, 'has a frame 0, though openface'):
      self._openface([0, 1])
    with self.assertRaisesRegex(
      ValueError, 'time stamps are 0 at frame 0, but openface counts.*1'
    ):
      self._openface([2, 3, 5], time_s=np.array([2, 3, 5]) / 25)
    # Nonsense is no evidence.
    self.assertEqual(self._openface([2, 3, 5], time_s=[0.1, 0.101, 9]), [1])

  @parameterized.parameters(
    (range(6), 0), (range(1, 7), 1), ([0, 3], 0), ([2, 6], 1)
  )
  def test_rows_of_tools_without_a_sure_habit_tell_it(self, numbers, base):
    self.assertEqual(self._first(numbers, base=0, pictures=False), [base])

  def test_rows_that_do_not_tell_are_asked_about_unless_times_do(self):
    for numbers in (range(1, 6), [2, 4], [3, 9]):
      with self.assertRaisesRegex(ValueError, '--first_row=0.*--first_row=1'):
        self._first(numbers, base=0, pictures=False)
    starts = {'base': 0, 'pictures': False, 'time_s': np.arange(5) / 25}
    self.assertEqual(self._first(range(1, 6), **starts), [1])
    with self.assertRaisesRegex(ValueError, '--first_row'):
      ends = starts | {'time_s': np.arange(1, 6) / 25}
      self._first(range(1, 6), **ends)


class ReachTest(absltest.TestCase):
  def test_rows_without_times_that_break_off_early_are_asked_about(self):
    target = video(np.arange(200) / 25)
    for numbers, is_asked in (
      (range(40), True),
      (range(196), False),
      ([*range(40), 60], False),
    ):
      table = table_of(numbers, tool='generic', base=0)
      read = _read(target, table)
      if is_asked:
        with self.assertRaisesRegex(ValueError, '160 frames before.*--join='):
          joining.check_reach(target, table, read)
      else:
        joining.check_reach(target, table, read)


class FirstFrameTest(parameterized.TestCase):
  def _pair(self, frames, numbers, **options):
    target = joining.Target('A/v1', np.array(frames), None)
    return target, table_of(numbers, **{'base': 0} | options)

  @parameterized.parameters((0, 0), (1, 1))
  def test_numbers_tell_where_frames_begin(self, first, expected):
    pairs = [self._pair(range(first, first + 6), range(6))]
    number, how = numbering.first_frame(pairs, choice='check')
    self.assertEqual(number, expected)
    self.assertIn(f'from {expected}', how)

  def test_open_numbers_stop_and_ask(self):
    pairs = [self._pair([3, 4], range(9))]
    with self.assertRaisesRegex(ValueError, '2 frames.*from 0, 2 if from 1'):
      numbering.first_frame(pairs, choice='check')
    self.assertEqual(numbering.first_frame(pairs, choice='1')[0], 1)

  def test_one_video_that_begins_at_0_decides_for_all(self):
    pairs = [self._pair([3, 4], range(9)), self._pair([0, 4], range(9))]
    self.assertEqual(numbering.first_frame(pairs, choice='check')[0], 0)

  def test_a_choice_against_the_numbers_is_remarked(self):
    pairs = [self._pair(range(1, 7), range(6))]
    first, how = numbering.first_frame(pairs, choice='0')
    self.assertEqual(first, 0)
    self.assertIn('the other would fit better', how)

  def test_pictures_own_numbers_need_none(self):
    pairs = [self._pair([3], [3], pictures=True, base=None)]
    self.assertEqual(numbering.first_frame(pairs, choice='check')[0], 0)


def _remark(own, joined):
  return lags.remark(
    np.arange(len(own)),
    pd.DataFrame({'AU12': own}),
    pd.DataFrame({'AU12_r': joined}),
  )


class LagTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    noise = np.random.default_rng(0).standard_normal(400)
    self.signal = pd.Series(noise).rolling(5, min_periods=1).mean()

  @parameterized.parameters(-1, 1, 3)
  def test_labels_on_the_wrong_frames_are_noticed(self, late):
    remark = _remark(self.signal, self.signal.shift(late))
    self.assertRegex(remark, rf'^AU12 .* taken \{late:+d} frames later')
    best, as_joined = map(float, re.findall(r'0\.\d+|1\.000', remark))
    self.assertGreater(best, 0.999)
    self.assertLess(as_joined, 0.9)

  def test_labels_on_the_right_frames_are_not(self):
    noisy = self.signal + 0.1 * np.random.default_rng(1).standard_normal(400)
    self.assertEqual(_remark(self.signal, noisy), '')

  def test_too_few_frames_say_nothing(self):
    few = self.signal[:50]
    self.assertEqual(_remark(few, few.shift(1)), '')


if __name__ == '__main__':
  absltest.main()
