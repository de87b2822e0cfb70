"""Compiled calls that run side by side on a CPU.

There JAX runs the calls of one thread one after another, and a small model has
work for a core or two at a time. Calls of several threads overlap, and each
computes what it computes alone (BENCHMARKS.md). Accelerators have one queue.

  lanes = dispatch.Lanes(tasks.num_cores())
  results = lanes.map(compiled, items)
"""

from collections.abc import Callable, Iterable
from concurrent import futures
from typing import TypeVar

_Item = TypeVar('_Item')
_Result = TypeVar('_Result')


class Lanes:
  """Threads that make compiled calls, the caller's own if there is one lane.

  Attributes:
    size: Calls that run side by side.
  """

  def __init__(self, size: int):
    """Starts no thread yet.

    Args:
      size: Calls that run side by side, at least 1.
    """
    self.size = size
    # A thread each: what one thread dispatches keeps its order, so that
    # nothing needs to wait for a call to end.
    self._threads = [
      futures.ThreadPoolExecutor(1, f'psm_jax_lane{lane}')
      for lane in range(size if size > 1 else 0)
    ]
    self._has_begun = False

  def map(
    self, call: Callable[[_Item], _Result], items: Iterable[_Item]
  ) -> list[_Result]:
    """Returns call(item) of each item, in order.

    Results may still be computed, as ever in JAX. The first call ever is made
    alone, so that what it compiles is compiled once.

    Args:
      call: Of a compiled function.
      items: Item i goes to lane i modulo `size`.
    """
    items = list(items)
    results = []
    if not self._has_begun or not self._threads:
      first = items if not self._threads else items[:1]
      results = [call(item) for item in first]
      self._has_begun = True
    rest = [
      self._threads[index % self.size].submit(call, items[index])
      for index in range(len(results), len(items))
    ]
    return results + [future.result() for future in rest]
