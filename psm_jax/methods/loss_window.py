"""The part of a batch that a loss is of, and how it moves to harder examples.

FAb-Net's curriculum (Wiles et al., BMVC 2018, and its release): the loss is the
mean of a window of the examples' errors in ascending order; the window moves
whenever the validation loss has stopped falling. Integers count its ends, in
tenths of a batch, where the release adds floats.

B examples of a batch.
"""

import flax
import jax
import jax.numpy as jnp

# Above any mean difference of images in [0, 1]; finite, as all state must be.
_NO_LOSS = 1000.0
# PyTorch's ReduceLROnPlateau with its defaults.
_PLATEAU_FACTOR = 0.1
_PLATEAU_PATIENCE = 10
_PLATEAU_THRESHOLD = 1e-4


@flax.struct.dataclass
class Window:
  """The loss window of one model and when it moves.

  Attributes:
    low: () int32, where the window begins, in tenths of the sorted batch.
    high: () int32, where it ends.
    best: () float32, least validation loss since the window last moved.
    best_epoch: () int32, epoch of `best`; -1 before the first.
    last_fire: () int32, epoch of `best` or of the last firing, the later one.
    plateau_best: () float32, least validation loss at firings of the last
      window.
    plateau_fires: () int32, firings since `plateau_best` that were no better.
    rate_scale: () float32, multiplies the learning rate.
  """

  low: jax.Array
  high: jax.Array
  best: jax.Array
  best_epoch: jax.Array
  last_fire: jax.Array
  plateau_best: jax.Array
  plateau_fires: jax.Array
  rate_scale: jax.Array


def mean(errors: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
  """Returns the mean of the errors in a window of their ascending order.

  Args:
    errors: [B] float.
    low: () int32, tenths of B at which the window begins, rounded down.
    high: () int32, tenths at which it ends; at least one error is inside.

  Returns:
    () float.
  """
  num = errors.shape[0]
  first = jnp.minimum(low * num // 10, num - 1)
  stop = jnp.maximum(high * num // 10, first + 1)
  rank = jnp.argsort(jnp.argsort(jax.lax.stop_gradient(errors)))
  is_inside = (first <= rank) & (rank < stop)
  return jnp.sum(jnp.where(is_inside, errors, 0)) / (stop - first)


def start(window: tuple[int, int]) -> Window:
  """Returns where a model begins: a window in tenths, no loss known."""
  low, high = window
  return Window(
    low=jnp.int32(low),
    high=jnp.int32(high),
    best=jnp.float32(_NO_LOSS),
    best_epoch=jnp.int32(-1),
    last_fire=jnp.int32(-1),
    plateau_best=jnp.float32(_NO_LOSS),
    plateau_fires=jnp.int32(0),
    rate_scale=jnp.float32(1),
  )


def follow(
  state: Window,
  loss: jax.Array,
  epoch: jax.Array,
  *,
  end: int,
  patience: int,
) -> Window:
  """Returns the window after the validation at the end of an epoch.

  It fires when more than `patience` epochs have passed since the least loss
  and since it last fired. Firing moves the window by a tenth and forgets the
  losses; once the window has reached `end`, firing counts as a step of the
  learning rate's plateau rule instead: after more than 10 without a lower
  loss, the rate falls to a tenth.

  Args:
    state: Before.
    loss: () float32, the mean of the held-out batches' losses.
    epoch: () int32, from 0.
    end: Tenths; the window moves while its `high` is below.
    patience: Epochs.
  """
  is_better = loss < state.best
  best = jnp.where(is_better, loss, state.best)
  best_epoch = jnp.where(is_better, epoch, state.best_epoch)
  last_fire = jnp.where(is_better, epoch, state.last_fire)
  fires = (epoch - best_epoch > patience) & (epoch - last_fire > patience)
  moves = fires & (state.high < end)
  slows = fires & (state.high >= end)
  fresh = start((0, 0))
  limit = state.plateau_best * (1 - _PLATEAU_THRESHOLD)
  is_lower = loss < limit
  count = jnp.where(is_lower, 0, state.plateau_fires + 1)
  steps_down = slows & (count > _PLATEAU_PATIENCE)
  count = jnp.where(steps_down, 0, count)
  return Window(
    low=state.low + moves,
    high=state.high + moves,
    best=jnp.where(moves, fresh.best, best),
    best_epoch=jnp.where(moves, fresh.best_epoch, best_epoch),
    last_fire=jnp.where(
      moves, fresh.last_fire, jnp.where(fires, epoch, last_fire)
    ),
    plateau_best=jnp.where(slows & is_lower, loss, state.plateau_best),
    plateau_fires=jnp.where(slows, count, state.plateau_fires),
    rate_scale=state.rate_scale * jnp.where(steps_down, _PLATEAU_FACTOR, 1.0),
  )
