import pathlib

import numpy as np
import pandas as pd
import pyarrow as pa
from absl.testing import absltest, parameterized
from pyarrow import parquet

from psm_jax import tabular

_ROWS = {'frame': ['1', '2'], 'AU12_r': ['0.5', '-1.25']}


class TabularTest(parameterized.TestCase):
  def _path(self, content):
    path = pathlib.Path(self.create_tempdir().full_path) / 'a.csv'
    path.write_bytes(content)
    return path

  def _read(self, content):
    return tabular.read(self._path(content), {}).to_dict('list')

  @parameterized.parameters(
    'frame,AU12_r\n1,0.5\n2,-1.25\n',
    ' frame , AU12_r\r\n1, 0.5\r\n2, -1.25\r\n',
    'frame;AU12_r\n1;0,5\n2;-1,25\n',
    'frame\tAU12_r\n1\t0,5\n2\t-1.25\n',
    'sep=;\nframe;AU12_r\n1;0.5\n2;-1.25\n',
    '"sep=,"\n"frame","AU12_r"\n"1","0.5"\n"2","-1.25"\n',
    # Some write a comma behind each row, and an empty line at the end.
    '\nframe,AU12_r\n1,0.5,\n2,-1.25,\n\n',
  )
  def test_one_table_however_it_is_written(self, text):
    for encoding in ('utf-8', 'utf-8-sig', 'utf-16'):
      self.assertEqual(self._read(text.encode(encoding)), _ROWS)

  def test_commas_between_columns_are_decimal_commas_in_quotes_alone(self):
    self.assertEqual(self._read(b'a,b\n"1,5",2\n'), {'a': ['1.5'], 'b': ['2']})
    thousands = self._read(b'a,b\n"1,234",2\n"999",2\n')
    self.assertEqual(thousands['a'], ['1,234', '999'])

  def test_a_last_row_that_was_cut_short_is_left_out(self):
    self.assertEqual(
      self._read(b'frame,AU12_r,AU13_r\n1,0.5,1\n2,0.'),
      {'frame': ['1'], 'AU12_r': ['0.5'], 'AU13_r': ['1']},
    )
    self.assertEqual(self._read(b'a,b\n1,2\n3,4')['b'], ['2', '4'])

  def test_cells_beyond_the_head_may_be_empty(self):
    self.assertEqual(self._read(b'a,b\n1,2,,,\n'), {'a': ['1'], 'b': ['2']})

  @parameterized.parameters('1,0,5\n2,1\n', '1,5\n2,1,,7\n')
  def test_a_row_with_more_cells_than_the_head_is_refused(self, rows):
    with self.assertRaisesRegex(ValueError, 'a.csv.*more cells'):
      self._read(f'frame,AU12_r\n{rows}'.encode())

  def test_cells_missing_at_the_end_of_a_row_are_empty(self):
    self.assertEqual(
      self._read(b'a,b,c\n1\n4,5,6\n'),
      {'a': ['1', '4'], 'b': ['', '5'], 'c': ['', '6']},
    )

  def test_capitals_tell_names_apart(self):
    self.assertEqual(
      self._read(b'x_0,X_0\n1,2\n'), {'x_0': ['1'], 'X_0': ['2']}
    )
    with self.assertRaisesRegex(ValueError, "more than one column \\['x_0'\\]"):
      self._read(b'x_0, x_0\n1,2\n')

  @parameterized.parameters(
    (b'PK\x03\x04rest', 'Excel workbook .*CSV UTF-8'),
    (b'\xd0\xcf\x11\xe0rest', 'Excel workbook .*xls.*CSV UTF-8'),
    (b'<html><table>', 'HTML.*CSV UTF-8'),
    ('frame,AU12\n1,2\n'.encode('utf-16-le'), 'UTF-16.*CSV UTF-8'),
    ('frame,ü\n1,2\n'.encode('latin-1'), 'than UTF-8.*CSV UTF-8'),
    (b' \n\n', 'is empty'),
    ('\N{EM SPACE}\n'.encode(), 'is empty'),
    (b'\xff\xfe', 'is empty'),
    (b'sep=#\na#b\n', "says 'sep=#' in its first line"),
    (b'"a\nb",c\n1,2\n', 'over 2 lines; expected .* in one line'),
    (b'"' + b'a' * 131_073 + b'"', 'no head of names: field larger'),
    (b',' * (1 << 14), 'a head of 16385 names'),
    (b',' * 9_999 + b'\n1' * 5_000, 'far shorter: it is no table'),
  )
  def test_what_is_no_such_table_is_named_and_how_to_save_it(
    self, content, text
  ):
    with self.assertRaisesRegex(ValueError, text):
      self._read(content)

  def test_a_line_that_is_being_written_is_left_out(self):
    path = self._path(b'a,b\n1,2\n3')
    table = tabular.read(path, {'b': int}, is_growing=True)
    self.assertEqual(table['b'].tolist(), [2])
    table = tabular.read(self._path(b'a,b'), {'b': int}, is_growing=True)
    self.assertEqual((len(table), list(table)), (0, ['b']))


class FitTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  @parameterized.parameters('a.csv', 'a.parquet')
  def test_columns_become_numbers_and_text(self, name):
    rows = pd.DataFrame({'id': ['007', 'NA'], 'n': [3, -4], 'x': [1.5, np.nan]})
    path = self.folder / name
    if path.suffix == '.csv':
      rows.to_csv(path, index=False)
    else:
      rows.to_parquet(path, index=False)
    table = tabular.read(path, {'n': int, 'x': float, 'id': str})
    self.assertEqual(table['id'].tolist(), ['007', 'NA'])
    self.assertEqual(table['n'].tolist(), [3, -4])
    self.assertEqual(table['n'].dtype, np.int64)
    np.testing.assert_array_equal(table['x'], [1.5, np.nan])
    only = tabular.read(path, {'x': float}, only=True)
    self.assertEqual(list(only), ['x'])

  @parameterized.parameters(
    ({'n': ['1', 'b']}, int, "row 2 of data: n should be a whole .* is 'b'"),
    ({'n': ['1', '']}, int, "row 2 of data: n should be a whole .* is ''"),
    ({'n': ['1.5']}, int, "n should be a whole number, but is '1.5'"),
    ({'n': ['1e99']}, int, 'n should be a whole number'),
    ({'n': ['a' * 99]}, float, "n should be a number, but is 'aaa.*[.]{3}"),
    ({'n': [0.5]}, str, 'n should be text, but is .*0.5'),
    ({'n': ['a', None]}, str, 'row 2 of data: n should be text'),
    ({'n': [2.5]}, int, 'n should be a whole number, but is .*2.5'),
    ({'n': [[1, 2]]}, float, 'n should be a number, but is .*1, 2'),
    ({'m': [1]}, float, r"lacks the columns \['n'\]; it has \['m'\]"),
  )
  def test_what_does_not_fit_is_named(self, columns, kind, message):
    path = self.folder / 'a.parquet'
    pd.DataFrame(columns).to_parquet(path, index=False)
    with self.assertRaisesRegex(ValueError, f'a.parquet.*{message}'):
      tabular.read(path, {'n': kind})

  @parameterized.parameters('datetime64[ns]', 'float64', 'bool', 'object')
  def test_no_rows_are_of_any_kind(self, dtype):
    path = self.folder / 'a.parquet'
    pd.DataFrame({'n': pd.Series([], dtype=dtype)}).to_parquet(path)
    for kind in (int, float, str):
      self.assertEmpty(tabular.read(path, {'n': kind}))

  def test_a_changed_page_is_no_other_number(self):
    path = self.folder / 'a.parquet'
    rows = pd.DataFrame({'x': np.arange(1000.0)})
    rows.to_parquet(path, index=False, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)
    with self.assertRaisesRegex(ValueError, 'a.parquet is no .* checksum'):
      tabular.read(path, {})

  @parameterized.parameters(
    (pa.array(np.zeros(40_000_000, np.float32)), 'claims 40000000 cells'),
    (pa.array(['t' * 9_999_999]).take(pa.array([0] * 99)), 'too much text'),
  )
  def test_a_table_that_claims_more_than_it_is_is_refused(self, column, text):
    path = self.folder / 'a.parquet'
    parquet.write_table(pa.table({'x': column}), path)
    self.assertLess(path.stat().st_size, 2_000_000)
    with self.assertRaisesRegex(ValueError, f'a.parquet is no .*: .*{text}'):
      tabular.read(path, {})

  def test_a_file_that_cannot_be_read_is_named(self):
    for name in ('none.csv', 'none.parquet'):
      with self.assertRaisesRegex(ValueError, f'{name} .*[Nn]o such'):
        tabular.read(self.folder / name, {})


if __name__ == '__main__':
  absltest.main()
