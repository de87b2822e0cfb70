r"""Writes a run's report: one HTML page that loads nothing from elsewhere.

  python -m launch.report --workdir=runs/first

Reads metrics.csv, models.json and evaluation/*.csv; what is missing is named in
the page with the command that makes it. Figures are also written as PNG files
to WORKDIR/report.

Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

import sys

from absl import app, flags, logging

from psm_jax import pictures
from psm_jax.report import page

_WORKDIR = flags.DEFINE_string('workdir', None, 'A run of launch.train.')
_SHOW_FACES = flags.DEFINE_bool(
  'show_faces',
  False,
  'Show example frames, neutral faces and reconstructions. Without it no face '
  'is in the page.',
)
_MAX_PICTURES = flags.DEFINE_integer(
  'max_pictures', 12, 'Models whose pictures are shown, with --show_faces.'
)


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  try:
    shown = None
    if _SHOW_FACES.value:
      shown = pictures.of_run(_WORKDIR.value, max_models=_MAX_PICTURES.value)
    path = page.write(
      _WORKDIR.value, pictures=shown, max_pictures=_MAX_PICTURES.value
    )
  except (ValueError, OSError) as error:
    logging.error('%s', error)
    return 1
  logging.info('Wrote %s', path)
  return 0


def run():
  flags.mark_flag_as_required('workdir')
  app.run(lambda argv: sys.exit(main(argv)))


if __name__ == '__main__':
  run()
