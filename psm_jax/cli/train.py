r"""Trains the models of one configuration together, from frames to checkpoints.

  python -m launch.train --config=quickstart --workdir=runs/first
  python -m launch.train --config=psm --workdir=runs/lab \
      --config.data.path=/data/frames --config.train.epochs=100

The same command goes on where a stopped run was. Any field of the
configuration can be set as --config.group.field=value.

Exit codes: 0 done, 1 failed, 2 wrong usage, 75 stopped by a signal: resume.
"""

import ml_collections
from absl import flags, logging
from ml_collections import config_flags

from psm_jax import training
from psm_jax.cli import program

_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'The run directory: configuration, checkpoints, metrics.'
)
_DATA_DIR = flags.DEFINE_string(
  'data_dir',
  None,
  'Where decoded frames are kept, for several runs to share. Default: '
  'WORKDIR/data.',
)
_CONFIG = config_flags.DEFINE_config_file(
  'config',
  None,
  'The experiment: a file, or the name of a preset, e.g. psm_ctl.',
  lock_config=True,
)
_STOPPED = 75
REQUIRED = ('config', 'workdir')


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  config = ml_collections.ConfigDict(_CONFIG.value)
  outcome = training.train(config, _WORKDIR.value, data_dir=_DATA_DIR.value)
  by_status = {}
  for model in outcome.models:
    by_status[model.status] = by_status.get(model.status, 0) + 1
  logging.info(
    '%s. Checkpoints and metrics are in %s.',
    ', '.join(f'{n} models {status}' for status, n in by_status.items()),
    _WORKDIR.value,
  )
  if outcome.was_stopped:
    logging.info('Stopped by a signal; the same command goes on from here.')
    return _STOPPED
  logging.info('Next: python -m launch.embed --workdir=%s', _WORKDIR.value)
  return program.FAILED if by_status.keys() == {'failed'} else None
