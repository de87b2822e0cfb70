r"""Embeds every frame of a run's people with their trained models.

  python -m launch.embed --workdir=runs/first

Writes WORKDIR/embeddings/<model_id>/<person_id>/<video_id>.parquet with the
columns model_id, person_id, video_id, frame, time_s, e000..e255 and the labels
of the frames, if any. Embeddings of two models do not share coordinates.

Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

from absl import flags, logging

from launch import program
from psm_jax import embedding

_WORKDIR = flags.DEFINE_string('workdir', None, 'A run of launch.train.')


def main():
  embedding.write_embeddings(_WORKDIR.value)
  logging.info('Next: python -m launch.evaluate --workdir=%s', _WORKDIR.value)


if __name__ == '__main__':
  program.run(main, required=['workdir'])
