"""Runs of toy models on noise, as a whole: from a store to final states."""

import contextlib
import json
import pathlib
import textwrap

import jax
import numpy as np
import pandas as pd
from jax.experimental.compilation_cache import compilation_cache

from psm_jax import embedding
from tests import tiny
from tests.data import stores

STEPS = 12
# A configuration file is Python: this one brings toy models.
_FILE = """
import json
from psm_jax import methods, presets
from tests import tiny

def get_config():
  methods.make = methods.abstract = tiny.toy_method
{more}
  return presets.config_of(json.loads({content!r}))
"""


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


def write_store(
  folder, *, lengths=(30, 21), size_px=tiny.SIZE_PX, seed=0, people=None
):
  """Writes a finished frame store of noise, two videos a person."""
  rows, fps = [], {}
  people = people or [f'p{person}' for person in range(len(lengths))]
  for person, length in zip(people, lengths, strict=True):
    for video, share in (('v1', length - length // 3), ('v2', length // 3)):
      fps[person, video] = 20.0
      rows += [
        {
          'person_id': person,
          'video_id': video,
          'frame': frame,
          'time_s': frame / 20,
          'AU12': float(frame % 4),
        }
        for frame in range(share)
      ]
  path = pathlib.Path(folder) / 'store'
  frames = tiny.frames(len(rows), seed=seed)
  return stores.write(
    path, frames, pd.DataFrame(rows), size_px=size_px, fps=fps
  )


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


def config_file(path, config, *, more=''):
  """Writes a file of toy models and a config for programs; returns its path.

  Args:
    path: Of the file, which a program finds if it finds the tests.
    config: As from `config`.
    more: What else the file does before, Python.
  """
  content = json.dumps(config.to_dict())
  text = _FILE.format(content=content, more=textwrap.indent(more, '  '))
  path.write_text(text)
  return path


def final_states(workdir):
  """Returns the newest states [N, ...] of all models of a run."""
  trained = embedding.Trained(workdir)
  states = [
    trained.model_state(index) for index in range(len(trained.run.models))
  ]
  return jax.tree.map(lambda *leaves: np.stack(leaves), *states)
