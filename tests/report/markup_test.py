from absl.testing import absltest

from psm_jax.report import markup


class MarkupTest(absltest.TestCase):
  def test_text_is_escaped_and_markup_is_not(self):
    inner = markup.tag('b', '<&">')
    self.assertEqual(inner, '<b>&lt;&amp;&quot;&gt;</b>')
    self.assertEqual(markup.tag('p', inner), f'<p>{inner}</p>')

  def test_attributes_are_escaped(self):
    self.assertEqual(
      markup.tag('a', 'x', href='"><script>'),
      '<a href="&quot;&gt;&lt;script&gt;">x</a>',
    )

  def test_attributes_may_be_left_out_or_bare(self):
    self.assertEqual(
      markup.tag('details', open=True, class_=None, aria_label='l'),
      '<details open aria-label="l"></details>',
    )

  def test_nested_children_are_joined(self):
    self.assertEqual(markup.tag('p', ['a', ('<', 1)], None), '<p>a&lt;1</p>')

  def test_cells_of_a_table_are_escaped_and_headed(self):
    table = markup.table(
      'T', [markup.Column('N', 'name'), markup.Column('V')], rows=[('<', 1)]
    )
    self.assertIn('<th scope="row" class="name">&lt;</th>', table)
    self.assertIn('<td class="number">1</td>', table)

  def test_groups_span_their_rows(self):
    columns = [markup.Column(name) for name in 'abc']
    table = markup.table('T', columns, groups=[('G', [(1, 2), (3, 4)])])
    self.assertIn('<th scope="rowgroup" rowspan="2">G</th>', table)
    self.assertEqual(table.count('rowgroup'), 1)

  def test_a_row_of_another_length_is_refused(self):
    with self.assertRaises(ValueError):
      markup.table('T', [markup.Column('a')], rows=[(1, 2)])

  def test_long_tables_are_folded(self):
    table = markup.tag('table')
    self.assertEqual(markup.fold_long(table, 3, 'people'), table)
    self.assertIn('1,000 people', markup.fold_long(table, 1000, 'people'))


if __name__ == '__main__':
  absltest.main()
