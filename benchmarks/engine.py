"""psm_jax's own step and encoder, run as `benchmarks.torch_peer` is."""

from collections.abc import Callable

import jax
import numpy as np

from benchmarks import measurement, workload
from psm_jax import methods, presets, sampling
from psm_jax.data import canonical_faces
from psm_jax.engine import feed, population, programs

# The published full-size FaceCycle; the method that a laptop is enough for.
_PRESETS = {'facecycle': 'base', 'canonical': 'canonical_narrow'}


def make_config(
  work: workload.Workload,
  *,
  strategy: str = 'auto',
  lowering: str = 'auto',
  microbatches: int = 1,
):
  """Returns the configuration of a method, of the size of a workload."""
  config = presets.get(_PRESETS[work.method])
  config.data.size_px = work.size_px
  config.method.width = work.width
  config.method.vgg = work.vgg
  config.train.batch_size = work.pairs
  config.population.strategy = strategy
  config.population.lowering = lowering
  config.train.microbatches = microbatches
  config.population.num_devices = 1
  config.augment.enabled = False
  return config


def make_population(
  work: workload.Workload, config
) -> tuple[population.Population, feed.ResidentFeed]:
  """Returns K models of a random video each, and the feed of its frames."""
  per_model = 2 * work.pairs
  frames = work.frames().reshape(work.num_frames, -1)
  plans = [
    sampling.make_plan(
      sampling.Cohort(
        name=f'model{index}',
        rows=np.arange(index * per_model, (index + 1) * per_model),
        video_lengths=np.array([per_model]),
        fps=np.array([25.0]),
      ),
      config,
      seed=index,
    )[0]
    for index in range(work.num_models)
  ]
  method = methods.make(config)
  built = population.build(method, plans, config)
  canonical = None
  if method.uses_canonical:
    canonical = canonical_faces.CanonicalFaces(
      faces=work.faces().reshape(work.num_models, -1),
      video=np.repeat(np.arange(work.num_models, dtype=np.int32), per_model),
    )
  source = feed.ResidentFeed(built, frames, config, canonical=canonical)
  return built, source


def prepare(
  work: workload.Workload,
  *,
  strategy: str = 'auto',
  lowering: str = 'auto',
  microbatches: int = 1,
) -> tuple[Callable[[], object], dict]:
  """Returns one run of a workload, and a description of it.

  The run returns when the device is done. Its frames are gathered beforehand.

  Args:
    work: What is run.
    strategy: `population.strategy` of the configuration.
    lowering: `population.lowering` of the configuration.
    microbatches: `train.microbatches` of the configuration.
  """
  config = make_config(
    work, strategy=strategy, lowering=lowering, microbatches=microbatches
  )
  run = _embed_run if work.task == 'embed' else _step_run
  return run(work, config), {
    'contestant': 'psm_jax',
    'switches': []
    if work.task == 'embed'
    else [strategy, lowering, f'{microbatches} parts'],
    'jax': jax.__version__,
    'device': jax.devices()[0].device_kind,
  }


def _step_run(work, config):
  built, source = make_population(work, config)
  states, batches = built.init(), source.batches_at(0)

  def run():
    nonlocal states
    states, metrics = built.step(states, batches)
    return jax.block_until_ready((states, metrics))

  return run


def _embed_run(work, config):
  method = methods.make(config)
  params, method_state = jax.jit(method.init)(jax.random.key(0))
  frames = jax.device_put(work.frames().reshape(work.num_frames, -1))
  pixels = (frames, frames) if method.uses_canonical else (frames,)
  embed = programs.embedder(method)
  return lambda: embed(params, method_state, *pixels).block_until_ready()


def peak_bytes(device: str) -> int:
  """Returns the most memory held so far: the device's, or the process's."""
  if device == 'cuda':
    return jax.devices()[0].memory_stats()['peak_bytes_in_use']
  return measurement.peak_process_bytes()
