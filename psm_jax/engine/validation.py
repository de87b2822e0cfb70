"""Validation: held-out frames of each model, looked at as its epochs end.

The frames are the same at every look, so that a change of the loss is a change
of the model.
"""

import dataclasses
from collections.abc import Sequence

import jax
import ml_collections
import numpy as np
from jaxtyping import UInt8

from psm_jax import sampling
from psm_jax.data import canonical_faces, store
from psm_jax.engine import (
  feed as feed_lib,
  population as population_lib,
  update,
)


class Validation:
  """Tells the models of a population their validation losses."""

  def __init__(
    self,
    population: population_lib.Population,
    plans: Sequence[sampling.Plan],
    validation_plans: Sequence[sampling.Plan],
    frames: UInt8[store.AnyFrames, 'num_frames _'],
    config: ml_collections.ConfigDict,
    *,
    canonical: canonical_faces.CanonicalFaces | None = None,
  ):
    """Copies the held-out frames to the devices.

    Args:
      population: Of a method that validates.
      plans: N plans of training; they say when epochs end.
      validation_plans: N plans whose first `train.validation_batches` steps
        are the batches to look at.
      frames: [num_frames, S * S * 3] uint8.
      config: The experiment.
      canonical: See `feed.make`.
    """
    self._population = population
    self._num_batches = config.train.validation_batches
    # [N, E]: the number of steps after which each epoch is over.
    clocks = [plan.clock for plan in plans]
    self._ends = [
      np.append(clock.epoch_start[1:], clock.total_steps) for clock in clocks
    ]
    shape = (
      len(population.devices),
      population.num_slots,
      population.slot_models,
    )
    (placed,) = population_lib.place_plans(
      validation_plans,
      sizes=[len(plans)],
      shape=shape,
      num_copies=population.num_copies,
    )
    self._feed = feed_lib.ResidentFeed(
      dataclasses.replace(population, plans=placed),
      frames,
      config,
      canonical=canonical,
    )

  def after_step(
    self, step: int, states: list[update.TrainState]
  ) -> list[update.TrainState]:
    """Validates if an epoch of some model is over; the states are given away.

    Args:
      step: Steps taken, from 1.
      states: A tree a slot.

    Returns:
      The states, told their losses where an epoch is over.
    """
    epochs = np.array(
      [
        int(np.searchsorted(ends, step)) if step in ends else -1
        for ends in self._ends
      ],
      np.int32,
    )
    if np.all(epochs < 0):
      return states
    population = self._population
    totals: list[jax.Array | float] = [0.0] * len(states)
    for number in range(self._num_batches):
      for slot, batch in enumerate(self._feed.batches_at(number)):
        totals[slot] = totals[slot] + population.validate_slot(
          states[slot], population.shared, batch
        )
    placed = population.from_host(epochs, fill=-1)
    return [
      population.observe_slot(state, total / self._num_batches, epoch)
      for state, total, epoch in zip(states, totals, placed, strict=True)
    ]
