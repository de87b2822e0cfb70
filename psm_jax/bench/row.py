"""One row of a benchmark, measured in a process of its own.

  echo '{"task": "step", "config": {...}, ...}' | python -m psm_jax.bench.row

takes a `Work` as JSON and prints the row as JSON. What is compared takes turns:
a few steps of the population, as many of one model alone, a matrix product, and
again, so that a change of the machine's load meets all of them.
"""

import contextlib
import dataclasses
import json
import resource
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from psm_jax import methods, sampling
from psm_jax.bench import flops
from psm_jax.data import store as store_lib
from psm_jax.engine import feed, inference, population
from psm_jax.ops import precision
from psm_jax.runs import planning, run

EMBED_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Work:
  """What is measured.

  Attributes:
    task: 'step' (training steps of a population) or 'embed' (one model's).
    config: The experiment, as nested dicts.
    num_models: Models of the population.
    repeats: Turns.
    steps: Steps in a turn.
    store: Frame store to take people from; '' for random bytes.
    num_frames: Random frames of each model.
  """

  task: str
  config: dict
  num_models: int
  repeats: int
  steps: int
  store: str
  num_frames: int


def measure(work: Work) -> dict:
  """Returns the row of some work: numbers, and lists of each turn's seconds.

  Raises:
    ValueError: If the work cannot be done; the message says what to change.
  """
  config = run.config_of(work.config)
  method = methods.make(config)
  if work.task == 'embed':
    return _measure_embedding(work, method, config)
  plans, frames = _models(work, config)
  built = population.build(method, plans, config)
  with contextlib.closing(feed.make(built, frames, config)) as source:
    steps = _Steps(built, source)
    first_s = steps.run(1)
    steps.run(1)
    peak = _peak_memory(built.devices)
    alone = _one_model(method, plans[0], config, built)
    with contextlib.closing(feed.make(alone, frames, config)) as own:
      baseline = _Steps(alone, own)
      baseline.run(2)
      product = _Product(config, built.devices[0])
      turns = []
      for _ in range(work.repeats):
        waited = source.wait_s
        step_s = steps.run(work.steps)
        share = (source.wait_s - waited) / (step_s * work.steps)
        turns.append(
          (step_s, share, baseline.run(work.steps), product.flops_per_s())
        )
  step_s, share, alone_s, rate = map(list, zip(*turns, strict=True))
  median_s = statistics.median(step_s)
  per_step = 2 * flops.step_macs(method, config).total * work.num_models
  num_images = method.num_members * config.train.batch_size * work.num_models
  return {
    **_environment(built.devices),
    'precision': precision.compute_dtype(config).name,
    'feed': type(source).__name__,
    'slots': built.num_slots,
    'first_step_s': first_s,
    'compile_s': max(0.0, first_s - median_s),
    'step_s': median_s,
    'step_s_turns': step_s,
    'model_step_s': median_s / work.num_models,
    'model_steps_per_s': work.num_models / median_s,
    'frames_per_s': num_images / median_s,
    'input_wait_share': statistics.median(share),
    'alone_model_step_s': statistics.median(alone_s),
    'alone_model_step_s_turns': alone_s,
    'speedup': statistics.median(
      work.num_models * a / s for a, s in zip(alone_s, step_s, strict=True)
    ),
    'tflop_per_model_step': per_step / work.num_models / 1e12,
    'tflop_per_s': per_step / median_s / 1e12,
    'matmul_tflop_per_s': len(built.devices) * statistics.median(rate) / 1e12,
    'utilisation': statistics.median(
      per_step / s / (len(built.devices) * r)
      for s, r in zip(step_s, rate, strict=True)
    ),
    **peak,
  }


def _measure_embedding(work, method, config):
  """Returns the row of embedding frames with one model on one device."""
  params, method_state = jax.jit(method.init)(jax.random.key(0))
  frames = jax.device_put(_noise(EMBED_BATCH, method.size_px))
  embed = inference.embedder(method)

  def run(steps):
    start = time.perf_counter()
    for _ in range(steps):
      embedded = embed(params, method_state, frames)
    jax.block_until_ready(embedded)
    return (time.perf_counter() - start) / steps

  first_s = run(1)
  run(1)
  times = [run(work.steps) for _ in range(work.repeats)]
  median_s = statistics.median(times)
  devices = jax.local_devices()[:1]
  macs = flops.embedding_macs(method).total
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


class _Steps:
  """A population that steps on."""

  def __init__(self, built, source):
    self._built, self._source = built, source
    self._states, self._step = built.init(), 0

  def run(self, steps):
    """Returns the mean seconds of some more steps, gathering included."""
    start, previous = time.perf_counter(), None
    for _ in range(steps):
      batches = self._source.batches_at(self._step)
      self._states, metrics = self._built.step(self._states, batches)
      self._step += 1
      # As in training: one step ahead at most.
      jax.block_until_ready(previous)
      previous = metrics
    jax.block_until_ready((self._states, metrics))
    return (time.perf_counter() - start) / steps


class _Product:
  """A large square matrix product in the step's precision."""

  def __init__(self, config, device):
    self._side = 1024 if device.platform == 'cpu' else 8192
    ones = jnp.ones((self._side, self._side), precision.compute_dtype(config))
    self._matrix = jax.device_put(ones / self._side, device)
    self._multiply = jax.jit(jnp.matmul)
    self.flops_per_s()

  def flops_per_s(self):
    """Returns the best of three rounds of two products in a row."""
    rounds = []
    for _ in range(3):
      start, result = time.perf_counter(), self._matrix
      for _ in range(2):
        result = self._multiply(result, self._matrix)
      result.block_until_ready()
      rounds.append((time.perf_counter() - start) / 2)
    return 2 * self._side**3 / min(rounds)


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


def _models(work, config):
  """Returns the plans of the models and the frames they index."""
  if work.store:
    store = store_lib.open_store(work.store)
    # As many seeds of each person as it takes.
    seeds = -(-work.num_models // len(store.person_ids))
    config.population.seeds = tuple(range(seeds))
    _, plans = planning.plan_models(config, store)
    if len(plans) < work.num_models:
      raise ValueError(
        f'{work.store} makes {len(plans)} models by population.cohorts='
        f'{config.population.cohorts}, fewer than {work.num_models}. Use each.'
      )
    return plans[: work.num_models], store.frames
  plans = []
  for index in range(work.num_models):
    start = index * work.num_frames
    cohort = sampling.Cohort(
      name=f'model{index}',
      rows=np.arange(start, start + work.num_frames),
      video_lengths=np.array([work.num_frames]),
      fps=np.array([20.0]),
    )
    plans.append(sampling.make_plan(cohort, config, seed=index)[0])
  return plans, _noise(work.num_models * work.num_frames, config.data.size_px)


def _noise(num_frames, size_px):
  """Returns [n, S * S * 3] uint8 random bytes."""
  generator = np.random.default_rng(0)
  shape = (num_frames, size_px**2 * 3)
  return generator.integers(0, 256, shape, dtype=np.uint8)


def _peak_memory(devices):
  """Returns the most memory held so far, of a device or of the process."""
  stats = [device.memory_stats() or {} for device in devices]
  if all('peak_bytes_in_use' in each for each in stats):
    most = max(each['peak_bytes_in_use'] for each in stats)
    return {'peak_bytes': most, 'peak_of': 'device'}
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  in_bytes = peak if sys.platform == 'darwin' else 1024 * peak
  return {'peak_bytes': in_bytes, 'peak_of': 'process'}


def _environment(devices):
  return {
    'jax': jax.__version__,
    'device': devices[0].device_kind,
    'platform': devices[0].platform,
    'num_devices': len(devices),
  }


def main():
  """Measures the work that stands on standard input."""
  work = Work(**json.load(sys.stdin))
  try:
    row = measure(work)
  except (ValueError, OSError, jax.errors.JaxRuntimeError) as error:
    row = {'failed': str(error).splitlines()[0]}
  print(json.dumps(row))


if __name__ == '__main__':
  main()
