"""Bookkeeping of the comparison; the contestants have tests of their own."""

from absl.testing import absltest

from benchmarks import compare, measurement, workload

_WORK = workload.Workload(pairs=4, num_models=2)


def _row(contestant, runs_s, cpu_s):
  timing = measurement.Timing(9.0, runs_s, cpu_s)
  described = {'contestant': contestant, 'peak_bytes': 5_000_000}
  return measurement.summary(described, timing, _WORK)


class CompareTest(absltest.TestCase):
  def test_seconds_are_those_of_one_models_step(self):
    row = _row('eager', [2.0, 8.0, 4.0], [1.0, 1.0, 3.0])
    self.assertEqual(row['median_s_per_model_step'], 2.0)
    self.assertEqual(row['min_s_per_model_step'], 1.0)
    self.assertEqual(row['median_cpu_s_per_model_step'], 0.5)
    self.assertEqual(row['frames_per_s'], 4.0)  # 16 frames in 4 seconds.

  def test_an_embedding_is_not_divided_by_models(self):
    work = workload.Workload(task='embed', num_models=2, batch_frames=64)
    timing = measurement.Timing(1.0, [2.0], [2.0])
    row = measurement.summary({}, timing, work)
    self.assertEqual(row['median_s_per_model_step'], 2.0)
    self.assertEqual(row['frames_per_s'], 32.0)

  def test_ratios_compare_the_runs_of_one_turn(self):
    # The machine was ten times slower in the third turn.
    own = _row('psm_jax', [1.0, 1.0, 10.0], [1.0, 1.0, 1.0])
    peer = _row('best', [2.0, 3.0, 20.0], [4.0, 4.0, 4.0])
    self.assertEqual(
      compare.ratios([own, peer]),
      {'best / psm_jax, time': 2.0, 'best / psm_jax, processor time': 4.0},
    )

  def test_the_table_has_a_line_a_contestant(self):
    lines = measurement.table(
      [_row('psm_jax', [1.0], [1.0]), _row('best', [2.0], [4.0])]
    ).splitlines()
    self.assertLen(lines, 3)
    self.assertEqual(lines[2].split()[:3], ['best', '9.00', '1.0000'])

  def test_a_contestant_that_fails_is_named(self):
    with self.assertRaisesRegex(ValueError, 'eager ended with exit code 1'):
      compare.compare(_WORK, ['eager'], ['--device=abacus'], repeats=1)

  def test_frames_are_the_same_ones_every_time(self):
    self.assertEqual(_WORK.frames().shape, (16, 64, 64, 3))
    self.assertEqual(_WORK.frames().tobytes(), _WORK.frames().tobytes())


if __name__ == '__main__':
  absltest.main()
