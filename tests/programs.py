"""Programs of launch/, started as a user starts them."""

import pathlib
import subprocess
import sys

_ROOT = pathlib.Path(__file__).resolve().parents[1]


def start(name, *arguments):
  """Returns the ended process of launch.NAME, its output as text."""
  return subprocess.run(
    [sys.executable, '-m', f'launch.{name}', *map(str, arguments)],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )
