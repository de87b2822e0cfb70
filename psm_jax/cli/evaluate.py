r"""Scores embeddings on action units and more, beside controls.

  python -m launch.evaluate --workdir=runs/first

Reads the tables of launch.embed and writes WORKDIR/evaluation/: scores.csv (a
row a model, split and action unit), summary.csv (means over people with
intervals, and paired differences), structure.csv (what the embeddings hold),
intervals.csv (how sure each person's scores are), intensity.csv,
regression.csv (head pose, landmarks), expressions.csv, summary_targets.csv
(means of these three), person_independent*.csv (people a probe has not seen)
and skipped.csv (who could not be scored, and why). docs/evaluation.md says what
the columns mean and which to trust.

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

import dataclasses

from absl import flags, logging

from psm_jax.cli import probe_flags
from psm_jax.data import folds
from psm_jax.evaluation import person_independent, probes, scoring, splits

_WORKDIR = flags.DEFINE_string('workdir', None, 'A run of launch.embed.')
_TABLES = flags.DEFINE_multi_string(
  'tables',
  [],
  'NAME=FILE, embeddings of another program; may be given again. With '
  '--workdir they must be of the same frames and labels.',
)
_OUT = flags.DEFINE_string(
  'out', None, 'Folder for the tables where there is no --workdir.'
)
_SPLITS = probe_flags.define_splits(probes.DEFAULT.splits, splits.ALL_SPLITS)
_THRESHOLD = probe_flags.define_threshold()
_THRESHOLD_FROM = flags.DEFINE_enum(
  'threshold_from',
  probes.DEFAULT.threshold_from,
  probes.THRESHOLDS,
  'half: active from even odds on; validation: from the odds that give the '
  'best F1 on blocks of the training part. AUC and AP do not change.',
)
_PERSON_INDEPENDENT = flags.DEFINE_enum(
  'person_independent',
  scoring.AUTO.when,
  scoring.PERSON_INDEPENDENT,
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


@flags.multi_flags_validator(
  ['workdir', 'tables', 'out'],
  message='Give --workdir, or --tables and --out; --out not with --workdir.',
)
def _is_complete(values):
  if values['workdir'] is not None:
    return values['out'] is None
  return bool(values['tables']) and values['out'] is not None


REQUIRED = ()


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  options = {
    'config': dataclasses.replace(
      probes.DEFAULT,
      splits=tuple(_SPLITS.value),
      threshold=_THRESHOLD.value,
      threshold_from=_THRESHOLD_FROM.value,
    ),
    'across': scoring.Across(
      when=_PERSON_INDEPENDENT.value,
      folds=_read_folds(),
      config=person_independent.FoldConfig(action_units=_units()),
    ),
    'num_workers': _NUM_WORKERS.value,
  }
  others = scoring.read_tables(_TABLES.value)
  if _WORKDIR.value is None:
    written = scoring.score_tables(others, _OUT.value, **options)
  else:
    written = scoring.score_run(_WORKDIR.value, others=others, **options)
  for path in written:
    logging.info('Wrote %s', path)
  if _WORKDIR.value is not None:
    logging.info('Next: python -m launch.report --workdir=%s', _WORKDIR.value)


def _read_folds():
  """Returns person -> fold, None if none are asked for."""
  if _FOLDS.value is None:
    return None
  return folds.published(_FOLDS.value) or folds.read(_FOLDS.value)


def _units():
  """Returns the action units to test across people, () for all kept."""
  wanted = tuple(_ACTION_UNITS.value)
  return () if wanted == ('kept',) else wanted
