"""One contestant in a process of its own, which runs when it is told to.

`benchmarks.compare` starts it. It prints a line of JSON when it is warm, one
for each line it reads, and a last one when there are no more.
"""

import importlib
import json
import os
import sys

from absl import app, flags

from benchmarks import measurement, workload

_ENGINE = 'psm_jax'
CONTESTANTS = (_ENGINE, 'eager', 'best', 'best_float32', 'stacked')


def define_flags():
  """Defines the flags of the work, and of how psm_jax does it."""
  workload.define_flags()
  flags.DEFINE_string('strategy', 'auto', 'Field population.strategy.')
  flags.DEFINE_string('lowering', 'auto', 'Field population.lowering.')
  flags.DEFINE_integer('microbatches', 1, 'Field train.microbatches.')


def _prepare(contestant, work):
  """Returns the run, its description and the function of the peak memory."""
  # Only one of the two libraries is loaded: their threads and their shares of
  # an accelerator's memory would be in each other's way.
  if contestant == _ENGINE:
    os.environ['JAX_PLATFORMS'] = work.device
    os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
    library = importlib.import_module('benchmarks.engine')
    prepared = library.prepare(
      work,
      strategy=flags.FLAGS.strategy,
      lowering=flags.FLAGS.lowering,
      microbatches=flags.FLAGS.microbatches,
    )
  else:
    library = importlib.import_module('benchmarks.torch_peer')
    prepared = library.prepare(contestant, work)
  return *prepared, library.peak_bytes


def main():
  """Warms up, then runs once for each line of the standard input."""
  # Whatever a library prints must not come between the lines of JSON.
  answers, sys.stdout = sys.stdout, sys.stderr
  work = workload.from_flags()
  run, described, peak_bytes = _prepare(flags.FLAGS.contestant, work)

  def answer(content):
    answers.write(json.dumps(content) + '\n')
    answers.flush()

  answer(measurement.warm_up(run))
  for _ in sys.stdin:
    answer(measurement.time_runs(run, flags.FLAGS.steps))
  answer(described | {'peak_bytes': peak_bytes(work.device)})


if __name__ == '__main__':
  define_flags()
  flags.DEFINE_enum('contestant', None, CONTESTANTS, 'Who runs.')
  flags.mark_flags_as_required(['contestant'])
  app.run(lambda _: main())
