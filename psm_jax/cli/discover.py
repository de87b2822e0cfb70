r"""Finds movements that one run's models group and another run's do not.

  python -m launch.discover --workdir=runs/psm --against=runs/gm

Reads the embeddings of both runs (launch.embed), groups every person's frames
at the same settings for both models, and writes WORKDIR/discovery/: persons.csv
(a row a person and model: clusters, novel ones, what chance gives),
clusters.csv (a row a cluster, with the verdict of the published and of a
stricter rule), profiles.csv (action units of each), exemplars.csv (frames that
show it), occupancy.csv (when it occurs), similarities.csv (the published metric
of every pair of clusters), flows.csv (how the face moves in the novel ones),
settings.csv (the grid) and skipped.csv (who could not be compared, and why).
docs/discovery.md says how to read them.

Flows are read where launch.embed --flows wrote them; without them skipped.csv
says so.

Both runs must hold the same frames. Embeddings of other programs are Parquet or
CSV files with the columns person_id, video_id, frame, time_s, e000, e001, ...:

  python -m launch.discover --workdir=runs/lab \
      --tables=lab/a.parquet --against=lab/b.csv

Exit codes: 0 done, 1 failed, 2 wrong usage, 75 stopped by a signal.
"""

import dataclasses
import pathlib

from absl import flags, logging

from psm_jax.cli import probe_flags, program
from psm_jax.data.labels import weak
from psm_jax.discovery import clusters, matching, search
from psm_jax.evaluation import features

_WORKDIR = flags.DEFINE(
  program.PLACE,
  'workdir',
  None,
  'A run of launch.embed; results go to its folder discovery.',
)
_TABLES = flags.DEFINE_list(
  'tables',
  [],
  'Parquet or CSV files of embeddings to take instead of those of --workdir.',
)
_AGAINST = flags.DEFINE_list(
  'against',
  None,
  'What to compare with: another run of launch.embed, or Parquet or CSV files '
  'of embeddings.',
)
_SOURCE = flags.DEFINE_string(
  'source', features.TRAINED, 'Name of the first models in the tables.'
)
_AGAINST_SOURCE = flags.DEFINE_string(
  'against_source', 'gm', 'Name of the models of --against in the tables.'
)
_METHOD = flags.DEFINE_enum(
  'method', clusters.DEFAULT.method, clusters.METHODS, 'How frames are grouped.'
)
_STRIDE = flags.DEFINE_integer(
  'stride',
  clusters.DEFAULT.frame_stride,
  'Frames whose number is a multiple of this are grouped: 10 gives the '
  'published tenth, 1 all of them. Short videos need a smaller one.',
  lower_bound=1,
)
_CENTRE = flags.DEFINE_enum(
  'centre',
  clusters.DEFAULT.centre,
  clusters.CENTRES,
  'video: movements are directions away from the median embedding of their '
  'video; none: embeddings are grouped as they are; auto: video where the '
  'length of an embedding tells something (canonical), else none.',
)
_SCALE = flags.DEFINE_enum(
  'scale',
  clusters.DEFAULT.scale,
  clusters.SCALES,
  'unit: embeddings have length 1; spread: distances are also divided by their '
  'root mean square, so that one radius means the same to both models.',
)
_LABELS = probe_flags.define_labels()
_THRESHOLD = probe_flags.define_threshold()
_TRUTH = flags.DEFINE_string(
  'truth',
  matching.DEFAULT.truth,
  'Label column that numbers the movement under way, 0 for none. Clusters are '
  'scored against it where it exists.',
)
REQUIRED = ('workdir', 'against')


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  config = dataclasses.replace(
    matching.DEFAULT,
    clusters=dataclasses.replace(
      clusters.DEFAULT,
      method=_METHOD.value,
      frame_stride=_STRIDE.value,
      centre=_CENTRE.value,
      scale=_SCALE.value,
    ),
    novelty=dataclasses.replace(
      matching.DEFAULT.novelty, threshold=_THRESHOLD.value
    ),
    truth=_TRUTH.value,
  )
  places = {
    _SOURCE.value: _TABLES.value or [_WORKDIR.value],
    _AGAINST_SOURCE.value: _AGAINST.value,
  }
  sides = [
    features.read(place, source=name, kind=_LABELS.value)
    for name, place in places.items()
  ]
  weak.check([t.frames for side in sides for t in side], _LABELS.value)
  # Those of files, not runs, have no flows.
  runs = {
    n: place[0]
    for n, place in places.items()
    if pathlib.Path(place[0]).is_dir()
  }
  tables = search.discover(*sides, config=config, flows=search.flows_of(runs))
  for row in tables['skipped'].itertuples():
    logging.warning('Person %s, %s: %s', row.person_id, row.part, row.reason)
  folder = pathlib.Path(_WORKDIR.value) / 'discovery'
  program.wrote(search.write(tables, folder))
  logging.info(
    '%d persons compared: the published rule calls %d clusters novel, the '
    'strict one %d. docs/discovery.md says what that means.',
    tables['persons']['person_id'].nunique(),
    tables['clusters']['is_novel'].sum(),
    tables['clusters']['is_strictly_novel'].sum(),
  )
