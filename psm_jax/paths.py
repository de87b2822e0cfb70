"""Names that are safe in a path, private folders and files written at once.

Ids come from folder names, tables and checkpoints, so none of them is trusted:

  folder = paths.child(workdir, 'embeddings', model_id, person_id)
"""

import contextlib
import json
import os
import pathlib
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from typing import IO, Any, BinaryIO

from absl import logging

if os.name == 'posix':
  import fcntl
else:
  import msvcrt

_ID = re.compile(r'[A-Za-z0-9][A-Za-z0-9_-]{0,63}')
_ADDRESS = re.compile(r'[A-Za-z][A-Za-z0-9+.-]+:/')
_PART = re.compile(r'[A-Za-z0-9_][A-Za-z0-9._-]{0,199}')
_WINDOWS_DEVICE = re.compile(r'(con|prn|aux|nul|com[0-9]|lpt[0-9])', re.I)


def check_id(text: str, *, what: str) -> str:
  """Returns an id unchanged if it is safe as a name, a file or a table cell.

  Safe is 1 to 64 of the letters A-Z and a-z, digits, '_' and '-', beginning
  with a letter or digit, and not a device name of Windows (con, nul, com1...).

  Args:
    text: the id.
    what: what it is, for the error, e.g. 'person_id'.

  Raises:
    ValueError: If the id is unsafe or not a string.
  """
  if not isinstance(text, str) or not _ID.fullmatch(text):
    raise ValueError(
      f'{what} {text!r} is not a safe name. Use 1 to 64 letters (A-Z, a-z), '
      "digits, '_' and '-', beginning with a letter or digit."
    )
  if _WINDOWS_DEVICE.fullmatch(text):
    raise ValueError(
      f'{what} {text!r} is a device name on Windows. Use another name.'
    )
  return text


def child(root: str | os.PathLike, *parts: str) -> pathlib.Path:
  """Joins names to a root and checks that the result stays under it.

  Args:
    root: a folder, which need not exist.
    *parts: one name a level, no separators: 1 to 200 of the letters A-Z and
      a-z, digits, '.', '_' and '-', beginning with a letter, digit or '_', not
      ending with '.', and no device name of Windows with or without extension.

  Returns:
    root / parts[0] / parts[1] ...; nothing is created.

  Raises:
    ValueError: If a part is unsafe, or a link on the way leads out of root.
  """
  root = pathlib.Path(root)
  for part in parts:
    if (
      not isinstance(part, str)
      or not _PART.fullmatch(part)
      or part.endswith('.')
      or _WINDOWS_DEVICE.fullmatch(part.split('.')[0])
    ):
      raise ValueError(
        f'{part!r} is not a safe file name under {root}. Use up to 200 '
        "letters, digits, '.', '_' and '-', beginning with a letter or digit."
      )
  path = root.joinpath(*parts)
  if not path.resolve().is_relative_to(root.resolve()):
    raise ValueError(
      f'{path} leads out of {root}, to {path.resolve()}. Remove the link, or '
      'name the folder it points to instead.'
    )
  return path


def check_local(path: str | os.PathLike, *, what: str) -> pathlib.Path:
  """Returns a path that a user gave, if it is one of this machine.

  Args:
    path: the path.
    what: what it is, for the error, e.g. '--workdir'.

  Raises:
    ValueError: If it is empty or an address such as gs://bucket/folder.
  """
  text = os.fspath(path)
  if not text.strip() or '\0' in text:
    raise ValueError(f'{what} is {text!r}; name a file or folder.')
  if _ADDRESS.match(text):
    raise ValueError(
      f'{what} is {text!r}, an address; expected a file or folder of this '
      'machine. Mount the storage, or copy what is there.'
    )
  return pathlib.Path(path)


def make_private_dir(path: str | os.PathLike) -> pathlib.Path:
  """Makes a folder that only its owner may enter (mode 0700), parents alike.

  Faces, embeddings and models of one person are biometric data. A folder that
  exists already keeps its mode, because it may hold more than ours; if others
  may enter it, a warning says so.

  Returns:
    The folder's path.

  Raises:
    FileExistsError: If path is a file.
  """
  path = pathlib.Path(path)
  for parent in reversed(path.parents):
    if not parent.exists():
      with contextlib.suppress(FileExistsError):  # Somebody else was faster.
        parent.mkdir(mode=0o700)
  try:
    path.mkdir(mode=0o700)
  except FileExistsError:
    if not path.is_dir():
      raise
    if os.name == 'posix' and path.stat().st_mode & 0o077:
      logging.warning(
        '%s can be entered by other users (mode %03o). It holds biometric '
        'data; `chmod 700` it unless that is meant.',
        path,
        path.stat().st_mode & 0o777,
      )
  return path


def read_bytes(path: str | os.PathLike, max_bytes: int) -> bytes:
  """Returns the content of a file, of no more than so many bytes.

  Raises:
    ValueError: If it has more; names the file.
    OSError: If it cannot be read.
  """
  path = pathlib.Path(path)
  if (num_bytes := path.stat().st_size) > max_bytes:
    raise ValueError(
      f'{path} has {num_bytes} bytes; at most {max_bytes} are read.'
    )
  return path.read_bytes()


def remove(path: str | os.PathLike):
  """Deletes a file, or a folder with all that is in it, if it is there."""
  path = pathlib.Path(path)
  if path.is_dir():
    shutil.rmtree(path)
  else:
    path.unlink(missing_ok=True)


def write_atomic(path: str | os.PathLike, data: bytes | str) -> pathlib.Path:
  """Writes a file so that readers see the old content or all of the new.

  Args:
    path: the file; its folder must exist.
    data: the content; text is written as UTF-8 with its newlines as they are.

  Returns:
    The file's path.
  """
  with writing_atomic(path) as file:
    file.write(data.encode('utf-8') if isinstance(data, str) else data)
  return pathlib.Path(path)


def write_json(path: str | os.PathLike, content: Any) -> pathlib.Path:
  """Writes what JSON can express as `write_atomic` does, for people to read."""
  return write_atomic(path, json.dumps(content, indent=1) + '\n')


@contextlib.contextmanager
def writing_atomic(
  path: str | os.PathLike, *, mode: int = 0o666
) -> Iterator[BinaryIO]:
  """Gives a file that appears under its name when all of it is on the disk.

  It is a temporary file in the same folder and then renamed. After an error or
  a kill the old file is as it was; what a killed writer left goes when the file
  is written again.

  Args:
    path: the file; its folder must exist.
    mode: who may use it, less what the process's umask takes away.
  """
  path = pathlib.Path(path)
  with naming(path):
    _sweep(path)
    file, temporary = _open_temporary(path, mode)
  try:
    with naming(path), file:
      yield file
      flush(file, path)
    os.replace(temporary, path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise
  _sync_folder(path.parent)


def flush(file: IO, path: str | os.PathLike) -> None:
  """Brings what was written to an open file to the disk; errors name it."""
  with naming(path):
    file.flush()
    os.fsync(file.fileno())


def _open_temporary(path, mode):
  """A new file beside another, locked while its writer lives; its path."""
  while True:
    temporary = path.with_name(f'.{path.name}.{secrets.token_hex(4)}.tmp')
    file = open(  # noqa: SIM115  The caller closes it.
      temporary, 'xb', opener=lambda name, how: os.open(name, how, mode)
    )
    try:
      if _take_lock(file, temporary):
        return file, temporary
    except OSError:  # Where files cannot be locked nothing is swept.
      return file, temporary
    file.close()  # A sweep was faster than the lock.


def _sweep(path):
  """Deletes temporary files of writers of a file who were killed."""
  with os.scandir(path.parent) as entries:
    left = [
      entry.path
      for entry in entries
      if entry.name.startswith(f'.{path.name}.') and entry.name.endswith('.tmp')
    ]
  for temporary in left:
    # Of one that is alive it cannot be locked or, on Windows, not deleted.
    with contextlib.suppress(OSError), open(temporary, 'r+b') as file:
      if _take_lock(file, temporary):
        os.unlink(temporary)


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
  """Has errors of writing, such as that of a full disk, say to which file."""
  try:
    yield
  except OSError as error:
    if error.filename is None:
      error.filename = os.fspath(path)
    raise


@contextlib.contextmanager
def locked(
  path: str | os.PathLike, *, busy: str, wait: bool = False
) -> Iterator[None]:
  """Keeps other processes, and other users of the lock in this one, out.

  The system lets the lock go when the process ends, however it ends.

  Args:
    path: a file that is there while the lock is held; its folder must exist.
    busy: a sentence that says what another process is doing.
    wait: whether to wait for it instead of raising an error.

  Raises:
    ValueError: If another process holds the lock.
  """
  while True:
    with open(path, 'ab') as file:
      if _take_lock(file, path):
        try:
          yield
        finally:
          with contextlib.suppress(PermissionError):  # Windows: it is open.
            os.unlink(path)
        return
    if not wait:
      raise ValueError(busy)
    logging.log_every_n_seconds(logging.INFO, '%s', 60, busy)
    time.sleep(0.1)


def _take_lock(file, path):
  """Locks an open file unless it is locked; tells whether it did."""
  try:
    if os.name == 'posix':
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
      msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    # Whoever held it may have taken the file away since it was opened.
    return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
  except (BlockingIOError, PermissionError, FileNotFoundError):
    return False


def _sync_folder(folder: pathlib.Path):
  """Puts a rename onto the disk; Windows cannot open folders and needs not."""
  if os.name != 'posix':
    return
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
