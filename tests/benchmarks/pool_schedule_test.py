from absl.testing import absltest

from benchmarks import pool_schedule

_SCHEDULE = """
   0x0   :  { %s1 = smov 0 }
   0x1 LB: > { %s2 = sadd.s32 1, %s1 }
   0x2   : > { %p1 = scmp.ge.s32.totalorder %s2, 1026 /* loop exit test */ }
   0x3   : > { %10 = sbr.rel (!%p1) target = $region1 }
   0x4   :  {} /* exit bundle */
"""


class CyclesTest(absltest.TestCase):
  def test_bundles_of_the_loop_count_once_a_turn(self):
    self.assertEqual(pool_schedule.cycles(_SCHEDULE), 3 * 1026)

  def test_nothing_is_counted_of_another_form(self):
    with self.assertRaisesRegex(ValueError, '2 loops'):
      pool_schedule.cycles(_SCHEDULE + _SCHEDULE)


if __name__ == '__main__':
  absltest.main()
