"""Training methods by name, and how a configuration becomes one."""

import dataclasses

import ml_collections

from psm_jax.methods import canonical, clp, fabnet, facecycle, interface

METHODS = {
  'facecycle': facecycle.make,
  'fabnet': fabnet.make,
  'clp': clp.make,
  'canonical': canonical.make,
}


def make(config: ml_collections.ConfigDict) -> interface.Method:
  """Returns the method that a configuration names, frozen weights loaded.

  Raises:
    ValueError: If `method.vgg_path` is no file of VGG19 weights.
  """
  method = abstract(config)
  return dataclasses.replace(method, shared=method.load_shared())


def abstract(config: ml_collections.ConfigDict) -> interface.Method:
  """Returns a method whose frozen weights are stand-ins, never loaded.

  It checks a configuration, gives the shapes of parameters and embeds; its
  losses and pictures mean nothing.
  """
  return METHODS[config.method.name](config)
