"""Videos in processes of their own: a crash costs one video, not the rest."""

import multiprocessing
import queue
import threading
from collections.abc import Callable, Iterator, Sequence

import cv2
from absl import logging

from psm_jax import stopping
from psm_jax.data.ingest import processing

# Started anew, so that no lock or thread of this process is taken along.
_CONTEXT = multiprocessing.get_context('spawn')


def run_here(
  jobs: Sequence[processing.Job],
  options: processing.Options,
  root,
  *,
  num_workers: int,
  num_threads: int,
  report: Callable[[int, float], None],
) -> Iterator[tuple[processing.Job, dict | None, str]]:
  """Does what `run` does in this process, one video after another.

  For scripts and notebooks, which processes of their own would start again.

  Args:
    jobs: the videos.
    options: how.
    root: the ingest folder.
    num_workers: is not used.
    num_threads: of each.
    report: see `run`.

  Yields:
    See `run`.
  """
  del num_workers
  for job in jobs:
    try:
      content = processing.ingest_video(
        job, options, root, report=report, num_threads=num_threads
      )
      yield job, content, ''
    except (ValueError, OSError) as error:
      yield job, None, str(error)


def run(
  jobs: Sequence[processing.Job],
  options: processing.Options,
  root,
  *,
  num_workers: int,
  num_threads: int,
  report: Callable[[int, float], None],
) -> Iterator[tuple[processing.Job, dict | None, str]]:
  """Ingests videos and yields each as soon as it is done.

  Args:
    jobs: the videos.
    options: how.
    root: the ingest folder.
    num_workers: how many at a time.
    num_threads: of each.
    report: is called with the number of frames searched since its last call and
      the seconds of video that they are, from several threads.

  Yields:
    The job, what its video.json says or None, and why it failed or ''.
  """
  waiting, done = queue.SimpleQueue(), queue.SimpleQueue()
  for job in jobs:
    waiting.put(job)
  stop = threading.Event()
  threads = [
    threading.Thread(
      target=_supervise,
      args=(waiting, done, stop, options, root, num_threads, report),
      daemon=True,
    )
    for _ in range(min(num_workers, len(jobs)))
  ]
  for thread in threads:
    thread.start()
  try:
    for _ in jobs:
      yield done.get()
  finally:
    stop.set()
    for thread in threads:
      thread.join()


def _supervise(waiting, done, stop, options, root, num_threads, report):
  """Keeps one process busy; starts another when it dies."""
  worker = None
  while not stop.is_set():
    try:
      job = waiting.get_nowait()
    except queue.Empty:
      break
    try:
      worker = worker or _Worker(options, root, num_threads)
    except OSError as error:
      done.put((job, None, f'no process could be started: {error}'))
      continue
    content, reason = worker.ingest(job, stop, report)
    if content is None and not worker.is_alive():
      worker = None
    done.put((job, content, reason))
  if worker:
    worker.end()


class _Worker:
  """A process that ingests one video after the other."""

  def __init__(self, options, root, num_threads):
    self._pipe, theirs = _CONTEXT.Pipe()
    self._process = _CONTEXT.Process(
      target=_serve, args=(theirs, options, root, num_threads), daemon=True
    )
    self._process.start()
    theirs.close()

  def is_alive(self):
    return self._process.is_alive()

  def ingest(self, job, stop, report):
    """(video.json's content or None, why it failed or '')."""
    try:
      self._pipe.send(job)
      while True:
        while not self._pipe.poll(0.2):
          if stop.is_set():
            self.end()
            return None, 'stopped'
        kind, value = self._pipe.recv()
        if kind == 'frames':
          report(*value)
        else:
          return (value, '') if kind == 'done' else (None, value)
    except (EOFError, OSError):
      self._process.join()
      code = self._process.exitcode
      how = f'signal {-code}' if code < 0 else f'code {code}'
      return None, (
        f'the process reading it ended with {how}: out of memory, or a file '
        'that breaks the decoder'
      )

  def end(self):
    """Ends the process, in the middle of a video if need be."""
    self._pipe.close()
    self._process.terminate()
    self._process.join()


def _serve(pipe, options, root, num_threads):
  """Ingests what comes through the pipe until it is closed."""
  stopping.begin_worker()
  cv2.setNumThreads(num_threads)

  def report(num_frames, seconds):
    pipe.send(('frames', (num_frames, seconds)))

  while True:
    try:
      job = pipe.recv()
    except (EOFError, KeyboardInterrupt):
      return
    try:
      content = processing.ingest_video(
        job, options, root, report=report, num_threads=num_threads
      )
      pipe.send(('done', content))
    except (BrokenPipeError, KeyboardInterrupt):
      return
    except (ValueError, OSError, MemoryError) as error:
      pipe.send(('failed', _reason(error)))
    except Exception as error:
      # Whatever a decoder or a detector does to one video must not end the
      # others; it is named in the summary like any other failure.
      logging.debug('%s', job.video_id, exc_info=True)
      pipe.send(('failed', f'{type(error).__name__}: {error}'))


def _reason(error):
  if isinstance(error, OSError) and error.strerror:
    return f'{error.strerror}' + (
      f': {error.filename}' if error.filename else ''
    )
  return str(error) or type(error).__name__
