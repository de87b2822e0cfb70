r"""Writes a run's or a comparison's report: one HTML page that loads nothing.

  python -m launch.report --workdir=runs/first
  python -m launch.report --comparison=runs/cmp --maps=gm=runs/gm

A run is shown as a comparison of its trained weights with their controls. Reads
the tables of the run (metrics.csv, models.json, evaluation/*.csv) or of
launch.compare; what is missing is named in the page with the command that makes
it. Writes report.html to the same folder and the figures, as PNG and SVG files,
to its folder report.

Exit codes: 0 done, 1 failed, 2 wrong usage, 75 stopped by a signal.
"""

from absl import flags, logging

from psm_jax import embedding
from psm_jax.cli import program
from psm_jax.discovery import maps
from psm_jax.evaluation import features
from psm_jax.report import page, pictures

_WORKDIR = flags.DEFINE(
  program.PLACE, 'workdir', None, 'A run of launch.train.'
)
_COMPARISON = flags.DEFINE_string(
  'comparison', None, 'The --out of launch.compare.'
)
_SHOW_FACES = flags.DEFINE_bool(
  'show_faces',
  False,
  'Show frames, and the films and pictures that launch.embed --pictures wrote. '
  'Without it no face is in the page.',
)
_MAX_PICTURES = flags.DEFINE_integer(
  'max_pictures', 27, 'Models whose maps, pictures and films are shown.'
)
_MAPS = flags.DEFINE_multi_string(
  'maps',
  [],
  'NAME=WORKDIR, an approach of --comparison and its run, whose '
  'embeddings are drawn in two dimensions; once for each approach.',
)
_PROJECTION = flags.DEFINE_enum(
  'projection',
  maps.PCA,
  maps.PROJECTIONS,
  'How --maps are drawn: pca keeps straight lines, tsne neighbours (slow).',
)


program.allow(
  ['workdir'],
  ['workdir', 'show_faces'],
  ['comparison'],
  ['comparison', 'maps'],
  message='Give --workdir or --comparison. --maps is for --comparison, '
  '--show_faces for --workdir: a comparison has no faces to show.',
)


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  workdir, shown, store = _WORKDIR.value, None, None
  if _SHOW_FACES.value:
    shown = pictures.read(workdir, max_models=_MAX_PICTURES.value)
    store = embedding.open_frames(workdir)
  path = page.write(
    workdir or _COMPARISON.value,
    maps=[
      maps.of_tables(
        name,
        features.read_run(folder, source=name),
        projection=_PROJECTION.value,
      )
      for name, folder in program.named(_MAPS)
    ],
    pictures=shown,
    store=store,
    max_pictures=_MAX_PICTURES.value,
  )
  logging.info('Wrote %s', path)
