"""The arithmetic of the networks: float32, or bfloat16 with float32 sums.

Parameters, losses, flows and optimisers are float32 either way.
"""

import jax
import jax.numpy as jnp
import ml_collections

PRECISIONS = ('auto', 'float32', 'bfloat16')


def compute_dtype(
  config: ml_collections.ConfigDict, platform: str | None = None
) -> jnp.dtype:
  """Returns the type that the networks of an experiment compute in.

  'auto' is bfloat16 but on a CPU, which has no arithmetic of its own for it.

  Args:
    config: The experiment; `population.precision` is read.
    platform: Of the devices to compute on, such as 'tpu'; by default that of
      the first of this machine.
  """
  chosen = config.population.precision
  if chosen == 'auto':
    platform = platform or jax.local_devices()[0].platform
    chosen = 'float32' if platform == 'cpu' else 'bfloat16'
  return jnp.dtype(chosen)
