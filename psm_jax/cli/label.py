r"""Makes many labels of few: choose frames, fill in a table, predict the rest.

  python -m launch.label --workdir=runs/lab --labels=smile,brows_up
  python -m launch.label --workdir=runs/lab
  python -m launch.label --workdir=runs/lab --more=30

The first writes WORKDIR/labels: sheets of each person's most useful frames and
frames.csv, to be filled in: 1 seen, 0 not seen. The second predicts every frame
of every video from them (predicted/PERSON/VIDEO.parquet) and says how well that
holds (quality.csv). The third asks for the frames that are least certain.

Whole videos that were annotated in ELAN (tab-delimited text, times in seconds)
or BORIS (aggregated events) are read beside or instead of the table:

  python -m launch.label --workdir=runs/lab --read=video1=elan.txt

Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

from absl import flags, logging

from psm_jax import embedding
from psm_jax.cli import program
from psm_jax.labelling import exports, tables

_WORKDIR = flags.DEFINE(
  program.PLACE, 'workdir', None, 'A run of launch.embed.'
)
_LABELS = flags.DEFINE_list(
  'labels', [], 'What to look for: names of columns to be filled in.'
)
_NUM = flags.DEFINE_integer(
  'num', 30, 'Frames of each person in the first round.', lower_bound=2
)
_MORE = flags.DEFINE_integer(
  'more', 0, 'Frames of each person to add to the table.', lower_bound=0
)
_READ = flags.DEFINE_multi_string(
  'read', [], 'VIDEO_ID=FILE, exported by ELAN or BORIS; may be given again.'
)
program.allow(
  (),
  ['labels'],
  ['more'],
  message='--labels is for the first round, --more later.',
)
REQUIRED = ('workdir',)


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  if _LABELS.value or _MORE.value:
    path = tables.ask(
      _WORKDIR.value,
      embedding.open_frames(_WORKDIR.value),
      _LABELS.value,
      num=_MORE.value or _NUM.value,
    )
    logging.info(
      'Look at %s and fill in %s: 1 seen, 0 not seen.',
      path.parent / tables.SHEETS,
      path,
    )
    logging.info('Next: python -m launch.label --workdir=%s', _WORKDIR.value)
    return
  quality = tables.predict(
    _WORKDIR.value,
    observed={
      video: exports.read(path) for video, path in program.named(_READ)
    },
  )
  logging.info(
    'How well labels hold, by frames that the probe did not see:\n%s',
    quality.to_string(index=False, float_format='{:.2f}'.format, na_rep='?'),
  )
  logging.info('Predictions are in %s/labels/%s.', _WORKDIR.value, 'predicted')
