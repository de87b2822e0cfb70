"""What a machine has, and what an experiment would need of it.

  facts = doctor.machine('runs')
  facts |= doctor.needs(config, 'runs/data', steps=10)

Facts are texts by their names, in the order in which they are shown.
"""

import contextlib
import math
import os
import pathlib
import platform
import shutil
import statistics

import jax
import jax.numpy as jnp
import ml_collections

from psm_jax import config_check, methods
from psm_jax.bench import row as bench
from psm_jax.engine import (
  feed as feed_lib,
  layout,
  memory,
  population as population_lib,
)
from psm_jax.ops import precision
from psm_jax.runs import planning, resuming, shards, waves as waves_lib

_GIB = 2**30


def machine(folder: str | os.PathLike) -> dict[str, str]:
  """Returns what this machine has.

  Args:
    folder: Where runs would go; need not be there.
  """
  try:
    # PyAV is not needed where frames are prepared elsewhere.
    from psm_jax.data.ingest import video

    videos = ', '.join(video.readable())
  except ModuleNotFoundError as error:
    videos = f'none: there is no module {error.name}'
  devices = jax.local_devices()
  dtype = jnp.float32 if devices[0].platform == 'cpu' else jnp.bfloat16
  rate = bench.product(dtype, devices[0])()
  place = pathlib.Path(folder).absolute()
  # The folder, or the one in which it would be made.
  there = next(path for path in (place, *place.parents) if path.exists())
  return {
    'Python': platform.python_version(),
    'packages': ', '.join(f'{k} {v}' for k, v in resuming.versions().items()),
    'devices': f'{len(devices)} x {devices[0].device_kind}',
    'device memory': f'{memory.limit_of(devices[0]) / _GIB:.1f} GiB',
    'matrix products': f'{rate / 1e9:.0f} GFLOP/s',
    'processors': str(os.cpu_count()),
    'free memory': f'{_free_memory() / _GIB:.1f} GiB',
    'free disk': f'{shutil.disk_usage(there).free / _GIB:.1f} GiB in {folder}',
    'video': videos,
    'gcloud': shutil.which('gcloud')
    or 'not on the PATH (launch/tpu.sh needs it)',
  }


def _free_memory():
  """Returns the bytes that programs can still be given."""
  with contextlib.suppress(OSError):
    for line in pathlib.Path('/proc/meminfo').read_text().splitlines():
      if line.startswith('MemAvailable:'):
        return int(line.split()[1]) * 1024
  return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def needs(
  config: ml_collections.ConfigDict,
  data_dir: str | os.PathLike,
  *,
  steps: int,
  shard_count: int = 1,
  price: float = 0.0,
) -> dict[str, str]:
  """Returns what an experiment needs, by some steps of its own program.

  Args:
    config: The experiment.
    data_dir: Where its frames lie prepared; they are prepared if they are not.
    steps: Steps to measure, after one that compiles.
    shard_count: Machines like this one that would share it.
    price: Of such a machine an hour, in any currency.

  Raises:
    ValueError: If it cannot be trained here; names the field or path.
  """
  config = config_check.checked(config)
  store = planning.open_frames(config, data_dir)
  models, plans = planning.plan_models(config, store)
  shards.deal(models, shard_count, wave=config.population.wave)
  # The first shard's: the others have about as much to do.
  waves = shards.waves_of([model for model in models if model.shard == 0])
  sizes = [len(members) for members in waves.values()]
  devices = layout.devices_of(config)
  method = methods.make(precision.settled(config, devices[0].platform))
  largest = population_lib.build(
    method, plans[: max(sizes)], config, devices=devices, is_placed=False
  )
  limit = memory.limit_of(devices[0])
  frame_bytes = waves_lib.frame_bytes(largest, store, config)
  needed = memory.estimate(method, largest, frame_bytes, config)
  states = needed.state * len(models)
  seconds, first_s = _step_seconds(method, plans, largest, store, config, steps)
  total_steps = sum(
    max(model.total_steps for model in members) for members in waves.values()
  )
  hours = seconds / 3600 * total_steps
  frames = len(store.frames) * store.size_px**2 * 3
  facts = {
    'people, models': f'{len(store.person_ids)}, {len(models)}',
    'precision': precision.compute_dtype(config).name,
    'memory': memory.describe(needed, limit),
    'waves': f'{len(waves)} on each of {shard_count} machines',
    'frames on disk': f'{frames / _GIB:.2f} GiB',
    'checkpoints': (
      f'{states / _GIB:.2f} GiB each; two are kept and a third is written, '
      f'{3 * states / _GIB:.2f} GiB in all' + _kept(models, states, config)
    ),
    'compiling': f'{first_s:.0f} s',
    'a step': f'{seconds:.3g} s for all models of a wave, over {steps} steps',
    'time': f'about {hours:.2g} h'
    + ('' if shard_count == 1 else f' on each of {shard_count} machines'),
  }
  if price:
    facts['price'] = f'about {hours * price * shard_count:.2f}'
  return facts


def _kept(models, states, config):
  """Returns what checkpoints that stay add, as text."""
  if not config.train.keep_steps:
    return ''
  count = max(m.total_steps for m in models) // config.train.keep_steps
  return f', and {count * states / _GIB:.2f} GiB of those of train.keep_steps'


def _step_seconds(method, plans, largest, store, config, steps):
  """Returns (seconds of a step of the largest wave, of the first step).

  A loop over single models is measured on as many as are computed at a time.
  """
  size, parts = largest.num_models, 1
  if largest.strategy == 'loop':
    size = min(size, largest.models_at_once * len(largest.devices))
    parts = math.ceil(largest.num_models / size)
  built = population_lib.build(
    method, plans[:size], config, devices=largest.devices
  )
  canonical = feed_lib.canonical_of(method, store)
  feed = feed_lib.make(built, store.frames, config, canonical=canonical)
  with contextlib.closing(feed):
    step = bench.stepper(built, feed)
    first_s, *times = (step(1) for _ in range(1 + steps))
  return statistics.median(times) * parts, first_s
