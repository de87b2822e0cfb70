import pathlib

from absl.testing import absltest, parameterized

from psm_jax.runs import seal


class SealTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    (self.folder / 'deep').mkdir()
    (self.folder / 'deep' / 'numbers').write_bytes(bytes(range(100)))
    (self.folder / 'empty').write_bytes(b'')
    (self.folder / 'changing').write_text('then')
    seal.write(self.folder, leave_out=('changing',))

  def test_an_unchanged_folder_passes(self):
    (self.folder / 'changing').write_text('now')
    seal.check(self.folder)

  def test_a_folder_is_sealed_anew_without_its_old_seal(self):
    (self.folder / 'empty').write_bytes(b'full')
    seal.write(self.folder, leave_out=('changing',))
    seal.check(self.folder)

  @parameterized.parameters(
    ('deep/numbers', b'\1' + bytes(range(1, 100)), 'deep/numbers is damaged'),
    ('deep/numbers', bytes(range(99)), '99 bytes .* but 100'),
    ('empty', b'1', 'empty is damaged'),
    ('seal.json', b'', 'seal.json is damaged'),
    ('seal.json', b'\xff', 'seal.json is damaged'),
    ('seal.json', b'[]', 'seal.json is damaged'),
    ('seal.json', b'{"files": {}, "sha256": 1}', 'seal.json is damaged'),
    ('seal.json', b'[' * 100_000, 'seal.json is damaged'),
  )
  def test_a_changed_file_is_named(self, name, content, message):
    (self.folder / name).write_bytes(content)
    with self.assertRaisesRegex(ValueError, message):
      seal.check(self.folder)

  @parameterized.parameters('deep/numbers', 'empty', 'seal.json')
  def test_a_missing_file_is_named(self, name):
    (self.folder / name).unlink()
    with self.assertRaisesRegex(ValueError, f'{name} cannot be read'):
      seal.check(self.folder)

  def test_every_flipped_bit_of_the_seal_is_noticed(self):
    path = self.folder / 'seal.json'
    whole = path.read_bytes()
    for place in range(len(whole)):
      for bit in range(8):
        data = bytearray(whole)
        data[place] ^= 1 << bit
        path.write_bytes(data)
        with self.assertRaises(ValueError):
          seal.check(self.folder)


if __name__ == '__main__':
  absltest.main()
