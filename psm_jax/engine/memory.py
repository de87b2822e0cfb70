"""How much memory a population needs, before anything is compiled."""

import dataclasses
import math
import os

import jax
import ml_collections
import numpy as np

from psm_jax import sampling
from psm_jax.engine import population as population_lib, update
from psm_jax.methods import interface

_GIB = 2**30

# What a TPU's program stores of a forward pass, by JAX's names of primitives:
# what the matrix units, the warps and the generator of random numbers gave. XLA
# computes the rest again, inside the fusions of the backward pass that read it.
_STORED_ON_TPU = frozenset(
  {
    'conv_general_dilated',
    'custom_vjp_call',
    'custom_vmap_call',
    'dot_general',
    'random_bits',
    'transpose',
  }
)
# Scratch space, which keeps the estimate of FaceCycle's programs above their
# compiler's figure and within a fifth of it (BENCHMARKS.md).
_WITH_SCRATCH_ON_TPU = 1.15


@dataclasses.dataclass(frozen=True)
class Estimate:
  """Bytes on one device.

  Attributes:
    state: Parameters, optimiser and method state of one model.
    step: Gradients and the activations kept for them, of one model.
    frames: Frames of the people that the device's models learn from.
    models: Models of the device.
    models_at_once: Models whose steps are computed together.
  """

  state: int
  step: int
  frames: int
  models: int
  models_at_once: int

  @property
  def total(self) -> int:
    """All of it, in bytes."""
    return (
      self.models * self.state + self.models_at_once * self.step + self.frames
    )

  def steps_that_fit(self, limit: int) -> int:
    """Returns the models whose steps fit into `limit` bytes at a time."""
    spare = limit - self.frames - self.models * self.state
    return max(0, spare // self.step)

  def models_that_fit(self, limit: int) -> int:
    """Returns the models whose states and steps fit into `limit` bytes.

    Their frames are taken to be the ones of now.
    """
    each = self.state
    if self.models_at_once == self.models:
      each, spare = self.state + self.step, limit - self.frames
    else:
      spare = limit - self.frames - self.models_at_once * self.step
    return max(0, spare // each)


def estimate(
  method: interface.Method,
  population: population_lib.Population,
  frame_bytes: int,
  config: ml_collections.ConfigDict,
) -> Estimate:
  """Returns what a population needs on each of its devices.

  Activations are those that the gradient of the loss refers to; the compiled
  program may keep fewer or, for its scratch space, more. On a TPU they are
  those that cost most to compute, and arrays fill tiles (BENCHMARKS.md).

  Args:
    method: What is learned.
    population: The models and where they lie.
    frame_bytes: Bytes of frames on the fullest device.
    config: The experiment.
  """
  clock = jax.tree.map(lambda leaf: leaf[0, 0], population.plans[0].clock)
  state = jax.eval_shape(lambda one: update.init_model(one.key, method), clock)
  num_parts = config.train.microbatches
  batch_size = config.train.batch_size // (population.axis.size * num_parts)
  batch = method.batch_shapes(batch_size)
  platform = population.devices[0].platform
  kept = _num_bytes(
    _kept(method, config, state, clock, batch, platform), platform
  )
  if platform == 'tpu':
    kept = int(_WITH_SCRATCH_ON_TPU * kept)
  return Estimate(
    state=_num_bytes(state, platform),
    # Gradients, and their sum over the parts of a batch.
    step=kept + min(num_parts, 2) * _num_bytes(state.params, platform),
    frames=frame_bytes,
    models=population.num_slots * population.slot_models,
    models_at_once=population.models_at_once,
  )


def _kept(method, config, state, clock, batch, platform):
  """Returns the shapes of what the backward pass of one model refers to."""

  def is_stored(primitive, *_, **__):
    return primitive.name in _STORED_ON_TPU

  def pull_back(state, clock, batch):
    key = jax.random.wrap_key_data(clock.key, impl='threefry2x32')
    schedule = update.schedule_at(clock, state.step, config)

    def loss_of(params):
      return method.loss(
        key, params, state.method_state, method.shared, batch, schedule
      )

    if platform == 'tpu':
      loss_of = jax.checkpoint(loss_of, policy=is_stored)
    # The pulled-back function is a tree whose leaves are what it keeps.
    return jax.vjp(loss_of, state.params, has_aux=True)[1]

  return jax.eval_shape(pull_back, state, clock, batch)


def _num_bytes(tree, platform):
  count = _num_tiled if platform == 'tpu' else math.prod
  return sum(
    count(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)
  )


def _num_tiled(shape):
  """Returns the numbers that an array takes in tiles of 8 rows by 128 lanes.

  Lanes are channels; where these are few (colours, flows), columns of an image.
  """
  if len(shape) < 2:
    return math.prod(shape)
  *outer, rows, lanes = shape
  if lanes < 16:
    rows, lanes = lanes, rows
  return math.prod(outer) * _up_to(8, rows) * _up_to(128, lanes)


def _up_to(multiple, size):
  return -(-size // multiple) * multiple


def limit_of(device: jax.Device) -> int:
  """Returns the bytes that a device can hold; a CPU's are the machine's."""
  stats = device.memory_stats() if device.platform != 'cpu' else None
  if stats and 'bytes_limit' in stats:
    return stats['bytes_limit']
  return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def describe(needed: Estimate, limit: int) -> str:
  """Returns an estimate in words."""
  state, step = needed.state / _GIB, needed.step / _GIB
  return (
    f'About {needed.total / _GIB:.2f} GiB of {limit / _GIB:.1f} GiB a device: '
    f'{needed.models} x {state:.3f} GiB of parameters and optimiser, '
    f'{needed.models_at_once} x {step:.3f} GiB of gradients and activations, '
    f'{needed.frames / _GIB:.3f} GiB of frames.'
  )


def check(needed: Estimate, limit: int, *, num_devices: int):
  """Raises an error if a population does not fit.

  Raises:
    ValueError: With the largest `population.wave` that fits.
  """
  if needed.total <= limit:
    return
  fitting = needed.models_that_fit(limit) * num_devices
  advice = (
    f'Set population.wave={fitting}: the largest number of models that fit.'
    if fitting
    else 'Not even one fits: lower method.width, train.batch_size or '
    'data.size_px.'
  )
  raise ValueError(
    f'The population does not fit. {describe(needed, limit)} {advice}'
  )


def frame_bytes(
  population: population_lib.Population, *, bytes_per_frame: int
) -> int:
  """Returns the bytes of frames on the fullest device of a population."""
  fullest = 0
  for device in range(len(population.devices)):
    rows = [
      _own_rows(jax.tree.map(lambda leaf, d=device: leaf[d], slot))
      for slot in population.plans
    ]
    fullest = max(fullest, len(np.unique(np.concatenate(rows))))
  return fullest * bytes_per_frame


def _own_rows(plans: sampling.Plan) -> np.ndarray:
  """Returns all rows of the frame store that stacked plans [c] refer to."""
  return np.unique(plans.rows)
