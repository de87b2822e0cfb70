"""Scripts of launch/, started as a user starts them, beside fakes."""

import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def write_program(path, text):
  """Writes a program that can be started."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)
  path.chmod(0o700)


def run(script, *arguments, folder=ROOT, path=(), **environment):
  """Returns the ended process of launch/SCRIPT, its output as text.

  Args:
    script: The file's name.
    *arguments: Its arguments.
    folder: Where it is started.
    path: Folders whose programs go before the machine's.
    **environment: More variables.
  """
  return subprocess.run(
    [ROOT / 'launch' / script, *map(str, arguments)],
    cwd=folder,
    env={
      **os.environ,
      'PATH': ':'.join([*map(str, path), os.environ['PATH']]),
      **environment,
    },
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )
