"""Who may write a run directory: one program, or one for each part."""

import contextlib
import pathlib
from collections.abc import Iterator

from psm_jax import paths

WHOLE = '.lock'  # Of a run; those of its parts are called '.lock-' and more.


@contextlib.contextmanager
def locked(workdir: pathlib.Path, *, name: str = WHOLE) -> Iterator[None]:
  """Holds a run directory, or a part of it, for one writer.

  Args:
    workdir: The run directory.
    name: Of the lock: `WHOLE`, or a part's.

  Raises:
    ValueError: If another process holds the same; or the whole, of a part; or a
      part, of the whole.
  """
  paths.make_private_dir(workdir)
  with paths.locked(workdir / name, busy=_busy(workdir)):
    # Both look for the other when they have their own: one of both sees it.
    check_free(workdir, '.lock-*' if name == WHOLE else WHOLE)
    yield


def check_free(workdir: pathlib.Path, names: str, *, but: str = ''):
  """Raises an error if a process holds one of some locks.

  Args:
    workdir: The run directory.
    names: The pattern of the locks' names.
    but: Name of a lock that does not count: the asker's own.

  Raises:
    ValueError: If one does.
  """
  for path in workdir.glob(names):
    if path.name != but:
      with paths.locked(path, busy=_busy(workdir)):
        pass


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
