"""What every program of this folder does around its own work."""

import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

FAILED = 1


def run(work: Callable[[], int | None], *, required: Sequence[str]):
  """Parses the flags, runs a program's work and exits with its code.

  A ValueError or OSError is the user's to mend: its message is logged, its
  traceback only with --verbosity=1.

  Args:
    work: Does the work; returns an exit code, None for 0.
    required: Flags without which the usage is wrong.
  """

  def main(argv):
    if len(argv) > 1:
      raise app.UsageError(f'Unknown arguments: {argv[1:]}')
    try:
      sys.exit(work())
    except (ValueError, OSError) as error:
      logging.error('%s', error)
      logging.debug('Where it was raised:', exc_info=True)
      sys.exit(FAILED)

  flags.mark_flags_as_required(required)
  app.run(main)
