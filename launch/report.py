r"""Writes a run's report: one HTML page that loads nothing from elsewhere.

  python -m launch.report --workdir=runs/first

Reads metrics.csv, models.json and evaluation/*.csv; what is missing is named in
the page with the command that makes it. Figures are also written as PNG files
to WORKDIR/report.

Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

from absl import flags, logging

from launch import program
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


def main():
  shown = None
  if _SHOW_FACES.value:
    shown = pictures.of_run(_WORKDIR.value, max_models=_MAX_PICTURES.value)
  path = page.write(
    _WORKDIR.value, pictures=shown, max_pictures=_MAX_PICTURES.value
  )
  logging.info('Wrote %s', path)


if __name__ == '__main__':
  program.run(main, required=['workdir'])
