"""Files of named tensors, read without running any code that they hold.

A reference checkpoint is a file of torch.save: a dict of state dicts, such as
{'codegeneration': {...}, ...}. Its tensors are named by the keys on the way,
joined by '.'; those of DataParallel ('module.') are left out.
"""

import contextlib
import os
import pathlib
import tokenize
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
import safetensors
import safetensors.numpy

_MIN_TORCH = (2, 6)  # Before, weights_only could be got round: CVE-2025-32434.
# The largest published weights that we know of have a quarter.
_MAX_BYTES = 4 << 30
# Archives may unpack to so much, or so many times their own size.
_MAX_UNPACKED, _MAX_RATIO = 256 << 20, 2
_TORCH_SUFFIXES = ('.pth', '.pt', '.tar', '.bin')


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Returns the tensors of a .safetensors, an .npz or a file of torch.save.

  Args:
    path: .safetensors, .npz; or .pth, .pt, .tar or .bin, which need torch.

  Raises:
    ValueError: If there is no such file, its format is unknown, or it is
      damaged or would run code.
    ImportError: If torch is needed, and missing or too old.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise ValueError(f'There is no file {str(path)!r}.')
  num_bytes = path.stat().st_size
  if num_bytes > _MAX_BYTES:
    raise ValueError(
      f'{path} has {num_bytes} bytes; at most {_MAX_BYTES} are read.'
    )
  if path.suffix == '.safetensors':
    with _naming_damage(path):
      tensors = safetensors.numpy.load(path.read_bytes())
  elif path.suffix == '.npz':
    tensors = read_npz(path)
  elif path.suffix in _TORCH_SUFFIXES:
    tensors = _flatten(_load_torch(path))
  else:
    raise ValueError(
      f'{path} ends in {path.suffix!r}; known formats are .safetensors, .npz '
      f'and {", ".join(_TORCH_SUFFIXES)} of torch.save.'
    )
  return {
    '.'.join(part for part in name.split('.') if part != 'module'): tensor
    for name, tensor in tensors.items()
  }


def read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Returns the arrays of an .npz file.

  Raises:
    ValueError: If it cannot be read, is damaged, or claims to be much larger
      than it is.
  """
  with _naming_damage(path):
    _check_archive(path)
    with open(path, 'rb') as file, np.load(file, allow_pickle=False) as arrays:
      return {name: arrays[name] for name in arrays.files}


@contextlib.contextmanager
def _naming_damage(path: pathlib.Path) -> Iterator[None]:
  """Turns the errors of a damaged archive or tensor into one that names it."""
  try:
    yield
  except (
    EOFError,
    KeyError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    safetensors.SafetensorError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
  ) as error:
    raise ValueError(
      f'{path} is not a whole {path.suffix} file ({error}). Copy it again.'
    ) from error


def _check_archive(path: pathlib.Path) -> None:
  """Raises a ValueError if a zip archive claims much more than it is."""
  if not zipfile.is_zipfile(path):
    return
  with zipfile.ZipFile(path) as archive:
    unpacked = sum(member.file_size for member in archive.infolist())
  if unpacked > max(_MAX_UNPACKED, _MAX_RATIO * path.stat().st_size):
    raise ValueError(f'it claims to hold {unpacked} bytes')


def _load_torch(path):
  """Returns the content of a file of torch.save, tensors on the CPU."""
  with _naming_damage(path):
    _check_archive(path)
  try:
    import torch
  except ImportError as error:
    raise ImportError(
      f'Reading {path} needs PyTorch, which is not installed. Install torch '
      '(its CPU build is enough), or convert the file once, where torch is, '
      'from torch.load(path, weights_only=True) by '
      'safetensors.torch.save_file.'
    ) from error
  version = tuple(int(part) for part in torch.__version__.split('.')[:2])
  if version < _MIN_TORCH:
    raise ImportError(
      f'torch {torch.__version__} may run code hidden in {path} '
      '(CVE-2025-32434). Install torch 2.6 or newer.'
    )
  try:
    return torch.load(path, map_location='cpu', weights_only=True)
  except Exception as error:  # Torch has no one type for a bad file.
    # Its own message advises to read the file unsafely, so it is left out.
    raise ValueError(
      f'{path} is damaged, or would run code when read '
      f'({type(error).__name__}). Copy it again from where you trust it.'
    ) from error


def _flatten(content, prefix=''):
  """Returns the tensors of nested dicts by their joined keys."""
  tensors = {}
  for key, value in content.items() if isinstance(content, dict) else ():
    name = f'{prefix}{key}'
    if isinstance(value, dict):
      tensors |= _flatten(value, f'{name}.')
    elif hasattr(value, 'detach'):
      tensors[name] = value.detach().numpy()
  return tensors
