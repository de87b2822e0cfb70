"""A store comes out of its pack; damage and other files are named."""

import io
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow as pa
from absl.testing import absltest, parameterized

from psm_jax.data import pack, store
from tests.data import stores

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_SIZE = 16
_FPS = {('p0', 'v1'): 20.0, ('p0', 'v2'): 20.0, ('p1', 'v1'): 12.5}
_LENGTHS = (5, 4, 6)


def _smooth(num_frames):
  """Returns frames without noise: coloured slopes that move."""
  ramp = np.arange(_SIZE)
  time = np.arange(num_frames)[:, None, None]
  channels = [
    8 * ramp[None, :, None] + 5 * time + 0 * ramp,
    8 * ramp[None, None, :] + 0 * ramp[:, None] + 2 * time,
    np.broadcast_to(9 * time, (num_frames, _SIZE, _SIZE)),
  ]
  return np.stack(channels, -1).astype(np.uint8).reshape(num_frames, -1)


def _write_store(path, *, dimmed=0):
  rows = [
    (person, video, 3 + frame, frame / fps, float(frame))
    for ((person, video), fps), length in zip(
      _FPS.items(), _LENGTHS, strict=True
    )
    for frame in range(length)
  ]
  index = pd.DataFrame(rows, columns=[*store.KEY_COLUMNS, 'AU12'])
  stores.write(
    path,
    _smooth(len(rows)) - np.minimum(_smooth(len(rows)), dimmed),
    index,
    size_px=_SIZE,
    fps=_FPS,
    problems=[{'path': 'p0/v1/9', 'reason': 'unreadable'}],
    source={'kind': 'frame_folder', 'fingerprint': 'abc'},
  )
  return store.open_store(path)


def _members(path):
  with tarfile.open(path) as archive:
    return {
      name: archive.extractfile(name).read() for name in archive.getnames()
    }


def _write_members(path, members):
  with tarfile.open(path, 'w') as archive:
    for name, content in members.items():
      member = tarfile.TarInfo(name)
      member.size = len(content)
      archive.addfile(member, io.BytesIO(content))


class PackTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.shared = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.store = _write_store(cls.shared / 'store')
    cls.png, cls.jpeg = cls.shared / 'png.pack', cls.shared / 'jpeg.pack'
    pack.write(cls.store, cls.png, encoding='png')
    cls.mean_psnr, cls.least_psnr = pack.write(cls.store, cls.jpeg)

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def _unpacked(self, path):
    return store.open_store(pack.unpack(path, directory=self.folder / 'cache'))

  def test_png_gives_the_store_back_bit_for_bit(self):
    opened = self._unpacked(self.png)
    np.testing.assert_array_equal(opened.frames, self.store.frames)
    pd.testing.assert_frame_equal(opened.index, self.store.index)
    self.assertEqual(opened.videos_by_person, self.store.videos_by_person)
    self.assertEqual(opened.problems, self.store.problems)
    self.assertEqual(opened.source['fingerprint'], 'abc')
    self.assertEqual(
      opened.source['packed'],
      {'encoding': 'png', 'quality': None, 'psnr_db': None},
    )

  def test_jpeg_loses_as_little_as_it_says(self):
    opened = self._unpacked(self.jpeg)
    error = opened.frames[:].astype(float) - self.store.frames[:]
    psnr = 10 * np.log10(255**2 / np.mean(error**2, axis=1))
    self.assertAlmostEqual(psnr.min(), self.least_psnr, places=3)
    self.assertAlmostEqual(psnr.mean(), self.mean_psnr, places=3)
    self.assertGreater(psnr.min(), 35)
    np.testing.assert_allclose(
      opened.source['packed']['psnr_db'], [psnr.mean(), psnr.min()], atol=1e-3
    )
    pd.testing.assert_frame_equal(opened.index, self.store.index)

  def test_a_lower_quality_is_smaller_and_loses_more(self):
    path = self.folder / 'low'
    low, _ = pack.write(self.store, path, quality=40)
    smaller, larger = (
      sum(map(len, _members(file).values())) for file in (path, self.jpeg)
    )
    self.assertLess(smaller, larger)
    self.assertLess(low, self.mean_psnr - 1)

  def test_unpacking_again_uses_what_is_there(self):
    first = pack.unpack(self.png, directory=self.folder)
    with mock.patch.object(pack, '_decoder', side_effect=AssertionError):
      again = pack.unpack(self.png, directory=self.folder)
    self.assertEqual(again, first)
    self.assertNotEqual(pack.unpack(self.jpeg, directory=self.folder), first)

  def test_only_the_owner_may_read_either(self):
    self.assertEqual(stat.S_IMODE(self.png.stat().st_mode), 0o600)
    cache = self.folder / 'cache'
    folder = pack.unpack(self.png, directory=cache)
    self.assertEqual(stat.S_IMODE(cache.stat().st_mode), 0o700)
    self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)

  def test_a_pack_is_a_tar_file_of_pictures(self):
    members = _members(self.png)
    self.assertEqual(list(members), ['p0.arrow', 'p1.arrow', 'store.json'])
    self.assertEqual(json.loads(members['store.json'])['size_px'], _SIZE)
    table = pa.ipc.open_file(members['p1.arrow']).read_all()
    self.assertEqual(table['frame'].to_pylist(), list(range(3, 9)))
    for picture in table['picture'].to_pylist():
      self.assertStartsWith(picture, b'\x89PNG\r\n')

  def test_an_existing_file_is_not_written_over(self):
    with self.assertRaisesRegex(ValueError, 'png.pack exists'):
      pack.write(self.store, self.png)

  def test_packing_again_gives_the_same_bytes(self):
    again = pathlib.Path(self.folder) / 'again.pack'
    pack.write(self.store, again, encoding='png')
    self.assertEqual(again.read_bytes(), pathlib.Path(self.png).read_bytes())

  def test_no_tensorflow_is_imported(self):
    code = (
      'import sys\n'
      'from psm_jax.data import pack\n'
      'pack.unpack(sys.argv[1], directory=sys.argv[2])\n'
      "print([m for m in ('tensorflow', 'jax') if m in sys.modules])\n"
    )
    result = subprocess.run(
      [sys.executable, '-c', code, self.jpeg, self.folder],
      cwd=_ROOT,
      capture_output=True,
      text=True,
      check=False,
    )
    self.assertEqual(result.stdout, '[]\n', result.stderr)


class DamageTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.shared = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.store = _write_store(cls.shared / 'store')
    cls.whole = cls.shared / 'whole.pack'
    pack.write(cls.store, cls.whole, encoding='png')
    cls.content = cls.whole.read_bytes()

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.path = self.folder / 'damaged.pack'
    self.cache = self.folder / 'cache'

  def _assert_refused(self, content, message):
    self.path.write_bytes(content)
    with self.assertRaisesRegex(ValueError, f'damaged.pack.*{message}'):
      pack.unpack(self.path, directory=self.cache)
    self.assertEmpty(list(self.cache.glob('*')))

  def _flipped(self, position):
    content = bytearray(self.content)
    content[position] ^= 0x10
    return bytes(content)

  @parameterized.parameters(0.1, 0.5, 0.9, 0.999)
  def test_a_pack_cut_short_is_refused(self, share):
    # What follows the last member's content is empty.
    size = int(share * len(self.content.rstrip(b'\0')))
    self._assert_refused(self.content[:size], 'damaged')

  def test_a_damaged_person_is_named(self):
    at = self.content.rindex(b'ARROW1') - 60
    self._assert_refused(self._flipped(at), 'p1.arrow: its checksum')

  def test_a_member_of_another_pack_is_refused(self):
    _write_store(self.folder / 'other', dimmed=1)
    pack.write(
      store.open_store(self.folder / 'other'),
      self.folder / 'other.pack',
      encoding='png',
    )
    other = _members(self.folder / 'other.pack')
    members = _members(self.whole) | {'p1.arrow': other['p1.arrow']}
    _write_members(self.path, members)
    with self.assertRaisesRegex(ValueError, 'p1.arrow: its checksum'):
      pack.unpack(self.path, directory=self.cache)

  def test_any_flipped_byte_is_refused_or_harmless(self):
    positions = np.linspace(0, len(self.content) - 1, 60).astype(int)
    # The tar file's first header too.
    positions = {*positions.tolist(), *range(0, 512, 12)}
    refused = 0
    for position in sorted(positions):
      self.path.write_bytes(self._flipped(position))
      try:
        folder = pack.unpack(self.path, directory=self.cache)
      except ValueError as error:
        self.assertIn('damaged.pack', str(error), position)
        refused += 1
        continue
      opened = store.open_store(folder)
      np.testing.assert_array_equal(opened.frames, self.store.frames)
      pd.testing.assert_frame_equal(opened.index, self.store.index)
      shutil.rmtree(self.cache)
    # The rest only fill up blocks.
    self.assertGreater(refused, 60)

  @parameterized.parameters(
    (b'', 'is no frame pack'), (b'GIF89a and more', 'is no frame pack')
  )
  def test_other_files_are_refused(self, content, message):
    self._assert_refused(content, message)

  def test_other_tar_files_are_refused(self):
    _write_members(self.path, {'../evil': b'x'})
    with self.assertRaisesRegex(ValueError, "no frame pack.*store.json' not"):
      pack.unpack(self.path, directory=self.cache)
    self.assertFalse((self.folder / 'evil').exists())

  def test_a_later_version_is_refused(self):
    members = _members(self.whole)
    described = json.loads(members['store.json']) | {'schema_version': 4}
    members['store.json'] = json.dumps(described).encode()
    _write_members(self.path, members)
    with self.assertRaisesRegex(ValueError, 'schema version 4, .* reads 3'):
      pack.unpack(self.path, directory=self.cache)

  def test_a_missing_file_is_named(self):
    with self.assertRaisesRegex(ValueError, 'gone.pack is no file'):
      pack.unpack(self.folder / 'gone.pack', directory=self.cache)


class ProgramTest(absltest.TestCase):
  def test_a_store_is_packed_and_unpacked(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    _write_store(folder / 'store')

    def start(*arguments):
      return subprocess.run(
        [sys.executable, '-m', 'launch.pack', *arguments],
        cwd=_ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
      )

    ended = start(f'--store={folder}/store', f'--out={folder}/a.pack')
    self.assertEqual(ended.returncode, 0, ended.stderr)
    self.assertRegex(ended.stderr, r'Packed 15 frames .* MB, PSNR \d\d\.\d dB')
    ended = start(f'--pack={folder}/a.pack', f'--out={folder}/cache')
    self.assertEqual(ended.returncode, 0, ended.stderr)
    (path,) = (folder / 'cache').glob('store-*')
    self.assertEqual(store.open_store(path).person_ids, ('p0', 'p1'))
    ended = start('--out=x')
    self.assertEqual(ended.returncode, 2, ended.stderr)
    ended = start(f'--pack={folder}/none', '--out=x')
    self.assertEqual(ended.returncode, 1, ended.stderr)
    self.assertNotIn('Traceback', ended.stderr)


if __name__ == '__main__':
  absltest.main()
