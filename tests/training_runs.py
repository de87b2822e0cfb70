"""Runs of toy models on noise, as a whole: from a store to final states."""

import contextlib

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from psm_jax import embedding
from tests import tiny

STEPS = 12


@contextlib.contextmanager
def compiled_once(folder):
  """Keeps compiled programs in a folder meanwhile, for the next run."""
  options = {
    'jax_compilation_cache_dir': str(folder),
    'jax_persistent_cache_min_compile_time_secs': 0.0,
  }
  with contextlib.ExitStack() as stack:
    for name, value in options.items():
      stack.callback(jax.config.update, name, getattr(jax.config, name))
      jax.config.update(name, value)
    compilation_cache.reset_cache()
    stack.callback(compilation_cache.reset_cache)
    yield


def config(store_path, **fields):
  """Returns a config of `STEPS` steps on a store, see `tiny.config`."""
  defaults = {
    'data__source': 'store',
    'data__path': str(store_path),
    'train__steps': STEPS,
    'train__log_every': 2,
    'train__save_steps': 3,
  }
  return tiny.config(**{**defaults, **fields})


def final_states(workdir):
  """Returns the newest states [N, ...] of all models of a run."""
  trained = embedding.Trained(workdir)
  states = [
    trained.model_state(index) for index in range(len(trained.run.models))
  ]
  return jax.tree.map(lambda *leaves: np.stack(leaves), *states)
