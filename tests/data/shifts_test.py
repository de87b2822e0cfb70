import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data import shifts


def _choose(frames, rows, choice='check', *, is_dense=True):
  return shifts.choose(
    [(np.array(frames), np.array(rows))],
    choice=choice,
    field='the.field',
    is_dense=is_dense,
  )


class ChooseTest(parameterized.TestCase):
  def test_agreeing_numbers_are_taken(self):
    self.assertEqual(_choose(range(1, 9), range(1, 9)), (0, ''))

  @parameterized.parameters((0, 1, '-1'), (1, 0, '1'))
  def test_a_shift_of_one_frame_stops(self, first_picture, first_row, remedy):
    frames = range(first_picture, first_picture + 8)
    rows = range(first_row, first_row + 8)
    with self.assertRaisesRegex(ValueError, f"Set the.field='{remedy}'"):
      _choose(frames, rows)
    self.assertEqual(_choose(frames, rows, remedy), (int(remedy), ''))

  def test_the_shift_is_seen_though_many_pictures_are_missing(self):
    with self.assertRaisesRegex(ValueError, "'-1'"):
      _choose([0, 4, 7], range(1, 9))

  def test_a_choice_against_the_numbers_is_remarked(self):
    shift, remark = _choose(range(8), range(1, 9), '0')
    self.assertEqual(shift, 0)
    self.assertIn('the.field is 0, but 8 pictures', remark)

  def test_a_case_the_numbers_leave_open_is_remarked_if_rows_are_dense(self):
    shift, remark = _choose([3, 4], range(1, 9))
    self.assertEqual(shift, 0)
    self.assertIn('-1 and 1 would fit as well', remark)
    self.assertEqual(_choose([3, 4], range(1, 9), '0'), (0, ''))
    self.assertEqual(_choose([3, 4], range(1, 9), is_dense=False), (0, ''))

  def test_videos_are_counted_together(self):
    videos = [
      (np.arange(3, 5), np.arange(1, 9)),  # Open.
      (np.arange(0, 8), np.arange(1, 9)),  # Shifted.
    ]
    with self.assertRaisesRegex(ValueError, "'-1'"):
      shifts.choose(videos, choice='check', field='f', is_dense=True)

  def test_nothing_in_common_is_no_evidence(self):
    self.assertEqual(_choose([100, 101], [1, 2]), (0, ''))
    self.assertEqual(_choose([1], []), (0, ''))


if __name__ == '__main__':
  absltest.main()
