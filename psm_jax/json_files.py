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
from typing import Any

MAX_BYTES = 64 << 20
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
    num_bytes = path.stat().st_size
    if num_bytes > max_bytes:
      raise ValueError(
        f'{path} has {num_bytes} bytes; at most {max_bytes} are read.'
      )
    text = path.read_bytes()
  except OSError as error:
    raise ValueError(f'{path} cannot be read: {error.strerror}.') from error
  try:
    content = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise ValueError(f'{path} is no JSON file: {error}.') from error
  problem = _misfit(content, shape, '')
  if problem:
    raise ValueError(f'{path}: {problem}.')
  return content


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
    return isinstance(value, (int, float)) and math.isfinite(value)
  return isinstance(value, kind)


def _says(field, value, *shapes):
  expected = ' or '.join(_name(shape) for shape in shapes)
  seen = repr(value) if len(repr(value)) < 60 else f'{repr(value)[:57]}...'
  return f'{field or "the whole"} should be {expected}, but is {seen}'


def _name(shape):
  if isinstance(shape, (dict, list)):
    return _NAMES[type(shape)]
  return _NAMES[shape]
