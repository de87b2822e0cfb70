r"""Scores embeddings on action units and more, beside controls.

  python -m launch.evaluate --workdir=runs/first

Reads the tables of launch.embed and writes WORKDIR/evaluation/: results.csv (a
row a value), scores.csv (the same, a row a probe), summary.csv (means over
people with intervals, and paired differences), where people were probed across
person_independent_summary.csv, and skipped.csv (who could not be scored, and
why). docs/evaluation.md says what the columns mean and which to trust.

Probes of few labelled frames are scored too and, after launch.embed --driven,
driven faces and what neutral faces leak.

Controls see the same frames: the random weights from which each model began,
the principal components of 32x32 grey pixels, the head pose, and the labels of
the training frames next in time.

Embeddings of other programs are Parquet or CSV files with the columns
person_id, video_id, frame, time_s, e000, e001, ... and labels (AU01, ..., yaw,
pitch, roll, x0..x67, y0..y67, expression, and optionally held_out and fold):

  python -m launch.evaluate --tables=lab=lab/a.parquet --tables=lab=lab/b.csv \
      --tables=other=other.csv --out=runs/lab/evaluation

Exit codes: 0 done, 1 failed, 2 wrong usage, 75 stopped by a signal.
"""

import collections
import dataclasses

from absl import flags, logging

from psm_jax.cli import probe_flags, program
from psm_jax.data import folds
from psm_jax.evaluation import (
  evaluate,
  features,
  person_independent,
  probes,
  splits,
)

_WORKDIR = flags.DEFINE(
  program.PLACE, 'workdir', None, 'A run of launch.embed.'
)
_TABLES = flags.DEFINE_multi_string(
  'tables',
  [],
  'NAME=FILE, embeddings of another program; may be given again. With '
  '--workdir they must be of the same frames and labels.',
)
_OUT = flags.DEFINE(
  program.PLACE,
  'out',
  None,
  'Folder for the tables where there is no --workdir.',
)
_SPLITS = probe_flags.define_splits(probes.DEFAULT.splits, splits.ALL_SPLITS)
_LABELS = probe_flags.define_labels()
_THRESHOLD = probe_flags.define_threshold()
_THRESHOLD_FROM = flags.DEFINE_enum(
  'threshold_from',
  probes.DEFAULT.threshold_from,
  probes.THRESHOLDS,
  'half: active from even odds on; validation: from the odds that give the '
  'best F1 on blocks of the training part. AUC and AP do not change.',
)
_PENALTIES = flags.DEFINE_list(
  'inverse_penalties',
  [str(c) for c in probes.DEFAULT.inverse_penalties],
  'C of the logistic regression; of several the best on blocks of the training '
  'part is taken, probe by probe.',
)
_COMPONENTS = flags.DEFINE_list(
  'pixel_components',
  [str(k) for k in probes.DEFAULT.pixel_components],
  'Principal components of pixel_pca; of several the best, likewise.',
)
_PERSON_INDEPENDENT = flags.DEFINE_enum(
  'person_independent',
  evaluate.ACROSS[0],
  evaluate.ACROSS,
  'Whether to test on people the probe has not seen. auto: where one model '
  'learned from everybody.',
)
_FOLDS = flags.DEFINE_string(
  'folds',
  None,
  'Who is tested in which fold: disfa or bp4d (published), or a CSV file with '
  'the columns person_id and fold. Default: three folds drawn by the seed.',
)
_ACTION_UNITS = flags.DEFINE_list(
  'action_units',
  list(person_independent.A8),
  'Action units of --person_independent; kept: all that are active often '
  'enough. The default is published.',
)
_NUM_WORKERS = flags.DEFINE_integer(
  'num_workers',
  0,
  'Processes that probe a person each; 0: one a processor, where there are '
  'people enough.',
)

_SCHEDULER = flags.DEFINE_string(
  'scheduler',
  '',
  'Address or file of a Dask scheduler, whose workers do it instead of this '
  "machine's processes; they must see the same files by the same names.",
)


program.allow(
  ['workdir'],
  ['workdir', 'tables'],
  ['tables', 'out'],
  message='Give --workdir, or --tables and --out; --out not with --workdir.',
)


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  config = dataclasses.replace(
    probes.DEFAULT,
    splits=tuple(_SPLITS.value),
    threshold=_THRESHOLD.value,
    threshold_from=_THRESHOLD_FROM.value,
    inverse_penalties=tuple(map(float, _PENALTIES.value)),
    pixel_components=tuple(map(int, _COMPONENTS.value)),
  )
  files = collections.defaultdict(list)
  for name, path in program.named(_TABLES, repeats=True):
    files[name].append(path)
  wanted = tuple(_ACTION_UNITS.value)
  program.wrote(
    evaluate.score(
      _WORKDIR.value,
      others=[
        table
        for name, paths in files.items()
        for table in features.read_files(paths, source=name, kind=_LABELS.value)
      ],
      folder=_OUT.value,
      config=config,
      across=_PERSON_INDEPENDENT.value,
      folds=_read_folds(),
      fold_config=person_independent.FoldConfig(
        action_units=() if wanted == ('kept',) else wanted
      ),
      num_workers=_NUM_WORKERS.value,
      scheduler=_SCHEDULER.value,
      kind=_LABELS.value,
    )
  )
  if _WORKDIR.value is not None:
    logging.info('Next: python -m launch.report --workdir=%s', _WORKDIR.value)


def _read_folds():
  """Returns person -> fold, None if none are asked for."""
  if _FOLDS.value is None:
    return None
  return folds.published(_FOLDS.value) or folds.read(_FOLDS.value)
