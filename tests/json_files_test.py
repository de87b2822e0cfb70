import pathlib
from typing import Any

from absl.testing import absltest, parameterized

from psm_jax import json_files

_SHAPE = {
  'name': str,
  'rate': float,
  'end': (int, type(None)),
  'items': [{'sizes': [int]}],
  'more': Any,
  'on': bool,
}
_GOOD = (
  '{"name": "a", "rate": 1, "end": null, "items": [{"sizes": [1, 2]}], '
  '"more": {"x": []}, "on": true, "beyond": 0}'
)


class JsonFilesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(self.create_tempdir().full_path) / 'some.json'

  def _read(self, text, shape=_SHAPE, **options):
    self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return json_files.read(self.path, shape, **options)

  def test_what_fits_is_returned(self):
    content = self._read(_GOOD)
    self.assertEqual(content['items'], [{'sizes': [1, 2]}])
    self.assertEqual(content['beyond'], 0)

  @parameterized.parameters(
    ('"name": "a"', '"name": 3', 'name should be text, but is 3'),
    ('"rate": 1', '"rate": true', 'rate should be a number, but is True'),
    ('"rate": 1', '"rate": NaN', 'rate should be a number, but is nan'),
    ('null', '1.5', 'end should be a whole number or null, but is 1.5'),
    ('[1, 2]', '[1, "2"]', r"items\[0\].sizes\[1\] should be .*, but is '2'"),
    ('[1, 2]', '{}', r'items\[0\].sizes should be a list, but is {}'),
    ('"sizes"', '"size"', r"there is no 'sizes' in items\[0\]"),
    ('"on": true', '"on": 1', 'on should be true or false, but is 1'),
    ('"more": {"x": []}, ', '', "there is no 'more'"),
  )
  def test_what_does_not_fit_is_named(self, part, other, message):
    with self.assertRaisesRegex(ValueError, f'some.json: {message}'):
      self._read(_GOOD.replace(part, other))

  @parameterized.parameters(
    ('', 'no JSON file'),
    (b'\xff\xfe', 'no JSON file'),
    ('[' * 100_000, 'no JSON file'),
    ('[]', 'the whole should be an object, but is '),
  )
  def test_what_is_no_object_is_named(self, text, message):
    with self.assertRaisesRegex(ValueError, f'some.json.*{message}'):
      self._read(text)

  def test_a_large_file_is_refused_before_it_is_read(self):
    with self.assertRaisesRegex(ValueError, 'has 900 bytes; at most 800'):
      self._read(' ' * 900, max_bytes=800)

  def test_a_missing_file_is_named(self):
    with self.assertRaisesRegex(
      ValueError, 'some.json cannot be read: No such'
    ):
      json_files.read(self.path, Any)


if __name__ == '__main__':
  absltest.main()
