"""Timing, memory, tables and JSON of the benchmarks."""

import dataclasses
import json
import os
import pathlib
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence

from benchmarks import workload

_QUICK_S = 10.0


@dataclasses.dataclass(frozen=True)
class Timing:
  """How long some runs took.

  Attributes:
    first_s: The first run, with compilation and start-up, seconds.
    runs_s: Seconds a run, an entry each time it was measured.
    cpu_s: The same in seconds of all of the process's threads together: on a
      machine with other work the steadier figure for device 'cpu'.
  """

  first_s: float
  runs_s: list[float]
  cpu_s: list[float]


def time_runs(run: Callable[[], object], steps: int) -> tuple[float, float]:
  """Returns the mean seconds and processor seconds of runs in succession."""
  start, cpu_start = time.perf_counter(), time.process_time()
  for _ in range(steps):
    run()
  seconds = time.perf_counter() - start
  return seconds / steps, (time.process_time() - cpu_start) / steps


def warm_up(run: Callable[[], object]) -> float:
  """Runs once, or twice if that is quick; returns the first run's seconds.

  The second run takes what a library sets up late out of short runs.
  """
  first_s, _ = time_runs(run, 1)
  if first_s < _QUICK_S:
    run()
  return first_s


def measure(run: Callable[[], object], *, repeats: int, steps: int) -> Timing:
  """Times a run that returns only when its device is done."""
  first_s = warm_up(run)
  times = [time_runs(run, steps) for _ in range(repeats)]
  return Timing(first_s, *map(list, zip(*times, strict=True)))


def peak_process_bytes() -> int:
  """Returns the most memory this process has held so far."""
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak if sys.platform == 'darwin' else 1024 * peak


def summary(described: dict, timing: Timing, work: workload.Workload) -> dict:
  """Returns one row of results: medians, a model's step being the unit."""
  median_s, least_s = statistics.median(timing.runs_s), min(timing.runs_s)
  num_models = 1 if work.task == 'embed' else work.num_models
  return described | {
    'first_run_s': timing.first_s,
    'runs_s': timing.runs_s,
    'cpu_s': timing.cpu_s,
    'median_s_per_model_step': median_s / num_models,
    'min_s_per_model_step': least_s / num_models,
    'median_cpu_s_per_model_step': statistics.median(timing.cpu_s) / num_models,
    'frames_per_s': work.num_frames / median_s,
  }


def environment() -> dict:
  """Returns the machine, its load and the time."""
  return {
    'machine': platform.machine(),
    'processor': _processor(),
    'cores': len(os.sched_getaffinity(0))
    if hasattr(os, 'sched_getaffinity')
    else os.cpu_count(),
    'python': platform.python_version(),
    'load_average': os.getloadavg(),
    'time': time.strftime('%Y-%m-%dT%H:%M:%S%z'),
  }


def _processor():
  """Returns the processor's name as Linux tells it, else as Python does."""
  path = pathlib.Path('/proc/cpuinfo')
  if path.exists():
    for line in path.read_text().splitlines():
      if line.startswith('model name'):
        return line.split(':', 1)[1].strip()
  return platform.processor()


def table(rows: Sequence[dict]) -> str:
  """Returns the rows as aligned text."""
  head = (
    'contestant',
    'first run s',
    'median s/model step',
    'min s',
    'median cpu s',
    'frames/s',
    'peak MB',
    'switches',
  )
  lines = [head] + [
    (
      row['contestant'],
      f'{row["first_run_s"]:.2f}',
      f'{row["median_s_per_model_step"]:.4f}',
      f'{row["min_s_per_model_step"]:.4f}',
      f'{row["median_cpu_s_per_model_step"]:.4f}',
      f'{row["frames_per_s"]:.1f}',
      f'{row["peak_bytes"] / 1e6:.0f}',
      ' '.join(row.get('switches', [])),
    )
    for row in rows
  ]
  widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
  return '\n'.join(
    '  '.join(
      cell.ljust(width) if index in (0, len(head) - 1) else cell.rjust(width)
      for index, (cell, width) in enumerate(zip(line, widths, strict=True))
    ).rstrip()
    for line in lines
  )


def report(
  rows: Sequence[dict],
  work: workload.Workload,
  *,
  out: str | None,
  ratios: dict[str, float] | None = None,
):
  """Prints a table and writes everything to a JSON file, if one is named."""
  described = dataclasses.asdict(work)
  print(' '.join(f'{key}={value}' for key, value in described.items()))
  print(table(rows))
  for name, ratio in (ratios or {}).items():
    print(f'{name}: {ratio:.2f}')
  if out:
    content = {
      'workload': described,
      'environment': environment(),
      'augmentation': False,
      'rows': list(rows),
      'ratios': ratios or {},
    }
    pathlib.Path(out).write_text(json.dumps(content, indent=2) + '\n')
    print(f'Wrote {out}')
