"""The reference's FaceCycle tensors to Flax parameters and back.

Reference tensors are a dict {name: array}, names and shapes as PyTorch keeps
them ('layer1.2.g.weight', [O, C, kh, kw]); no PyTorch is needed.
"""

import numpy as np
from flax import traverse_util

_TORCH_MODULES = {
  'encoder': (
    'conv1.0 conv1.2 layer1.0 layer1.2.g layer1.2.theta layer1.2.phi layer1.3 '
    'layer2_1.0 layer2_1.2.g layer2_1.2.theta layer2_1.2.phi layer2_1.3 '
    'resblock1.conv1 resblock1.conv2 resblock2.conv1 resblock2.conv2 '
    'layer2_2.0 layer2_2.2 layer3_1.0 layer3_1.2 layer3_2.0 layer3_2.2 '
    'expresscode.0 expresscode.2'
  ).split(),
  'flow_net': (
    'motiongen1.0 motiongen1.3.g motiongen1.3.theta motiongen1.3.phi '
    'motiongen1.4 motiongen2.1 motiongen2.3.g motiongen2.3.theta '
    'motiongen2.3.phi motiongen2.4 resblock1.conv1 resblock1.conv2 '
    'resblock2.conv1 resblock2.conv2 toflow4.1 toflow4.3'
  ).split(),
  'generator': (
    'redconv.0 up.0 up.2 up2.0 up2.2 torgb noise_encoding1.0 '
    'noise_encoding1.2 noise_encoding0.0 noise_encoding0.2'
  ).split()
  + [f'cnn.{i}.conv{j}' for i in range(8) for j in (1, 2)],
  'stem': 'conv1_1.0 conv1_2.0 conv2_1.0 conv2_2.0 conv3_1.0'.split(),
}
# The reference's name of each network in a checkpoint.
NETWORKS = {
  'encoder': 'codegeneration',
  'flow_net': 'exptoflow',
  'generator': 'Swap_Generator',
  'stem': 'Swap_Generator',
}
_ATTENTION = ('g', 'theta', 'phi')
_TRANSPOSED = ('up.0', 'up2.0')
_WITHOUT_BIAS = ('toflow4.3',)


def from_torch(tensors: dict[str, np.ndarray], *, part: str) -> dict:
  """Returns one part's Flax parameters from the reference's tensors.

  Args:
    tensors: {torch name: array}; names of other parts are ignored.
    part: 'encoder', 'flow_net', 'generator' or 'stem'.

  Raises:
    ValueError: If a tensor is missing.
  """
  leaves = {}
  for module in _TORCH_MODULES[part]:
    path = _flax_path(part, module)
    weight = _take(tensors, f'{module}.weight', part)
    axes = _to_flax_axes(module, weight.ndim)
    leaves[*path, 'kernel'] = weight.transpose(axes)
    if module not in _WITHOUT_BIAS:
      leaves[*path, 'bias'] = _take(tensors, f'{module}.bias', part)
  return traverse_util.unflatten_dict(leaves)


def to_torch(params: dict, *, part: str) -> dict[str, np.ndarray]:
  """Returns the reference's tensors of one part's Flax parameters."""
  leaves, tensors = traverse_util.flatten_dict(params), {}
  for module in _TORCH_MODULES[part]:
    path = _flax_path(part, module)
    kernel = leaves[*path, 'kernel']
    axes = np.argsort(_to_flax_axes(module, kernel.ndim))
    tensors[f'{module}.weight'] = kernel.transpose(tuple(axes))
    if module not in _WITHOUT_BIAS:
      tensors[f'{module}.bias'] = leaves[*path, 'bias']
  return tensors


def _take(tensors, name, part):
  if name not in tensors:
    raise ValueError(
      f'Reference tensor {name} of {NETWORKS[part]} is missing; the file holds '
      f'{len(tensors)} tensors. Is it a FaceCycle checkpoint?'
    )
  return tensors[name]


def _flax_path(part, module):
  """Returns where a torch module's weights lie among a part's parameters."""
  if part == 'stem':
    return (f'conv{_TORCH_MODULES["stem"].index(module)}',)
  parts = module.split('.')
  if parts[-1] in _ATTENTION or parts[-1] in ('conv1', 'conv2'):
    return ('_'.join(parts[:-1]), parts[-1])
  return ('_'.join(parts),)


def _to_flax_axes(module, ndim):
  """Returns the axes that bring a torch weight to the Flax layout."""
  if ndim == 2:
    return (1, 0)
  if module in _TRANSPOSED:
    return (2, 3, 0, 1)
  return (2, 3, 1, 0)
