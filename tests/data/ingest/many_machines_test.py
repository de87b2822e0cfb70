"""Videos done by any number of workers, some of which are killed."""

import hashlib
import importlib.util
import multiprocessing
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest
from absl.testing import absltest

from psm_jax.data.ingest import batch, jobs
from tests.data.ingest import films

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_OPTIONS = jobs.Options(size_px=32)
_HAS_DASK = importlib.util.find_spec('distributed') is not None


def _content(root):
  """A digest of every file of an ingest folder, by its name."""
  return {
    path.relative_to(root).as_posix(): hashlib.sha256(
      path.read_bytes()
    ).hexdigest()
    for path in sorted(root.rglob('*'))
    if path.is_file() and path.name != '.lock'
  }


class _ManyTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    temporary = tempfile.TemporaryDirectory(prefix='psm_jax_many_')
    cls.addClassCleanup(temporary.cleanup)
    cls.root = pathlib.Path(temporary.name)
    (cls.root / 'videos').mkdir()
    for number in range(5):
      films.write(
        cls.root / 'videos' / f'p{number}.mp4',
        [films.picture((0, i, 20 + number, 16)) for i in range(12 + number)],
      )
    (cls.root / 'boxes.csv').write_text(films.box_rows([(range(17), 20, 16)]))
    cls.alone = cls._ingest('alone', in_process=True)

  @classmethod
  def _ingest(cls, name, **how):
    out = cls.root / name
    batch.ingest(
      cls.root / 'videos',
      out,
      options=_OPTIONS,
      person_from='file',
      boxes=cls.root / 'boxes.csv',
      **how,
    )
    return _content(out)

  def _ingest_and_kill(self, name, pids, after_s, **how):
    """Kills one of the processes that `pids()` returns, some time after.

    Returns:
      What is made, and the process that was killed, if there was still one.
    """
    killed, is_done = [], threading.Event()

    def kill():
      while not pids() and not is_done.wait(0.01):
        pass
      if not is_done.wait(after_s) and (alive := pids()):
        killed.append(random.choice(alive))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    content = self._ingest(name, **how)
    is_done.set()
    killer.join()
    return content, killed

  def _kill_ten(self, ingest_and_kill):
    """Has ten processes killed, at moments all over what they do."""
    killed, longest_s, turn = 0, 1.0, 0
    while killed < 10:
      num_workers, after_s = (2, 4)[turn % 2], random.random() * longest_s
      content, pids = ingest_and_kill(num_workers, turn, after_s)
      self.assertEqual(content, self.alone)
      killed, turn = killed + len(pids), turn + 1
      longest_s *= 1.5 if pids else 0.8
      print(turn, num_workers, f'killed after {after_s:.2f} s:', bool(pids))


def _children():
  return [child.pid for child in multiprocessing.active_children()]


class ProcessesTest(_ManyTest):
  def test_the_same_again_is_the_same_to_the_byte(self):
    self.assertIn('videos/p0/video.json', self.alone)
    self.assertEqual(self._ingest('again', in_process=True), self.alone)

  @pytest.mark.slow
  def test_killed_processes_change_no_byte(self):
    self._kill_ten(
      lambda num_workers, turn, after_s: self._ingest_and_kill(
        f'turn{turn}', _children, after_s, num_workers=num_workers
      )
    )


@absltest.skipUnless(_HAS_DASK, 'Dask is not installed: psm_jax[dask]')
class DaskTest(_ManyTest):
  def setUp(self):
    super().setUp()
    self.clusters = {}

  def _start(self, file, *command):
    process = subprocess.Popen(
      [sys.executable, '-m', 'dask', *command, '--no-dashboard']
      + [f'--scheduler-file={file}', '--host=127.0.0.1'],
      cwd=_ROOT,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    self.addCleanup(process.wait)
    self.addCleanup(process.kill)
    return process

  def _cluster(self, num_workers):
    """(the file of a scheduler, its workers, so many of them alive)."""
    if num_workers not in self.clusters:
      folder = pathlib.Path(self.create_tempdir().full_path)
      self.clusters[num_workers] = folder / 'scheduler.json', []
      self._start(folder / 'scheduler.json', 'scheduler', '--port=0')
    file, workers = self.clusters[num_workers]
    while len(workers) < num_workers:
      # The nannies of workers would start killed ones again; here, nobody does.
      workers.append(self._start(file, 'worker', '--no-nanny', '--nthreads=1'))
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
      time.sleep(0.05)
    return file, workers

  def _kill_one_of(self, num_workers, turn, after_s):
    file, workers = self._cluster(num_workers)
    content, killed = self._ingest_and_kill(
      f'dask{turn}',
      lambda: [worker.pid for worker in workers],
      after_s,
      scheduler=str(file),
    )
    workers[:] = [worker for worker in workers if worker.pid not in killed]
    return content, killed

  def test_a_killed_worker_changes_no_byte(self):
    content, _ = self._kill_one_of(2, 'short', 3 * random.random())
    self.assertEqual(content, self.alone)

  @pytest.mark.slow
  def test_killed_workers_change_no_byte_ten_times(self):
    self._kill_ten(self._kill_one_of)


if __name__ == '__main__':
  absltest.main()
