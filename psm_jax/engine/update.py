"""Training of one model: how its state begins, and how a step changes it.

Everything here is written for a single model; `population` adds the model axis
and the device axis.
"""

import dataclasses
import functools
from collections.abc import Callable

import flax
import jax
import jax.numpy as jnp
import ml_collections
import optax
from jaxtyping import Bool, Float32, Int32, UInt32

from psm_jax import sampling
from psm_jax.methods import interface
from psm_jax.ops import data_axis
from psm_jax.ops.arrays import Array
from psm_jax.sampling import curriculum

_SMOOTHING = 0.02  # Share of the newest loss.


@flax.struct.dataclass
class Course:
  """How the training of a model goes, apart from what it learns.

  Attributes:
    rollbacks: () int32, steps whose loss or gradient was not finite, from which
      it returned to the state before; each halves its learning rate.
    smoothed: () float32, mean training loss of some fifty steps.
    best: () float32, least loss at the end of an epoch: the validation's where
      the method validates, else `smoothed`; infinite before the first.
    stale: () int32, epochs since then.
  """

  rollbacks: jax.Array
  smoothed: jax.Array
  best: jax.Array
  stale: jax.Array


@flax.struct.dataclass
class TrainState:
  """Everything that changes while one model trains.

  Attributes:
    step: () int32, updates taken.
    params: The method's parameters.
    opt_state: The optimiser's, such as Adam's moments.
    method_state: The method's own state, () if none.
    failed_step: () int32, the step whose loss or gradient was not finite, after
      which the model is frozen; -1 while it is sound.
    course: How its training goes.
  """

  step: jax.Array
  params: interface.Tree
  opt_state: optax.OptState
  method_state: interface.Tree
  failed_step: jax.Array
  course: Course


def apply_gradients(optimizer, params, opt_state, grads, learning_rate):
  """Returns one update of one model: (params, opt_state)."""
  updates, opt_state = optimizer.update(grads, opt_state, params)
  updates = jax.tree.map(lambda leaf: -learning_rate * leaf, updates)
  return optax.apply_updates(params, updates), opt_state


def schedule_at(
  clock: sampling.Clock,
  step: Int32[jax.Array, ''],
  config: ml_collections.ConfigDict,
) -> interface.Schedule:
  """Returns what the curriculum prescribes for a step of one model."""
  epoch = sampling.epoch_index(clock, step)
  number = epoch + 1
  return interface.Schedule(
    epoch=number,
    gap=jnp.max(clock.gap[epoch]),
    learning_rate=curriculum.learning_rate(
      config.optim,
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


def init_model(key: UInt32[Array, '2'], method: interface.Method) -> TrainState:
  """Returns the state in which one model begins.

  Args:
    key: [2] uint32, that of the model's clock.
    method: What is learned.
  """
  key = jax.random.wrap_key_data(jnp.asarray(key), impl='threefry2x32')
  params, method_state = method.init(jax.random.fold_in(key, 0))
  return TrainState(
    step=jnp.int32(0),
    params=params,
    opt_state=method.optimizer.init(params),
    method_state=method_state,
    failed_step=jnp.int32(-1),
    course=Course(
      rollbacks=jnp.int32(0),
      smoothed=jnp.float32(jnp.inf),
      best=jnp.float32(jnp.inf),
      stale=jnp.int32(0),
    ),
  )


def is_running(
  state: TrainState, clock: sampling.Clock, config: ml_collections.ConfigDict
) -> Bool[jax.Array, '']:
  """Returns whether a model still learns, () bool."""
  goes_on = (state.step < clock.total_steps) & (state.failed_step < 0)
  return goes_on & ~has_stopped(state.course, config)


def has_stopped(
  course: Course, config: ml_collections.ConfigDict
) -> Bool[Array, '...']:
  """Returns whether a model has not become better for `train.patience`."""
  patience = config.train.patience
  return (course.stale >= patience) & (patience > 0)


def initialiser(
  method: interface.Method, device: jax.Device
) -> Callable[[UInt32[Array, '2']], TrainState]:
  """Returns `init_model` of a method, compiled for one model on a device."""
  # It runs once a model and draws a hundred small arrays: on a CPU, optimising
  # the program takes many times as long as running it.
  is_cpu = device.platform == 'cpu'
  return jax.jit(
    functools.partial(init_model, method=method),
    out_shardings=jax.sharding.SingleDeviceSharding(device),
    compiler_options={'xla_backend_optimization_level': 0} if is_cpu else None,
  )


def train_step(
  method: interface.Method,
  config: ml_collections.ConfigDict,
  state: TrainState,
  clock: sampling.Clock,
  shared: interface.Tree,
  batch: interface.Batch,
  *,
  axis: data_axis.DataAxis = data_axis.ONE_DEVICE,
) -> tuple[TrainState, dict[str, jax.Array]]:
  """Advances one model by one step.

  A model that does not learn any more keeps its state bit for bit. So does one
  whose loss, gradient (or the square of its norm) or method's state is not
  finite: it leaves this step out and goes on at half its rate,
  `train.rollbacks` times; then it is marked as failed.

  Args:
    method: What is learned.
    config: The experiment; closed over, static.
    state: The model's state.
    clock: The model's epochs and key.
    shared: The method's frozen weights.
    batch: The examples of this step; this device's, if several share them.
    axis: The devices that share the batch. `method` must be of the same axis.

  Returns:
    The new state, and scalars: the schedule's values, the loss and its terms,
    the norm of the gradient, `is_active`, `failed_step` and `rollbacks`.
  """
  key = jax.random.wrap_key_data(jnp.asarray(clock.key), impl='threefry2x32')
  key = jax.random.fold_in(jax.random.fold_in(key, 1), state.step)
  schedule = schedule_at(clock, state.step, config)

  def gradient(method, batch):
    def loss_of(params):
      return method.loss(
        key, params, state.method_state, shared, batch, schedule
      )

    (loss, (method_state, terms)), grads = jax.value_and_grad(
      loss_of, has_aux=True
    )(state.params)
    return (loss, terms, grads), method_state

  if config.train.microbatches > 1:
    sums = _accumulate(gradient, method, batch, config.train.microbatches, axis)
    method_state = state.method_state
  else:
    sums, method_state = gradient(method, batch)
  # A loss of joined examples is the same on all devices, any other one is the
  # mean over own examples: in both cases this is the gradient of the whole.
  loss, terms, grads = jax.tree.map(axis.mean, sums)
  rate = _rate(schedule, state.course, config) * method.rate_scale(method_state)
  params, opt_state = apply_gradients(
    method.optimizer, state.params, state.opt_state, grads, rate
  )
  method_state = method.after_update(params, method_state)
  is_active = is_running(state, clock, config)
  # Numbers of which the squares have a finite sum keep moments and parameters
  # finite, which need not be read once more.
  grad_norm = optax.tree.norm(grads)
  is_finite = _all_finite((loss, grad_norm, rate, method_state))
  course = state.course
  if config.train.patience and method.validate is None:
    course = _smooth(course, loss, clock, state.step)
  new = TrainState(
    step=state.step + 1,
    params=params,
    opt_state=opt_state,
    method_state=method_state,
    failed_step=state.failed_step,
    course=course,
  )
  new = jax.tree.map(
    functools.partial(jnp.where, is_active & is_finite), new, state
  )
  is_bad = is_active & ~is_finite
  returns = is_bad & (state.course.rollbacks < config.train.rollbacks)
  new = new.replace(
    step=new.step + returns,
    failed_step=jnp.where(is_bad & ~returns, state.step, new.failed_step),
    course=new.course.replace(rollbacks=new.course.rollbacks + returns),
  )
  metrics = {
    **{
      field.name: getattr(schedule, field.name)
      for field in dataclasses.fields(schedule)
    },
    'loss': loss,
    **terms,
    'grad_norm': grad_norm,
    'is_active': is_active,
    'failed_step': new.failed_step,
    'rollbacks': new.course.rollbacks,
  }
  return new, metrics


def rest(
  state: TrainState, metrics: dict[str, jax.ShapeDtypeStruct]
) -> tuple[TrainState, dict[str, jax.Array]]:
  """Returns what `train_step` gives of models that do not learn, but for work.

  Args:
    state: The models' states.
    metrics: Shapes of the metrics.
  """
  zeros = {
    name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in metrics.items()
  }
  return state, zeros | {
    'failed_step': state.failed_step,
    'rollbacks': state.course.rollbacks,
  }


def _rate(schedule, course, config):
  """Returns the learning rate of a model, halved by each rollback."""
  if not config.train.rollbacks:
    return schedule.learning_rate
  return schedule.learning_rate * jnp.exp2(-course.rollbacks.astype('f4'))


def _smooth(course, loss, clock, step):
  """Returns the course after a step, by the training loss."""
  before = jnp.where(jnp.isinf(course.smoothed), loss, course.smoothed)
  course = course.replace(smoothed=before + _SMOOTHING * (loss - before))
  epoch, following = (
    sampling.epoch_index(clock, at) for at in (step, step + 1)
  )
  return _look(course, course.smoothed, is_end=following > epoch)


def _look(course, loss, *, is_end):
  """Returns the course after the loss at the end of an epoch, if it is one."""
  is_better = loss < course.best
  return course.replace(
    best=jnp.where(is_end & is_better, loss, course.best),
    stale=jnp.where(
      is_end, jnp.where(is_better, 0, course.stale + 1), course.stale
    ),
  )


def _accumulate(gradient, method, batch, count, axis):
  """Returns the means of (loss, terms, grads) over the parts of a batch.

  One part after another, so that the activations of one are kept at a time. A
  loss that is a mean over examples has the same gradient either way.
  """

  def cut(leaf):
    # Examples are the last axis of `person`, the second of images.
    axis = leaf.ndim // 2
    return jnp.stack(jnp.split(leaf, count, axis=axis))

  parts = jax.tree.map(cut, batch)

  def of_part(index, part):
    of_microbatch = method.over(data_axis.Microbatch(axis, index, count))
    return gradient(of_microbatch, part)[0]

  def add(sums, numbered):
    return jax.tree.map(jnp.add, sums, of_part(*numbered)), None

  numbered = (jnp.arange(count), parts)
  shapes = jax.eval_shape(of_part, *jax.tree.map(lambda x: x[0], numbered))
  zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

  def add_all(zeros, numbered, *, unroll):
    return jax.lax.scan(add, zeros, numbered, unroll=unroll)[0]

  sums = jax.lax.platform_dependent(
    zeros,
    numbered,
    # XLA computes convolutions within a loop many times slower on CPUs.
    cpu=functools.partial(add_all, unroll=count),
    default=functools.partial(add_all, unroll=1),
  )
  return jax.tree.map(lambda leaf: leaf / count, sums)


def observe(
  method: interface.Method,
  config: ml_collections.ConfigDict,
  state: TrainState,
  loss: Float32[jax.Array, ''],
  epoch: Int32[jax.Array, ''],
) -> TrainState:
  """Returns the state of one model that has been told its validation loss.

  Args:
    method: What is learned.
    config: The experiment; closed over, static.
    state: The model's state.
    loss: () float32, the mean of `Method.validate` over its validation.
    epoch: () int32, the epoch that has ended, from 0; -1 if none has: the state
      then stays bit for bit, as does that of a model that failed or stopped.
  """
  told = dataclasses.replace(
    state, method_state=method.on_validation(state.method_state, loss, epoch)
  )
  if config.train.patience:
    course = _look(state.course, loss, is_end=True)
    told = dataclasses.replace(told, course=course)
  is_told = (epoch >= 0) & (state.failed_step < 0)
  is_told &= ~has_stopped(state.course, config)
  return jax.tree.map(functools.partial(jnp.where, is_told), told, state)


def _all_finite(tree):
  """Returns whether every number of a tree is finite, () bool."""
  leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]
  # XLA fuses a plain conjunction into each operation that uses it, hundreds of
  # times over, and compiles for minutes; a sort it leaves alone.
  return jax.lax.sort(jnp.stack(leaves).astype(jnp.int32))[0] > 0
