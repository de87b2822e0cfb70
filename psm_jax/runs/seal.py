"""Seals: a folder's files and their checksums, looked at before any is read.

A reader of a damaged file may fail later than it is asked, hang, or give other
numbers. A seal is written once all files of the folder are; a folder without
one was never finished.
"""

import hashlib
import json
import pathlib
import zlib
from collections.abc import Collection

_NAME = 'seal.json'
_PIECE = 1 << 24


def write(folder: pathlib.Path, *, leave_out: Collection[str] = ()):
  """Writes the seal of a folder's files.

  Args:
    folder: The folder; nobody may be writing to it.
    leave_out: Names, relative to the folder, of files that may change.
  """
  files = {
    path.relative_to(folder).as_posix(): _measure(path)
    for path in sorted(folder.rglob('*'))
    if path.is_file()
  }
  files = {name: files[name] for name in files.keys() - {*leave_out, _NAME}}
  (folder / _NAME).write_bytes(_content(files))


def check(folder: pathlib.Path):
  """Compares a folder's files with its seal.

  Raises:
    ValueError: Names the first file that is missing, cut or changed.
  """
  path = folder / _NAME
  try:
    content = path.read_bytes()
    files = json.loads(content)['files']
    is_whole = content == _content(files)
  except OSError as error:
    raise ValueError(
      f'{path} cannot be read ({error.strerror}): the save was cut off, or is '
      'of an earlier version.'
    ) from error
  except (ValueError, TypeError, KeyError, RecursionError):
    is_whole = False
  if not is_whole:
    raise ValueError(f'{path} is damaged.')
  for name, written in files.items():
    try:
      measured = _measure(folder / name)
    except OSError as error:
      raise ValueError(
        f'{folder / name} cannot be read: {error.strerror}.'
      ) from error
    if measured != written:
      raise ValueError(
        f'{folder / name} is damaged: {measured[0]} bytes with checksum '
        f'{measured[1]:08x}, but {written[0]} with {written[1]:08x} were '
        'written.'
      )


def _measure(path):
  """Returns [bytes, CRC-32] of a file."""
  size, checksum = 0, 0
  with open(path, 'rb') as file:
    while piece := file.read(_PIECE):
      size, checksum = size + len(piece), zlib.crc32(piece, checksum)
  return [size, checksum]


def _content(files):
  """Returns a seal's bytes, which hold their own checksum."""
  text = json.dumps(files, sort_keys=True)
  sha256 = hashlib.sha256(text.encode()).hexdigest()
  return f'{{"files": {text}, "sha256": "{sha256}"}}\n'.encode()
