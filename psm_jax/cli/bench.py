r"""Measures how fast populations of models train, and frames are embedded.

  python -m launch.bench --config=configs/psm.py --num_models=1,2,4,8,16,32 \
      --strategies=loop,vmap --lowerings=matmul,grouped --out=bench
  python -m launch.bench --config=configs/narrow.py --num_models=1,2,4,8 \
      --store=/data/cache/store-0123456789abcdef --out=bench
  python -m launch.bench --layers=bfloat16 --num_models=2,8 --out=bench

Frames are random bytes, or those of a frame store; neither needs TensorFlow.
Each row is a process of its own, in turn with one model trained alone. Prints a
table (psm_jax/bench/summary.py explains the columns). --layers measures single
convolutions instead, in every lowering: what psm_jax/ops/lowerings.py holds.

Exit codes: 0 done, 1 failed or nothing could be measured, 2 wrong usage, 75
stopped by a signal.
"""

import pathlib

import jax
from absl import flags
from ml_collections import config_flags

from psm_jax import paths
from psm_jax.bench import layers, row, summary, sweep
from psm_jax.cli import program
from psm_jax.engine import layout
from psm_jax.ops import conv, precision

_DEFAULT = row.DEFAULT
_CONFIG = config_flags.DEFINE_config_file(
  'config',
  None,
  'The experiment: a file, or the name of a preset, e.g. psm.',
  lock_config=True,
)
_OUT = flags.DEFINE(
  program.PLACE, 'out', None, 'Folder of bench.json and bench.png.'
)
_NUM_MODELS = flags.DEFINE_list('num_models', ['1'], 'Sizes of the population.')
_STRATEGIES = flags.DEFINE_list(
  'strategies',
  ['auto'],
  f'How models are stacked: {", ".join(layout.STRATEGIES)}.',
)
_LOWERINGS = flags.DEFINE_list(
  'lowerings',
  ['matmul'],
  f'Convolutions of stacked models: {", ".join(conv.LOWERINGS)}.',
)
_LIMIT_S = flags.DEFINE_float(
  'limit_s', _DEFAULT.limit_s, 'Seconds after which a row is given up.'
)
_REPEATS = flags.DEFINE_integer(
  'repeats', _DEFAULT.repeats, 'Turns; medians are over these.', lower_bound=1
)
_STEPS = flags.DEFINE_integer(
  'steps', _DEFAULT.steps, 'Steps in a turn.', lower_bound=1
)
_STORE = flags.DEFINE(
  program.PLACE, 'store', None, 'Frame store to take people from.'
)
_FRAMES = flags.DEFINE_integer(
  'frames', _DEFAULT.num_frames, 'Random frames of a model.', lower_bound=1
)

_LAYERS = flags.DEFINE_enum(
  'layers', None, precision.PRECISIONS[1:], 'Measure layers of this precision.'
)

flags.register_validator(
  'num_models',
  lambda sizes: all(size.isdigit() and int(size) for size in sizes),
  'Expected numbers of models, such as 1,2,4.',
)
program.allow(
  ['config'],
  ['layers'],
  ['config', 'layers'],
  message='Name an experiment with --config, or give --layers.',
)
REQUIRED = ('out',)


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  num_models = list(map(int, _NUM_MODELS.value))
  if _LAYERS.value:
    device = jax.local_devices()[0]
    rows = layers.measure(device, num_models=num_models, dtype=_LAYERS.value)
    print(f'{device.device_kind}, {_LAYERS.value}\n{layers.table(rows)}')
    folder = pathlib.Path(_OUT.value)
    folder.mkdir(parents=True, exist_ok=True)
    paths.write_json(folder / 'layers.json', rows)
    return None
  result = sweep.run(
    _CONFIG.value,
    num_models=num_models,
    strategies=_STRATEGIES.value,
    lowerings=_LOWERINGS.value,
    options=row.Options(
      limit_s=_LIMIT_S.value,
      repeats=_REPEATS.value,
      steps=_STEPS.value,
      store=_STORE.value or '',
      num_frames=_FRAMES.value,
    ),
  )
  print(summary.table(result))
  program.wrote(summary.write(result, _OUT.value))
  is_empty = all('failed' in measured for measured in result['rows'])
  return program.FAILED if is_empty else None
