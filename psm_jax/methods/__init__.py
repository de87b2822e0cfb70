"""Training methods by name, and how a configuration becomes one."""

import dataclasses

import ml_collections

from psm_jax.methods import canonical, clp, fabnet, facecycle, interface
from psm_jax.ops import precision

METHODS = {
  'facecycle': facecycle.make,
  'fabnet': fabnet.make,
  'clp': clp.make,
  'canonical': canonical.make,
}


def make(
  config: ml_collections.ConfigDict, *, platform: str | None = None
) -> interface.Method:
  """Returns the method that a configuration names, frozen weights loaded.

  Args:
    config: The experiment.
    platform: Of the devices to compute on, such as 'tpu'; by default that of
      the first of this machine.

  Raises:
    ValueError: If `method.vgg_path` is no file of VGG19 weights.
  """
  method = abstract(config, platform=platform)
  return dataclasses.replace(method, shared=method.load_shared())


def abstract(
  config: ml_collections.ConfigDict, *, platform: str | None = None
) -> interface.Method:
  """Returns a method whose frozen weights are stand-ins, never loaded.

  It checks a configuration, gives the shapes of parameters and embeds; its
  losses and pictures mean nothing.

  Args:
    config: The experiment.
    platform: As for `make`.
  """
  config = config.copy_and_resolve_references()
  dtype = precision.compute_dtype(config, platform)
  config.population.precision = dtype.name
  return METHODS[config.method.name](config)
