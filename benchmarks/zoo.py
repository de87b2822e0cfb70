"""Times a zoo of many exported models: find them, verify them, use one.

  python -m benchmarks.zoo --models=300 --config=canonical_narrow --out=zoo

The models have random weights. Prints a row a part: seconds by the clock and of
this process, and the sizes; the second transform has compiled before.
"""

import dataclasses
import os
import pathlib
import time

import jax
import numpy as np
from absl import app, flags

import psm_jax
from psm_jax import methods, presets
from psm_jax.runs import zoo

_MODELS = flags.DEFINE_integer('models', 300, 'Models in the zoo.')
_FRAMES = flags.DEFINE_integer('frames', 1000, 'Frames that one of them sees.')
_CONFIG = flags.DEFINE_string('config', 'canonical_narrow', 'The preset.')
_OUT = flags.DEFINE_string('out', None, 'The zoo.', required=True)


def main(argv):
  """Prints the table."""
  del argv
  out = pathlib.Path(_OUT.value)
  config = presets.get(_CONFIG.value)
  params, state = jax.device_get(methods.make(config).init(jax.random.key(0)))
  first = zoo.Model('m000', ('P000',), config, params, state, steps=0)
  num, size = _MODELS.value, config.data.size_px
  frames = np.random.default_rng(0).integers(
    0, 256, (_FRAMES.value, size, size, 3), np.uint8
  )

  def write():
    for number in range(num):
      name = {'model_id': f'm{number:03d}', 'cohort': (f'P{number:03d}',)}
      zoo.save(dataclasses.replace(first, **name), out)

  def load():
    return psm_jax.load(out, person_id=f'P{num - 1:03d}')

  print('part | seconds | of a processor')
  _measure(f'write {num} models', write)
  _measure(f'find {num} models', lambda: zoo.folders_of(out))
  _measure(f'verify {num} models', lambda: zoo.problems(out))
  model = _measure('load one by its person', load)
  for turn in ('first', 'second'):
    _measure(
      f'{turn} transform of {len(frames)} frames',
      lambda: model.transform(frames),
    )
  files = [path for path in out.rglob('*') if path.is_file()]
  total = sum(os.path.getsize(path) for path in files)
  print(f'{total / 2**20 / num:.2f} MiB a model')


def _measure(name, function):
  """Prints how long a function takes; returns what it does."""
  clock, used = time.perf_counter(), time.process_time()
  made = function()
  print(
    f'{name} | {time.perf_counter() - clock:.2f} | '
    f'{time.process_time() - used:.2f}',
    flush=True,
  )
  return made


if __name__ == '__main__':
  app.run(main)
