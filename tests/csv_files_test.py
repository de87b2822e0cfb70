import csv
import io

import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax import csv_files


class CsvFilesTest(parameterized.TestCase):
  @parameterized.parameters(
    '=1+1', '+cmd', '-2+3', '@SUM(A1)', '\t=1', '\r=1', '-', '=', '+-1'
  )
  def test_a_formula_is_text(self, text):
    self.assertEqual(csv_files.safe(text), f"'{text}")

  @parameterized.parameters('', 'P01', '-1', '+2.5e3', '-inf', 'a=b', "'=1")
  def test_other_text_and_numbers_stay(self, text):
    self.assertEqual(csv_files.safe(text), text)

  def test_every_text_of_a_table_is_safe_and_numbers_are_formatted(self):
    table = pd.DataFrame(
      {
        'fold': ['=1', 'b'],
        'kind': pd.Categorical(['@x', 'y']),
        '-value': [-1.23456789, float('nan')],
        'count': [-1, 2],
        'mixed': [None, -3],
      }
    )
    text = csv_files.text_of(table, float_format='%.3g')
    rows = list(csv.reader(io.StringIO(text)))
    self.assertEqual(rows[0], ['fold', 'kind', "'-value", 'count', 'mixed'])
    self.assertEqual(rows[1][:4], ["'=1", "'@x", '-1.23', '-1'])
    self.assertEqual(rows[2][:4], ['b', 'y', '', '2'])
    self.assertEqual(table['fold'].tolist(), ['=1', 'b'])

  def test_an_empty_table_has_its_columns(self):
    table = pd.DataFrame(columns=['a', '=b'])
    self.assertEqual(csv_files.text_of(table), "a,'=b\n")


if __name__ == '__main__':
  absltest.main()
