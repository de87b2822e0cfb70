r"""Scores a run's embeddings on action units, beside two controls.

  python -m launch.evaluate --workdir=runs/first

Reads the tables of launch.embed and writes WORKDIR/evaluation/: scores.csv (a
row a model, split and action unit), summary.csv (means over people with
intervals, and paired differences), structure.csv (what the embeddings hold) and
skipped.csv (who could not be scored, and why). The controls see the same
frames: the random weights from which each model began, and the principal
components of 32x32 grey pixels.

Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

import dataclasses

from absl import flags, logging

from launch import program
from psm_jax import scoring
from psm_jax.evaluation import probes

_WORKDIR = flags.DEFINE_string('workdir', None, 'A run of launch.embed.')
_SPLITS = flags.DEFINE_list(
  'splits',
  list(probes.DEFAULT.splits),
  'random: 80/20 of the frames, as published; blocked: whole stretches of '
  'video; cross_video: trained on one video, tested on another.',
)
_THRESHOLD = flags.DEFINE_float(
  'threshold',
  probes.DEFAULT.threshold,
  'Intensity from which an action unit counts as active (DISFA: 2 of 5).',
)


def main():
  config = dataclasses.replace(
    probes.DEFAULT,
    splits=tuple(_SPLITS.value),
    threshold=_THRESHOLD.value,
  )
  for path in scoring.score_run(_WORKDIR.value, config=config):
    logging.info('Wrote %s', path)
  logging.info('Next: python -m launch.report --workdir=%s', _WORKDIR.value)


if __name__ == '__main__':
  program.run(main, required=['workdir'])
