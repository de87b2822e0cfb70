"""psm_jax beside PyTorch on the same device, run by run in turn.

  python -m benchmarks.compare --out=full.json
  python -m benchmarks.compare --width=0.125 --size_px=32 --pairs=8 --vgg=none \
      --steps=20 --repeats=5
  python -m benchmarks.compare --task=embed --contestants=psm_jax,eager,best
  python -m benchmarks.compare --device=cuda --num_models=8 --steps=10 \
      --contestants=psm_jax,best,stacked --strategy=vmap
  python -m benchmarks.compare --method=canonical --width=0.5 --size_px=32 \
      --num_models=8 --steps=4 --repeats=5 --contestants=psm_jax,eager

Every contestant is a process of its own that is warmed up first; then they
take turns (A B A B), so that a change of the machine's load meets all of them.
A ratio above 1 says that psm_jax is faster. Both sides take random uint8 frames
that lie on the device, without augmentation, and end with Adam's update.
What the contestants are is told in `benchmarks.torch_steps`.

On a shared machine, bind all to one core (taskset -c 1 ...) and read the
processor seconds.
"""

import contextlib
import dataclasses
import json
import statistics
import subprocess
import sys

from absl import app, flags

from benchmarks import measurement, worker, workload


class _Process:
  """A warm contestant that waits."""

  def __init__(self, contestant, arguments):
    self._name = contestant
    command = [sys.executable, '-m', 'benchmarks.worker']
    self._process = subprocess.Popen(
      [*command, f'--contestant={contestant}', *arguments],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )
    self.first_s = self._read()
    self.times = []

  def _read(self):
    line = self._process.stdout.readline()
    if not line:
      code = self._process.wait()
      self.kill()
      raise ValueError(
        f'{self._name} ended with exit code {code}; its message is above.'
      )
    return json.loads(line)

  def run(self):
    """Runs once and keeps the time."""
    self._process.stdin.write('\n')
    self._process.stdin.flush()
    self.times.append(self._read())

  def close(self):
    """Ends the process and returns its description."""
    self._process.stdin.close()
    described = self._read()
    self._process.wait()
    return described

  def kill(self):
    """Ends the process, whatever it does."""
    if self._process.poll() is None:
      self._process.kill()
    self._process.wait()
    for pipe in (self._process.stdin, self._process.stdout):
      # What was not sent any more cannot be sent to a process that is gone.
      with contextlib.suppress(BrokenPipeError):
        pipe.close()


def compare(
  work: workload.Workload,
  contestants: list[str],
  arguments: list[str],
  *,
  repeats: int,
) -> list[dict]:
  """Returns a row of results for each contestant.

  Args:
    work: What is run.
    contestants: Some of `worker.CONTESTANTS`.
    arguments: The worker's flags that describe the work.
    repeats: Turns of each contestant.

  Raises:
    ValueError: If a contestant's process fails.
  """
  processes = []
  try:
    for contestant in contestants:
      process = _Process(contestant, arguments)
      processes.append(process)
    for _ in range(repeats):
      for process in processes:
        process.run()
    rows = []
    for process in processes:
      timing = measurement.Timing(
        process.first_s, *map(list, zip(*process.times, strict=True))
      )
      rows.append(measurement.summary(process.close(), timing, work))
    return rows
  finally:
    for process in processes:
      process.kill()


def ratios(rows: list[dict]) -> dict[str, float]:
  """Returns by what factor psm_jax is faster than each other contestant.

  The median over the turns of the ratio of the times of one turn.
  """
  times = {row['contestant']: row for row in rows}
  own = times.pop('psm_jax', None)
  if own is None:
    return {}
  found = {}
  for name, row in times.items():
    for key, label in (('runs_s', 'time'), ('cpu_s', 'processor time')):
      found[f'{name} / psm_jax, {label}'] = statistics.median(
        theirs / ours for ours, theirs in zip(own[key], row[key], strict=True)
      )
  return found


def _define_flags():
  worker.define_flags()
  names = ', '.join(worker.CONTESTANTS)
  flags.DEFINE_list(
    'contestants',
    ['psm_jax', 'eager', 'best_float32', 'best'],
    f'Who runs: some of {names}.',
  )
  flags.register_validator(
    'contestants',
    lambda chosen: set(chosen) <= set(worker.CONTESTANTS),
    f'Expected some of {names}.',
  )


def _worker_arguments(work):
  """Returns the flags to hand on."""
  values = dataclasses.asdict(work) | {
    name: flags.FLAGS[name].value
    for name in ('steps', 'strategy', 'lowering', 'microbatches')
  }
  return [f'--{name}={value}' for name, value in values.items()]


def main():
  """Compares, prints a table and the ratios, and writes JSON if asked to."""
  work = workload.from_flags()
  rows = compare(
    work,
    flags.FLAGS.contestants,
    _worker_arguments(work),
    repeats=flags.FLAGS.repeats,
  )
  measurement.report(rows, work, out=flags.FLAGS.out, ratios=ratios(rows))


if __name__ == '__main__':
  _define_flags()
  app.run(lambda _: main())
