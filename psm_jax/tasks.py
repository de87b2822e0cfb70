"""Tasks that do not need each other: here, by processes, or by many machines.

  for place, result, error in tasks.run(function, jobs, num_workers=4):
    ...

A function shows what it made only when that is whole, so a task can be done
again: where its process dies, it is. Other machines are those of a Dask
scheduler (the extra `dask`), and must see the same files by the same names. On
one machine processes of our own begin sooner, see BENCHMARKS.md.
"""

import functools
import multiprocessing
import os
import pathlib
import queue
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

from absl import logging

from psm_jax import stopping

# Of a task: what its function returned, or None and the error.
Done = tuple[int, Any, Exception | None]
# Is told how many frames were done since, and the seconds of video they are.
Report = Callable[[int, float], None]
# Started anew, so that no lock or thread of this process is taken along.
_CONTEXT = multiprocessing.get_context('spawn')
_ATTEMPTS = 2
_AT_ONCE = 512  # Items of `in_threads`.


class ProcessDied(RuntimeError):
  """The process that did a task is gone."""


def no_report(num_frames: int, seconds: float) -> None:
  """Says nothing of the progress."""


def num_cores() -> int:
  """Returns how many processors this process may use."""
  if hasattr(os, 'sched_getaffinity'):  # Not on macOS.
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def in_threads(
  function: Callable[..., Any], *columns: Sequence[Any]
) -> Iterator[Any]:
  """Yields what a function makes of the items of columns, in their order.

  For work that leaves Python's lock alone, as decoding does. Some hundred items
  are taken at a time, so that what is made of them does not pile up.
  """
  with futures.ThreadPoolExecutor(num_cores()) as pool:
    for start in range(0, len(columns[0]), _AT_ONCE):
      yield from pool.map(
        function, *(column[start : start + _AT_ONCE] for column in columns)
      )


def run(
  function: Callable[[Any, Report], Any],
  jobs: Sequence[Any],
  *,
  num_workers: int,
  scheduler: str = '',
  report: Report = no_report,
) -> Iterator[Done]:
  """Yields what became of each task, as soon as it is known.

  Args:
    function: of a task and of what it may call now and then; it and the tasks
      must go through a pipe.
    jobs: the tasks.
    num_workers: processes of this machine; 0 for this one, as in scripts and
      notebooks, which processes of their own would start again.
    scheduler: address or file of a Dask scheduler, whose workers do it instead;
      '' for none.
    report: is called from several threads.

  Raises:
    ValueError: If no scheduler answers.
  """
  if scheduler:
    return on_dask(function, jobs, scheduler=scheduler, report=report)
  if num_workers:
    return on_processes(function, jobs, num_workers=num_workers, report=report)
  return here(function, jobs, report=report)


def here(
  function: Callable, jobs: Sequence, *, report: Report = no_report, **_
) -> Iterator[Done]:
  """Does tasks one after another in this process; see `run`."""
  for place, job in enumerate(jobs):
    try:
      result, error = function(job, report), None
    except Exception as raised:
      result, error = None, raised
    yield place, result, error


def on_processes(
  function: Callable, jobs: Sequence, *, num_workers: int, report: Report
) -> Iterator[Done]:
  """Does tasks in processes of this machine; see `run`."""
  waiting: queue.SimpleQueue = queue.SimpleQueue()
  done: queue.SimpleQueue = queue.SimpleQueue()
  for task in enumerate(jobs):
    waiting.put(task)
  stop = threading.Event()
  threads = [
    threading.Thread(
      target=_supervise,
      args=(function, waiting, done, stop, report),
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


def _supervise(function, waiting, done, stop, report):
  """Keeps one process busy; starts another when it dies."""
  worker = None
  while not stop.is_set():
    try:
      place, job = waiting.get_nowait()
    except queue.Empty:
      break
    for attempt in range(_ATTEMPTS):
      try:
        worker = worker or _Worker(function)
      except OSError as error:
        result = None, OSError(f'no process could be started: {error}')
        break
      result = worker.do(job, stop, report)
      if worker.is_alive() or stop.is_set():
        break
      worker = None
      if attempt + 1 < _ATTEMPTS:
        logging.warning('%s; its task is done again.', result[1])
    done.put((place, *result))
  if worker:
    worker.end()


class _Worker:
  """A process that does one task after the other."""

  def __init__(self, function):
    self._pipe, theirs = _CONTEXT.Pipe()
    self._process = _CONTEXT.Process(
      target=_serve, args=(theirs, function), daemon=True
    )
    self._process.start()
    theirs.close()

  def is_alive(self):
    return self._process.is_alive()

  def do(self, job, stop, report):
    """(what the function returned or None, the error or None)."""
    try:
      self._pipe.send(job)
      while True:
        while not self._pipe.poll(0.2):
          if stop.is_set():
            self.end()
            return None, ProcessDied('stopped')
        kind, value = self._pipe.recv()
        if kind == 'frames':
          report(*value)
        else:
          return (value, None) if kind == 'done' else (None, value)
    except (EOFError, OSError):
      self._process.join()
      code = self._process.exitcode
      how = f'signal {-code}' if code < 0 else f'code {code}'
      return None, ProcessDied(f'the process doing it ended with {how}')

  def end(self):
    """Ends the process, in the middle of a task if need be."""
    self._pipe.close()
    self._process.terminate()
    self._process.join()


def _serve(pipe, function):
  """Does what comes through the pipe until it is closed."""
  stopping.begin_worker()

  def report(*counts):
    pipe.send(('frames', counts))

  while True:
    try:
      job = pipe.recv()
    except (EOFError, KeyboardInterrupt):
      return
    try:
      pipe.send(('done', function(job, report)))
    except (BrokenPipeError, KeyboardInterrupt):
      return
    except Exception as error:
      pipe.send(('failed', _portable(error)))


def _portable(error):
  """The error, of a type that another process knows, with its traceback."""
  if type(error).__module__ != 'builtins':
    error = RuntimeError(f'{type(error).__name__}: {error}')
  error.add_note(traceback.format_exc())
  return error


def on_dask(
  function: Callable, jobs: Sequence, *, scheduler: str, report: Report
) -> Iterator[Done]:
  """Does tasks on the workers of a Dask scheduler; see `run`."""
  try:
    from dask import distributed  # Optional, and slow to import.
  except ModuleNotFoundError as missing:
    raise ValueError(
      '--scheduler needs Dask: pip install "psm_jax[dask]".'
    ) from missing
  is_file = pathlib.Path(scheduler).is_file()
  where = {'scheduler_file' if is_file else 'address': scheduler}
  try:
    client = distributed.Client(**where, set_as_default=False, timeout=30)
  except (OSError, ValueError) as reason:
    raise ValueError(
      f'--scheduler={scheduler}: no Dask scheduler answers there, and it is no '
      f'file of one ({reason}). Start one with "dask scheduler '
      '--scheduler-file=FILE" and workers with "dask worker '
      '--scheduler-file=FILE".'
    ) from reason
  with client:
    if not client.nthreads():
      logging.warning('No worker has come to %s yet; waiting.', scheduler)
    begun = client.map(functools.partial(_counted, function), jobs, pure=False)
    places = {future.key: place for place, future in enumerate(begun)}
    try:
      for future in distributed.as_completed(begun, loop=client.loop):
        error = future.exception()
        if isinstance(error, distributed.KilledWorker):
          error = ProcessDied(f'its workers died: {error}')
        result = None
        if error is None:
          result, counts = future.result()
          report(*counts)
        yield places[future.key], result, error
        future.release()
    finally:
      client.cancel(begun)


def _counted(function, job):
  """What a function returns, and what it reported in all."""
  counts = [0, 0.0]

  def report(num_frames, seconds):
    counts[0] += num_frames
    counts[1] += seconds

  try:
    return function(job, report), counts
  except Exception as error:
    raise _portable(error) from None
