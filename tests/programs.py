"""Programs as a user starts them, from a process that has imported JAX.

Importing takes seconds and a fork milliseconds, and all else is as in a new
process: arguments, streams, signals, exit code.
"""

import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_TIMEOUT_S = 300
_FORKS = multiprocessing.get_context('forkserver')
_FORKS.set_forkserver_preload(['tests.preloaded'])


def start(name: str, *arguments: object) -> subprocess.CompletedProcess:
  """Returns the ended process of `python -m launch.NAME`, its output text."""
  return run(f'launch.{name}', *arguments)


def run(
  module: str, *arguments: object, cwd: str | os.PathLike = _ROOT
) -> subprocess.CompletedProcess:
  """Returns the ended process of `python -m MODULE`, its output as text.

  Args:
    module: With its package.
    arguments: Made text.
    cwd: Where.
  """
  with tempfile.TemporaryDirectory(prefix='psm_jax_test_') as folder:
    command = [module, *map(str, arguments)]
    process = _FORKS.Process(
      target=_main, args=(command, folder, os.fspath(cwd), dict(os.environ))
    )
    process.start()
    process.join(_TIMEOUT_S)
    if process.is_alive():
      process.kill()
      raise subprocess.TimeoutExpired(command, _TIMEOUT_S)
    out, err = (
      pathlib.Path(folder, stream).read_text() for stream in ('out', 'err')
    )
  return subprocess.CompletedProcess(command, process.exitcode, out, err)


def _main(command, folder, cwd, environment):
  """Becomes the program."""
  for number, stream in ((1, 'out'), (2, 'err')):
    file = os.open(f'{folder}/{stream}', os.O_WRONLY | os.O_CREAT)
    os.dup2(file, number)
    os.close(file)
  os.environ.clear()
  os.environ.update(environment)
  tempfile.tempdir = None  # TMPDIR may be another.
  os.chdir(cwd)
  sys.path.insert(0, os.fspath(_ROOT))
  sys.argv = command
  runpy.run_module(command[0], run_name='__main__', alter_sys=True)
