r"""Embeds every frame of a run's people with their trained models.

  python -m launch.embed --workdir=runs/first

Writes WORKDIR/embeddings/<model_id>/<person_id>/<video_id>.parquet with the
columns model_id, person_id, video_id, frame, time_s, e000..e255 and the labels
of the frames, if any. Embeddings of two models do not share coordinates.

Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

import sys

from absl import app, flags, logging

from psm_jax import embedding

_WORKDIR = flags.DEFINE_string('workdir', None, 'A run of launch.train.')


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  try:
    embedding.write_embeddings(_WORKDIR.value)
  except (ValueError, OSError) as error:
    logging.error('%s', error)
    return 1
  logging.info('Next: python -m launch.evaluate --workdir=%s', _WORKDIR.value)
  return 0


def run():
  flags.mark_flag_as_required('workdir')
  app.run(lambda argv: sys.exit(main(argv)))


if __name__ == '__main__':
  run()
