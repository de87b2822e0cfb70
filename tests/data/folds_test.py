import pathlib

from absl.testing import absltest, parameterized

from psm_jax.data import folds

# The parts as ME-GraphAU lists them; fold 1 tests part 3, fold 3 part 1.
_PARTS = {
  'disfa': (
    'SN002 SN010 SN001 SN026 SN027 SN032 SN030 SN009 SN016',
    'SN013 SN018 SN011 SN028 SN012 SN006 SN031 SN021 SN024',
    'SN003 SN029 SN023 SN025 SN008 SN005 SN007 SN017 SN004',
  ),
  'bp4d': (
    'F001 M007 F018 F008 F002 M004 F010 F009 M012 M001 F016 M014 F023 M008',
    'M011 F003 M010 M002 F005 F022 M018 M017 F013 M016 F020 F011 M013 M005',
    'F007 F015 F006 F019 M006 M009 F012 M003 F004 F021 F017 M015 F014',
  ),
}


class PublishedTest(parameterized.TestCase):
  @parameterized.parameters('disfa', 'bp4d')
  def test_each_fold_tests_the_published_part(self, kind):
    expected = {
      person: str(fold)
      for fold, part in zip((3, 2, 1), _PARTS[kind], strict=True)
      for person in part.split()
    }
    self.assertEqual(folds.published(kind), expected)

  def test_bp4d_names_every_number_once(self):
    women = [p for p in folds.published('bp4d') if p[0] == 'F']
    self.assertCountEqual(women, [f'F{n:03d}' for n in range(1, 24)])

  def test_other_data_have_none(self):
    self.assertEmpty(folds.published('frame_folder'))


class MadeTest(parameterized.TestCase):
  def test_by_order_goes_around_the_sorted_ids(self):
    made = folds.by_order(['S3', 'S1', 'S2', 'S9'], num_folds=3)
    self.assertEqual(made, {'S1': '1', 'S2': '2', 'S3': '3', 'S9': '1'})

  @parameterized.parameters(1, 5)
  def test_by_order_needs_a_person_a_fold(self, num_folds):
    with self.assertRaisesRegex(ValueError, f'{num_folds} folds of 4 people'):
      folds.by_order('ABCD', num_folds=num_folds)

  def test_by_share_uses_everybody_once_whatever_the_order(self):
    people = [f'id{n:05d}' for n in range(50)]
    shares = {'train': 0.7, 'val': 0.1, 'test': 0.2}
    made = folds.by_share(people, shares, seed=0)
    self.assertEqual(made, folds.by_share(people[::-1], shares, seed=0))
    self.assertNotEqual(made, folds.by_share(people, shares, seed=1))
    counts = [list(made.values()).count(fold) for fold in shares]
    self.assertEqual(counts, [35, 5, 10])
    self.assertCountEqual(made, people)

  @parameterized.parameters({'a': 0.5}, {'a': 1.5, 'b': -0.5}, {})
  def test_shares_must_add_up(self, **shares):
    with self.assertRaisesRegex(ValueError, 'add up to 1'):
      folds.by_share(['A', 'B'], shares, seed=0)


class ReadTest(parameterized.TestCase):
  def _read(self, content):
    path = pathlib.Path(self.create_tempdir().full_path) / 'folds.csv'
    path.write_text(content)
    return folds.read(path)

  def test_a_table_of_people_is_read(self):
    self.assertEqual(
      self._read('person_id, fold\nA,1\nB, test\n'), {'A': '1', 'B': 'test'}
    )

  @parameterized.parameters(
    ('person,fold\nA,1\n', r"lacks the columns \['person_id'\]"),
    ('person_id,fold\nA,1\nA,2\n', 'line 3: A is there twice'),
    ('person_id,fold\n../A,1\n', 'not a safe name'),
    ('person_id,fold\n', 'names nobody'),
  )
  def test_a_wrong_table_is_refused(self, content, message):
    with self.assertRaisesRegex(ValueError, message):
      self._read(content)

  def test_a_missing_table_is_named(self):
    with self.assertRaisesRegex(ValueError, '/nowhere/folds.csv'):
      folds.read('/nowhere/folds.csv')


class CompareTest(absltest.TestCase):
  def test_differences_are_named_both_ways(self):
    self.assertEqual(
      folds.compare({'A': '1', 'B': '2'}, ['B', 'C']),
      (
        'in no fold: C',
        '1 people of the table of folds are not here: A',
      ),
    )

  def test_agreement_says_nothing(self):
    self.assertEmpty(folds.compare({'A': '1'}, ['A']))


if __name__ == '__main__':
  absltest.main()
