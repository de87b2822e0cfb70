"""The plan: which frames a model sees at step k, as a pure function.

A model's cohort is a list of frames, video by video in temporal order; a
position counts along it. The plan is a few integer tables made on the host,
one row an epoch; the order of pairs inside an epoch is a stateless permutation,
so a restart at any step sees what an unbroken run sees. The same code runs in
NumPy and in JAX and gives the same integers.
"""

import dataclasses
import random
import types
import zlib
from collections.abc import Sequence

import flax
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from psm_jax import curriculum

PAIRINGS = ('fixed', 'repaired', 'gap')
_REFERENCE_PAIRING_SEED = 912
_ROUNDS = 6
# Filled into the epoch tables where other models have more epochs or videos.
_PADDING = {'epoch_start': np.iinfo(np.int32).max, 'num_pairs': 1, 'gap': 0}


@flax.struct.dataclass
class Clock:
  """What the compiled step knows of a model's plan: when, not which frames.

  E epochs (rows past the model's own never begin), V videos.

  Attributes:
    key: [2] uint32, the model's threefry key.
    total_steps: () int32.
    num_epochs: () int32.
    epoch_start: [E] int32, first step of each epoch.
    gap: [E, V] int32, frames between the members of a pair, per video; 0 for
      random pairs.
  """

  key: jax.Array
  total_steps: jax.Array
  num_epochs: jax.Array
  epoch_start: jax.Array
  gap: jax.Array


@flax.struct.dataclass
class Plan:
  """The tables of one model; stacked, each gains a leading axis.

  E epochs, V videos, n frames.

  Attributes:
    clock: The epochs.
    order_seed: () uint32, seed of the permutations.
    num_pairs: [E] int32, pairs of each epoch.
    video_start: [V + 1] int32, first position of each video, then n.
    partner: [n] int32, positions in the order in which they are paired.
    rows: [n] int32, row of the frame buffer of each position.
  """

  clock: Clock
  order_seed: jax.Array
  num_pairs: jax.Array
  video_start: jax.Array
  partner: jax.Array
  rows: jax.Array


@dataclasses.dataclass(frozen=True)
class Cohort:
  """The frames one model learns from.

  Attributes:
    name: Names the cohort in keys and messages: its person ids joined by '+'.
    rows: [n] int, rows of the frame store, video by video in temporal order.
    video_lengths: [V] int, frames of each video.
    fps: [V] float, frames a second of each video.
  """

  name: str
  rows: np.ndarray
  video_lengths: np.ndarray
  fps: np.ndarray


def make_plan(
  cohort: Cohort,
  config: ml_collections.ConfigDict,
  *,
  seed: int,
) -> tuple[Plan, int | None]:
  """Returns the plan of one model, NumPy arrays, and the gap's cap if it bit.

  Args:
    cohort: What the model learns from.
    config: The experiment; `train` and `curriculum` are read.
    seed: The model's own seed.

  Raises:
    ValueError: If the cohort has too few frames for a batch.
  """
  batch = config.train.batch_pairs
  lengths = np.asarray(cohort.video_lengths, np.int64)
  num_frames = int(lengths.sum())
  cap = curriculum.gap_cap(lengths, batch)
  by_gap = config.curriculum.pairing == 'gap'
  if num_frames // 2 < batch or (by_gap and cap < 1):
    raise ValueError(
      f'Cohort {cohort.name} has {num_frames} usable frames in {len(lengths)} '
      f'videos, too few for a batch of train.batch_pairs={batch} pairs. Lower '
      'it, or leave these people out with data.persons or data.min_frames.'
    )
  starts, pairs, gaps, capped = _epochs(cohort, config, lengths, cap)
  key = jax.random.fold_in(
    jax.random.key(seed, impl='threefry2x32'), zlib.crc32(cohort.name.encode())
  )
  partner = list(range(num_frames))
  random.Random(_REFERENCE_PAIRING_SEED).shuffle(partner)
  clock = Clock(
    key=np.asarray(jax.random.key_data(key)),
    total_steps=np.int32(starts[-1]),
    num_epochs=np.int32(len(pairs)),
    epoch_start=np.asarray(starts[:-1], np.int32),
    gap=np.asarray(gaps, np.int32).reshape(len(pairs), len(lengths)),
  )
  plan = Plan(
    clock=clock,
    order_seed=np.uint32(zlib.crc32(f'{seed}/{cohort.name}'.encode())),
    num_pairs=np.asarray(pairs, np.int32),
    video_start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
    partner=np.asarray(partner, np.int32),
    rows=np.asarray(cohort.rows, np.int32),
  )
  return plan, cap if capped else None


def _epochs(cohort, config, lengths, cap):
  """Returns epoch starts (with the end), pairs, gaps, and whether a cap bit."""
  batch, steps = config.train.batch_pairs, config.train.steps
  num_frames = int(lengths.sum())
  starts, pairs, gaps, capped = [0], [], [], False
  while True:
    epoch = len(pairs) + 1
    if steps:
      progress, done = starts[-1] / steps, starts[-1] >= steps
    else:
      last = max(1, config.train.epochs - 1)
      progress, done = (epoch - 1) / last, epoch > config.train.epochs
    if done:
      break
    gap = np.zeros(len(lengths), np.int64)
    count = num_frames // 2
    if config.curriculum.pairing == 'gap':
      gap = curriculum.gap_frames(
        config.curriculum.gap, epoch=epoch, progress=progress, fps=cohort.fps
      )
      count = int(np.maximum(0, lengths - gap).sum())
      if count < batch:
        gap, capped = np.minimum(gap, cap), True
        count = int(np.maximum(0, lengths - gap).sum())
    gaps.append(gap)
    pairs.append(count)
    starts.append(starts[-1] + count // batch)
  if steps:
    starts[-1] = steps
  return starts, pairs, gaps, capped


def stack(plans: Sequence[Plan]) -> Plan:
  """Returns plans stacked along a new first axis, tables padded to one size.

  Padding rows of the epoch tables never begin; padded videos are empty.
  """

  def stack_field(path, *arrays):
    name = path[-1].name
    if np.ndim(arrays[0]) == 0:
      return np.stack(arrays)
    shape = np.max([np.shape(array) for array in arrays], axis=0)
    padded = []
    for array in arrays:
      widths = [
        (0, int(full) - own)
        for full, own in zip(shape, np.shape(array), strict=True)
      ]
      # A table's last entry is the one that changes nothing when repeated.
      fill = _PADDING[name] if name in _PADDING else np.ravel(array)[-1]
      padded.append(np.pad(array, widths, constant_values=fill))
    return np.stack(padded)

  return jax.tree.map_with_path(stack_field, *plans)


def epoch_index(
  clock: Clock, step: jax.Array, *, xp: types.ModuleType = jnp
) -> jax.Array:
  """Returns the row of the epoch tables that a step of one model falls in."""
  return xp.sum((clock.epoch_start <= step).astype(xp.int32)) - 1


def positions(
  plan: Plan,
  step: jax.Array,
  *,
  batch_pairs: int,
  pairing: str,
  xp: types.ModuleType = jnp,
) -> jax.Array:
  """Returns the positions of the pairs of a step of one model.

  Args:
    plan: One model's tables.
    step: () int32; past the model's end, the last step's pairs.
    batch_pairs: Pairs in a step, B.
    pairing: 'fixed': the reference's pairs, the same ones in each epoch;
      'repaired': pairs drawn anew in each epoch; 'gap': pairs a gap apart.
    xp: `jax.numpy` or `numpy`.

  Returns:
    [2, B] int32: the first and the second members.
  """
  clock = plan.clock
  step = xp.clip(xp.asarray(step), 0, xp.maximum(0, clock.total_steps - 1))
  epoch = epoch_index(clock, step, xp=xp)
  num_pairs = plan.num_pairs[epoch]
  first = (step - clock.epoch_start[epoch]) * batch_pairs
  slots = first + xp.arange(batch_pairs, dtype=xp.int32)
  epoch_hash = _mix(epoch.astype(xp.uint32).reshape(1), xp=xp)
  seed = _mix(plan.order_seed.reshape(1) ^ epoch_hash, xp=xp)
  pairs = permute(slots, num_pairs, seed, xp=xp)
  if pairing == 'gap':
    return _gap_pairs(plan, epoch, pairs, xp)
  members = xp.stack([2 * pairs, 2 * pairs + 1])
  if pairing == 'repaired':
    num_frames = plan.video_start[-1]
    flat = permute(members.reshape(-1), num_frames, ~seed, xp=xp)
    return flat.reshape(members.shape)
  return plan.partner[members]


def _gap_pairs(plan, epoch, pairs, xp):
  """Returns both members of the gap pairs with the given numbers."""
  gap = plan.clock.gap[epoch]
  lengths = plan.video_start[1:] - plan.video_start[:-1]
  ends = xp.cumsum(xp.maximum(0, lengths - gap)).astype(xp.int32)
  video = xp.sum((pairs[:, None] >= ends[None, :]).astype(xp.int32), axis=1)
  before = xp.where(video > 0, ends[xp.maximum(video - 1, 0)], 0)
  start = plan.video_start[video] + pairs - before
  return xp.stack([start, start + gap[video]]).astype(xp.int32)


def permute(
  index: jax.Array,
  size: jax.Array,
  seed: jax.Array,
  *,
  xp: types.ModuleType = jnp,
) -> jax.Array:
  """Returns where a seeded permutation of [0, size) takes some indices.

  A Feistel network over a rectangle of at least `size` cells: each round adds
  a hash of one coordinate to the other, modulo the side, which is a bijection
  for any sides. Images outside [0, size) are sent on until they fall inside
  (cycle walking).

  Args:
    index: [K] int32 in [0, size).
    size: () int32, traced or not, at least 1.
    seed: () or [1] uint32.

  Returns:
    [K] int32.
  """
  seed = seed.reshape(1)
  height = _ceil_sqrt(size, xp).astype(xp.uint32)
  size = xp.asarray(size).astype(xp.uint32)
  width = (size + height - 1) // height

  def cipher(x):
    row, column = x // width, x % width
    for number in range(_ROUNDS):
      salt = seed + xp.asarray(0x9E3779B9 * (number + 1) % 2**32, xp.uint32)
      if number % 2:
        row = (row + _mix(column ^ salt, xp=xp) % height) % height
      else:
        column = (column + _mix(row ^ salt, xp=xp) % width) % width
    return row * width + column

  out = cipher(index.astype(xp.uint32))
  if xp is jnp:
    out = jax.lax.while_loop(
      lambda x: jnp.any(x >= size),
      lambda x: jnp.where(x >= size, cipher(x), x),
      out,
    )
  else:
    while np.any(out >= size):
      out = np.where(out >= size, cipher(out), out)
  return out.astype(xp.int32)


def _ceil_sqrt(size, xp):
  """Returns the least integer whose square reaches a size below 2^31."""
  size = xp.asarray(size)
  root = xp.zeros_like(size)
  for bit in range(15, -1, -1):
    larger = root + (1 << bit)
    # larger^2 < size without overflow: larger <= (size - 1) // larger.
    root = xp.where(larger <= (size - 1) // larger, larger, root)
  # root is now the largest integer with root^2 <= size - 1.
  return xp.maximum(1, root + 1)


def _mix(x, *, xp):
  """Returns a uint32 hash (the finaliser of MurmurHash3)."""
  x = xp.asarray(x, xp.uint32)
  x = (x ^ (x >> 16)) * xp.asarray(0x85EBCA6B, xp.uint32)
  x = (x ^ (x >> 13)) * xp.asarray(0xC2B2AE35, xp.uint32)
  return x ^ (x >> 16)
