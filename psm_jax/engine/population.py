"""Many models as one: the model axis (vmap) and the device axis (pmap).

Everything below `Population` is written for one model. A population of N
models on D devices lies in S slots; a slot is the state of c models a device,
every leaf [D, c, ...], and is advanced by one call of one compiled program.
Strategy 'vmap' has one slot of all models of a device, and so has 'map', which
goes through it in a compiled loop over chunks; 'loop' has slots of a single
model, whose program contains no model axis at all; a CPU computes several of
them side by side. Model m lives on device
m // (S c), in slot (m // c) mod S, at place m mod c; past N there are inert
members.

More models than a device holds train in waves: one population after another,
in one program.

Devices hold either models or examples. With `population.data_parallel` every
device holds all models, and 1 / D of each one's batch: place d of the device
axis is the same model on device d, for a general model on several devices.
"""

import dataclasses
import functools
import math
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
from jaxtyping import Bool

from psm_jax import sampling
from psm_jax.engine import dispatch, layout, processes, update
from psm_jax.methods import interface
from psm_jax.ops import data_axis


@dataclasses.dataclass(frozen=True)
class Population:
  """The compiled functions of N models and where each model lies.

  Attributes:
    num_models: N, without the inert members.
    devices: D devices of this process.
    axis: The devices of all processes that share each batch; one device where
      devices hold models of their own.
    first_place: Of the first of D among these.
    strategy: 'vmap', 'map' or 'loop'.
    num_slots: S.
    slot_models: c, models of a slot on each device.
    models_at_once: Models whose steps a device computes at the same time.
    plans: S stacked plans, leaves [D, c, ...] NumPy.
    shared: The method's frozen weights, leaves [D, ...], on the devices.
    clocks: The clocks of `plans` on the devices.
    init_one: key of a clock -> state of one model.
    step_slot: (state, clock, shared, batch) -> (state, metrics) of a slot; the
      state given is donated.
    validate_slot: (state, shared, batch) -> losses [D, c] of a slot, where the
      method validates.
    observe_slot: (state, loss, epoch) -> state of a slot, see `update.observe`;
      the state given is donated.
    lanes: Where the calls of several slots are made.
  """

  num_models: int
  devices: tuple[jax.Device, ...]
  axis: data_axis.DataAxis
  first_place: int
  strategy: str
  num_slots: int
  slot_models: int
  models_at_once: int
  plans: tuple[sampling.Plan, ...]
  shared: interface.Tree
  clocks: tuple[sampling.Clock, ...]
  init_one: Callable[[jax.Array], update.TrainState]
  step_slot: Any  # What pmap returns: it is called and lowered.
  validate_slot: Callable[..., jax.Array]
  observe_slot: Callable[..., update.TrainState]
  lanes: dispatch.Lanes = dispatch.Lanes(1)

  @property
  def sharding(self) -> jax.sharding.Sharding:
    """How arrays [D, ...] lie: one slice of the first axis a device."""
    key = self.clocks[0].key
    assert isinstance(key, jax.Array)  # It was placed.
    return key.sharding

  def parts(self, batch_size: int) -> list[slice]:
    """Returns which examples of each model's batch a device is given."""
    share = batch_size // self.axis.size
    return [
      slice(first, first + share)
      for first in (
        (self.first_place + device) * share if self.axis.size > 1 else 0
        for device in range(len(self.devices))
      )
    ]

  @property
  def num_copies(self) -> int:
    """On how many of D devices each model lies."""
    return len(self.devices) if self.axis.size > 1 else 1

  def init(self) -> list[update.TrainState]:
    """Returns the states in which the models begin, one tree a slot."""
    keys = self.to_host([plan.clock.key for plan in self.plans])
    states = [jax.device_get(self.init_one(key)) for key in keys]
    return self.from_host(
      jax.tree.map(lambda *leaves: np.stack(leaves), *states)
    )

  def step(
    self,
    states: list[update.TrainState],
    batches: list[interface.Batch],
    *,
    resting: Mapping[int, dict[str, jax.Array]] = types.MappingProxyType({}),
  ) -> tuple[list[update.TrainState], list[dict[str, jax.Array]]]:
    """Advances every model by one step.

    Args:
      states: A tree a slot; given away.
      batches: One a slot, leaves [D, c, ...].
      resting: Slots that are not advanced, see `rests`, and their metrics.

    Returns:
      The new states, and the metrics a slot, leaves [D, c].
    """
    awake = [slot for slot in range(self.num_slots) if slot not in resting]

    def advance(slot):
      return self.step_slot(
        states[slot], self.clocks[slot], self.shared, batches[slot]
      )

    advanced = dict(zip(awake, self.lanes.map(advance, awake), strict=True))
    given = {slot: (states[slot], resting[slot]) for slot in resting} | advanced
    new_states, metrics = zip(
      *(given[slot] for slot in range(self.num_slots)), strict=True
    )
    return list(new_states), list(metrics)

  def rests(
    self,
    metrics: list[dict[str, jax.Array]],
    is_idle: Bool[np.ndarray, ' {self.num_models}'],
  ) -> dict[int, dict[str, jax.Array]]:
    """Returns the slots of which no model learns any more, with metrics.

    Args:
      metrics: The slots' newest.
      is_idle: [N] bool, which models do not learn.
    """
    shape = (
      len(self.devices) // self.num_copies,
      self.num_slots,
      self.slot_models,
    )
    idle = np.ones(math.prod(shape), bool)
    idle[: self.num_models] = is_idle
    by_slot = idle.reshape(shape).all(axis=(0, 2))
    return {
      int(slot): metrics[slot]
      | {'is_active': metrics[slot]['is_active'] & False}
      for slot in np.flatnonzero(by_slot)
    }

  def lower(
    self, method: interface.Method, config: ml_collections.ConfigDict
  ) -> jax.stages.Lowered:
    """Returns the step of a slot, lowered for the devices: its program.

    Args:
      method: What is learned.
      config: The experiment.
    """
    lead = (len(self.devices), self.slot_models)
    state = jax.eval_shape(self.init_one, self.plans[0].clock.key[0, 0])
    share = config.train.batch_size // self.axis.size
    batch = method.batch_shapes(share)
    return self.step_slot.lower(
      _shapes(state, *lead),
      _shapes(self.clocks[0]),
      _shapes(self.shared),
      _shapes(batch, *lead),
    )

  def to_host(self, slots: Sequence[interface.Tree]) -> interface.Tree:
    """Returns per-slot trees as one tree of NumPy arrays [N, ...]."""
    num_copies = self.num_copies

    def stack(*leaves):
      # Of models that lie on all devices, the first device's.
      leaves = [leaf[: len(self.devices) // num_copies] for leaf in leaves]
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
      num_copies = self.num_copies
      shape = (
        len(self.devices) // num_copies,
        self.num_slots,
        self.slot_models,
      )
      spare = np.repeat(leaf[:1], math.prod(shape) - len(leaf), axis=0)
      if fill is not None:
        spare = np.full_like(spare, fill)
      full = np.concatenate([leaf, spare]).reshape(shape + leaf.shape[1:])
      copies = np.repeat(full[:, slot], num_copies, axis=0)
      return jax.device_put(copies, self.sharding)

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
  is_placed: bool = True,
) -> Population:
  """Returns the population of some plans, all resident at once.

  Args:
    method: What every model learns.
    plans: One model's tables each.
    config: The experiment.
    devices: Where to train; the first `population.num_devices` by default.
    is_placed: See `build_waves`.

  Raises:
    ValueError: If there are fewer devices than asked for.
  """
  (population,) = build_waves(
    method,
    plans,
    config,
    sizes=[len(plans)],
    devices=devices,
    is_placed=is_placed,
  )
  return population


def build_waves(
  method: interface.Method,
  plans: Sequence[sampling.Plan],
  config: ml_collections.ConfigDict,
  *,
  sizes: Sequence[int],
  devices: Sequence[jax.Device] | None = None,
  is_placed: bool = True,
) -> list[Population]:
  """Returns the populations that train one after another, in one program.

  Args:
    method: What every model learns.
    plans: One model's tables each.
    config: The experiment.
    sizes: Numbers of models of the populations, in the plans' order. Those with
      fewer than the largest are filled up with inert members.
    devices: Where to train; the first `population.num_devices` by default.
    is_placed: Whether clocks and frozen weights are put on the devices. If not,
      their shapes take their places: enough for `lower` and for estimates of
      memory, and the devices need not be there.

  Raises:
    ValueError: If there are fewer devices than asked for, or the method or the
      batch cannot be shared by them.
  """
  wave = max(sizes)
  devices = tuple(devices or layout.devices_of(config))
  axis, num_copies, first_place = data_axis.ONE_DEVICE, 1, 0
  mapped = devices
  if config.population.data_parallel:
    num_copies = len(devices)
    if processes.are_several():
      mapped = tuple(jax.devices())
      first_place = mapped.index(devices[0])
    axis = layout.shared_axis(method, mapped, config)
  else:
    mapped = devices = devices[:wave]
  spread = method.over(axis) if method.over and axis.size > 1 else method
  strategy = config.population.strategy
  if strategy == 'auto':
    strategy = layout.fastest_strategy(devices[0].platform, method, config)
  per_device = -(-wave * num_copies // len(devices))
  at_once = layout.models_at_once(strategy, per_device, devices, config)
  if strategy == 'map':
    # Whole chunks, or the rest would be a program of its own.
    per_device = -(-per_device // at_once) * at_once
  slot_models = 1 if strategy == 'loop' else per_device
  lanes = dispatch.Lanes(at_once if strategy == 'loop' else 1)
  shape = (len(devices), per_device // slot_models, slot_models)
  over_models = layout.over_models(strategy, chunk=at_once)

  def over_devices(function, *, donate=()):
    """Adds the device axis: the one place where it appears."""
    return jax.pmap(function, axis.name, devices=mapped, donate_argnums=donate)

  # An identity program, so that all inputs are laid out as pmap's results.
  place = over_devices(lambda tree: tree) if is_placed else _shapes
  shared = jax.tree.map(
    lambda leaf: np.broadcast_to(leaf, (len(devices), *leaf.shape)),
    method.shared,
  )

  def validate(state, shared, batch):
    return spread.validate(state.params, state.method_state, shared, batch)

  step = functools.partial(update.train_step, spread, config, axis=axis)
  over_training = over_models
  if strategy == 'map':
    over_training = functools.partial(
      over_models,
      is_running=functools.partial(update.is_running, config=config),
    )
  told = functools.partial(update.observe, spread, config)
  functions = {
    'init_one': update.initialiser(method, devices[0]),
    'step_slot': over_devices(
      over_training(step, (0, 0, None, 0)), donate=(0,)
    ),
    'validate_slot': over_devices(over_models(validate, (0, None, 0))),
    'observe_slot': over_devices(over_models(told, (0, 0, 0)), donate=(0,)),
  }
  shared = place(shared) if shared else ()
  placed = place_plans(plans, sizes=sizes, shape=shape, num_copies=num_copies)
  return [
    Population(
      num_models=size,
      devices=devices,
      axis=axis,
      first_place=first_place,
      strategy=strategy,
      num_slots=shape[1],
      slot_models=slot_models,
      models_at_once=at_once,
      lanes=lanes,
      plans=slots,
      shared=shared,
      clocks=tuple(place(plan.clock) for plan in slots),
      **functions,
    )
    for size, slots in zip(sizes, placed, strict=True)
  ]


def _shapes(tree, *lead):
  """Returns the shapes and types of a tree, behind further axes."""
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct((*lead, *leaf.shape), leaf.dtype), tree
  )


def place_plans(
  plans: Sequence[sampling.Plan],
  *,
  sizes: Sequence[int],
  shape: tuple[int, int, int],
  num_copies: int = 1,
) -> list[tuple[sampling.Plan, ...]]:
  """Returns the plans of each wave as one tree a slot, leaves [D, c, ...].

  Inert members fill each wave up. All waves have tables of one size, so that
  one program serves them.

  Args:
    plans: One a model.
    sizes: Models of each wave, in the plans' order.
    shape: (D, S, c), at least that many places but for copies.
    num_copies: Devices on which each model lies.
  """
  # The last model's frames lie on the device that is filled up.
  idle = dataclasses.replace(plans[-1].clock, total_steps=np.int32(0))
  stacked = sampling.stack([*plans, dataclasses.replace(plans[-1], clock=idle)])
  waves, first = [], 0
  for size in sizes:
    members = np.full(math.prod(shape) // num_copies, len(plans))
    members[:size] = np.arange(first, first + size)
    first += size
    members = members.reshape(-1, *shape[1:]).repeat(num_copies, axis=0)
    waves.append(
      tuple(
        jax.tree.map(lambda leaf, m=members[:, slot]: leaf[m], stacked)
        for slot in range(shape[1])
      )
    )
  return waves
