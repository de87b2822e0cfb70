"""What every program does around its own work."""

import sys
import types

from absl import app, flags, logging

from psm_jax import presets

FAILED = 1
_WRONG_USAGE = 2


def run(verb: types.ModuleType):
  """Parses the flags, runs a program's work and exits with its code.

  A ValueError or OSError is the user's to mend: its message is logged, its
  traceback only with --verbosity=1.

  Args:
    verb: The module with the flags; its `main` does the work and returns an
      exit code, None for 0; without the flags in its `REQUIRED` the usage is
      wrong; its docstring is what --help begins with.
  """

  def main(argv):
    if len(argv) > 1:
      _refuse(f'Unknown arguments: {" ".join(argv[1:])}')
    try:
      sys.exit(verb.main())
    except (ValueError, OSError) as error:
      logging.error('%s', error)
      logging.debug('Where it was raised:', exc_info=True)
      sys.exit(FAILED)

  # absl's --help shows the docstring and the flags of the file started.
  sys.modules['__main__'].__doc__ = verb.__doc__
  for flag in flags.FLAGS.get_key_flags_for_module(verb.__name__):
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
  flags.mark_flags_as_required(verb.REQUIRED)
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
    return flags.FLAGS([_with_preset(argument) for argument in argv])
  except (flags.Error, ValueError) as error:
    _refuse(str(error))
  except (AttributeError, KeyError) as error:
    # ml_collections names an unknown field of --config.FIELD=... like this.
    _refuse(f'The configuration has no field {str(error).strip(chr(34))}.')


def _with_preset(argument):
  """Returns an argument, --config=PRESET as --config=FILE."""
  name, equals, value = argument.partition('=')
  if equals and name in ('--config', '-config'):
    return f'{name}={presets.path_of(value)}'
  return argument


def _refuse(reason):
  sys.stderr.write(f'{reason}\nTry {sys.argv[0]} --help.\n')
  sys.exit(_WRONG_USAGE)
