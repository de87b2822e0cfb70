r"""Embeds a run's frames with its models, or other recordings with a model.

  python -m launch.embed --workdir=runs/first
  python -m launch.embed --model=runs/first --person=P01 --frames=today.mp4 \
      --out=today.csv
  python -m launch.embed --model=zoo/facecycle-P01-s0 --frames=STORE --out=new

Writes embeddings/<model_id>/<person_id>/<video_id>.parquet below WORKDIR or OUT
with the columns model_id, person_id, video_id, frame, time_s, e000..e255 and
the labels of the frames, if any, and with --csv the same as CSV beside them.
STORE is a frame store or pack, whose frames have the model's size and
alignment. Embeddings of two models do not share coordinates.

A --out that ends with .csv or .parquet is one table with a row for every frame
of a recording, as psm_jax.Model.transform returns it; --frames is then a video,
a folder of videos, an ingest folder or a frame store.

Of a run it also writes controls/ (the same frames by the weights from which the
models began, and as grey pixels), and on request all else that needs its models
and frames, so that launch.evaluate, launch.discover, launch.compare,
launch.learning_curve and launch.report read tables alone.

Exit codes: 0 done, 1 failed, 2 wrong usage, 75 stopped by a signal.
"""

import pathlib

from absl import flags, logging

import psm_jax
from psm_jax import csv_files, embedding, paths
from psm_jax.cli import program
from psm_jax.data import embedded, store
from psm_jax.runs import shards, zoo

_WORKDIR = flags.DEFINE(
  program.PLACE, 'workdir', None, 'A run of launch.train.'
)
_CONTROLS = flags.DEFINE_bool(
  'controls',
  True,
  'Write the controls of launch.evaluate and launch.compare, which takes about '
  'as long as embedding.',
)
_FLOWS = flags.DEFINE_bool(
  'flows',
  False,
  'Write how the models move each frame from its neutral face, for '
  'launch.discover; of methods that draw one (canonical, facecycle).',
)
_DRIVEN = flags.DEFINE_bool(
  'driven',
  False,
  'Write what the code of one video moves on the neutral face of another, and '
  'neutral faces if networks make them, as grey pixels, which launch.evaluate '
  'then scores; of methods that draw a face (canonical, facecycle).',
)
_KEPT_STEPS = flags.DEFINE_bool(
  'kept_steps',
  False,
  'Embed the labelled frames at every checkpoint that train.keep_steps kept, '
  'for launch.learning_curve.',
)
_PICTURES = flags.DEFINE_integer(
  'pictures',
  0,
  'Write pictures and films, which show faces, of so many models, for '
  'launch.report --show_faces.',
  lower_bound=0,
)
_SHARD = flags.DEFINE_string(
  'shard',
  None,
  'i/n or auto, as of launch.train: embed a part of the models.',
)
_CSV = flags.DEFINE_bool('csv', False, 'Write the embeddings as CSV too.')
_MODEL = flags.DEFINE(
  program.PLACE,
  'model',
  None,
  'A model of launch.export; of a recording also a run.',
)
_PERSON = flags.DEFINE_string(
  'person', None, 'Whose model, where there are several.'
)
_FRAMES = flags.DEFINE(
  program.PLACE, 'frames', None, 'What it embeds, with --model.'
)
_OUT = flags.DEFINE(program.PLACE, 'out', None, 'Where to, with --model.')
_TABLES = ('.csv', '.parquet')


program.allow(
  ['workdir'],
  ['model', 'frames', 'out'],
  message='Give --workdir alone, or --model, --frames and --out.',
)


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  if _MODEL.value and pathlib.Path(_OUT.value).suffix in _TABLES:
    _write_table(pathlib.Path(_OUT.value))
    return
  if _MODEL.value:
    written = embedding.write_with(
      zoo.load(_MODEL.value), store.open_store(_FRAMES.value), _OUT.value
    )
    embedding.write_csv(written if _CSV.value else ())
    return
  written = embedding.write_embeddings(
    _WORKDIR.value,
    controls=_CONTROLS.value,
    flows=_FLOWS.value,
    driven=_DRIVEN.value,
    kept_steps=_KEPT_STEPS.value,
    shard=shards.parse(_SHARD.value),
  )
  if _CSV.value:
    # Of the models as trained alone, not the controls.
    embedding.write_csv(
      [f for f in written if f.parents[2].name == embedded.EMBEDDINGS]
    )
  if _PICTURES.value:
    embedding.write_pictures(_WORKDIR.value, max_models=_PICTURES.value)
    embedding.write_films(_WORKDIR.value, max_models=_PICTURES.value)
  logging.info('Next: python -m launch.evaluate --workdir=%s', _WORKDIR.value)


def _write_table(path):
  """Writes a recording's embeddings as one table."""
  model = psm_jax.load(_MODEL.value, person_id=_PERSON.value)
  table = model.transform(_FRAMES.value)
  if path.suffix == '.csv':
    paths.write_atomic(path, csv_files.text_of(table, float_format='%.9g'))
  else:
    paths.write_atomic(path, table.to_parquet(index=False))
  num_faces = table['success'].sum()
  logging.info(
    'Wrote %d frames, %d with a face, to %s', len(table), num_faces, path
  )
