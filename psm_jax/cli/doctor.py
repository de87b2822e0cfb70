r"""Tells what this machine has, and what an experiment would need of it.

  python -m launch.doctor
  python -m launch.doctor --config=psm_ctl --config.data.path=/data/frames
  python -m launch.doctor --config=psm_ctl --config.data.path=/data/frames \
      --shards=8 --price=2.5

With --config it prepares the frames as launch.train would, trains ten steps in
memory, and tells memory, disk and the hours that the run would take here, or on
several machines like this one at a price an hour.

Exit codes: 0 done, 1 failed: it cannot be trained here, 2 wrong usage.
"""

import pathlib
import sys

import ml_collections
from absl import flags
from ml_collections import config_flags

from psm_jax import doctor
from psm_jax.cli import program

_WORKDIR = flags.DEFINE(
  program.PLACE, 'workdir', 'runs', 'Where runs would go.'
)
_DATA_DIR = flags.DEFINE(
  program.PLACE, 'data_dir', None, 'As of launch.train. Default: WORKDIR/data.'
)
_CONFIG = config_flags.DEFINE_config_file(
  'config',
  None,
  'The experiment: a file, or the name of a preset, e.g. psm_ctl.',
  lock_config=True,
)
_STEPS = flags.DEFINE_integer(
  'steps', 10, 'Steps that are measured.', lower_bound=1
)
_SHARDS = flags.DEFINE_integer(
  'shards', 1, 'Machines like this one that would share it.', lower_bound=1
)
_PRICE = flags.DEFINE_float(
  'price', 0.0, 'Of one such machine an hour, in any currency.', lower_bound=0
)


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  _show(doctor.machine(_WORKDIR.value))
  if _CONFIG.value is not None:
    data_dir = _DATA_DIR.value or pathlib.Path(_WORKDIR.value) / 'data'
    _show(
      doctor.needs(
        ml_collections.ConfigDict(_CONFIG.value),
        data_dir,
        steps=_STEPS.value,
        shard_count=_SHARDS.value,
        price=_PRICE.value,
      )
    )


def _show(facts):
  for name, text in facts.items():
    sys.stdout.write(f'{name + ":":<18}{text}\n')
