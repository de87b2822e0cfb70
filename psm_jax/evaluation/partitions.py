"""People dealt into folds, as given or by lot.

P persons, K folds.
"""

from collections.abc import Mapping, Sequence

from psm_jax.data import folds as folds_lib
from psm_jax.evaluation import features, splits, targets


def deal(
  tables: Sequence[features.FeatureTable],
  *,
  folds: Mapping[str, str] | None,
  num_folds: int,
  num_partitions: int,
  seed: int,
) -> tuple[list[dict[str, str]], list[str]]:
  """Deals people into folds, several times.

  Args:
    tables: One a person.
    folds: Person to fold of the first partition. Without it a column `fold` of
      the frames is taken, or the people are dealt out.
    num_folds: K, where no folds are given.
    num_partitions: How many; all but a given first one are drawn.
    seed: Of the draws.

  Returns:
    Person to fold of every partition, and the persons who are in no fold of the
    first one.

  Raises:
    splits.Impossible: If there are fewer than 2 folds, or fewer people than
      folds.
    ValueError: If a column `fold` does not hold one fold a person.
  """
  people = sorted(table.person_id for table in tables)
  if folds is None:
    folds = _fold_column(tables)
  first, left_out = None, []
  if folds is not None:
    first = {p: folds[p] for p in people if p in folds}
    left_out = [p for p in people if p not in folds]
  if first:
    num_folds = len(set(first.values()))
  if not 2 <= num_folds <= len(people):
    raise splits.Impossible(f'{num_folds} folds of {len(people)} people')
  shares = {str(fold + 1): 1 / num_folds for fold in range(num_folds)}
  drawn = [
    folds_lib.by_share(people, shares, seed=seed + number)
    for number in range(num_partitions)
  ]
  return ([first, *drawn[1:]] if first else drawn), left_out


def _fold_column(tables) -> dict[str, str] | None:
  """Returns person -> fold from the frames' column, None without it."""
  folds = {}
  for table in tables:
    if 'fold' not in table.frames:
      return None
    values = targets.names(table.frames['fold'])
    if len(set(values)) != 1 or values[0] == '':
      raise ValueError(
        f'The column fold of person {table.person_id} holds '
        f'{sorted(set(values))}; expected one fold a person.'
      )
    folds[table.person_id] = values[0]
  return folds
