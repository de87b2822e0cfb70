import dataclasses

import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.evaluation import person_independent, splits
from tests.evaluation import people

_PEOPLE = [f'P{number}' for number in range(7)]


def _tables(*columns):
  """Returns a table a person, with a column fold where it is given."""
  found = []
  for person_id, fold in zip(_PEOPLE, columns or [None] * 7, strict=False):
    table = people.table(people.frames(person_id, num_videos=1, length=4))
    if fold is not None:
      table = dataclasses.replace(table, frames=table.frames.assign(fold=fold))
    found.append(table)
  return found


def _deal(tables, **options):
  return person_independent.deal(
    tables,
    **{
      'folds': None,
      'num_folds': 3,
      'num_partitions': 4,
      'seed': 0,
      **options,
    },
  )


class DealTest(parameterized.TestCase):
  def test_everybody_is_in_one_fold_of_every_partition(self):
    dealt, left_out = _deal(_tables())
    self.assertLen(dealt, 4)
    for of in dealt:
      self.assertCountEqual(of, _PEOPLE)
      counts = np.unique(list(of.values()), return_counts=True)[1]
      self.assertCountEqual(counts, [2, 2, 3])
    self.assertLen({tuple(sorted(of.items())) for of in dealt}, 4)
    self.assertEmpty(left_out)

  def test_given_folds_come_first_and_who_is_in_none_is_named(self):
    folds = {person: 'ab'[index % 2] for index, person in enumerate(_PEOPLE)}
    folds['somebody else'] = 'c'
    del folds['P3']
    dealt, left_out = _deal(_tables(), folds=folds)
    self.assertEqual(dealt[0], {p: folds[p] for p in _PEOPLE if p in folds})
    self.assertEqual(left_out, ['P3'])
    self.assertLen(dealt, 4)
    # As many folds as were given.
    self.assertEqual(set(dealt[1].values()), {'1', '2'})
    self.assertEqual(dealt[1:], _deal(_tables(), num_folds=2)[0][1:])

  def test_a_column_fold_is_the_first_partition(self):
    dealt, _ = _deal(_tables(1.0, 2.0, 1.0))
    self.assertEqual(dealt[0], {'P0': '1', 'P1': '2', 'P2': '1'})

  def test_given_folds_go_before_the_column(self):
    folds = {'P0': 'a', 'P1': 'a', 'P2': 'b'}
    dealt, _ = _deal(_tables(1.0, 2.0, 1.0), folds=folds)
    self.assertEqual(dealt[0], folds)

  def test_a_person_in_two_folds_is_an_error(self):
    with self.assertRaisesRegex(ValueError, "person P1 holds.*'0', '1'"):
      _deal(_tables('0', ['0', '0', '1', '1']))

  @parameterized.parameters((3, '3 folds of 2 people'), (1, '1 folds'))
  def test_too_few_people_or_folds_are_a_reason(self, num_folds, message):
    with self.assertRaisesRegex(splits.Impossible, message):
      _deal(_tables()[:2], num_folds=num_folds)


if __name__ == '__main__':
  absltest.main()
