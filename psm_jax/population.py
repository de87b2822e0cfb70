"""Many models as one: the model axis (vmap) and the device axis (pmap).

Everything below `Population` is written for one model. A population of N
models on D devices lies in S slots; a slot is the state of c models a device,
every leaf [D, c, ...], and is advanced by one call of one compiled program.
Strategy 'vmap' has one slot of all models of a device, and so has 'map', which
goes through it in a compiled loop over chunks; 'loop' has slots of a single
model, whose program contains no model axis at all. Model m lives on device
m // (S c), in slot (m // c) mod S, at place m mod c; past N there are inert
members.

More models than a device holds train in waves: one population after another,
in one program.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import flax
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from psm_jax import curriculum, sampling
from psm_jax.methods import interface

STRATEGIES = ('auto', 'vmap', 'map', 'loop')


@flax.struct.dataclass
class TrainState:
  """Everything that changes while one model trains.

  Attributes:
    step: () int32, updates taken.
    params: The method's parameters.
    opt_state: The optimiser's, such as Adam's moments.
    method_state: The method's own state, () if none.
    failed_step: () int32, the step whose loss or update was not finite, after
      which the model is frozen; -1 while it is sound.
  """

  step: jax.Array
  params: interface.Tree
  opt_state: optax.OptState
  method_state: interface.Tree
  failed_step: jax.Array


def apply_gradients(optimizer, params, opt_state, grads, learning_rate):
  """Returns one update of one model: (params, opt_state)."""
  updates, opt_state = optimizer.update(grads, opt_state, params)
  updates = jax.tree.map(lambda leaf: -learning_rate * leaf, updates)
  return optax.apply_updates(params, updates), opt_state


def schedule_at(
  clock: sampling.Clock, step: jax.Array, config: ml_collections.ConfigDict
) -> interface.Schedule:
  """Returns what the curriculum prescribes for a step of one model."""
  epoch = sampling.epoch_index(clock, step)
  number = epoch + 1
  return interface.Schedule(
    epoch=number,
    gap=jnp.max(clock.gap[epoch]),
    learning_rate=curriculum.learning_rate(
      config.curriculum.learning_rate,
      epoch=number,
      step=step,
      total_steps=clock.total_steps,
    ),
    neutral_weight=curriculum.neutral_weight(
      tuple(config.curriculum.neutral_weight),
      epoch=number,
      num_epochs=clock.num_epochs,
    ),
  )


def init_model(method: interface.Method, clock: sampling.Clock) -> TrainState:
  """Returns the state in which one model begins."""
  key = jax.random.wrap_key_data(clock.key, impl='threefry2x32')
  params, method_state = method.init(jax.random.fold_in(key, 0))
  return TrainState(
    step=jnp.int32(0),
    params=params,
    opt_state=method.optimizer.init(params),
    method_state=method_state,
    failed_step=jnp.int32(-1),
  )


def initialiser(
  method: interface.Method,
) -> Callable[[sampling.Clock], TrainState]:
  """Returns `init_model` of a method, compiled for one model."""
  # It runs once a model and draws a hundred small arrays: on a CPU, optimising
  # the program takes many times as long as running it.
  is_cpu = jax.default_backend() == 'cpu'
  return jax.jit(
    functools.partial(init_model, method),
    compiler_options={'xla_backend_optimization_level': 0} if is_cpu else None,
  )


def train_step(
  method: interface.Method,
  config: ml_collections.ConfigDict,
  state: TrainState,
  clock: sampling.Clock,
  shared: interface.Tree,
  batch: interface.Batch,
) -> tuple[TrainState, dict[str, jax.Array]]:
  """Advances one model by one step.

  A model that has reached its total_steps, or that failed, keeps its state
  bit for bit; so does a model whose loss or update is not finite, which is
  marked as failed.

  Args:
    method: What is learned.
    config: The experiment; closed over, static.
    state: The model's state.
    clock: The model's epochs and key.
    shared: The method's frozen weights.
    batch: The examples of this step.

  Returns:
    The new state, and scalars: the schedule's values, the loss and its terms,
    the norm of the gradient, `is_active` and `failed_step`.
  """
  key = jax.random.wrap_key_data(clock.key, impl='threefry2x32')
  key = jax.random.fold_in(jax.random.fold_in(key, 1), state.step)
  schedule = schedule_at(clock, state.step, config)

  def loss_of(params):
    return method.loss(key, params, state.method_state, shared, batch, schedule)

  (loss, (method_state, terms)), grads = jax.value_and_grad(
    loss_of, has_aux=True
  )(state.params)
  params, opt_state = apply_gradients(
    method.optimizer,
    state.params,
    state.opt_state,
    grads,
    schedule.learning_rate * method.rate_scale(method_state),
  )
  method_state = method.after_update(params, method_state)
  is_active = (state.step < clock.total_steps) & (state.failed_step < 0)
  is_finite = _all_finite((loss, params, opt_state, method_state))
  new = TrainState(
    step=state.step + 1,
    params=params,
    opt_state=opt_state,
    method_state=method_state,
    failed_step=state.failed_step,
  )
  new = jax.tree.map(
    functools.partial(jnp.where, is_active & is_finite), new, state
  )
  failed_step = jnp.where(is_active & ~is_finite, state.step, new.failed_step)
  metrics = {
    **{
      field.name: getattr(schedule, field.name)
      for field in dataclasses.fields(schedule)
    },
    'loss': loss,
    **terms,
    'grad_norm': optax.tree.norm(grads),
    'is_active': is_active,
    'failed_step': failed_step,
  }
  return new.replace(failed_step=failed_step), metrics


def observe(
  method: interface.Method,
  state: TrainState,
  loss: jax.Array,
  epoch: jax.Array,
) -> TrainState:
  """Returns the state of one model that has been told its validation loss.

  Args:
    method: What is learned.
    state: The model's state.
    loss: () float32, the mean of `Method.validate` over its validation.
    epoch: () int32, the epoch that has ended, from 0; -1 if none has: the state
      then stays bit for bit, as does that of a failed model.
  """
  told = method.on_validation(state.method_state, loss, epoch)
  is_told = (epoch >= 0) & (state.failed_step < 0)
  return state.replace(
    method_state=jax.tree.map(
      functools.partial(jnp.where, is_told), told, state.method_state
    )
  )


def _all_finite(tree):
  """Returns whether every number of a tree is finite, () bool."""
  leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]
  # XLA fuses a plain conjunction into each operation that uses it, hundreds of
  # times over, and compiles for minutes; a sort it leaves alone.
  return jax.lax.sort(jnp.stack(leaves).astype(jnp.int32))[0] > 0


@dataclasses.dataclass(frozen=True)
class Population:
  """The compiled functions of N models and where each model lies.

  Attributes:
    num_models: N, without the inert members.
    first_model: Index in the run of the first of them.
    devices: D devices.
    num_slots: S.
    slot_models: c, models of a slot on each device.
    plans: S stacked plans, leaves [D, c, ...] NumPy.
    shared: The method's frozen weights, leaves [D, ...], on the devices.
    clocks: The clocks of `plans` on the devices.
    init_one: clock -> state of one model.
    step_slot: (state, clock, shared, batch) -> (state, metrics) of a slot; the
      state given is donated.
    validate_slot: (state, shared, batch) -> losses [D, c] of a slot; None if
      the method does not validate.
    observe_slot: (state, loss, epoch) -> state of a slot, see `observe`; the
      state given is donated.
  """

  num_models: int
  first_model: int
  devices: tuple[jax.Device, ...]
  num_slots: int
  slot_models: int
  plans: tuple[sampling.Plan, ...]
  shared: interface.Tree
  clocks: tuple[sampling.Clock, ...]
  init_one: Callable[[sampling.Clock], TrainState]
  step_slot: Callable[..., tuple[TrainState, dict[str, jax.Array]]]
  validate_slot: Callable[..., jax.Array] | None = None
  observe_slot: Callable[..., TrainState] | None = None

  @property
  def sharding(self) -> jax.sharding.Sharding:
    """How arrays [D, ...] lie: one slice of the first axis a device."""
    return self.clocks[0].key.sharding

  def init(self) -> list[TrainState]:
    """Returns the states in which the models begin, one tree a slot."""
    clocks = self.to_host([plan.clock for plan in self.plans])
    states = [
      jax.device_get(
        self.init_one(jax.tree.map(lambda leaf, m=model: leaf[m], clocks))
      )
      for model in range(self.num_models)
    ]
    return self.from_host(
      jax.tree.map(lambda *leaves: np.stack(leaves), *states)
    )

  def step(
    self, states: list[TrainState], batches: list[interface.Batch]
  ) -> tuple[list[TrainState], list[dict[str, jax.Array]]]:
    """Advances every model by one step.

    Args:
      states: A tree a slot; given away.
      batches: One a slot, leaves [D, c, ...].

    Returns:
      The new states, and the metrics a slot, leaves [D, c].
    """
    metrics = []
    for slot, (clock, batch) in enumerate(
      zip(self.clocks, batches, strict=True)
    ):
      states[slot], slot_metrics = self.step_slot(
        states[slot], clock, self.shared, batch
      )
      metrics.append(slot_metrics)
    return states, metrics

  def to_host(self, slots: Sequence[interface.Tree]) -> interface.Tree:
    """Returns per-slot trees as one tree of NumPy arrays [N, ...]."""

    def stack(*leaves):
      stacked = np.stack([np.asarray(leaf) for leaf in leaves], axis=1)
      return stacked.reshape((-1, *stacked.shape[3:]))[: self.num_models]

    return jax.tree.map(stack, *slots)

  def from_host(
    self, stacked: interface.Tree, *, fill: int | None = None
  ) -> list[interface.Tree]:
    """Returns a tree of arrays [N, ...] as per-slot trees on the devices.

    Args:
      stacked: The tree.
      fill: What inert members are given; None: the first model's values.
    """

    def place(leaf, slot):
      leaf = np.asarray(leaf)
      total = len(self.devices) * self.num_slots * self.slot_models
      spare = np.repeat(leaf[:1], total - len(leaf), axis=0)
      if fill is not None:
        spare = np.full_like(spare, fill)
      shape = (len(self.devices), self.num_slots, self.slot_models)
      full = np.concatenate([leaf, spare]).reshape(shape + leaf.shape[1:])
      return jax.device_put(full[:, slot], self.sharding)

    return [
      jax.tree.map(functools.partial(place, slot=slot), stacked)
      for slot in range(self.num_slots)
    ]


def build(
  method: interface.Method,
  plans: Sequence[sampling.Plan],
  config: ml_collections.ConfigDict,
  *,
  devices: Sequence[jax.Device] | None = None,
) -> Population:
  """Returns the population of some plans, all resident at once.

  Args:
    method: What every model learns.
    plans: One model's tables each.
    config: The experiment.
    devices: Where to train; the first `population.num_devices` by default.

  Raises:
    ValueError: If there are fewer devices than asked for.
  """
  (population,) = build_waves(
    method, plans, config, devices=devices, wave=len(plans)
  )
  return population


def build_waves(
  method: interface.Method,
  plans: Sequence[sampling.Plan],
  config: ml_collections.ConfigDict,
  *,
  devices: Sequence[jax.Device] | None = None,
  wave: int | None = None,
) -> list[Population]:
  """Returns the populations that train one after another, in one program.

  Args:
    method: What every model learns.
    plans: One model's tables each.
    config: The experiment.
    devices: Where to train; the first `population.num_devices` by default.
    wave: Models resident at once; `population.wave` by default, of which 0 is
      all. The last population is filled up with inert members.

  Raises:
    ValueError: If there are fewer devices than asked for.
  """
  wave = min(wave or config.population.wave or len(plans), len(plans))
  devices = tuple((devices or _devices(config))[:wave])
  strategy = config.population.strategy
  if strategy == 'auto':
    strategy = 'loop' if devices[0].platform == 'cpu' else 'vmap'
  per_device = -(-wave // len(devices))
  chunk = min(config.population.chunk or 1, per_device)
  if strategy == 'map':
    # Whole chunks, or the rest would be a program of its own.
    per_device = -(-per_device // chunk) * chunk
  slot_models = 1 if strategy == 'loop' else per_device
  shape = (len(devices), per_device // slot_models, slot_models)
  over_models = {
    'vmap': _vmap,
    'map': functools.partial(_map, chunk=chunk),
    'loop': _over_one_model,
  }[strategy]

  def over_devices(function, *, donate=()):
    """Adds the device axis: the one place where it appears."""
    return jax.pmap(function, devices=devices, donate_argnums=donate)

  # An identity program, so that all inputs are laid out as pmap's results.
  place = over_devices(lambda tree: tree)
  shared = jax.tree.map(
    lambda leaf: np.broadcast_to(leaf, (len(devices), *leaf.shape)),
    method.shared,
  )

  def validate(state, shared, batch):
    return method.validate(state.params, state.method_state, shared, batch)

  step = functools.partial(train_step, method, config)
  functions = {
    'init_one': initialiser(method),
    'step_slot': over_devices(over_models(step, (0, 0, None, 0)), donate=(0,)),
  }
  if method.validate is not None:
    told = functools.partial(observe, method)
    functions |= {
      'validate_slot': over_devices(over_models(validate, (0, None, 0))),
      'observe_slot': over_devices(over_models(told, (0, 0, 0)), donate=(0,)),
    }
  shared = place(shared) if shared else ()
  populations = []
  for slots in place_plans(plans, wave=wave, shape=shape):
    first = wave * len(populations)
    populations.append(
      Population(
        num_models=min(wave, len(plans) - first),
        first_model=first,
        devices=devices,
        num_slots=shape[1],
        slot_models=slot_models,
        plans=slots,
        shared=shared,
        clocks=tuple(place(plan.clock) for plan in slots),
        **functions,
      )
    )
  return populations


def _devices(config):
  """Returns the devices that a configuration asks for."""
  devices = jax.local_devices()
  wanted = config.population.num_devices or len(devices)
  if wanted > len(devices):
    raise ValueError(
      f'population.num_devices is {wanted}, but JAX sees {len(devices)} '
      f'({devices[0].device_kind}). Lower it; 0 takes all.'
    )
  return devices[:wanted]


def place_plans(
  plans: Sequence[sampling.Plan], *, wave: int, shape: tuple[int, int, int]
) -> list[tuple[sampling.Plan, ...]]:
  """Returns the plans of each wave as one tree a slot, leaves [D, c, ...].

  Inert members fill each wave up. All waves have tables of one size, so that
  one program serves them.

  Args:
    plans: One a model.
    wave: Models of a wave.
    shape: (D, S, c), at least `wave` places.
  """
  # The last model's frames lie on the device that is filled up.
  idle = plans[-1].clock.replace(total_steps=np.int32(0))
  stacked = sampling.stack([*plans, plans[-1].replace(clock=idle)])
  waves = []
  for first in range(0, len(plans), wave):
    members = np.full(math.prod(shape), len(plans))
    stop = min(first + wave, len(plans))
    members[: stop - first] = np.arange(first, stop)
    members = members.reshape(shape)
    waves.append(
      tuple(
        jax.tree.map(lambda leaf, m=members[:, slot]: leaf[m], stacked)
        for slot in range(shape[1])
      )
    )
  return waves


def _vmap(function, in_axes):
  """Adds the model axis, all models of a slot at once."""
  return jax.vmap(function, in_axes=in_axes)


def _map(function, in_axes, *, chunk):
  """Adds the model axis as a compiled loop over chunks of models."""

  def wrapped(*args):
    mapped = [arg for arg, axis in zip(args, in_axes, strict=True) if axis == 0]

    def of_one_model(own):
      own = iter(own)
      return function(
        *(
          next(own) if axis == 0 else arg
          for arg, axis in zip(args, in_axes, strict=True)
        )
      )

    return jax.lax.map(
      of_one_model, tuple(mapped), batch_size=chunk if chunk > 1 else None
    )

  return wrapped


def _over_one_model(function, in_axes):
  """Applies a function of one model to a model axis of length one."""

  def wrapped(*args):
    args = [
      arg if axis is None else jax.tree.map(lambda leaf: leaf[0], arg)
      for arg, axis in zip(args, in_axes, strict=True)
    ]
    return jax.tree.map(lambda leaf: leaf[None], function(*args))

  return wrapped
