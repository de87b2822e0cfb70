"""How the examples of one model's batch are spread: over devices, or in time.

A loss is written for the examples at hand; what couples examples (batch
statistics, sorted losses, contrasts) or must not depend on how the batch is
spread (noise) goes through a `DataAxis`. Where nothing is spread all of it is
the identity.
"""

import dataclasses

import jax
from jax import lax
from jaxtyping import Array, Int32, Shaped


@dataclasses.dataclass(frozen=True)
class DataAxis:
  """A mapped axis over which one model's examples lie.

  Attributes:
    name: Of the axis, as given to `pmap`; None if the batch lies on one device.
    size: Devices that share the batch.
  """

  name: str | None = None
  size: int = 1

  def mean(self, x: Shaped[Array, '*S']) -> Shaped[Array, '*S']:
    """Returns the mean of a value over the devices."""
    return x if self.name is None else lax.pmean(x, self.name)

  def gather(
    self, x: Shaped[Array, ' b *rest']
  ) -> Shaped[Array, ' {self.size}*b *rest']:
    """Returns [size * b, ...], the joined rows [b, ...] of all devices."""
    if self.name is None:
      return x
    return lax.all_gather(x, self.name, axis=0, tiled=True)

  def own(
    self, x: Shaped[Array, ' n *rest']
  ) -> Shaped[Array, ' n//{self.size} *rest']:
    """Returns this device's rows [b, ...] of joined rows [size * b, ...]."""
    if self.name is None:
      return x
    return _rows(x, lax.axis_index(self.name), self.size)


@dataclasses.dataclass(frozen=True)
class Microbatch:
  """One of the parts of a batch that are computed one after another.

  It stands in for a `DataAxis`, but nothing can be joined with parts that are
  computed later.

  Attributes:
    axis: The devices that share the batch, before it is cut in parts.
    index: () int32, which part.
    count: Parts of a batch.
  """

  axis: DataAxis
  index: Int32[Array, '']
  count: int

  @property
  def size(self) -> int:
    """Parts of the whole batch, over all devices."""
    return self.axis.size * self.count

  def mean(self, x: jax.Array) -> jax.Array:
    """Raises an error, as the other parts are not there."""
    raise ValueError(_COUPLED)

  def gather(self, x: jax.Array) -> jax.Array:
    """Raises an error, as the other parts are not there."""
    raise ValueError(_COUPLED)

  def own(
    self, x: Shaped[Array, ' n *rest']
  ) -> Shaped[Array, ' n//{self.size} *rest']:
    """Returns this part's rows [b, ...] of joined rows [size * b, ...]."""
    return _rows(self.axis.own(x), self.index, self.count)


_COUPLED = (
  'train.microbatches is above 1, but the loss of this method couples the '
  'examples of a batch, which therefore cannot be computed in parts. Set it '
  'to 1.'
)


def _rows(x, index, count):
  """Returns part `index` of the rows of x in `count` equal parts."""
  rows = x.shape[0] // count
  return lax.dynamic_slice_in_dim(x, index * rows, rows, axis=0)


ONE_DEVICE = DataAxis()
