import pathlib

from absl.testing import absltest

from psm_jax.data.labels import table_files


class AssignTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def _assign(self, tables, videos):
    for name in tables:
      path = self.folder / name
      path.parent.mkdir(exist_ok=True, parents=True)
      path.write_text('frame\n')
    assigned, problems = table_files.assign(
      self.folder,
      {name: [*table_files.names_of(name), an_id] for name, an_id in videos},
    )
    return {
      name: path.relative_to(self.folder).as_posix()
      for name, path in assigned.items()
    }, '\n'.join(map(': '.join, problems))

  def test_tables_lie_and_are_called_as_videos_are(self):
    videos = [
      'P1/Gespräch 1 (Teil 2).mp4',
      'P2/实验.MOV',
      'P2/a.b.mkv',
      'c.mp4',
    ]
    tables = ['P1/Gespra\u0308ch 1 (Teil 2).csv', 'P2/实验.tsv', 'P2/a.b.csv']
    assigned, problems = self._assign(
      [*tables, 'c.mp4.csv'], [(name, str(i)) for i, name in enumerate(videos)]
    )
    self.assertEqual(
      [assigned[name] for name in videos], [*tables, 'c.mp4.csv']
    )
    self.assertEqual(problems, '')

  def test_a_table_may_lie_elsewhere_or_be_called_by_the_id(self):
    assigned, _ = self._assign(
      ['x.csv', 'b-1234.csv'], [('s1/x.mp4', 's1-x'), ('ß b.mp4', 'b-1234')]
    )
    self.assertEqual(assigned, {'s1/x.mp4': 'x.csv', 'ß b.mp4': 'b-1234.csv'})

  def test_two_videos_of_one_name_never_get_one_table(self):
    assigned, problems = self._assign(
      ['x.csv', 'y.csv', 's1/z.csv'],
      [
        ('s1/x.mp4', 'i'),
        ('s2/x.mp4', 'j'),
        # Its id is its name.
        ('y.mp4', 'y'),
        ('y.avi', 'l'),
        ('s1/z.mp4', 'm'),
        ('s2/z.mp4', 'n'),
      ],
    )
    self.assertEqual(assigned, {'s1/z.mp4': 's1/z.csv'})
    self.assertIn('could also be of s2/x.mp4; call it s1/x.mp4.csv', problems)
    self.assertIn('y.csv: belongs to no video', problems)

  def test_tables_lie_below_the_folder_of_videos_named_elsewhere(self):
    videos = [('../v/P1/x.mp4', 'i'), ('/v/a/P2/x.mp4', 'j')]
    tables = ['P1/x.csv', 'P2/x.csv', 'x.csv']
    assigned, problems = self._assign(tables, videos)
    self.assertEqual(list(assigned.values()), ['P1/x.csv', 'P2/x.csv'])
    self.assertIn('x.csv: belongs to no video', problems)

  def test_two_tables_of_one_name_are_asked_about(self):
    assigned, problems = self._assign(['x.csv', 'x.tsv'], [('x.mp4', 'x')])
    self.assertEmpty(assigned)
    self.assertIn('x.csv or x.tsv?', problems)

  def test_a_missing_folder_is_named(self):
    with self.assertRaisesRegex(ValueError, 'none is not there'):
      table_files.assign(self.folder / 'none', {})


if __name__ == '__main__':
  absltest.main()
