"""What every program of this folder does around its own work."""

import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

FAILED = 1
_WRONG_USAGE = 2


def run(work: Callable[[], int | None], *, required: Sequence[str] = ()):
  """Parses the flags, runs a program's work and exits with its code.

  A ValueError or OSError is the user's to mend: its message is logged, its
  traceback only with --verbosity=1.

  Args:
    work: Does the work; returns an exit code, None for 0.
    required: Flags without which the usage is wrong.
  """

  def main(argv):
    if len(argv) > 1:
      _refuse(f'Unknown arguments: {" ".join(argv[1:])}')
    try:
      sys.exit(work())
    except (ValueError, OSError) as error:
      logging.error('%s', error)
      logging.debug('Where it was raised:', exc_info=True)
      sys.exit(FAILED)

  flags.mark_flags_as_required(required)
  app.run(main, flags_parser=_parse)


def named(flag: flags.FlagHolder) -> list[tuple[str, str]]:
  """Returns (name, place) of each NAME=PLACE that a flag was given.

  Raises:
    ValueError: If one is not of that form, or a name comes twice.
  """
  found = {}
  for text in flag.value:
    name, equals, place = text.partition('=')
    if not (name and equals and place):
      raise ValueError(f'--{flag.name}={text} should be NAME=PLACE.')
    if name in found:
      raise ValueError(f'--{flag.name} names {name} more than once.')
    found[name] = place
  return list(found.items())


def _parse(argv):
  try:
    return flags.FLAGS(argv)
  except flags.Error as error:
    _refuse(str(error))
  except (AttributeError, KeyError) as error:
    # ml_collections names an unknown field of --config.FIELD=... like this.
    _refuse(f'The configuration has no field {str(error).strip(chr(34))}.')


def _refuse(reason):
  sys.stderr.write(f'{reason}\nTry {sys.argv[0]} --help.\n')
  sys.exit(_WRONG_USAGE)
