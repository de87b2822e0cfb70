"""Where the reference's tensors lie among Flax variables, and the way there.

Reference tensors are a dict {name: array}, names and shapes as PyTorch keeps
them ('layer1.2.g.weight', [O, C, kh, kw]). A layout says of each name at which
path its array lies. No PyTorch is needed.
"""

from collections.abc import Mapping

import numpy as np
from flax import traverse_util

from psm_jax.models import fabnet

_FACECYCLE = {
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
_WITHOUT_BIAS = ('toflow4.3',)
_INNER = ('g', 'theta', 'phi', 'conv1', 'conv2')  # Have a module around them.
_TRANSPOSED = ('up_0', 'up2_0')
_CONV_LEAVES = {'weight': ('params', 'kernel'), 'bias': ('params', 'bias')}
_NORM_LEAVES = {
  'weight': ('params', 'scale'),
  'bias': ('params', 'bias'),
  'running_mean': ('statistics', 'mean'),
  'running_var': ('statistics', 'var'),
}


def facecycle(part: str) -> dict[str, tuple[str, ...]]:
  """Returns the layout of 'encoder', 'flow_net', 'generator' or 'stem'."""
  layout: dict[str, tuple[str, ...]] = {}
  for index, module in enumerate(_FACECYCLE[part]):
    *around, last = module.split('.')
    path: tuple[str, ...] = (module.replace('.', '_'),)
    if part == 'stem':
      path = (f'conv{index}',)
    elif last in _INNER:
      path = ('_'.join(around), last)
    layout[f'{module}.weight'] = *path, 'kernel'
    if module not in _WITHOUT_BIAS:
      layout[f'{module}.bias'] = *path, 'bias'
  return layout


def fab_net(num_stages: int) -> dict[str, tuple[str, ...]]:
  """Returns the layout of FAb-Net's parameters and running statistics.

  The norms' `num_batches_tracked` is not in it: nothing reads it while their
  momentum is a number.
  """
  layout: dict[str, tuple[str, ...]] = {}
  for part in fabnet.PARTS:
    is_encoder = part == 'encoder'
    for stage in range(num_stages):
      conv = max(0, 3 * stage - 1) if is_encoder else 4 * stage + 2
      layers = [('conv', conv, _CONV_LEAVES)]
      if stage < num_stages - 1 and not (is_encoder and stage == 0):
        layers.append(('norm', conv + 1, _NORM_LEAVES))
      for kind, number, leaves in layers:
        for leaf, (group, ours) in leaves.items():
          name = f'{part}.{number}.{leaf}'
          layout[name] = group, part, f'{kind}{stage}', ours
  return layout


def from_torch(
  tensors: Mapping[str, np.ndarray], layout: Mapping[str, tuple[str, ...]]
) -> dict:
  """Returns Flax variables from the reference's tensors.

  Args:
    tensors: {torch name: array}; names outside the layout are ignored.
    layout: {torch name: path among the variables}.

  Raises:
    ValueError: If a tensor is missing.
  """
  leaves = {}
  for name, path in layout.items():
    if name not in tensors:
      raise ValueError(
        f'Reference tensor {name} is missing; the file holds {len(tensors)} '
        'tensors. Is it a whole checkpoint of this method?'
      )
    leaves[path] = tensors[name].transpose(_axes(path, tensors[name].ndim))
  return traverse_util.unflatten_dict(leaves)


def _axes(path, ndim):
  """Returns the axes that bring a torch tensor to the Flax layout."""
  if ndim == 4 and path[-2] in _TRANSPOSED:
    return (2, 3, 0, 1)
  return {2: (1, 0), 4: (2, 3, 1, 0)}.get(ndim, tuple(range(ndim)))
