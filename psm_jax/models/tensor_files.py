"""Files of named tensors, read without running any code that they hold.

A reference checkpoint is a file of torch.save: a dict of state dicts, such as
{'codegeneration': {...}, ...}. Its tensors are named by the keys on the way,
joined by '.'; those of DataParallel ('module.') are left out.
"""

import io
import os
import pathlib
import tokenize
import zipfile
import zlib

import numpy as np
import safetensors
import safetensors.numpy

_MIN_TORCH = (2, 6)  # Before, weights_only could be got round: CVE-2025-32434.
# The largest published weights that we know of have a quarter.
_MAX_BYTES = 4 << 30
# KeyError, TypeError: of a type that NumPy has not. MemoryError: a header that
# claims more than there is.
_DAMAGE = (
  safetensors.SafetensorError,
  zipfile.BadZipFile,
  zlib.error,
  EOFError,
  KeyError,
  MemoryError,
  OSError,
  RuntimeError,
  TypeError,
  ValueError,
  tokenize.TokenError,
)
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
  if path.suffix in _TORCH_SUFFIXES:
    tensors = _flatten(_load_torch(path))
  elif path.suffix in _READERS:
    try:
      tensors = _READERS[path.suffix](path)
    except _DAMAGE as error:
      raise ValueError(
        f'{path} is not a whole {path.suffix} file ({error}). Copy it again.'
      ) from error
  else:
    raise ValueError(
      f'{path} ends in {path.suffix!r}; known formats are '
      f'{", ".join(_READERS)} and {", ".join(_TORCH_SUFFIXES)} of torch.save.'
    )
  return {
    '.'.join(part for part in name.split('.') if part != 'module'): tensor
    for name, tensor in tensors.items()
  }


def _read_npz(path):
  # Without pickles, by default.
  with np.load(io.BytesIO(path.read_bytes())) as archive:
    return dict(archive)


_READERS = {
  '.safetensors': lambda path: safetensors.numpy.load(path.read_bytes()),
  '.npz': _read_npz,
}


def _load_torch(path):
  """Returns the content of a file of torch.save, tensors on the CPU."""
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
