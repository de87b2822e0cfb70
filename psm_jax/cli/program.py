"""What every program does around its own work."""

import contextlib
import importlib
import logging as py_logging
import os
import pathlib
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Sequence

from absl import app, flags, logging

from psm_jax import paths, presets, stopping
from psm_jax.runs import locks

FAILED, WRONG_USAGE = 1, 2
_PACKAGE = pathlib.Path(__file__).parents[1]
# What these write of a run must not be mixed.
_MAKERS = (
  'attach_labels',
  'discover',
  'embed',
  'evaluate',
  'label',
  'learning_curve',
  'report',
)


class _PlaceParser(flags.ArgumentParser):
  """A flag that names a file or folder, before one of that name is made."""

  def parse(self, argument):
    paths.check_local(argument, what='it')
    return argument


PLACE = _PlaceParser()


def run(verb: str, *, as_called: Callable[[str], str] = str):
  """Imports a program, does its work and exits with its code.

  What the user can mend (ValueError, OSError, ImportError) is logged in a line,
  its traceback with --verbosity=1; anything else in a line that says which file
  has its traceback. Signals are heeded from here on, see `stopping`.

  Args:
    verb: A module of psm_jax.cli, with flags; its `main` does the work and
      returns an exit code, None for 0; without the flags in its `REQUIRED` the
      usage is wrong; what is no flag goes to `main` if its `ARGUMENTS` names
      it, else the usage is wrong; its docstring is what --help begins with.
    as_called: Text with programs named as launch.VERB -> as the user calls
      them.
  """
  with stopping.listening():
    try:
      sys.exit(_run(verb, as_called))
    except stopping.Stopped as stopped:
      logging.warning('Stopped by %s; the same command goes on.', stopped)
      stopping.leave()
    except Exception:
      # Libraries turn a Stopped that interrupts them into errors of their own.
      if not stopping.is_asked():
        raise
      stopping.leave()


def _run(verb, as_called):
  """Does a program's work and exits; returns its exit code if it failed."""
  try:
    module = _import(verb)

    def main(argv):
      takes = vars(module).get('ARGUMENTS')
      if argv[1:] and not takes:
        _refuse(f'Unknown arguments: {" ".join(argv[1:])}')
      if takes and not argv[1:]:
        _refuse(f'Give {takes}.')
      with _holding_run(verb):
        sys.exit(module.main(*argv[1:]))

    logging.get_absl_handler().addFilter(_is_ours)
    # libtpu's own, which go past Python's logging.
    os.environ.setdefault('TPU_MIN_LOG_LEVEL', '2')
    os.environ.setdefault('TPU_STDERR_LOG_LEVEL', '2')
    # absl's --help shows the docstring and the flags of the file started.
    module.__doc__ = as_called(module.__doc__)
    sys.modules['__main__'].__doc__ = module.__doc__
    for flag in flags.FLAGS.get_key_flags_for_module(module.__name__):
      flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    flags.mark_flags_as_required(vars(module).get('REQUIRED', ()))
    app.run(main, flags_parser=_parse)
  except (ValueError, OSError, ImportError) as error:
    logging.error('%s', error)
    logging.debug('Where it was raised:', exc_info=True)
  except Exception as error:  # The last place before a user's screen.
    logging.error(
      'Something unforeseen: %s: %s (%s). Unless that says what to mend, '
      'please report it.',
      type(error).__name__,
      str(error).split('\n', 1)[0],
      _keep_traceback(verb),
    )
  # Libraries turn a Stopped that interrupts them into errors of their own.
  if stopping.is_asked():
    stopping.leave()
  return FAILED


def _import(verb):
  """Returns a program's module; a signal meanwhile raises `Stopped` afterwards.

  Compiled libraries that are interrupted as they start may crash Python.
  """
  with stopping.polled() as asked:
    module = importlib.import_module(f'psm_jax.cli.{verb}')
  if asked.is_set():
    raise stopping.Stopped('a signal')
  return module


def _holding_run(verb):
  """Returns a context in which no other program writes into --workdir.

  Programs that share a run out write apart from each other.
  """
  values = flags.FLAGS.flag_values_dict() if verb in _MAKERS else {}
  workdir = pathlib.Path(values.get('workdir') or '')
  is_run = (workdir / 'models.json').is_file()
  if not values or not is_run or values.get('shard'):
    return contextlib.nullcontext()
  return locks.making(workdir)


def _keep_traceback(verb):
  """Writes the current error's traceback to a file; says which."""
  try:
    handle, path = tempfile.mkstemp(f'-{verb}.log', 'psm_jax-')
    with os.fdopen(handle, 'w') as file:
      traceback.print_exc(file=file)
  except OSError as error:
    return f'its traceback could not be kept: {error}'
  return f'traceback in {path}'


def allow(*ways: Sequence[str], message: str) -> None:
  """Says which of some flags may be given together; else the usage is wrong.

  Args:
    *ways: Names of flags; one of the ways must be that of the command line. A
      flag counts as given if it holds something: no None, 0 or false.
    message: What to give, for whoever does otherwise.
  """
  names = sorted(set().union(*ways))

  @flags.multi_flags_validator(names, message)
  def _is_one_of_ways(values):
    given = {name for name, value in values.items() if value}
    return given in map(set, ways)


def named(
  flag: flags.FlagHolder, *, repeats: bool = False
) -> list[tuple[str, str]]:
  """Returns (name, place) of each NAME=PLACE that a flag was given.

  Args:
    flag: Holds a list of texts.
    repeats: A name may come again.

  Raises:
    ValueError: If one is not of that form, or a name comes twice.
  """
  pairs = []
  for text in flag.value:
    name, equals, place = text.partition('=')
    if not (name and equals and place):
      raise ValueError(f'--{flag.name}={text} should be NAME=PLACE.')
    if not repeats and name in dict(pairs):
      raise ValueError(f'--{flag.name} names {name} more than once.')
    pairs.append((name, place))
  return pairs


def wrote(written: Iterable[pathlib.Path]) -> None:
  """Logs what a program wrote."""
  for path in written:
    logging.info('Wrote %s', path)


def _parse(argv):
  try:
    return flags.FLAGS([_with_preset(argument) for argument in argv])
  except (flags.Error, ValueError, OSError) as error:
    _refuse(str(error))
  except (AttributeError, KeyError) as error:
    # ml_collections names an unknown field of --config.FIELD=... like this.
    _refuse(f'The configuration has no field {str(error).strip(chr(34))}.')


def _is_ours(record):
  """Whether a log record is worth a reader's time: ours, or a warning.

  What TensorFlow's data sets warn of is how we use them, on purpose.
  """
  path = pathlib.Path(record.pathname)
  least = py_logging.WARNING
  if 'tensorflow_datasets' in path.parts:
    least = py_logging.ERROR
  return path.is_relative_to(_PACKAGE) or record.levelno >= least


def _with_preset(argument):
  """Returns an argument, --config=PRESET as --config=FILE."""
  name, equals, value = argument.partition('=')
  if equals and name in ('--config', '-config'):
    return f'{name}={presets.path_of(value)}'
  return argument


def _refuse(reason):
  sys.stderr.write(f'{reason}\nTry {sys.argv[0]} --help.\n')
  sys.exit(WRONG_USAGE)
