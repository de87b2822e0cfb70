"""Folds of people: who is tested in which fold of a cross-validation.

A fold is a name ('1', '2', ... or 'train', 'test'); a person is tested in one
of them and learned from in the others. Tables of published benchmarks name
people, never how many frames they have, and are compared with the people found.

  known = folds.published('disfa')
  problems = folds.compare(known, person_ids)
"""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from psm_jax import paths, tabular


def _people(prefix, numbers):
  return tuple(f'{prefix}{number}' for number in numbers.split())


# Three folds of the 27 people of DISFA and the 41 of BP4D, used for the 8 and
# 12 action units of the common benchmarks; as listed in Luo et al. (2022),
# ME-GraphAU, IJCAI. A fold's people are those it tests.
_PUBLISHED = {
  'disfa': {
    '1': _people('SN', '003 029 023 025 008 005 007 017 004'),
    '2': _people('SN', '013 018 011 028 012 006 031 021 024'),
    '3': _people('SN', '002 010 001 026 027 032 030 009 016'),
  },
  'bp4d': {
    '1': (
      *_people('F', '007 015 006 019 012 004 021 017 014'),
      *_people('M', '006 009 003 015'),
    ),
    '2': (
      *_people('M', '011 010 002 018 017 016 013 005'),
      *_people('F', '003 005 022 013 020 011'),
    ),
    '3': (
      *_people('F', '001 018 008 002 010 009 016 023'),
      *_people('M', '007 004 012 001 014 008'),
    ),
  },
}


def published(kind: str) -> dict[str, str]:
  """Returns person -> fold of a data set's common benchmark, {} if none.

  Args:
    kind: 'disfa' or 'bp4d' have one; any other name has none.
  """
  return {
    person: fold
    for fold, people in _PUBLISHED.get(kind, {}).items()
    for person in people
  }


def by_order(person_ids: Sequence[str], *, num_folds: int) -> dict[str, str]:
  """Returns person -> fold by position in the order of ids, in turn.

  The first person is in fold '1', the second in '2', and so on around: the
  usual ten folds of CK+ are made so.

  Raises:
    ValueError: If there are fewer people than folds, or fewer than two folds.
  """
  people = sorted(set(person_ids))
  if not 2 <= num_folds <= len(people):
    raise ValueError(
      f'{num_folds} folds of {len(people)} people; expected at least 2 folds '
      'and a person for each.'
    )
  return {
    person: str(index % num_folds + 1) for index, person in enumerate(people)
  }


def by_share(
  person_ids: Sequence[str], shares: Mapping[str, float], *, seed: int
) -> dict[str, str]:
  """Returns person -> fold at random, of given shares of the people.

  Args:
    person_ids: the people; their order does not matter.
    shares: from fold to its share, above 0, of sum 1: {'train': 0.7, ...}.
    seed: of the draw.

  Raises:
    ValueError: If the shares are not positive or do not add up to 1.
  """
  if min(shares.values(), default=0) <= 0 or abs(sum(shares.values()) - 1) > (
    1e-6
  ):
    raise ValueError(
      f'The shares {dict(shares)} must be above 0 and add up to 1.'
    )
  people = sorted(set(person_ids))
  drawn = np.random.default_rng(seed).permutation(len(people))
  ends = np.rint(np.cumsum(list(shares.values())) * len(people)).astype(int)
  groups = np.split(drawn, ends[:-1])
  return dict(
    sorted(
      (people[index], fold)
      for fold, group in zip(shares, groups, strict=True)
      for index in group
    )
  )


def read(path: str | pathlib.Path) -> dict[str, str]:
  """Reads person -> fold from a CSV table with columns person_id and fold.

  Raises:
    ValueError: If the file is missing, has other columns, names a person twice
      or holds an unsafe id.
  """
  path = pathlib.Path(path)
  table = tabular.read(path, {'person_id': str, 'fold': str}, only=True)
  folds = {}
  for line, row in enumerate(table.to_dict('records'), start=2):
    person, fold = row['person_id'].strip(), row['fold'].strip()
    if not person or not fold:
      raise ValueError(
        f'{path}, line {line}: expected a person_id and a fold, got {row}.'
      )
    if person in folds:
      raise ValueError(f'{path}, line {line}: {person} is there twice.')
    folds[paths.check_id(person, what=f'{path}: person_id')] = fold
  if not folds:
    raise ValueError(f'{path} names nobody.')
  return folds


def compare(
  folds: Mapping[str, str], person_ids: Sequence[str]
) -> tuple[str, ...]:
  """Returns how a table of folds and the people found differ, as sentences.

  Args:
    folds: person -> fold.
    person_ids: the people found.
  """
  people = set(person_ids)
  sentences = []
  if unlisted := sorted(people - folds.keys()):
    sentences.append(f'in no fold: {", ".join(unlisted)}')
  if absent := sorted(folds.keys() - people):
    sentences.append(
      f'{len(absent)} people of the table of folds are not here: '
      f'{", ".join(absent)}'
    )
  return tuple(sentences)
