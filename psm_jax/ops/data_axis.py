"""The device axis of one model's batch, where a model trains on several.

A loss is written for the examples at hand; what couples examples (batch
statistics, sorted losses, contrasts) or must not depend on how many devices
share them (noise) goes through a `DataAxis`. On one device all of it is the
identity.
"""

import dataclasses

import jax
from jax import lax


@dataclasses.dataclass(frozen=True)
class DataAxis:
  """A mapped axis over which one model's examples lie.

  Attributes:
    name: Of the axis, as given to `pmap`; None if the batch lies on one device.
    size: Devices that share the batch.
  """

  name: str | None = None
  size: int = 1

  def mean(self, x: jax.Array) -> jax.Array:
    """Returns the mean of a value over the devices."""
    return x if self.name is None else lax.pmean(x, self.name)

  def gather(self, x: jax.Array) -> jax.Array:
    """Returns [size * b, ...], the joined rows [b, ...] of all devices."""
    if self.name is None:
      return x
    return lax.all_gather(x, self.name, axis=0, tiled=True)

  def own(self, x: jax.Array) -> jax.Array:
    """Returns this device's rows [b, ...] of joined rows [size * b, ...]."""
    if self.name is None:
      return x
    rows = x.shape[0] // self.size
    start = lax.axis_index(self.name) * rows
    return lax.dynamic_slice_in_dim(x, start, rows, axis=0)


ONE_DEVICE = DataAxis()
