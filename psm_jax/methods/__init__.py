"""Training methods by name, and how a configuration becomes one."""

import functools

import jax
import ml_collections
import numpy as np
from absl import logging

from psm_jax.interop import vgg as vgg_files
from psm_jax.methods import clp, fabnet, facecycle, interface
from psm_jax.models import vgg

METHODS = {
  'facecycle': facecycle.make,
  'fabnet': fabnet.make,
  'clp': clp.make,
}
# The random trunk is the same for every run: it stands in for a file.
_RANDOM_TRUNK_SEED = 0


def make(config: ml_collections.ConfigDict) -> interface.Method:
  """Returns the method that a configuration names, frozen weights loaded.

  Raises:
    ValueError: If `method.vgg_path` is no file of VGG19 weights.
  """
  return METHODS[config.method.name](config, _trunk(config.method))


def abstract(config: ml_collections.ConfigDict) -> interface.Method:
  """Returns a method whose frozen weights are stand-ins, never loaded.

  It gives the shapes of parameters and it embeds; its losses and pictures mean
  nothing.
  """
  shared = ()
  if config.method.name == 'facecycle' and config.method.vgg != 'none':
    draw = functools.partial(vgg.init, width=config.method.width)
    shared = jax.tree.map(
      lambda leaf: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape),
      jax.eval_shape(draw, jax.random.key(0)),
    )
  return METHODS[config.method.name](config, shared)


def _trunk(config):
  """Returns the frozen VGG19 trunk of a configuration, () for none."""
  if config.name != 'facecycle' or config.vgg == 'none':
    return ()
  if config.vgg == 'file':
    return vgg_files.load_vgg19(config.vgg_path)
  logging.warning(
    'The perceptual term uses a frozen random VGG19. With pretrained weights '
    '(method.vgg=file, method.vgg_path=...) it compares what an ImageNet '
    'network sees, as the published models do; results then differ.'
  )
  draw = functools.partial(vgg.init, width=config.width)
  return jax.jit(draw)(jax.random.key(_RANDOM_TRUNK_SEED))
