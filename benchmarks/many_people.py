"""A run of many synthetic people, shared by shards, from frames to the page.

  python -m benchmarks.many_people --people=300 --shards=4 --out=runs/many

Prints a row a program: seconds, the most memory of one of its processes, and
what it wrote. Shards run at the same time on this machine.
"""

import os
import pathlib
import subprocess
import sys
import time

from absl import app, flags

_PEOPLE = flags.DEFINE_integer('people', 300, 'Synthetic people.')
_SHARDS = flags.DEFINE_integer('shards', 4, 'Processes that share the run.')
_STEPS = flags.DEFINE_integer('steps', 20, 'Steps of each model.')
_FRAMES = flags.DEFINE_integer('frames', 60, 'Frames of a video, two a person.')
_OUT = flags.DEFINE_string('out', None, 'The run directory.', required=True)


def main(argv):
  """Runs all programs and prints what each took."""
  del argv
  out = pathlib.Path(_OUT.value)
  config = (
    '--config=configs/narrow.py',
    '--config.data.source=synthetic_faces',
    '--config.data.align=none',
    f'--config.data.synthetic.num_people={_PEOPLE.value}',
    f'--config.data.synthetic.num_frames={_FRAMES.value}',
    '--config.train.epochs=0',
    f'--config.train.steps={_STEPS.value}',
  )
  print('program | processes | seconds | peak memory of one, GiB')
  _measure('train', config, shards=_SHARDS.value)
  _measure('embed', (), shards=_SHARDS.value)
  _measure('evaluate', ())
  _measure('report', ())
  page = out / 'report.html'
  print(f'{page}: {page.stat().st_size / 2**20:.1f} MiB')


def _measure(program, arguments, *, shards=None):
  """Runs a program, once or once a shard, and prints what it took."""
  command = [sys.executable, '-m', f'launch.{program}', *arguments]
  command.append(f'--workdir={_OUT.value}')
  start = time.perf_counter()
  processes = [
    subprocess.Popen(command + ([f'--shard={i}/{shards}'] if shards else []))
    for i in range(shards or 1)
  ]
  peak = 0
  for process in processes:
    _, status, used = os.wait4(process.pid, 0)
    if status:
      raise SystemExit(f'launch.{program} failed.')
    peak = max(peak, used.ru_maxrss)
  seconds = time.perf_counter() - start
  print(
    f'{program} | {len(processes)} | {seconds:.0f} | {peak / 2**20:.2f}',
    flush=True,
  )


if __name__ == '__main__':
  app.run(main)
