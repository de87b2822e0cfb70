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

import numpy as np
from absl import logging
from jaxtyping import Float32

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
_SHAPES = {
  f'features.{index}.{name}': shape
  for index, (inputs, outputs) in _CHANNELS.items()
  for name, shape in (
    ('weight', (outputs, inputs, 3, 3)),
    ('bias', (outputs,)),
  )
}
_SUFFIXES = ('.pth', '.npz', '.safetensors')

_SOURCE = (
  "They are torchvision's VGG19 ImageNet weights, vgg19-dcbb9e9d.pth (the "
  'SHA-256 begins with dcbb9e9d), linked from the vgg19 page of its '
  'documentation. Set method.vgg_path to the file, or to a conversion of it '
  'with the same names and shapes (.safetensors, .npz).'
)


def load_vgg19(
  path: str | os.PathLike,
) -> dict[str, dict[str, Float32[np.ndarray, '...']]]:
  """Returns the first nine convolutions of VGG19, up to relu4_1.

  Args:
    path: a .pth (needs torch), .safetensors or .npz file. Tensors of later
      layers are left out.

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
  if path.suffix not in _SUFFIXES:
    raise ValueError(
      f'VGG19 weights {path} end in {path.suffix!r}; known formats are '
      f'{", ".join(_SUFFIXES)}. {_SOURCE}'
    )
  _check_sum(path)
  tensors = tensor_files.read(path)
  _check(tensors, path)
  return {
    f'conv{layer}': {
      'kernel': np.ascontiguousarray(
        tensors[f'features.{index}.weight'].transpose(2, 3, 1, 0)
      ),
      'bias': tensors[f'features.{index}.bias'],
    }
    for layer, index in enumerate(_CHANNELS)
  }


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


def _check(tensors, path):
  """Refuses missing tensors, other shapes, types and values than there are."""
  missing = sorted(set(_SHAPES) - set(tensors))
  if missing:
    raise ValueError(
      f'{path} lacks {len(missing)} of {len(_SHAPES)} tensors, among them '
      f'{missing[0]}: it is not a VGG19 of torchvision. {_SOURCE}'
    )
  for name, shape in _SHAPES.items():
    tensor = tensors[name]
    if (tensor.shape, tensor.dtype) != (shape, np.float32):
      raise ValueError(
        f'{name} in {path} is {tensor.dtype} {tensor.shape}, not float32 '
        f'{shape}: it is not a VGG19 of torchvision. {_SOURCE}'
      )
    if not np.isfinite(tensor).all():
      raise ValueError(
        f'{name} in {path} has values that are not finite. Copy it again.'
      )
