"""Several processes that train a general model together, by jax.distributed.

The devices of all share each batch. The first process keeps the run directory;
the others are given what it restored.

When one process is lost, JAX's coordination service ends the others from C++
within its heartbeat, where no handler of Python's sees it. So a program is a
parent that takes no part and a child that does: `supervise` says of a child
that ended so what it means, and `EXIT_CODE` asks for a restart.
"""

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from psm_jax import stopping
from psm_jax.methods import interface

EXIT_CODE = stopping.EXIT_CODE
# A process that says nothing for so long is lost. All end within a minute.
HEARTBEAT_S = 20
_JOIN_S = 300
_CHILD = 'PSM_JAX_CHILD'
_ABORTED = (-signal.SIGABRT, 128 + signal.SIGABRT)
# How JAX names who was lost: a number, alone or in a list, or the first, where
# its service was.
_TASK = re.compile(rb'/task:(\d+)')
_TASKS = re.compile(rb'heartbeats\):\s+((?:\d+\s+)+)')
_LONGEST_NAME = 1000  # Bytes.
_NO_FIRST = b'Failed to send RPC to coordination service'


@dataclasses.dataclass(frozen=True)
class Place:
  """Where a process stands: number `index` of `count`.

  Attributes:
    coordinator: HOST:PORT of the first one.
    count: Processes of the run.
    index: From 0.
  """

  coordinator: str
  count: int
  index: int


def find(
  *,
  coordinator: str | None = None,
  count: int | None = None,
  index: int | None = None,
) -> Place:
  """Returns a process's place: as given, the rest as JAX detects it.

  JAX knows Slurm, Open MPI, Kubernetes and Cloud TPUs.

  Args:
    coordinator: HOST:PORT of the first process.
    count: Processes of the run.
    index: Of this one, from 0.

  Raises:
    ValueError: If something is neither given nor detected.
  """
  # The detection of jax.distributed.initialize, which has no public name.
  from jax._src import clusters

  coordinator, count, index, _ = (
    clusters.ClusterEnv.auto_detect_unset_distributed_params(
      coordinator, count, index, None, None, _JOIN_S
    )
  )
  if coordinator is None or count is None or index is None:
    raise ValueError(
      '--distributed finds no Slurm, Open MPI, Kubernetes or Cloud TPU around '
      'it. Give --coordinator=HOST:PORT, --num_processes and --process_id.'
    )
  return Place(coordinator, int(count), int(index))


def join(place: Place):
  """Makes this process one of those that train together."""
  jax.distributed.initialize(
    place.coordinator,
    place.count,
    place.index,
    initialization_timeout=_JOIN_S,
    heartbeat_timeout_seconds=HEARTBEAT_S,
  )
  if is_child():
    threading.Thread(target=_end_with_parent, daemon=True).start()


def are_several() -> bool:
  """Returns whether this process trains together with others."""
  return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
  """Returns whether this process keeps the run directory."""
  return not are_several() or jax.process_index() == 0


def from_first(tree: interface.Tree) -> interface.Tree:
  """Returns the first process's tree of arrays, bit for bit.

  Args:
    tree: NumPy arrays of the same shapes and types in all processes.
  """
  if not are_several():
    return tree

  def as_bytes(leaf):
    return np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)

  def as_before(leaf, taken):
    leaf = np.asarray(leaf)
    return np.asarray(taken).view(leaf.dtype).reshape(leaf.shape)

  taken = multihost_utils.broadcast_one_to_all(jax.tree.map(as_bytes, tree))
  return jax.tree.map(as_before, tree, taken)


def text_from_first(content: Any) -> Any:
  """Returns what JSON can hold of the first process's content."""
  encoded = np.frombuffer(json.dumps(content).encode(), np.uint8)
  size = int(from_first(np.int64(len(encoded))))
  padded = np.zeros(size, np.uint8)
  padded[: min(size, len(encoded))] = encoded[:size]
  return json.loads(from_first(padded).tobytes())


class Stop:
  """Whether a signal has asked to stop, the same after a step in all processes.

  Of several, JAX picks the step before which all can hear of it. It takes
  SIGTERM as notice; what else asks for a stop is passed on as that.
  """

  def __init__(self, asked: threading.Event):
    """Takes the event of this process's own signals, see `stopping.polled`."""
    self._asked, self._is_told = asked, False

  def is_due(self, step: int) -> bool:
    """Returns whether to stop after a step; to be asked at each one."""
    if not are_several():
      return self._asked.is_set()
    if self._asked.is_set() and not self._is_told:
      self._is_told = True
      signal.raise_signal(signal.SIGTERM)
    return multihost_utils.reached_preemption_sync_point(step)


@contextlib.contextmanager
def losses_awaited():
  """Leaves an error that a lost process caused to JAX, which ends all.

  A collective may fail before the heartbeat does. If nobody is lost, the error
  is raised on.
  """
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    if are_several():
      logging.error('%s', str(error).split('\n', 1)[0])
      time.sleep(2 * HEARTBEAT_S)
    raise


def is_child() -> bool:
  """Returns whether `supervise` started this process."""
  return _CHILD in os.environ


def supervise(command: Sequence[str], place: Place) -> int:
  """Runs a program in a child and returns the code to exit with.

  Args:
    command: The program.
    place: Of the child, for messages.
  """
  lost: list[int] = []
  with stopping.polled() as asked, stopping.finishing():
    child = subprocess.Popen(
      command,
      env={**os.environ, _CHILD: '1'},
      stdin=subprocess.PIPE,  # It ends when this process does.
      stderr=subprocess.PIPE,
    )
    reader = threading.Thread(target=_copy, args=(child.stderr, lost))
    reader.start()
    is_told = False
    while (code := _wait(child)) is None:
      if asked.is_set() and not is_told:
        is_told = True
        child.send_signal(signal.SIGTERM)
    reader.join()
    assert child.stdin is not None  # A pipe was asked for.
    child.stdin.close()
  if code not in _ABORTED:
    return code
  others = ', '.join(map(str, sorted(set(lost) - {place.index})))
  logging.error(
    'Process %d of %d ended because another one was lost (number %s; the '
    "messages above are JAX's). Start all again: the run goes on from its "
    'newest checkpoint.',
    place.index,
    place.count,
    others or 'unknown',
  )
  return EXIT_CODE


def _wait(child):
  """Returns a child's exit code, None if it still runs after a moment."""
  try:
    return child.wait(timeout=0.2)
  except subprocess.TimeoutExpired:
    return None


def _copy(stream, lost):
  """Passes on what a child says, and notes the tasks that JAX names in it."""
  said = b''
  while chunk := stream.read1():
    sys.stderr.buffer.write(chunk)
    sys.stderr.buffer.flush()
    # A name may come in two chunks.
    said = said[-_LONGEST_NAME:] + chunk
    numbers = b' '.join([*_TASK.findall(said), *_TASKS.findall(said)])
    lost += map(int, numbers.split())
    lost += [0] if _NO_FIRST in said else []


def _end_with_parent():
  # Not by sys.stdin: Python cannot end while a thread holds its buffer's lock.
  while os.read(0, 1024):
    pass
  os._exit(EXIT_CODE)
