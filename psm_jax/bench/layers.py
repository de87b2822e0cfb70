"""One convolution of several models, forward and both gradients, each lowering.

What `ops/lowerings.py` is made from: by the estimates of a TPU's compiler
(`launch.compile --layers`) or by measuring the device at hand
(`launch.bench --layers`).
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from psm_jax.bench import hlo, row as row_lib, topology
from psm_jax.ops import conv, lowerings

# (channels, pixels a side) of 3x3 layers of the full and the narrow model.
SIZES = ((256, 16), (128, 32), (128, 64), (32, 8), (16, 16), (8, 32))
_IMAGES = 32


@dataclasses.dataclass(frozen=True)
class Layer:
  """A 3x3 convolution of as many channels in as out.

  Attributes:
    channels: In and out.
    size_px: Side of the images, of which there are 32 a model.
    num_models: Models with kernels of their own.
    dtype: 'float32' or 'bfloat16'.
  """

  channels: int
  size_px: int
  num_models: int
  dtype: str = 'bfloat16'

  def step(self, lowering: str) -> Callable[..., tuple[jax.Array, ...]]:
    """Returns (images, kernels, gradients) -> result and both gradients."""

    def one_model(image, kernel, grad):
      def convolve(image, kernel):
        kernel = kernel.astype(image.dtype)
        return conv.conv(image, kernel, padding=1, lowering=lowering)

      value, pull_back = jax.vjp(convolve, image, kernel)
      return value, *pull_back(grad)

    return jax.vmap(one_model)

  def operands(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Returns the shapes and types that the step takes."""
    side, channels = self.size_px, self.channels
    images = jax.ShapeDtypeStruct(
      (self.num_models, _IMAGES, side, side, channels), self.dtype
    )
    kernels = jax.ShapeDtypeStruct(
      (self.num_models, 3, 3, channels, channels), jnp.float32
    )
    return images, kernels, images


def estimate(name: str, *, num_models: Sequence[int]) -> list[dict]:
  """Returns a row a layer: estimated seconds a model in each lowering.

  Args:
    name: Of the topology, such as 'v5e:2x2'.
    num_models: Models stacked.

  Raises:
    ValueError: If the topology is unknown.
  """
  kind = topology.generation(name)
  place = jax.sharding.SingleDeviceSharding(topology.devices(name)[0])

  def seconds(layer, lowering):
    operands = [x.update(sharding=place) for x in layer.operands()]
    compiled = jax.jit(layer.step(lowering)).lower(*operands).compile()
    return hlo.read(compiled.as_text()).cycles / kind.clock_hz

  return _rows(SIZES, num_models, 'bfloat16', seconds)


def measure(
  device: jax.Device,
  *,
  num_models: Sequence[int],
  dtype: str,
  sizes: Sequence[tuple[int, int]] = SIZES,
  repeats: int = 5,
) -> list[dict]:
  """Returns a row a layer: the least seconds a model measured in each lowering.

  Args:
    device: Where to measure.
    num_models: Models stacked.
    dtype: 'float32' or 'bfloat16'.
    sizes: (channels, pixels a side) of each layer.
    repeats: Calls, of which the fastest counts.
  """

  def seconds(layer, lowering):
    step = jax.jit(layer.step(lowering))
    operands = jax.device_put(
      [jnp.ones(x.shape, x.dtype) for x in layer.operands()], device
    )
    jax.block_until_ready(step(*operands))
    return min(row_lib.seconds_of(step, *operands) for _ in range(repeats))

  return _rows(sizes, num_models, dtype, seconds)


def _rows(sizes, num_models, dtype, seconds):
  rows = []
  for channels, size_px in sizes:
    for size in num_models:
      layer = Layer(channels, size_px, size, dtype)
      costs = {
        lowering: seconds(layer, lowering) / size
        for lowering in lowerings.LOWERINGS
      }
      rows.append(
        dataclasses.asdict(layer)
        | {'seconds_a_model': costs, 'fastest': min(costs, key=costs.get)}
      )
  return rows


def table(rows: Sequence[dict]) -> str:
  """Returns rows as lines: the layer, microseconds a model, the fastest."""
  return '\n'.join(
    f'{row["channels"]:4d} channels {row["size_px"]:3d} px '
    f'{row["num_models"]:3d} models  '
    + '  '.join(
      f'{lowering} {1e6 * cost:9.1f} us'
      for lowering, cost in row['seconds_a_model'].items()
    )
    + f'  {row["fastest"]}'
    for row in rows
  )
