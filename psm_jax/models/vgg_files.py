"""Reads the VGG19 weights that the FaceCycle loss and generator build on.

psm_jax ships no ImageNet weights; a user names a file of theirs in the config:

  weights = vgg_files.load_vgg19(config.method.vgg_path)

Every format holds torchvision's own names and layout, features.<n>.weight
[O, I, 3, 3] and features.<n>.bias [O], float32: the .pth file as torchvision
publishes it, or a conversion of it to .safetensors or .npz.
"""

import hashlib
import os
import pathlib
import re
import zipfile

import numpy as np
import safetensors
from absl import logging

from psm_jax.models import tensor_files

_CHANNELS = {  # Index in torchvision's vgg19().features: (I, O).
  0: (3, 64),
  2: (64, 64),
  5: (64, 128),
  7: (128, 128),
  10: (128, 256),
  12: (256, 256),
  14: (256, 256),
  16: (256, 256),
  19: (256, 512),
}
_SHAPES = {}
for _index, (_inputs, _outputs) in _CHANNELS.items():
  _SHAPES[f'features.{_index}.weight'] = (_outputs, _inputs, 3, 3)
  _SHAPES[f'features.{_index}.bias'] = (_outputs,)

_SOURCE = (
  "They are torchvision's VGG19 ImageNet weights, vgg19-dcbb9e9d.pth (the "
  'SHA-256 begins with dcbb9e9d), linked from the vgg19 page of its '
  'documentation. Set method.vgg_path to the file, or to a conversion of it '
  'with the same names and shapes (.safetensors, .npz).'
)


def load_vgg19(path: str | os.PathLike) -> dict[str, dict[str, np.ndarray]]:
  """Returns the first nine convolutions of VGG19, up to relu4_1.

  Args:
    path: a .pth (needs torch), .safetensors or .npz file. Tensors of later
      layers are not read, where the format allows it.

  Returns:
    {'conv0': {'kernel': [3, 3, I, O] float32, 'bias': [O] float32}, ...
    'conv8': ...}, for torchvision's features 0, 2, 5, 7, 10, 12, 14, 16, 19.

  Raises:
    ValueError: If there is no such file (says where to get it), or it is
      damaged, of another network or not finite.
    ImportError: If a .pth file is given and torch is missing or too old.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise ValueError(f'No VGG19 weights at {str(path)!r}. {_SOURCE}')
  readers = {
    '.pth': _read_torch,
    '.npz': _read_npz,
    '.safetensors': _read_safetensors,
  }
  if path.suffix not in readers:
    raise ValueError(
      f'VGG19 weights {path} end in {path.suffix!r}; known formats are '
      f'{", ".join(readers)}. {_SOURCE}'
    )
  _check_sum(path)
  tensors = readers[path.suffix](path)
  for name, tensor in tensors.items():
    if not np.isfinite(tensor).all():
      raise ValueError(
        f'{name} in {path} has values that are not finite. Copy it again.'
      )
  layers = {}
  for layer, index in enumerate(_CHANNELS):
    kernel = tensors[f'features.{index}.weight'].transpose(2, 3, 1, 0)
    layers[f'conv{layer}'] = {
      'kernel': np.ascontiguousarray(kernel),
      'bias': tensors[f'features.{index}.bias'],
    }
  return layers


def _check_sum(path):
  """Logs the SHA-256; the name of a .pth may carry its first 8 digits."""
  with open(path, 'rb') as file:
    digest = hashlib.file_digest(file, 'sha256').hexdigest()
  logging.info('VGG19 weights %s, SHA-256 %s', path, digest)
  named = re.fullmatch(r'.+-([0-9a-f]{8})\.pth', path.name)
  if named and not digest.startswith(named[1]):
    raise ValueError(
      f'The SHA-256 of {path} is {digest}, but its name says that it begins '
      f'with {named[1]}: the file is damaged or another one. Copy it again.'
    )


def _read_npz(path):
  """Returns the tensors of an .npz file; headers are checked before data."""
  with tensor_files.naming_damage(path), zipfile.ZipFile(path) as archive:
    headers = {
      name: _npy_header(archive, name)
      for name in _SHAPES
      if f'{name}.npy' in archive.namelist()
    }
  _check_headers(path, headers)
  tensors = {}
  with tensor_files.naming_damage(path), zipfile.ZipFile(path) as archive:
    for name in _SHAPES:
      with archive.open(f'{name}.npy') as file:
        tensors[name] = np.lib.format.read_array(file, allow_pickle=False)
  return tensors


def _npy_header(archive, name):
  """Returns (shape, dtype) of an array in an .npz file."""
  with archive.open(f'{name}.npy') as file:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
      shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
      shape, _, dtype = np.lib.format.read_array_header_2_0(file)
  return shape, dtype.name if dtype.isnative else str(dtype)


def _read_safetensors(path):
  """Returns the tensors of a .safetensors file; headers are checked first."""
  with tensor_files.naming_damage(path):
    file = safetensors.safe_open(path, framework='numpy')
  with file:
    headers = {}
    for name in set(_SHAPES) & set(file.keys()):
      part = file.get_slice(name)
      dtype = part.get_dtype()
      headers[name] = (
        tuple(part.get_shape()),
        'float32' if dtype == 'F32' else dtype,
      )
    _check_headers(path, headers)
    return {name: file.get_tensor(name) for name in _SHAPES}


def _read_torch(path):
  """Returns the tensors of a torchvision state dict."""
  torch = tensor_files.import_torch(path)
  state = tensor_files.load_torch(path)
  if not isinstance(state, dict):
    raise ValueError(
      f'{path} holds a {type(state).__name__}, not a state dict. {_SOURCE}'
    )
  tensors = {
    name: state[name]
    for name in _SHAPES
    if isinstance(state.get(name), torch.Tensor)
  }
  headers = {
    name: (tuple(tensor.shape), str(tensor.dtype).removeprefix('torch.'))
    for name, tensor in tensors.items()
  }
  _check_headers(path, headers)
  return {name: tensor.detach().numpy() for name, tensor in tensors.items()}


def _check_headers(path, headers):
  """Refuses missing tensors, other shapes and other types than float32."""
  missing = sorted(set(_SHAPES) - set(headers))
  if missing:
    raise ValueError(
      f'{path} lacks {len(missing)} of {len(_SHAPES)} tensors, among them '
      f'{missing[0]}: it is not a VGG19 of torchvision. {_SOURCE}'
    )
  for name, shape in _SHAPES.items():
    if headers[name] != (shape, 'float32'):
      found_shape, found_dtype = headers[name]
      raise ValueError(
        f'{name} in {path} is {found_dtype} {found_shape}, not float32 '
        f'{shape}: it is not a VGG19 of torchvision. {_SOURCE}'
      )
