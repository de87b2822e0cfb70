r"""Tells how runs stand: models by state, steps, rate, time left, checkpoints.

  python -m launch.status --workdir=runs/lab
  python -m launch.status --workdir=runs/a --workdir=runs/b

It only reads, also while a run trains. A row a shard: models and how many of
them are not finished, their steps together and the steps they will take, steps
of a model a second, the time that is left at that rate, the ages of the last
row of metrics and of the newest checkpoint, and whether a process holds the
shard (or was killed as it did: look at the ages).

Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

import pathlib
import sys

from absl import flags

from psm_jax.cli import program
from psm_jax.runs import status

_WORKDIR = flags.DEFINE_multi(
  program.PLACE,
  flags.ArgumentSerializer(),
  'workdir',
  None,
  'A run of launch.train; may be given more than once.',
)
REQUIRED = ('workdir',)


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  for workdir in _WORKDIR.value:
    for line in status.lines(pathlib.Path(workdir)):
      sys.stdout.write(f'{line}\n')
