import pathlib

from absl.testing import absltest, parameterized

from psm_jax.data.labels import tables

_ROWS = {'frame': ['1', '2'], 'AU12_r': ['0.5', '-1.25']}


class TablesTest(parameterized.TestCase):
  def _path(self, content):
    path = pathlib.Path(self.create_tempdir().full_path) / 'a.csv'
    path.write_bytes(content)
    return path

  def _read(self, content):
    return tables.read(self._path(content)).to_dict('list')

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
  )
  def test_what_is_no_such_table_is_named_and_how_to_save_it(
    self, content, text
  ):
    with self.assertRaisesRegex(ValueError, text):
      self._read(content)


if __name__ == '__main__':
  absltest.main()
