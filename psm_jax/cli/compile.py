r"""Compiles a run for TPUs that are not there and says what it would be there.

  python -m launch.compile --topology=v5e:2x2 --config=configs/psm.py \
      --num_models=4 --out=compiled.json
  python -m launch.compile --topology=v5e:4x4 --config=configs/narrow.py \
      --num_models=512
  python -m launch.compile --topology=v5e:2x2 --layers --num_models=2,8

Needs libtpu (pip install -e '.[tpu]') and no TPU. Memory, collectives and
donation are those of the program; times are ESTIMATES of the compiler, without
the gathers, scatters and sorts that are listed. A full-size model takes some
six minutes of a processor to compile, a narrow one takes one.

Exit codes: 0 done, 1 failed or nothing could be compiled, 2 wrong usage.
"""

import jax
from absl import flags
from ml_collections import config_flags

from psm_jax import paths
from psm_jax.bench import estimate, layers, topology
from psm_jax.cli import program

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'The experiment, e.g. configs/psm.py.', lock_config=True
)
_TOPOLOGY = flags.DEFINE_string(
  'topology',
  None,
  f'Generation ({", ".join(topology.GENERATIONS)}) and devices, as in v5e:4x4 '
  'or v5p:2x2x1.',
)
_NUM_MODELS = flags.DEFINE_list(
  'num_models', ['1'], 'Sizes of the population on all devices together.'
)
_LAYERS = flags.DEFINE_boolean(
  'layers',
  False,
  'Estimate single convolutions in every lowering instead of a run.',
)
_OUT = flags.DEFINE(program.PLACE, 'out', None, 'JSON file to write.')
program.allow(
  ['config'],
  ['layers'],
  ['config', 'layers'],
  message='Name an experiment with --config, or give --layers.',
)
REQUIRED = ('topology',)

flags.register_validator(
  'num_models',
  lambda sizes: all(size.isdigit() and int(size) for size in sizes),
  'Expected numbers of models, such as 1,2,4.',
)


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  # A TPU that is there is not to be taken from whoever uses it.
  jax.config.update('jax_platforms', 'cpu')
  num_models = list(map(int, _NUM_MODELS.value))
  if _LAYERS.value:
    rows = layers.estimate(_TOPOLOGY.value, num_models=num_models)
    print(layers.table(rows))
  else:
    rows = []
    for size in num_models:
      rows.append(
        estimate.compile_row(_CONFIG.value, _TOPOLOGY.value, num_models=size)
      )
      print(estimate.table(rows[-1]), flush=True)
  if _OUT.value:
    paths.write_json(_OUT.value, rows)
  return program.FAILED if all('failed' in row for row in rows) else None
