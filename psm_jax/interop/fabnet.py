"""The reference's FAb-Net tensors to Flax parameters and statistics and back.

Reference tensors are a dict {name: array}, names and shapes as PyTorch keeps
them ('encoder.0.weight', [O, C, kh, kw]): a checkpoint's `state_dict`, or the
`state_dict_model` of a released head. No PyTorch is needed.
"""

import numpy as np

from psm_jax.models import fabnet

_MOST_STAGES = fabnet.num_stages_of(max(fabnet.SIZES_PX))
_ANY = 'any'  # As many outputs as there are.
_OUTPUTS = {'encoder': fabnet.EMBEDDING_SIZE, 'decoder': 2, 'mask': 1}
_COUNTER = 'num_batches_tracked'
_NORM_LEAVES = {
  'weight': ('params', 'scale'),
  'bias': ('params', 'bias'),
  'running_mean': ('statistics', 'mean'),
  'running_var': ('statistics', 'var'),
}


def from_torch(tensors: dict[str, np.ndarray]) -> tuple[dict, dict]:
  """Returns (parameters, running statistics) from the reference's tensors.

  Models for smaller images, with fewer stages, are recognised by their
  tensors. The norms' `num_batches_tracked` may be there or not.

  Args:
    tensors: {torch name: array}; names outside encoder, decoder and mask are
      ignored.

  Raises:
    ValueError: If a tensor is missing, has another shape than the networks
      expect, or belongs to a part but to none of its layers.
  """
  params, statistics = {}, {}
  num_stages = max(_count_stages(tensors, part) for part in fabnet.PARTS)
  for part in fabnet.PARTS:
    made, known = _read_part(tensors, part, num_stages)
    for name in tensors:
      if name.startswith(f'{part}.') and name not in known:
        raise ValueError(
          f'Reference tensor {name} belongs to no layer of {part} with '
          f'{num_stages} stages. Only the model FrontaliseModelMasks_wider of '
          'FAb-Net can be read.'
        )
    params[part], statistics[part] = made['params'], made['statistics']
  return params, statistics


def to_torch(params: dict, statistics: dict) -> dict[str, np.ndarray]:
  """Returns the reference's tensors of parameters and running statistics.

  The norms' `num_batches_tracked`, which nothing reads while their momentum is
  a number, are 0.
  """
  tensors = {}
  for part in fabnet.PARTS:
    made = {'params': params[part], 'statistics': statistics[part]}
    num_stages = sum(name.startswith('conv') for name in params[part])
    for stage in range(num_stages):
      name, layer = _conv_name(part, stage), params[part][f'conv{stage}']
      tensors[f'{name}.weight'] = layer['kernel'].transpose(3, 2, 0, 1)
      tensors[f'{name}.bias'] = layer['bias']
      if not _has_norm(part, stage, num_stages):
        continue
      name = _norm_name(part, stage)
      for leaf, (group, ours) in _NORM_LEAVES.items():
        tensors[f'{name}.{leaf}'] = made[group][f'norm{stage}'][ours]
      tensors[f'{name}.{_COUNTER}'] = np.zeros((), np.int64)
  return tensors


def _conv_name(part, stage):
  """Returns the reference's name of a stage's convolution."""
  if part == 'encoder':
    return f'encoder.{max(0, 3 * stage - 1)}'
  return f'{part}.{4 * stage + 2}'


def _norm_name(part, stage):
  return f'{part}.{3 * stage if part == "encoder" else 4 * stage + 3}'


def _has_norm(part, stage, num_stages):
  is_bare_start = part == 'encoder' and stage == 0
  return stage < num_stages - 1 and not is_bare_start


def _count_stages(tensors, part):
  """Returns the fewest stages of a part that have all layers that are there."""
  least = 0
  for stage in range(_MOST_STAGES):
    layers = {_conv_name(part, stage): 1, _norm_name(part, stage): 2}
    for layer, more in layers.items():
      if f'{layer}.weight' in tensors or f'{layer}.bias' in tensors:
        least = stage + more
  return least or _MOST_STAGES


def _read_part(tensors, part, num_stages):
  """Returns ({'params', 'statistics'} of a part, names of its tensors)."""
  made, known = {'params': {}, 'statistics': {}}, set()
  channels, kernel_px = 2 * fabnet.EMBEDDING_SIZE, 3
  if part == 'encoder':
    channels, kernel_px = 3, 4
  for stage in range(num_stages):
    name = _conv_name(part, stage)
    outputs = _OUTPUTS[part] if stage == num_stages - 1 else _ANY
    weight = _take(
      tensors, f'{name}.weight', (outputs, channels, kernel_px, kernel_px)
    )
    channels = weight.shape[0]
    made['params'][f'conv{stage}'] = {
      'kernel': weight.transpose(2, 3, 1, 0),
      'bias': _take(tensors, f'{name}.bias', (channels,)),
    }
    known |= {f'{name}.weight', f'{name}.bias'}
    if not _has_norm(part, stage, num_stages):
      continue
    name = _norm_name(part, stage)
    for leaf, (group, ours) in _NORM_LEAVES.items():
      layer = made[group].setdefault(f'norm{stage}', {})
      layer[ours] = _take(tensors, f'{name}.{leaf}', (channels,))
    known |= {f'{name}.{leaf}' for leaf in (*_NORM_LEAVES, _COUNTER)}
  return made, known


def _take(tensors, name, expected):
  """Returns a tensor, if it is there and of the expected shape."""
  if name not in tensors:
    raise ValueError(
      f'Reference tensor {name} is missing; the file holds {len(tensors)} '
      'tensors. Is it a whole FAb-Net checkpoint?'
    )
  shape = tensors[name].shape
  start = expected.count(_ANY)
  if len(shape) != len(expected) or shape[start:] != expected[start:]:
    raise ValueError(
      f'Reference tensor {name} has shape {shape}; expected '
      f'({", ".join(map(str, expected))}).'
    )
  return tensors[name]
