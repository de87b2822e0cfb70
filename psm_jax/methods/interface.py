"""What a training method is: a value holding pure functions of one model."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax
import jax

Tree = Any


@flax.struct.dataclass
class Schedule:
  """What the curriculum prescribes for one step of one model.

  Attributes:
    epoch: () int32, from 1.
    gap: () int32, frames between the two members of a pair; 0 for random pairs.
    learning_rate: () float32.
    neutral_weight: () float32, weight of the neutral face's symmetry.
  """

  epoch: jax.Array
  gap: jax.Array
  learning_rate: jax.Array
  neutral_weight: jax.Array


@dataclasses.dataclass(frozen=True)
class Method:
  """A self-supervised method as functions of one model.

  Attributes:
    name: Key of `methods.METHODS`.
    size_px: Side of the images in pixels.
    shared: Frozen weights that all models use; no model axis, () if none.
    init: key -> (params, method_state).
    loss: (key, params, method_state, shared, frames, schedule) -> (loss,
      (method_state, terms)). frames is [2, B, S * S * 3] uint8: the two members
      of B pairs; terms maps names to scalars.
    embed: (params, method_state, frames) -> [B, 256] float32; frames is
      [B, S * S * 3] uint8.
    pictures: (key, params, method_state, shared, frames) -> {'neutral',
      'reconstruction'}: [B, S, S, 3] float32 in [0, 1], and 'flow': [B, h, h,
      2] float32, (x, y), units of half a side.
  """

  name: str
  size_px: int
  shared: Tree
  init: Callable[..., tuple[Tree, Tree]]
  loss: Callable[..., tuple[jax.Array, tuple[Tree, dict[str, jax.Array]]]]
  embed: Callable[..., jax.Array]
  pictures: Callable[..., dict[str, jax.Array]]
