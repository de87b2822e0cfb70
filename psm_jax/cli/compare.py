r"""Compares approaches on the same frames: runs, and tables of other programs.

  python -m launch.compare --run=psm=runs/psm --run=gm=runs/gm --out=runs/cmp

Reads the embeddings of launch.embed, takes the persons and frames that all
approaches have, adds controls that saw the same frames (random weights, grey
pixels, head pose, the nearest frame in time), and writes OUT/approaches.csv (a
row an approach: action units with intervals and differences to the baseline,
identity and head pose that can be read off, retrieval in other persons, costs)
and the tables behind it. docs/comparison.md describes each column.

Several models of a person (donors, seeds) are averaged before persons are.
Embeddings of other programs are Parquet or CSV files with the columns
person_id, video_id, frame, time_s, e000, e001, ...:

  python -m launch.compare --run=psm=runs/psm --table=lab=lab.parquet \
      --baseline=lab --out=runs/cmp

Exit codes: 0 done, 1 failed, 2 wrong usage, 75 stopped by a signal.
"""

import dataclasses
import pathlib

import pandas as pd
from absl import flags, logging

from psm_jax.cli import probe_flags, program
from psm_jax.discovery import named_movements
from psm_jax.evaluation import (
  approach_table,
  approaches,
  compare,
  coordinates,
  probes,
  results,
)

_RUN = flags.DEFINE_multi_string(
  'run', [], 'NAME=WORKDIR, a run of launch.embed; once for each run.'
)
_TABLE = flags.DEFINE_multi_string(
  'table',
  [],
  'NAME=FILE or NAME=FILE,FILE, embeddings of another program as Parquet or '
  'CSV; once for each approach.',
)
_BASELINE = flags.DEFINE_string(
  'baseline',
  None,
  'NAME of the approach that others are compared with; the first if not given.',
)
_OUT = flags.DEFINE(program.PLACE, 'out', None, 'Folder to write to.')
_SPLITS = probe_flags.define_splits(compare.SPLITS, approach_table.SPLITS)
_THRESHOLD = probe_flags.define_threshold()
_SEED_GROUP = flags.DEFINE_bool(
  'seed_group',
  False,
  'Take runs NAME-s0, NAME-s1, ... for seeds of one approach NAME.',
)
_ALIGN_TO = flags.DEFINE_string(
  'align_to',
  None,
  'NAME of a general model onto which person-specific embeddings are rotated.',
)
_MOVEMENTS = flags.DEFINE_string(
  'movements',
  None,
  'Named movements of frames: a CSV of person_id,video_id,frame,movement, or a '
  'JSON of rules over label columns, see docs/comparison.md.',
)
program.allow(
  ['run'],
  ['table'],
  ['run', 'table'],
  message='Name an approach: --run=NAME=WORKDIR or --table=...',
)
REQUIRED = ('out',)


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  compared = _read()
  baseline = _BASELINE.value or compared[0].name
  compared, omitted = approaches.take_common(compared, labels_of=baseline)
  for row in omitted.itertuples():
    logging.warning(
      'Left out %d frames of person %s of %s: %s',
      row.num_frames,
      row.person_id,
      row.approach,
      row.reason,
    )
  controls = _controls(compared, baseline)
  more = ([], [])
  if _MOVEMENTS.value is not None:
    learned = [table for approach in compared for table in approach.tables]
    more = named_movements.agreement(
      [*learned, *controls], _movements(compared)
    )
  tables = compare.compare(
    compared,
    baseline=baseline,
    controls=controls,
    omitted=omitted,
    more=more,
    config=dataclasses.replace(
      probes.DEFAULT, splits=tuple(_SPLITS.value), threshold=_THRESHOLD.value
    ),
    align_to=_ALIGN_TO.value,
  )
  program.wrote(results.write(tables, _OUT.value))
  logging.warning(coordinates.WARNING)
  print(approach_table.text(tables['approaches']))
  logging.info('Next: python -m launch.report --comparison=%s', _OUT.value)


def _read():
  """Returns the approaches that the flags name."""
  compared = [
    *(approaches.read_run(*run) for run in program.named(_RUN)),
    *(
      approaches.read_tables(name, files.split(','))
      for name, files in program.named(_TABLE)
    ),
  ]
  return approaches.join_seeds(compared) if _SEED_GROUP.value else compared


def _controls(compared, baseline):
  """Returns the controls of the baseline, or of the first run."""
  shown = min(
    (approach for approach in compared if approach.origins),
    key=lambda approach: approach.name != baseline,
    default=None,
  )
  try:
    return approaches.controls_of(shown) if shown else []
  except ValueError as reason:
    logging.warning('No controls of %s: %s', shown.name, reason)
    return []


def _movements(compared):
  """Returns the movements that the flag names."""
  path = pathlib.Path(_MOVEMENTS.value)
  if path.suffix != '.json':
    return named_movements.read(path)
  frames = {table.person_id: table.frames for table in compared[0].tables}
  return named_movements.derive(
    pd.concat(frames.values()), named_movements.read_rules(path)
  )
