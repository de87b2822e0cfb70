"""Checkpoints of the reference programs as models of the zoo."""

import os
from collections.abc import Sequence

import jax
import ml_collections

from psm_jax import methods
from psm_jax.interop import layouts
from psm_jax.models import fabnet, tensor_files
from psm_jax.runs import zoo

METHODS = ('facecycle', 'fabnet')
# Of FAb-Net's checkpoints, and of the whole model in its released heads.
_FABNET_KEYS = ('state_dict_model.', 'state_dict.')


def read_model(
  path: str | os.PathLike,
  config: ml_collections.ConfigDict,
  *,
  model_id: str,
  cohort: Sequence[str] = (),
) -> zoo.Model:
  """Returns a reference checkpoint as a model.

  FaceCycle and person-specific models: {'codegeneration', 'exptoflow',
  'Swap_Generator'}, as ExpCode_<epoch>.tar. The generator's stem is that of
  VGG19: with `method.vgg` 'file' it is left out, as the frozen file has it,
  with 'none' it becomes a trained stem. FAb-Net: the whole model, from
  'state_dict' or 'state_dict_model' or without such a key.

  Args:
    path: See `tensor_files.read`.
    config: The experiment that the model belongs to; method, width and size
      must be its own.
    model_id: What it is called here.
    cohort: Person ids that it learned from, if known.

  Raises:
    ValueError: If the file cannot be read, or its tensors are not those of the
      configuration's model.
    ImportError: If torch is needed, and missing or too old.
  """
  name = config.method.name
  if name not in METHODS:
    raise ValueError(
      f'method.name is {name!r}, of which there are no reference checkpoints; '
      f'expected one of {METHODS}.'
    )
  tensors = tensor_files.read(path)
  read = _facecycle if name == 'facecycle' else _fabnet
  params, method_state = read(tensors, config)
  model = zoo.Model(
    model_id=model_id,
    cohort=tuple(cohort),
    config=config,
    params=params,
    method_state=method_state,
    steps=None,
    origin=f'reference {name}',
  )
  zoo.check(model, path)
  return model


def _facecycle(tensors, config):
  parts = dict(layouts.NETWORKS)
  if config.method.vgg == 'random':
    raise ValueError(
      'method.vgg is random, but the generator of a reference checkpoint was '
      'trained with the pretrained VGG19. Set it to file or none.'
    )
  if config.method.vgg == 'file':
    del parts['stem']
  layout = {
    f'{network}.{name}': (part, *path)
    for part, network in parts.items()
    for name, path in layouts.facecycle(part).items()
  }
  return layouts.from_torch(tensors, layout), ()


def _fabnet(tensors, config):
  for prefix in _FABNET_KEYS:
    of_model = _under(tensors, prefix)
    if any(name.startswith('encoder.') for name in of_model):
      tensors = of_model
      break
  layout = layouts.fab_net(fabnet.num_stages_of(config.data.size_px))
  for name in tensors:
    is_counter = name.endswith('.num_batches_tracked')
    is_of_part = name.split('.')[0] in fabnet.PARTS
    if is_of_part and name not in layout and not is_counter:
      raise ValueError(
        f'Reference tensor {name} belongs to no layer of a model of '
        f'{config.data.size_px} px. Only the model FrontaliseModelMasks_wider '
        'of FAb-Net can be read.'
      )
  variables = layouts.from_torch(tensors, layout)
  # Compiled, what is not used is not drawn (eagerly: ten seconds).
  method = methods.abstract(config)
  method_state = jax.jit(lambda key: method.init(key)[1])(jax.random.key(0))
  statistics = variables['statistics']
  return variables['params'], method_state.replace(statistics=statistics)


def _under(tensors, prefix):
  """Returns the tensors whose names begin with a prefix, without it."""
  return {
    name.removeprefix(prefix): tensor
    for name, tensor in tensors.items()
    if name.startswith(prefix)
  }
