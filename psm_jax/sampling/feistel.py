"""Stateless permutations and draws: integers as pure functions of a seed.

The same code runs in NumPy and in JAX and gives the same integers.
"""

import types

import jax
import jax.numpy as jnp
import numpy as np

# NumPy's on the host, JAX's on the devices.
Table = jax.Array | np.ndarray
_ROUNDS = 6


def permute(
  index: Table,
  size: Table,
  seed: Table,
  *,
  xp: types.ModuleType = jnp,
) -> Table:
  """Returns where a seeded permutation of [0, size) takes some indices.

  A Feistel network over a rectangle of at least `size` cells: each round adds
  a hash of one coordinate to the other, modulo the side, which is a bijection
  for any sides. Images outside [0, size) are sent on until they fall inside
  (cycle walking).

  Args:
    index: [K] int32 in [0, size).
    size: () or [K] int32, traced or not, at least 1.
    seed: (), [1] or [K] uint32.

  Returns:
    [K] int32.
  """
  seed = seed.reshape(-1)
  size = xp.asarray(size).reshape(-1)
  height = _ceil_sqrt(size, xp).astype(xp.uint32)
  size = size.astype(xp.uint32)
  width = (size + height - 1) // height

  def cipher(x):
    row, column = x // width, x % width
    for number in range(_ROUNDS):
      salt = seed + xp.asarray(0x9E3779B9 * (number + 1) % 2**32, xp.uint32)
      if number % 2:
        row = (row + mix(column ^ salt, xp=xp) % height) % height
      else:
        column = (column + mix(row ^ salt, xp=xp) % width) % width
    return row * width + column

  def walk(state):
    x, is_inside = state
    x = xp.where(is_inside, x, cipher(x))
    return x, x < size

  x = index.astype(xp.uint32)
  state = x, xp.zeros_like(x, bool)
  if xp is jnp:  # The cipher is compiled once.
    out, _ = jax.lax.while_loop(lambda state: ~state[1].all(), walk, state)
  else:
    while not state[1].all():
      state = walk(state)
    out, _ = state
  return out.astype(xp.int32)


def draw(size: Table, seed: Table, *, xp: types.ModuleType = jnp) -> Table:
  """Returns a number in [0, size) drawn by each seed.

  Uniform but for the remainder of 2^32: a number's chance is off by less than
  size / 2^32 of itself.

  Args:
    size: int32, at least 1, of a shape that fits the seeds.
    seed: [K] uint32.

  Returns:
    [K] int32.
  """
  size = xp.asarray(size).astype(xp.uint32)
  return (mix(seed, xp=xp) % size).astype(xp.int32)


def mix(x: Table, *, xp: types.ModuleType = jnp) -> Table:
  """Returns a uint32 hash of the same shape (the finaliser of MurmurHash3)."""
  x = xp.asarray(x, xp.uint32)
  x = (x ^ (x >> 16)) * xp.asarray(0x85EBCA6B, xp.uint32)
  x = (x ^ (x >> 13)) * xp.asarray(0xC2B2AE35, xp.uint32)
  return x ^ (x >> 16)


def _ceil_sqrt(size, xp):
  """Returns the least integer whose square reaches a size below 2^31."""
  size = size.astype(xp.uint32)
  # Rounding may miss by one either way.
  root = xp.sqrt(size.astype(xp.float32)).astype(xp.uint32)
  root = xp.maximum(1, root) - 1
  for _ in range(3):
    root = xp.where(root * root < size, root + 1, root)
  return xp.maximum(1, root)
