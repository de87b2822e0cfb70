"""Who may write a run directory: one program, or one for each part."""

import contextlib
import pathlib
from collections.abc import Iterator

from psm_jax import paths


@contextlib.contextmanager
def locked(workdir: pathlib.Path) -> Iterator[None]:
  """Holds a run directory for one writer.

  Raises:
    ValueError: If another process holds it, or a part of it.
  """
  paths.make_private_dir(workdir)
  with paths.locked(workdir / '.lock', busy=_busy(workdir)):
    check_unshared(workdir)
    yield


def check_unshared(workdir: pathlib.Path, *, but: str = ''):
  """Raises an error if processes that share a run are at it.

  Args:
    workdir: The run directory.
    but: Name of a lock that does not count: the asker's own.

  Raises:
    ValueError: If there are.
  """
  for path in workdir.glob('.lock-*'):
    if path.name != but:
      with paths.locked(path, busy=_busy(workdir)):
        pass


@contextlib.contextmanager
def locked_part(workdir: pathlib.Path, name: str) -> Iterator[None]:
  """Holds one part of a run directory for one writer.

  Args:
    workdir: The run directory.
    name: Of the part's lock, '.lock-' and more.

  Raises:
    ValueError: If another process holds it, or the whole run.
  """
  paths.make_private_dir(workdir)
  with paths.locked(workdir / name, busy=_busy(workdir)):
    # Who takes the run whole looks for parts when it has it: one of both sees
    # the other.
    with paths.locked(workdir / '.lock', busy=_busy(workdir)):
      pass
    yield


def making(
  workdir: pathlib.Path, *, wait: bool = True
) -> contextlib.AbstractContextManager[None]:
  """Holds what is made of a run - tables, labels, reports - for one program.

  Args:
    workdir: The run directory.
    wait: Whether to wait for another program that makes some.

  Raises:
    ValueError: If there is one, and it is not to be waited for.
  """
  return paths.locked(
    workdir / '.making.lock',
    busy=f'Another program makes tables or a report of {workdir}.',
    wait=wait,
  )


def _busy(workdir):
  return (
    f'Another process is writing to {workdir}. Wait for it, or choose another '
    '--workdir.'
  )
