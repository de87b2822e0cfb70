"""Streaming: each step's frames gathered on the host, ahead of the step.

A tf.data pipeline reads in this order: numbers of steps and slots, gather from
the memory-mapped store (several at once), prefetch; a thread then copies to the
devices, so that the next steps' frames lie there before they are asked for.
Which frames these are is the plan's pure function of the step: the pipeline has
no state of its own and can begin anywhere.
"""

import collections
import os
import time
from concurrent import futures

import jax
import ml_collections
import numpy as np
from jaxtyping import UInt8

from psm_jax import sampling
from psm_jax.data import canonical_faces, store
from psm_jax.data.tf import tf
from psm_jax.engine import population as population_lib
from psm_jax.methods import interface

_STEPS_ON_DEVICES = 2  # The one in use and the one that is being copied.
_STEPS_ON_HOST = 2
_LAST_STEP = np.iinfo(np.int32).max


class StreamFeed:
  """Frames read from a store as they are needed; close it after use.

  It gives what `feed.ResidentFeed` gives. On the devices lie two steps' frames
  and on the host a few more, whatever the size of the store.

  Attributes:
    wait_s: Seconds that callers of `batches_at` have waited, all in all.
  """

  def __init__(
    self,
    population: population_lib.Population,
    frames: UInt8[store.AnyFrames, 'num_frames _'],
    config: ml_collections.ConfigDict,
    *,
    canonical: canonical_faces.CanonicalFaces | None = None,
  ):
    """Prepares the tables; reading begins with the first `batches_at`.

    Arguments are those of `feed.make`.
    """
    self._sharding = population.sharding
    self._frames = frames
    self._canonical, self._config = canonical, config
    # [S][D][c] plans of single models.
    shape = (len(population.devices), population.slot_models)
    self._plans = [
      [
        [
          jax.tree.map(lambda leaf, d=device, m=model: leaf[d, m], slot)
          for model in range(shape[1])
        ]
        for device in range(shape[0])
      ]
      for slot in population.plans
    ]
    self._parts = population.parts(config.train.batch_size)
    self._copier = futures.ThreadPoolExecutor(1, 'psm_jax_stream')
    self._steps = self._failure = None
    self._next_step: int | None = None
    self._coming: collections.deque[futures.Future] = collections.deque()
    self._num_bytes = 0
    self.wait_s = 0.0

  @property
  def num_bytes(self) -> int:
    """Bytes of frames on all devices together."""
    return self._num_bytes

  def batches_at(self, step: int) -> list[interface.Batch]:
    """Returns the batches of a step, one a slot, leaves [D, c, ...].

    Steps in order are read ahead; another one starts the pipeline anew there.
    """
    start = time.perf_counter()
    if step != self._next_step:
      self._begin(step)
    # Until the frames are here, so that nothing goes on after an error.
    self._next_step = None
    batches = self._coming.popleft().result()
    self._coming.append(self._copier.submit(self._copy))
    self._next_step = step + 1
    self.wait_s += time.perf_counter() - start
    return batches

  def close(self):
    """Ends the pipeline and its threads; may be called again."""
    self._abandon()
    self._copier.shutdown()

  def _begin(self, step):
    self._abandon()
    self._steps = self._dataset(step).as_numpy_iterator()
    for _ in range(_STEPS_ON_DEVICES):
      self._coming.append(self._copier.submit(self._copy))

  def _abandon(self):
    """Drops what has been read ahead."""
    for coming in self._coming:
      coming.cancel()
    futures.wait(self._coming)
    self._coming.clear()
    self._steps = self._next_step = self._failure = None

  def _dataset(self, first_step):
    """Returns the gathered slots of all steps from one on, in order."""
    num_slots = len(self._plans)
    num_parallel = min(os.cpu_count() or 1, _STEPS_ON_HOST * num_slots)
    numbers = tf.data.Dataset.range(
      first_step * num_slots, _LAST_STEP * num_slots
    )
    gathered = numbers.map(
      self._gather, num_parallel_calls=num_parallel, deterministic=True
    )
    options = tf.data.Options()
    # What is read ahead is fixed, so that memory is bounded.
    options.autotune.enabled = False
    options.threading.private_threadpool_size = num_parallel
    return gathered.prefetch(_STEPS_ON_HOST * num_slots).with_options(options)

  def _gather(self, number):
    """Returns the leaves of one slot's batch of one step, as tensors."""
    types = (tf.uint8, tf.int32, tf.uint8)
    if self._canonical is None:
      types = types[:2]
    return tuple(
      tf.numpy_function(self._gather_numpy, [number], types, stateful=False)
    )

  def _gather_numpy(self, number):
    step, slot = divmod(int(number), len(self._plans))
    rows, person = [], []
    for part, models in zip(self._parts, self._plans[slot], strict=True):
      for plan in models:
        positions, shown = sampling.positions(
          plan, np.int32(step), config=self._config, xp=np
        )
        rows.append(plan.rows[positions[..., part]])
        person.append(shown[part])
    shape = (len(self._plans[slot]), len(self._plans[slot][0]))
    rows, person = np.stack(rows), np.stack(person)
    try:
      gathered = [self._frames[rows.ravel()]]
    except ValueError as error:
      self._failure = error  # TensorFlow would make a text of it.
      raise
    if self._canonical is not None:
      gathered.append(self._canonical.of_rows(rows.ravel()))
    frames, *canonical = (
      pixels.reshape((*shape, *rows.shape[1:], -1)) for pixels in gathered
    )
    return frames, person.reshape((*shape, -1)).astype(np.int32), *canonical

  def _copy(self):
    """Copies the next step to the devices."""
    try:
      batches = [
        jax.device_put(interface.Batch(*next(self._steps)), self._sharding)
        for _ in self._plans
      ]
    except tf.errors.OpError as error:
      raise self._failure or error from None
    batches = jax.block_until_ready(batches)
    num_bytes = sum(batch.frames.nbytes for batch in batches)
    self._num_bytes = _STEPS_ON_DEVICES * num_bytes
    return batches
