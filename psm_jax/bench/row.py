"""One row of a benchmark, measured in a process of its own.

  echo '{"task": "step", "config": {...}, "num_models": 8, "options": {}}' |
    python -m psm_jax.bench.row

takes the arguments of `measure` as JSON and prints the row as JSON. What is
compared takes turns: a few steps of the population, as many of one model alone,
a matrix product, and again, so that a change of the machine's load meets all.
"""

import contextlib
import dataclasses
import itertools
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from psm_jax import methods, presets, sampling
from psm_jax.bench import flops
from psm_jax.data import canonical_faces, store as store_lib
from psm_jax.engine import feed, population, programs
from psm_jax.ops import precision
from psm_jax.runs import planning

EMBED_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Options:
  """How a row is measured.

  Attributes:
    limit_s: Seconds after which a row is ended, compilation included.
    repeats: Turns; medians are over these.
    steps: Steps in a turn.
    store: Frame store to take people from; '' for random bytes.
    num_frames: Random frames of each model.
  """

  limit_s: float = 600.0
  repeats: int = 5
  steps: int = 3
  store: str = ''
  num_frames: int = 600


DEFAULT = Options()


def measure(task: str, config: dict, num_models: int, options: dict) -> dict:
  """Returns a row: numbers, and lists of each turn's seconds.

  Args:
    task: 'step' (training steps of a population) or 'embed' (one model's).
    config: The experiment, as nested dicts.
    num_models: Models of the population.
    options: Those of `Options` that differ.

  Raises:
    ValueError: If it cannot be done; the message says what to change.
  """
  config, options = presets.config_of(config), Options(**options)
  method = methods.make(config)
  if task == 'embed':
    return _measure_embedding(method, config, options)
  plans, frames, faces = _models(method, num_models, config, options)
  built = population.build(method, plans, config)

  def feed_of(built):
    return contextlib.closing(feed.make(built, frames, config, canonical=faces))

  with feed_of(built) as source:
    step = stepper(built, source)
    first_s = step(1)
    step(1)
    peak = _peak_memory(built.devices)
    alone = _one_model(method, plans[0], config, built)
    with feed_of(alone) as alone_source:
      step_alone = stepper(alone, alone_source)
      step_alone(2)
      multiply = product(precision.compute_dtype(config), built.devices[0])
      turns = []
      for _ in range(options.repeats):
        waited = source.wait_s
        step_s = step(options.steps)
        share = (source.wait_s - waited) / (step_s * options.steps)
        turns.append((step_s, share, step_alone(options.steps), multiply()))
  step_s, share, alone_s, rate = map(list, zip(*turns, strict=True))
  median_s = statistics.median(step_s)
  per_step = 2 * flops.step_macs(method, config).total() * num_models
  num_images = method.num_members * config.train.batch_size * num_models
  return {
    **_environment(built.devices),
    'precision': precision.compute_dtype(config).name,
    'feed': type(source).__name__,
    'slots': built.num_slots,
    'first_step_s': first_s,
    'compile_s': max(0.0, first_s - median_s),
    'step_s': median_s,
    'step_s_turns': step_s,
    'model_step_s': median_s / num_models,
    'model_steps_per_s': num_models / median_s,
    'frames_per_s': num_images / median_s,
    'input_wait_share': statistics.median(share),
    'alone_model_step_s': statistics.median(alone_s),
    'alone_model_step_s_turns': alone_s,
    'speedup': statistics.median(
      num_models * a / s for a, s in zip(alone_s, step_s, strict=True)
    ),
    'tflop_per_model_step': per_step / num_models / 1e12,
    'tflop_per_s': per_step / median_s / 1e12,
    'matmul_tflop_per_s': len(built.devices) * statistics.median(rate) / 1e12,
    'utilisation': statistics.median(
      per_step / s / (len(built.devices) * r)
      for s, r in zip(step_s, rate, strict=True)
    ),
    **peak,
  }


def _measure_embedding(method, config, options):
  """Returns the row of embedding frames with one model on one device."""
  params, method_state = jax.jit(method.init)(jax.random.key(0))
  frames = jax.device_put(_noise(EMBED_BATCH, method.size_px))
  pixels = (frames, frames) if method.uses_canonical else (frames,)
  embed = programs.embedder(method)

  def run(steps):
    start = time.perf_counter()
    for _ in range(steps):
      embedded = embed(params, method_state, *pixels)
    jax.block_until_ready(embedded)
    return (time.perf_counter() - start) / steps

  first_s = run(1)
  run(1)
  times = [run(options.steps) for _ in range(options.repeats)]
  median_s = statistics.median(times)
  devices = jax.local_devices()[:1]
  macs = flops.embedding_macs(method).total()
  return {
    **_environment(devices),
    'precision': precision.compute_dtype(config).name,
    'batch': EMBED_BATCH,
    'compile_s': max(0.0, first_s - median_s),
    'batch_s': median_s,
    'batch_s_turns': times,
    'frames_per_s': EMBED_BATCH / median_s,
    'tflop_per_s': 2 * macs * EMBED_BATCH / median_s / 1e12,
    **_peak_memory(devices),
  }


def stepper(
  built: population.Population, source: Any
) -> Callable[[int], float]:
  """Returns what trains a population some steps further.

  Args:
    built: The population; it begins anew.
    source: Its feed.

  Returns:
    A function of a number of steps that returns the mean seconds of one,
    gathering included.
  """
  states, numbers = built.init(), itertools.count()

  def step(count):
    nonlocal states
    start, previous = time.perf_counter(), None
    for number in itertools.islice(numbers, count):
      states, metrics = built.step(states, source.batches_at(number))
      # As in training: one step ahead at most.
      jax.block_until_ready(previous)
      previous = metrics
    jax.block_until_ready((states, metrics))
    return (time.perf_counter() - start) / count

  return step


def seconds_of(function: Callable[..., Any], *args: Any) -> float:
  """Returns the seconds in which a function of arrays is done with them."""
  start = time.perf_counter()
  jax.block_until_ready(function(*args))
  return time.perf_counter() - start


def product(dtype: jnp.dtype, device: jax.Device) -> Callable[[], float]:
  """Returns what measures a device's FLOP/s: large square matrix products.

  Each measurement is the best of three rounds of two products in a row.
  """
  side = 1024 if device.platform == 'cpu' else 8192
  matrix = jax.device_put(jnp.ones((side, side), dtype) / side, device)
  multiply = jax.jit(lambda matrix: matrix @ matrix @ matrix)
  jax.block_until_ready(multiply(matrix))

  def flops_per_s():
    # Two products, of which each takes 2 side^3.
    return 4 * side**3 / min(seconds_of(multiply, matrix) for _ in range(3))

  return flops_per_s


def _one_model(method, plan, config, built):
  """Returns a population of one model, alone on the first device."""
  is_loop = config.population.strategy == 'loop'
  config = config.copy_and_resolve_references()
  config.population.strategy = 'loop'
  alone = population.build(method, [plan], config, devices=built.devices[:1])
  if is_loop and len(built.devices) == 1:
    # The same program; it need not be compiled again.
    alone = dataclasses.replace(alone, step_slot=built.step_slot)
  return alone


def _models(method, num_models, config, options):
  """Returns plans, the frames they index, and their canonical faces or None.

  That of random frames is the first of a model's.
  """
  if options.store:
    store = store_lib.open_store(options.store)
    # As many seeds of each person as it takes.
    seeds = -(-num_models // len(store.person_ids))
    config.population.seeds = tuple(range(seeds))
    _, plans = planning.plan_models(config, store)
    if len(plans) < num_models:
      raise ValueError(
        f'{options.store} makes {len(plans)} models by population.cohorts='
        f'{config.population.cohorts}, fewer than {num_models}. Use each.'
      )
    faces = feed.canonical_of(method, store)
    return plans[:num_models], store.frames, faces
  num_frames = options.num_frames
  plans = [random_plan(i, num_frames, config) for i in range(num_models)]
  frames = _noise(num_models * num_frames, config.data.size_px)
  faces = None
  if method.uses_canonical:
    video = np.repeat(np.arange(num_models, dtype=np.int32), num_frames)
    faces = canonical_faces.CanonicalFaces(frames[::num_frames], video)
  return plans, frames, faces


def random_plan(
  number: int, num_frames: int, config: ml_collections.ConfigDict
) -> sampling.Plan:
  """Returns the plan of one of several models, each of people of its own.

  It is one person, or as many as give a batch an epoch; a video a person.
  """
  draws = config.curriculum.draws_per_person
  num_people = -(-config.train.batch_size // draws)
  length = num_frames // num_people
  first = number * num_frames
  cohort = sampling.Cohort(
    name=f'model{number}',
    rows=np.arange(first, first + num_people * length),
    video_lengths=np.full(num_people, length),
    fps=np.full(num_people, 20.0),
    video_people=np.arange(num_people),
  )
  return sampling.make_plan(cohort, config, seed=number)[0]


def _noise(num_frames, size_px):
  """Returns [n, S * S * 3] uint8 random bytes."""
  return np.random.default_rng(0).integers(
    0, 256, (num_frames, size_px**2 * 3), dtype=np.uint8
  )


def _peak_memory(devices):
  """Returns the most memory held so far, of a device or of the process."""
  stats = [device.memory_stats() or {} for device in devices]
  peaks = [each.get('peak_bytes_in_use') for each in stats]
  if None not in peaks:
    return {'peak_bytes': max(peaks), 'peak_of': 'device'}
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  unit = 1 if sys.platform == 'darwin' else 1024
  return {'peak_bytes': unit * peak, 'peak_of': 'process'}


def _environment(devices):
  return {
    'jax': jax.__version__,
    'device': devices[0].device_kind,
    'platform': devices[0].platform,
    'num_devices': len(devices),
  }


def main():
  """Measures the work that stands on standard input."""
  try:
    row = measure(**json.load(sys.stdin))
  except (ValueError, OSError, jax.errors.JaxRuntimeError) as error:
    row = {'failed': str(error).splitlines()[0]}
  print(json.dumps(row))


if __name__ == '__main__':
  main()
