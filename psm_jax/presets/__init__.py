"""Configurations: one file an experiment; `base` has every field.

psm train --config=psm_ctl ...            the file that comes with psm_jax
psm train --config=experiments/mine.py    a file of one's own
"""

import importlib
import os
import pathlib
from typing import Any

import ml_collections

_FOLDER = pathlib.Path(__file__).parent
NAMES = tuple(sorted(p.stem for p in _FOLDER.glob('*.py') if p.stem[0] != '_'))


def path_of(config: str) -> str:
  """Returns the file of a preset's name; what is no name is a file already.

  Raises:
    ValueError: If a text looks like a name and is none, or there is no file.
  """
  if config in NAMES:
    return str(_FOLDER / f'{config}.py')
  if not config.endswith('.py'):
    raise ValueError(
      f'--config={config} is neither a file (.py) nor a preset: '
      f'{", ".join(NAMES)}.'
    )
  if not pathlib.Path(config).is_file():
    raise ValueError(f'--config={config}: there is no such file.')
  return config


def get(name: str) -> ml_collections.ConfigDict:
  """Returns the configuration of a preset's name.

  Raises:
    ValueError: If there is none of that name.
  """
  if name not in NAMES:
    raise ValueError(f'{name!r} is no preset: {", ".join(NAMES)}.')
  return importlib.import_module(f'psm_jax.presets.{name}').get_config()


def config_of(
  content: dict, *, where: str | os.PathLike = 'The configuration'
) -> ml_collections.ConfigDict:
  """Returns the configuration that JSON content holds, lists as tuples.

  Raises:
    ValueError: If a field has a name that none can have; begins with `where`.
  """
  try:
    return ml_collections.ConfigDict(with_tuples(content))
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise ValueError(f'{where}: {error}') from error


def with_tuples(value: Any) -> Any:
  """Returns JSON content with tuples, as configurations hold them."""
  if isinstance(value, dict):
    return {key: with_tuples(item) for key, item in value.items()}
  return tuple(value) if isinstance(value, list) else value
