"""JSON files, read against what they should hold.

  content = json_files.read(
    path, {'schema_version': int, 'models': [{'model_id': str, 'steps': int}]}
  )

A shape is a type, a tuple of shapes of which one must fit, a list of one shape
that every item must have, a dict of the shapes of fields that must be there
(others may be), or Any.
"""

import json
import math
import os
import pathlib
import reprlib
from typing import Any

from psm_jax import paths

MAX_BYTES = 24 << 20
# Lists and objects take thirty times the memory of their brackets.
_MAX_CONTAINERS, _MAX_DEPTH = 1 << 20, 64
_NAMES = {
  str: 'text',
  int: 'a whole number',
  float: 'a number',
  bool: 'true or false',
  type(None): 'null',
  dict: 'an object',
  list: 'a list',
}


def read(
  path: str | os.PathLike, shape: Any, *, max_bytes: int = MAX_BYTES
) -> Any:
  """Returns the content of a JSON file.

  Args:
    path: The file.
    shape: What it should hold, see the module.
    max_bytes: Larger files are refused before they are read.

  Raises:
    ValueError: If it cannot be read or is of another shape; names the file, the
      field, what was expected there and what is.
  """
  path = pathlib.Path(path)
  try:
    text = paths.read_bytes(path, max_bytes)
  except OSError as error:
    raise ValueError(f'{path} cannot be read: {error.strerror}.') from error
  return parse(text, shape, path)


def read_version(path: str | os.PathLike, shape: Any, *, version: int) -> Any:
  """Returns the content of a JSON file of one schema version.

  Args:
    path: The file.
    shape: What it should hold besides schema_version, see the module.
    version: The version that is read.

  Raises:
    ValueError: See `read`; also if it is of another version.
  """
  content = read(path, {'schema_version': int})
  if content['schema_version'] != version:
    raise ValueError(
      f'{path} has schema version {content["schema_version"]!r}; this program '
      f'reads {version}.'
    )
  return check(content, shape, path)


def parse(text: bytes, shape: Any, where: str | os.PathLike) -> Any:
  """Returns the content of JSON, see `read`; `where` it was, for messages."""
  num_containers = text.count(b'[') + text.count(b'{')
  if num_containers > _MAX_CONTAINERS:
    raise ValueError(
      f'{where} holds {num_containers} lists and objects; at most '
      f'{_MAX_CONTAINERS} are read.'
    )
  try:
    content = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise ValueError(f'{where} is no JSON file: {error}.') from error
  level = [content]
  for _ in range(_MAX_DEPTH):
    level = [inner for value in level for inner in _inside(value)]
  if level:
    raise ValueError(
      f'{where} holds lists or objects in each other, more than {_MAX_DEPTH}.'
    )
  return check(content, shape, where)


def check(content: Any, shape: Any, where: str | os.PathLike) -> Any:
  """Returns what JSON held, if it is of a shape; see `parse`."""
  if problem := _misfit(content, shape, ''):
    raise ValueError(f'{where}: {problem}.')
  return content


def _inside(value):
  """Returns the values that a list or object holds."""
  if isinstance(value, dict):
    return value.values()
  return value if isinstance(value, list) else ()


def _misfit(value, shape, field):
  """Returns how a value is of another shape, '' if it is not."""
  if shape is Any:
    return ''
  if isinstance(shape, tuple):
    misfits = [_misfit(value, one, field) for one in shape]
    return '' if '' in misfits else _says(field, value, *shape)
  if isinstance(shape, dict):
    if not isinstance(value, dict):
      return _says(field, value, dict)
    for name, inner in shape.items():
      if name not in value:
        where = f' in {field}' if field else ''
        return f'there is no {name!r}{where}'
      if problem := _misfit(value[name], inner, f'{field}.{name}'.lstrip('.')):
        return problem
    return ''
  if isinstance(shape, list):
    if not isinstance(value, list):
      return _says(field, value, list)
    misfits = (
      _misfit(item, shape[0], f'{field}[{index}]')
      for index, item in enumerate(value)
    )
    return next(filter(None, misfits), '')
  return '' if _is(value, shape) else _says(field, value, shape)


def _is(value, kind):
  """Whether a value is of a type; a whole number is a number, truth is none."""
  if isinstance(value, bool):
    return kind is bool
  if kind is float:
    if isinstance(value, int):
      value = float(value) if abs(value) < 1 << 1023 else math.inf
    return isinstance(value, float) and math.isfinite(value)
  if kind is int:
    return isinstance(value, int) and abs(value) < 1 << 63
  return isinstance(value, kind)


def _says(field, value, *shapes):
  kinds = [each if isinstance(each, type) else type(each) for each in shapes]
  expected = ' or '.join(_NAMES[kind] for kind in kinds)
  where = field or 'the whole'
  return f'{where} should be {expected}, but is {reprlib.repr(value)}'
