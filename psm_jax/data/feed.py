"""Feeds: each step's frames, from the plan to the devices."""

import functools

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from psm_jax import population as population_lib
from psm_jax import sampling


class ResidentFeed:
  """Frames that lie on the devices, gathered there at each step.

  Each device holds the frames of the people its models learn from, once each,
  as one [n, S * S * 3] uint8 array. The gather is a program of its own.
  """

  def __init__(
    self,
    population: population_lib.Population,
    frames: np.ndarray,
    config: ml_collections.ConfigDict,
  ):
    """Copies the needed frames to the devices.

    Args:
      population: Whose plans' `rows` index the frames.
      frames: [num_frames, S * S * 3] uint8, memory-mapped or not.
      config: The experiment.
    """
    self._sharding = population.sharding
    self._buffers, self._plans = [], []
    for number, device in enumerate(population.devices):
      plans = [
        jax.tree.map(lambda leaf, n=number: leaf[n], slot)
        for slot in population.plans
      ]
      needed = np.unique(np.concatenate([plan.rows.ravel() for plan in plans]))
      self._buffers.append(jax.device_put(frames[needed], device))
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
    positions = functools.partial(
      sampling.positions,
      batch_pairs=config.train.batch_pairs,
      pairing=config.curriculum.pairing,
    )

    def gather_one(buffer, plan, step):
      return buffer[plan.rows[positions(plan, step)]]

    def gather(buffer, plan, step):
      frames = jax.vmap(gather_one, in_axes=(None, 0, None))(buffer, plan, step)
      return frames[None]

    self._gather = jax.jit(gather)

  @property
  def num_bytes(self) -> int:
    """Bytes of frames on all devices together."""
    return sum(buffer.nbytes for buffer in self._buffers)

  def frames_at(self, step: int) -> list[jax.Array]:
    """Returns the frames of a step: [D, c, 2, B, S * S * 3] uint8 a slot."""
    step = jnp.int32(step)
    slots = []
    for slot in range(len(self._plans[0])):
      shards = [
        self._gather(buffer, plans[slot], step)
        for buffer, plans in zip(self._buffers, self._plans, strict=True)
      ]
      shape = (len(shards), *shards[0].shape[1:])
      slots.append(
        jax.make_array_from_single_device_arrays(shape, self._sharding, shards)
      )
    return slots
