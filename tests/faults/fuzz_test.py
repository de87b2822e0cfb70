"""A short form of `fuzz`: a few damaged files for every reader."""

import functools
import pathlib
import tempfile

import pytest
from absl.testing import absltest

pytest.importorskip('hypothesis')

from tests.faults import fuzz, readers  # noqa: E402 (they import hypothesis)


class FuzzTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
    cls.readers = cls.enterClassContext(readers.prepared(folder))

  @pytest.mark.thorough
  def test_a_damaged_file_is_refused_by_name_or_read(self):
    for name, reader in self.readers.items():
      take = functools.partial(fuzz.check, reader, expected=reader.outcome())
      with self.subTest(name):
        fuzz.give(reader, 6, seed=0, take=take)


if __name__ == '__main__':
  absltest.main()
