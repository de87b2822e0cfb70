import os
import pathlib
import signal

from absl.testing import absltest

from psm_jax import tasks


def _square(job, report):
  report(1, 0.5)
  if job is None:
    raise ValueError('no number')
  if isinstance(job, pathlib.Path):  # Where the process dies, if it is there.
    if job.exists():
      job.unlink()
      os.kill(os.getpid(), signal.SIGKILL)
    return 'again'
  return job**2


class _Deadly:
  """A job on which every process that receives it ends."""

  def __reduce__(self):
    return os._exit, (7,)


class TasksTest(absltest.TestCase):
  def _run(self, jobs, num_workers):
    counts = []
    done = tasks.run(
      _square,
      jobs,
      num_workers=num_workers,
      report=lambda *count: counts.append(count),
    )
    return sorted(done, key=lambda task: task[0]), counts

  def test_tasks_are_told_apart_whoever_does_them(self):
    marker = pathlib.Path(self.create_tempdir().full_path) / 'marker'
    for num_workers in (0, 2):
      jobs = [1, None, 3, 4]
      if num_workers:
        # The third process dies once, the fifth job kills whoever takes it.
        marker.touch()
        jobs += [marker, _Deadly(), 7]
      done, counts = self._run(jobs, num_workers)
      self.assertEqual([place for place, *_ in done], list(range(len(jobs))))
      results = [result for _, result, _ in done]
      self.assertEqual(results[:4], [1, None, 9, 16])
      self.assertIsInstance(done[1][2], ValueError)
      self.assertEqual(str(done[1][2]), 'no number')
      self.assertEqual(counts[:4], [(1, 0.5)] * 4)
      if num_workers:
        self.assertEqual(results[4:], ['again', None, 49])
        self.assertFalse(marker.exists())
        self.assertIsInstance(done[5][2], tasks.ProcessDied)
        self.assertIn('ended with code 7', str(done[5][2]))

  def test_a_scheduler_that_is_none_is_named(self):
    with self.assertRaisesRegex(ValueError, '--scheduler.*[Dd]ask'):
      list(tasks.run(_square, [1], num_workers=1, scheduler='tcp:/nowhere'))


if __name__ == '__main__':
  absltest.main()
