r"""Scores a run's action units along training, from checkpoints it kept.

  python -m launch.train --config=... --workdir=runs/psm \
      --config.train.keep_steps=500
  python -m launch.embed --workdir=runs/psm --kept_steps
  python -m launch.learning_curve --workdir=runs/psm
  python -m launch.learning_curve --run=psm=runs/psm --run=ctl=runs/ctl \
      --out=runs/cmp

Probes the labelled frames at every kept step, by default on stretches of video
and on videos that the probe has not seen, and writes learning_curve.csv (a row
a model, person, step and split) and learning_curve_summary.csv (means over
people with intervals, by steps, epochs and examples; with several runs also
their differences to the first) to WORKDIR/evaluation or OUT. launch.report
draws them.

Exit codes: 0 done, 1 failed, 2 wrong usage, 75 stopped by a signal.
"""

import dataclasses
import pathlib

from absl import flags, logging

from psm_jax.cli import probe_flags, program
from psm_jax.evaluation import features, learning_curve, splits

_WORKDIR = flags.DEFINE(
  program.PLACE, 'workdir', None, 'A run of launch.train.'
)
_RUN = flags.DEFINE_multi_string(
  'run', [], 'NAME=WORKDIR; once for each run, with --out.'
)
_OUT = flags.DEFINE(program.PLACE, 'out', None, 'Where to, with --run.')
_SPLITS = probe_flags.define_splits(
  learning_curve.DEFAULT.splits, splits.SPLITS
)
_THRESHOLD = probe_flags.define_threshold()


program.allow(
  ['workdir'],
  ['run', 'out'],
  message='Give --workdir alone, or --run and --out.',
)


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  if _WORKDIR.value is not None:
    workdirs = {features.TRAINED: _WORKDIR.value}
    folder = pathlib.Path(_WORKDIR.value) / 'evaluation'
    following = f'python -m launch.report --workdir={_WORKDIR.value}'
  else:
    workdirs = dict(program.named(_RUN))
    folder = _OUT.value
    # The page of a comparison begins with its table of approaches.
    following = (
      f'python -m launch.compare --run=... --out={folder}, then '
      f'python -m launch.report --comparison={folder}'
    )
  config = dataclasses.replace(
    learning_curve.DEFAULT,
    splits=tuple(_SPLITS.value),
    threshold=_THRESHOLD.value,
  )
  program.wrote(learning_curve.score(workdirs, folder, config=config))
  logging.info('Next: %s', following)
