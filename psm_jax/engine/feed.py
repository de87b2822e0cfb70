"""Feeds: each step's frames, from the plan to the devices.

A feed gives the same bytes at the same step whichever it is:

  with contextlib.closing(feed.make(population, frames, config)) as source:
    states, metrics = population.step(states, source.batches_at(step))

`data.feed` is resident (all frames lie on the devices), stream (each step's
frames are read from the store ahead of the step, by TensorFlow) or auto:
resident if the frames of each device fit into `RESIDENT_SHARE` of its memory.
"""

import functools

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax import lax
from jaxtyping import UInt8

from psm_jax import sampling
from psm_jax.data import canonical_faces, store
from psm_jax.engine import memory, population as population_lib
from psm_jax.methods import interface

FEEDS = ('auto', 'resident', 'stream')
# The rest is for the models: a full-size one takes 240 MB besides activations,
# the frames of a person some 60 MB.
RESIDENT_SHARE = 0.25


def make(
  population: population_lib.Population,
  frames: UInt8[store.AnyFrames, 'num_frames _'],
  config: ml_collections.ConfigDict,
  *,
  canonical: canonical_faces.CanonicalFaces | None = None,
):
  """Returns the feed that `data.feed` names: batches_at, wait_s, close.

  Args:
    population: Whose plans' `rows` index the frames.
    frames: [num_frames, S * S * 3] uint8, a store's or an array.
    config: The experiment.
    canonical: The faces of the frames' videos, for a method that uses them.

  Raises:
    ValueError: If frames are to be streamed and TensorFlow is missing.
  """
  bytes_per_frame = frames.shape[1]
  if choose(population, config, bytes_per_frame=bytes_per_frame) == 'resident':
    return ResidentFeed(population, frames, config, canonical=canonical)
  try:
    # TensorFlow takes seconds to load, and many machines do without it.
    from psm_jax.engine import stream
  except ModuleNotFoundError as error:
    raise ValueError(
      f'Frames can only be streamed with TensorFlow, but there is no module '
      f'{error.name!r}. Install it, or set data.feed=resident.'
    ) from error
  return stream.StreamFeed(population, frames, config, canonical=canonical)


def canonical_of(
  method: interface.Method, frames: store.FrameStore
) -> canonical_faces.CanonicalFaces | None:
  """Returns the canonical faces of a store, None if a method uses none."""
  return canonical_faces.of_store(frames) if method.uses_canonical else None


def choose(
  population: population_lib.Population,
  config: ml_collections.ConfigDict,
  *,
  bytes_per_frame: int,
) -> str:
  """Returns what `data.feed` means for a population: 'resident' or 'stream'."""
  if config.data.feed != 'auto':
    return config.data.feed
  needed = memory.frame_bytes(population, bytes_per_frame=bytes_per_frame)
  held = memory.limit_of(population.devices[0])
  return 'resident' if needed <= RESIDENT_SHARE * held else 'stream'


class ResidentFeed:
  """Frames that lie on the devices, gathered there at each step.

  Each device holds the frames of the people its models learn from, once each,
  as one [n, S * S * 3] uint8 array. The gather is a program of its own. Devices
  that share a batch are given consecutive parts of it.
  """

  def __init__(
    self,
    population: population_lib.Population,
    frames: UInt8[store.AnyFrames, 'num_frames _'],
    config: ml_collections.ConfigDict,
    *,
    canonical: canonical_faces.CanonicalFaces | None = None,
  ):
    """Copies the needed frames to the devices.

    Args:
      population: Whose plans' `rows` index the frames.
      frames: [num_frames, S * S * 3] uint8, a store's or an array.
      config: The experiment.
      canonical: The faces of the frames' videos, if they are to be fed.
    """
    self._sharding = population.sharding
    self._buffers, self._plans = [], []
    for number, device in enumerate(population.devices):
      plans = [
        jax.tree.map(lambda leaf, n=number: leaf[n], slot)
        for slot in population.plans
      ]
      needed = np.unique(np.concatenate([plan.rows.ravel() for plan in plans]))
      held = {'frames': frames[needed]}
      if canonical is not None:
        held |= {'faces': canonical.faces, 'video': canonical.video[needed]}
      self._buffers.append(jax.device_put(held, device))
      self._plans.append(
        [
          jax.device_put(
            plan.replace(
              rows=np.searchsorted(needed, plan.rows).astype(np.int32)
            ),
            device,
          )
          for plan in plans
        ]
      )

    parts = population.parts(config.train.batch_size)
    self._firsts = [jnp.int32(part.start) for part in parts]
    self._gather = _gather_of(
      # What `sampling.positions` reads: equal feeds share a program.
      ml_collections.FrozenConfigDict(
        {
          'curriculum': config.curriculum.to_dict(),
          'train': {'batch_size': config.train.batch_size},
        }
      ),
      parts[0].stop - parts[0].start,
    )

  @property
  def num_bytes(self) -> int:
    """Bytes of frames on all devices together."""
    return sum(buffer['frames'].nbytes for buffer in self._buffers)

  @property
  def wait_s(self) -> float:
    """Seconds that callers have waited: none, the gather is queued."""
    return 0.0

  def close(self):
    """Lets the frames go."""
    self._buffers, self._plans = [], []

  def batches_at(self, step: int) -> list[interface.Batch]:
    """Returns the batches of a step, one a slot, leaves [D, c, ...]."""
    step = jnp.int32(step)
    slots = []
    for slot in range(len(self._plans[0])):
      shards = [
        self._gather(buffer, plans[slot], step, first)
        for buffer, plans, first in zip(
          self._buffers, self._plans, self._firsts, strict=True
        )
      ]
      slots.append(jax.tree.map(self._join, *shards))
    return slots

  def _join(self, *shards):
    """Returns one array [D, ...] of the devices' arrays [1, ...]."""
    shape = (len(shards), *shards[0].shape[1:])
    return jax.make_array_from_single_device_arrays(
      shape, self._sharding, list(shards)
    )


@functools.cache
def _gather_of(config: ml_collections.FrozenConfigDict, share: int):
  """Returns the compiled gather of plans made from a configuration.

  (buffer, plans, step, first) -> the batch of a slot of one device, leaves
  [1, c, ...]: buffer is what the device holds, frames and perhaps faces and the
  video of each frame; plans are stacked, of the slot's models; first, () int32,
  is where this device's part of a shared batch begins, of `share` examples.
  """

  def gather_one(buffer, plan, step, first):
    positions, person = sampling.positions(plan, step, config=config)
    if share < config.train.batch_size:
      positions, person = (
        lax.dynamic_slice_in_dim(whole, first, share, axis=-1)
        for whole in (positions, person)
      )
    rows = plan.rows[positions]
    faces = buffer['faces'][buffer['video'][rows]] if 'faces' in buffer else ()
    return interface.Batch(buffer['frames'][rows], person, faces)

  def gather(buffer, plans, step, first):
    batch = jax.vmap(gather_one, in_axes=(None, 0, None, None))(
      buffer, plans, step, first
    )
    return jax.tree.map(lambda leaf: leaf[None], batch)

  return jax.jit(gather)
