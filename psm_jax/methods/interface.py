"""What a training method is: a value holding pure functions of one model.

M members of an example, B examples of a step, S pixels a side.
"""

import dataclasses
import operator
from collections.abc import Callable, Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import ml_collections
import optax

from psm_jax.ops import data_axis

Tree = Any


@flax.struct.dataclass
class Batch:
  """The frames of one step of one model.

  Attributes:
    frames: [M, B, S * S * 3] uint8: the two members of a pair, a target and
      its sources, or the frames of a clip in temporal order.
    person: [B] int32, which person of the cohort an example shows.
    canonical: [M, B, S * S * 3] uint8, the canonical face of the video of each
      frame; () for a method that does not use it.
  """

  frames: jax.Array
  person: jax.Array
  canonical: jax.Array | tuple = ()


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


def _keep_rate(method_state):
  """Returns the scale of the learning rate of a method that has none."""
  del method_state
  return 1.0


def _keep_state(params, method_state):
  """Returns the state of a method that has nothing to do after an update."""
  del params
  return method_state


def _ignore_loss(method_state, loss, epoch):
  """Returns the state of a method that learns nothing from a validation."""
  del loss, epoch
  return method_state


def _accept(*_):
  """Checks nothing."""


@dataclasses.dataclass(frozen=True)
class Method:
  """A self-supervised method as functions of one model.

  Attributes:
    name: Key of `methods.METHODS`.
    size_px: Side of the images in pixels.
    num_members: M, frames of one example.
    shared: Frozen weights that all models use; no model axis, () if none. As
      `make` of a method's file returns them, stand-ins of the same shapes.
    optimizer: Maps gradients to the direction that is multiplied by minus the
      learning rate.
    init: key -> (params, method_state). method_state holds what changes while
      a model trains but is no parameter: BatchNorm statistics, a dictionary, a
      momentum copy, a loss window; () if none.
    loss: (key, params, method_state, shared, batch, schedule) -> (loss,
      (method_state, terms)); terms maps names to scalars.
    embed: (params, method_state, frames) -> [B, D] float32; frames is
      [B, S * S * 3] uint8. With `uses_canonical` canonical faces of the same
      shape come after them.
    pictures: (key, params, method_state, shared, frames, canonical) -> {name:
      [B, h, w, 3] float32 in [0, 1], or [B, h, w, 2] float32 for flows, (x, y),
      units of half a side}; canonical as a batch has it, without its M.
    unit_length: Whether only the direction of an embedding counts, so that
      whoever probes or compares embeddings scales them to length 1.
    uses_canonical: Whether batches, pictures and `embed` are given canonical
      faces.
    draw: (params, shared, embedding, face) -> [B, S, S, 3] float32 in [0, 1]:
      a neutral face [B, S, S, 3] float32 in [0, 1] with the movement that an
      embedding [B, D] stands for. None if the method has no neutral face.
    after_update: (params, method_state) -> method_state, after each update.
    rate_scale: method_state -> () float32, multiplies the learning rate.
    validate: (params, method_state, shared, batch) -> () float32, the loss of
      held-out frames; None if the method does not look at them.
    on_validation: (method_state, loss, epoch) -> method_state, at the end of
      each epoch (from 0), given the mean of `validate`.
    load_shared: () -> shared, read from a file or drawn.
    check: config -> None; raises ValueError, naming the field, if the method
      cannot run a configuration.
    check_cohort: (config, num_people) -> None; raises ValueError if a cohort
      of so many people is not enough.
    fills_from_width: method.width from which one model is taken to fill an
      accelerator, so that several are computed one after another.
    over: data_axis.DataAxis -> the same method for examples that several
      devices share: its `loss` and `validate` are given a device's part, and
      what couples examples is joined. None if it cannot be shared.
  """

  name: str
  size_px: int
  num_members: int
  shared: Tree
  optimizer: optax.GradientTransformation
  init: Callable[..., tuple[Tree, Tree]]
  loss: Callable[..., tuple[jax.Array, tuple[Tree, dict[str, jax.Array]]]]
  embed: Callable[..., jax.Array]
  pictures: Callable[..., dict[str, jax.Array]]
  unit_length: bool = True
  uses_canonical: bool = False
  draw: Callable[..., jax.Array] | None = None
  after_update: Callable[[Tree, Tree], Tree] = _keep_state
  rate_scale: Callable[[Tree], jax.Array | float] = _keep_rate
  validate: Callable[..., jax.Array] | None = None
  on_validation: Callable[[Tree, jax.Array, jax.Array], Tree] = _ignore_loss
  load_shared: Callable[[], Tree] = tuple
  check: Callable[[ml_collections.ConfigDict], None] = _accept
  check_cohort: Callable[[ml_collections.ConfigDict, int], None] = _accept
  fills_from_width: float = 0.5
  over: Callable[[data_axis.DataAxis], 'Method'] | None = None

  def batch_shapes(self, batch_size: int) -> Batch:
    """Returns the shapes and dtypes of a batch of some examples."""

    def batch():
      shape = (self.num_members, batch_size, self.size_px**2 * 3)
      frames = jnp.zeros(shape, jnp.uint8)
      person = jnp.zeros(batch_size, jnp.int32)
      return Batch(frames, person, frames if self.uses_canonical else ())

    return jax.eval_shape(batch)


def refuse(field: str, value: object, expected: str):
  """Raises the ValueError of a configuration's field that cannot be."""
  raise ValueError(f'{field} is {value!r}; expected {expected}.')


_IS_MET: dict[str, Callable[[Any, Any], bool]] = {
  'one of': lambda value, choices: value in choices,
  'at most': operator.le,
  'at least': operator.ge,
  'above': operator.gt,
}


def check_fields(
  values: Mapping[str, Any],
  expected: Mapping[str, Any],
  *,
  prefix: str = '',
):
  """Raises ValueError, naming the field, unless values are as expected.

  Args:
    values: Field to value.
    expected: 'one of', 'at most', 'at least' and 'above' to the fields of which
      that is expected, each with its choices or its limit.
    prefix: Of the fields' names, as they are told.
  """
  for words, limits in expected.items():
    for field, limit in limits.items():
      if not _IS_MET[words](values[field], limit):
        told = ', '.join(map(str, limit)) if words == 'one of' else limit
        refuse(f'{prefix}{field}', values[field], f'{words} {told}')


def check_pairing(config: ml_collections.ConfigDict, *pairings: str):
  """Raises ValueError unless a method can use the configuration's pairing."""
  if config.curriculum.pairing not in pairings:
    refuse(
      'curriculum.pairing',
      config.curriculum.pairing,
      f'{" or ".join(pairings)} with method.name={config.method.name}',
    )


def check_microbatches(config: ml_collections.ConfigDict):
  """Raises ValueError unless a batch can be cut into its parts."""
  if config.train.batch_size % config.train.microbatches:
    refuse(
      'train.microbatches',
      config.train.microbatches,
      f'a divisor of train.batch_size={config.train.batch_size}',
    )


def check_whole_batch(config: ml_collections.ConfigDict):
  """Raises ValueError for options of methods whose examples are apart."""
  name = config.method.name
  if config.train.remat:
    refuse('train.remat', True, f'False with method.name={name}')
  if config.train.microbatches > 1:
    refuse(
      'train.microbatches',
      config.train.microbatches,
      f'1 with method.name={name}, whose loss couples the examples of a batch',
    )
