r"""Trains the models of one configuration together, from frames to checkpoints.

  python -m launch.train --config=quickstart --workdir=runs/first
  python -m launch.train --config=psm --workdir=runs/lab \
      --config.data.path=/data/frames --config.train.epochs=100

The same command goes on where a stopped run was. Any field of the
configuration can be set as --config.group.field=value.

While it trains, `tensorboard --logdir=runs` (pip install tensorboard) draws its
metrics; so does Weights & Biases with --wandb.

Several machines share a run by --shard or --distributed (docs/cluster.md).

Exit codes: 0 done, 1 failed, 2 wrong usage, 75 stopped by a signal, or another
process of the run was lost: resume.
"""

import collections
import sys

import ml_collections
from absl import flags, logging
from ml_collections import config_flags

from psm_jax import stopping, training
from psm_jax.cli import program
from psm_jax.engine import processes
from psm_jax.runs import shards, wandb_log

_WORKDIR = flags.DEFINE(
  program.PLACE,
  'workdir',
  None,
  'The run directory: configuration, checkpoints, metrics.',
)
_DATA_DIR = flags.DEFINE(
  program.PLACE,
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
_SHARD = flags.DEFINE_string(
  'shard',
  None,
  'i/n: this is number i, from 0, of n machines that share the run, each '
  'training its part of the models; started n times. auto: as Slurm arrays, '
  'indexed Kubernetes jobs (auto/n) and TPU slices say (docs/cluster.md).',
)
_DISTRIBUTED = flags.DEFINE_bool(
  'distributed',
  False,
  'This is one of several processes of a run, as Slurm, Open MPI, Kubernetes '
  'or a TPU slice tells JAX. They share the batches of a general model '
  '(population.data_parallel), or its models as shards.',
)
_COORDINATOR = flags.DEFINE_string(
  'coordinator', None, 'HOST:PORT of process 0, where nothing tells JAX.'
)
_NUM_PROCESSES = flags.DEFINE_integer(
  'num_processes', None, 'How many processes there are, likewise.'
)
_PROCESS_ID = flags.DEFINE_integer(
  'process_id', None, 'Number of this one, from 0, likewise.'
)
_SHOW_FACES = flags.DEFINE_bool(
  'show_faces',
  False,
  'Show in TensorBoard what models make of frames, with each checkpoint. '
  'Without it no face is there.',
)
_WANDB = flags.DEFINE_enum(
  'wandb',
  wandb_log.OFF,
  wandb_log.MODES,
  'Weights & Biases (pip install "psm_jax[wandb]"). offline: the numbers that '
  'TensorBoard shows are written to WORKDIR/wandb too. online: they, the '
  'configuration without paths and the ids of models are sent to wandb.ai, or '
  'to WANDB_BASE_URL. Never a picture.',
)
program.allow(
  (), ['shard'], ['distributed'], message='Give --shard or --distributed.'
)
REQUIRED = ('config', 'workdir')


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  config = ml_collections.ConfigDict(_CONFIG.value)
  shard = shards.parse(_SHARD.value)
  if _DISTRIBUTED.value:
    place = processes.find(
      coordinator=_COORDINATOR.value,
      count=_NUM_PROCESSES.value,
      index=_PROCESS_ID.value,
    )
    if not config.population.data_parallel:
      shard = shards.Shard(place.index, place.count)
    elif not processes.is_child():
      return processes.supervise([sys.executable, *sys.orig_argv[1:]], place)
    else:
      processes.join(place)
  outcome = training.train(
    config,
    _WORKDIR.value,
    data_dir=_DATA_DIR.value,
    shard=shard,
    show_faces=_SHOW_FACES.value,
    wandb=_WANDB.value,
  )
  by_status = collections.Counter(model.status for model in outcome.models)
  logging.info(
    '%s. Checkpoints and metrics are in %s.',
    ', '.join(f'{n} models {status}' for status, n in by_status.items()),
    _WORKDIR.value,
  )
  if outcome.was_stopped:
    logging.info('Stopped by a signal; the same command goes on from here.')
    return stopping.EXIT_CODE
  logging.info('Next: python -m launch.embed --workdir=%s', _WORKDIR.value)
  return program.FAILED if by_status.keys() == {'failed'} else None
