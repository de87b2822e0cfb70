"""The arithmetic of the networks: float32, or bfloat16 with float32 sums.

Parameters, losses, flows and optimisers are float32 either way.
"""

import jax
import jax.numpy as jnp
import ml_collections

PRECISIONS = ('auto', 'float32', 'bfloat16')


def settled(
  config: ml_collections.ConfigDict, platform: str
) -> ml_collections.ConfigDict:
  """Returns an experiment whose 'auto' is that of a platform, such as 'tpu'.

  For methods that are to be computed elsewhere than on this machine's first
  device.
  """
  config = config.copy_and_resolve_references()
  if config.population.precision == 'auto':
    is_cpu = platform == 'cpu'
    config.population.precision = 'float32' if is_cpu else 'bfloat16'
  return config


def compute_dtype(config: ml_collections.ConfigDict) -> jnp.dtype:
  """Returns the type that the networks of an experiment compute in.

  'auto' is bfloat16 but on a CPU, which has no arithmetic of its own for it.

  Args:
    config: The experiment; `population.precision` is read, of which 'auto' is
      that of this machine's first device.
  """
  if config.population.precision == 'auto':
    config = settled(config, jax.local_devices()[0].platform)
  return jnp.dtype(config.population.precision)
