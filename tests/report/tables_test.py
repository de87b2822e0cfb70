import jinja2
from absl.testing import absltest

from psm_jax.report import page, tables

_TEMPLATE = "{% from 'parts.html.j2' import table with context %}{{ table(t) }}"


def _written(*args, **options):
  """Returns a table as the page writes it."""
  template = page.TEMPLATES.from_string(_TEMPLATE)
  return template.render(t=tables.Table(*args, **options))


class TablesTest(absltest.TestCase):
  def test_cells_are_escaped_and_headed(self):
    columns = [*tables.names('N'), *tables.numbers('V')]
    content = _written('T', columns, rows=[('<', tables.bold('&'))])
    self.assertIn('<th scope="row" class="name">&lt;</th>', content)
    self.assertIn('<td class="number"><b>&amp;</b></td>', content)

  def test_groups_span_their_rows(self):
    groups = [('G', [(1, 2), (3, 4)])]
    content = _written('T', tables.numbers(*'abc'), groups=groups)
    self.assertIn('<th scope="rowgroup" rowspan="2">G</th>', content)
    self.assertEqual(content.count('rowgroup'), 1)

  def test_a_row_of_more_cells_than_columns_is_refused(self):
    with self.assertRaises(jinja2.UndefinedError):
      _written('T', tables.numbers('a'), rows=[(1, 2)])

  def test_long_tables_are_folded(self):
    for number, is_folded in ((3, False), (1000, True)):
      rows = [(1,)] * number
      content = _written('T', tables.numbers('a'), rows=rows, of='people')
      self.assertEqual('Table of 1,000 people' in content, is_folded)
      self.assertEqual('<details>' in content, is_folded)

  def test_an_interval_stands_below_its_mean(self):
    cell = tables.with_interval(0.04, 0.001, 0.09, is_signed=True)
    self.assertEqual(cell, '+.040<span class="interval">+.001 to +.090</span>')
    nothing = float('nan')
    self.assertEqual(tables.with_interval(0.4, nothing, nothing), '.40')


if __name__ == '__main__':
  absltest.main()
