r"""Forgets a person: their frames, models, tables and exports.

  python -m launch.forget --person_id=P007 --roots=runs/lab,zoo

Everything below the folders is looked at: frame stores and the records they
were made from, runs (the person's model leaves the checkpoints, the metrics and
the tables; evaluations and reports are deleted, to be made again) and exported
models. A run stays usable for everybody else. Models that learned from the
person and from others, or began with such a model, are named, and nothing is
changed until --remove_models or --keep_models says what becomes of them. Videos
and pictures that the frames came from, packs, and copies elsewhere are yours to
delete.

Exit codes: 0 done, 1 failed or something is left, 2 wrong usage, 75 stopped by
a signal: the same command goes on.
"""

from absl import flags, logging

from psm_jax import forget
from psm_jax.cli import program

_PERSON_ID = flags.DEFINE_string('person_id', None, 'Whom to forget.')
_ROOTS = flags.DEFINE_list(
  'roots', None, 'Folders of runs, stores and exported models, at any depth.'
)
_REMOVE = flags.DEFINE_bool(
  'remove_models',
  False,
  'Remove models that learned from others too; their runs begin anew.',
)
_KEEP = flags.DEFINE_bool(
  'keep_models', False, 'Keep them as they are, without the name.'
)
flags.mark_bool_flags_as_mutual_exclusive(['remove_models', 'keep_models'])
REQUIRED = ('person_id', 'roots')


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  general = forget.KEEP if _KEEP.value else None
  if _REMOVE.value:
    general = forget.REMOVE
  done = forget.forget(_PERSON_ID.value, _ROOTS.value, general=general)
  for line in done.lines:
    logging.info('%s', line)
  for path in done.left:
    logging.error(
      '%s still names %s, and is no file of psm_jax. Delete or change it.',
      path,
      _PERSON_ID.value,
    )
  return program.FAILED if done.left else None
