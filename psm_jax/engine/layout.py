"""How models lie on devices: which share what, and the axes they lie along.

`population` puts a step of one model together with what is here.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import ml_collections
from jax import lax

from psm_jax import tasks
from psm_jax.engine import update
from psm_jax.methods import interface
from psm_jax.ops import data_axis

STRATEGIES = ('auto', 'vmap', 'map', 'loop')


def devices_of(config: ml_collections.ConfigDict) -> list[jax.Device]:
  """Returns the devices of this machine that a configuration asks for.

  Raises:
    ValueError: If there are fewer.
  """
  devices = jax.local_devices()
  wanted = config.population.num_devices or len(devices)
  if wanted > len(devices):
    raise ValueError(
      f'population.num_devices is {wanted}, but JAX sees {len(devices)} '
      f'({devices[0].device_kind}). Lower it; 0 takes all.'
    )
  return devices[:wanted]


def fastest_strategy(
  platform: str, method: interface.Method, config: ml_collections.ConfigDict
) -> str:
  """Returns what strategy 'auto' is on a platform.

  A CPU's is measured. A full-size model fills a TPU by itself, narrow ones have
  to share it (estimates in BENCHMARKS.md); of GPUs the same is assumed.
  """
  is_wide = config.method.width >= method.fills_from_width
  return 'loop' if platform == 'cpu' or is_wide else 'vmap'


def models_at_once(
  strategy: str,
  per_device: int,
  devices: Sequence[jax.Device],
  config: ml_collections.ConfigDict,
) -> int:
  """Returns how many models a device computes at the same time.

  Args:
    strategy: One of `STRATEGIES`, but 'auto'.
    per_device: Models of a device.
    devices: All of them.
    config: The experiment; `population.chunk` is read.
  """
  if strategy == 'vmap':
    return per_device
  wanted = config.population.chunk or 1
  if strategy == 'loop':
    # Several devices would share the cores already.
    is_lone_cpu = len(devices) == 1 and devices[0].platform == 'cpu'
    if not is_lone_cpu:
      return 1
    wanted = config.population.chunk or tasks.num_cores()
  return min(wanted, per_device)


def shared_axis(
  method: interface.Method,
  devices: Sequence[jax.Device],
  config: ml_collections.ConfigDict,
) -> data_axis.DataAxis:
  """Returns the axis of devices that share each model's batch.

  Args:
    method: What is learned.
    devices: Those of all processes.
    config: The experiment.

  Raises:
    ValueError: If the method or the batch cannot be shared.
  """
  if method.over is None:
    raise ValueError(
      f'population.data_parallel is set, but the method {method.name} cannot '
      'share a batch between devices. Leave it out.'
    )
  if config.train.batch_size % len(devices):
    raise ValueError(
      f'train.batch_size is {config.train.batch_size}, which '
      f'{len(devices)} devices cannot share equally. Choose a multiple, or '
      'set population.num_devices.'
    )
  return data_axis.DataAxis('batch', len(devices))


def over_models(strategy: str, *, chunk: int) -> Callable[..., Callable]:
  """Returns what adds the model axis to a function of one model.

  It is called with the function and, of each argument, 0 if each model has its
  own and None if all share one; for 'map' perhaps with `is_running`, (state,
  clock) -> () bool of one model: chunks without a model that learns are then
  passed over.

  Args:
    strategy: One of `STRATEGIES`, but 'auto'.
    chunk: Models of a chunk of 'map'.
  """
  if strategy == 'vmap':
    return jax.vmap
  if strategy == 'loop':
    return _over_one_model
  return functools.partial(_over_chunks, chunk=chunk)


def _over_chunks(function, in_axes, *, chunk, is_running=None):
  """Adds the model axis as a compiled loop over chunks of models.

  Args:
    function: Of one model.
    in_axes: 0 for arguments of each model, None for those of all.
    chunk: Models of a chunk.
    is_running: Of a training step: (state, clock) -> () bool. Chunks without a
      model that learns are passed over.
  """

  def wrapped(*args):
    mapped = [arg for arg, axis in zip(args, in_axes, strict=True) if axis == 0]

    def of_one_model(of_model):
      of_model = iter(of_model)
      return function(
        *(
          next(of_model) if axis == 0 else arg
          for arg, axis in zip(args, in_axes, strict=True)
        )
      )

    of_chunk = jax.vmap(of_one_model)
    if chunk == 1:
      # No model axis in the networks.
      def of_chunk(group):
        alone = of_one_model(jax.tree.map(lambda leaf: leaf[0], group))
        return jax.tree.map(lambda leaf: leaf[None], alone)

    def of_running(group):
      _, metrics = jax.eval_shape(of_chunk, group)
      return lax.cond(
        jnp.any(jax.vmap(is_running)(*group[:2])),
        of_chunk,
        lambda group: update.rest(group[0], metrics),
        group,
      )

    groups = jax.tree.map(
      lambda leaf: leaf.reshape(-1, chunk, *leaf.shape[1:]), tuple(mapped)
    )
    mapped = lax.map(of_running if is_running else of_chunk, groups)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), mapped)

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
