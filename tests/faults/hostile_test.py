"""Files and folders that mean harm: each is refused with its reason."""

import io
import json
import pathlib
import pickle
import struct
import tarfile
import tempfile
import zipfile
from unittest import mock

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax import paths
from psm_jax.data import folders, picture_files, store, store_files
from psm_jax.data.ingest import video
from psm_jax.models import tensor_files, vgg_files
from psm_jax.runs import run
from tests.data import picture_files_test, stores
from tests.faults import readers


def _tar(*members):
  """Returns an archive of (name, content, fields) each."""
  file = io.BytesIO()
  with tarfile.open(fileobj=file, mode='w') as archive:
    for name, content, fields in members:
      member = tarfile.TarInfo(name)
      member.size = len(content)
      for field, value in fields.items():
        setattr(member, field, value)
      archive.addfile(member, io.BytesIO(content))
  return file.getvalue()


def _zip(*members):
  """Returns a compressed archive of (name, content) each."""
  file = io.BytesIO()
  with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
    for name, content in members:
      archive.writestr(name, content)
  return file.getvalue()


def _bomb(name):
  """Returns an archive whose member claims 300 MiB."""
  made = bytearray(_zip((name, b'x')))
  place = made.find(b'PK\x01\x02') + 24
  made[place : place + 4] = struct.pack('<I', 300 << 20)
  return bytes(made)


def _npy_of_code():
  """Returns an array whose element is pickled."""
  header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n"
  length = struct.pack('<H', len(header))
  return b'\x93NUMPY\x01\x00' + length + header + pickle.dumps([_Code()])


def _parquet(table):
  file = io.BytesIO()
  table.to_parquet(file, index=False)
  return file.getvalue()


class _Code:
  """Would run if anything unpickled it."""

  def __reduce__(self):
    return pathlib.Path.touch, (pathlib.Path('/tmp/psm_jax_was_here'),)


_SPARSE = {
  'pax_headers': {
    'GNU.sparse.major': '1',
    'GNU.sparse.minor': '0',
    'GNU.sparse.name': 'store.json',
    'GNU.sparse.realsize': str(1 << 40),
  }
}
_LISTS = b'[' + b'[],' * 1_100_000 + b'0]'
# Reader of `readers`, what lies in its file, why that is refused.
_FILES = (
  ('config.json', b'[]', 'should be an object'),
  ('config.json', _LISTS, 'lists and objects; at most'),
  ('models.json', b'[' * 900 + b']' * 900, 'more than 64'),
  ('models.json', b' ' * (25 << 20), 'at most 25165824 are read'),
  ('models.json', b'1' * 5000, 'is no JSON file: Exceeds the limit'),
  ('crops.json', b'"a"', 'should be an object'),
  ('store.json', b'{"schema_version": 3}', 'its checksum is wrong'),
  ('pack', b'\x1f\x8b' + bytes(600), 'no frame pack'),
  ('pack', _tar(('/etc/passwd', b'x', {})), "'store.json' not found"),
  (
    'pack',
    _tar(('store.json', b'', {'type': b'2', 'linkname': '/etc/passwd'})),
    'store.json is no file',
  ),
  ('pack', _tar(('store.json', b'1\n0\n', _SPARSE)), 'no frame pack'),
  (
    'pack',
    _tar(('store.json', b'1\n0\n1\n'.ljust(512, b'\0') + b'x', _SPARSE)),
    'store.json is no file of at most',
  ),
  ('npz', _bomb('input.npy'), 'claims to hold 314572800'),
  ('npz', _zip(('input.npy', _npy_of_code())), 'Object arrays'),
  ('npz', b'PK\x03\x04' + bytes(40), 'not a whole .npz file'),
  ('safetensors', b'\xff' * 8 + b'{}', 'not a whole .safetensors file'),
  (
    'safetensors',
    b'\x40\x00\x00\x00\x00\x00\x00\x00'
    b'{"a":{"dtype":"F64","shape":[1073741824],"data_offsets":[0,8]}}'
    + bytes(9),
    'not a whole .safetensors file',
  ),
  ('model.safetensors', b'', 'is damaged: its SHA-256'),
  ('folds.csv', b'person_id,fold\n../../x,1\n', 'is not a safe name'),
  ('folds.csv', b'person_id,fold\n=cmd|calc,1\n', 'is not a safe name'),
  ('folds.csv', b'person_id,fold\nnul,1\n', 'device name on Windows'),
  ('folds.csv', b'PK\x03\x04' + bytes(99), 'an Excel workbook'),
  ('movements.csv', b'"' + b'a' * 140_000, 'no head of names'),
  ('labels.csv', b'frame' + b',' * 20_000 + b'\n', 'a head of 20001 names'),
  ('labels.csv', b'frame,frame\n1,1\n', "more than one column .'frame'"),
  ('labels.csv', b'frame,person_id\n1,x\n', 'the frame store uses itself'),
  ('openface.csv', b'<html><body>', 'a page of HTML'),
  ('filled.csv', b'person_id,video_id,frame,a\nP,v,1,7\n', 'a is 7'),
  ('boris.csv', b'Behavior,Start (s),Stop (s)\na,nan,1\n', 'is no time'),
  ('tracks.csv', b'video_id,track\nv1,0\n', 'lacks the columns'),
  (
    'tracks.csv',
    b'video_id,track,first_frame,last_frame,person_id\nv1,0,0,999,P1\n',
    'line 2',
  ),
  ('manifest.csv', b'path\n', 'no rows'),
  (
    'embeddings',
    _parquet(pd.DataFrame({'e000': np.zeros(40_000_000, np.float32)})),
    'does not say of which',
  ),
  (
    'frames.parquet',
    _parquet(pd.DataFrame({'frame': np.zeros(40_000_000, np.float32)})),
    'claims 40000000 cells',
  ),
  ('video.json', b'{"schema_version": 2}', "no 'video_id'"),
  ('rules.json', b'[{"movement": "a", "at_least": {"x": NaN}}]', 'least'),
)


class HostileFilesTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
    cls.readers = cls.enterClassContext(readers.prepared(folder))

  @parameterized.parameters(*_FILES)
  def test_a_file_is_refused_with_its_reason(self, name, content, reason):
    reader = self.readers[name]
    good = reader.path.read_bytes()
    self.addCleanup(reader.path.write_bytes, good)
    reader.path.write_bytes(content)
    with self.assertRaisesRegex(ValueError, reason) as caught:
      reader.read()
    self.assertIn(str(reader.path.parent), str(caught.exception))

  def test_an_id_in_a_stores_list_leads_nowhere_else(self):
    path = self.readers['store.json'].path.parent
    good = (path / store_files.MANIFEST).read_bytes()
    self.addCleanup((path / store_files.MANIFEST).write_bytes, good)
    (person,) = store_files.read_manifest(path)['people']
    stores.change_manifest(path, people=[person | {'person_id': '../P1'}])
    with self.assertRaisesRegex(ValueError, "'../P1' is not a safe name"):
      store.open_store(path)

  def test_a_field_that_no_configuration_has_is_named(self):
    path = self.readers['config.json'].path
    good = path.read_bytes()
    self.addCleanup(path.write_bytes, good)
    path.write_text(json.dumps(json.loads(good) | {'../x': 1}))
    with self.assertRaisesRegex(ValueError, f'{path}: .*[.][.]/x'):
      run.open_run(path.parent)

  @parameterized.parameters('model_id', 'cohort')
  def test_an_id_in_a_runs_list_leads_nowhere_else(self, field):
    path = self.readers['models.json'].path
    good = path.read_bytes()
    self.addCleanup(path.write_bytes, good)
    content = json.loads(good)
    bad = '../x' if field == 'model_id' else ['../x']
    content['models'][0][field] = bad
    path.write_text(json.dumps(content))
    with self.assertRaisesRegex(ValueError, "'../x' is not a safe name"):
      run.open_run(path.parent)


class HostileFoldersTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path)

  def _picture(self, *parts, content=b'x'):
    path = self.root.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)

  @parameterized.parameters(
    (('a b/v/1.png',), "'a b' is not a safe name"),
    (('=1/v/1.png',), "'=1' is not a safe name"),
    (('con/v/1.png',), 'device name on Windows'),
    (('P1/v/1.png', 'p1/v/1.png'), 'differ only in case'),
    (('P1/..x/1.png',), 'is not a safe name|No pictures'),
    (('P1/v/a.png',), 'No pictures'),
    (('P1/v/99999999999999999999.png',), 'no usable frame number'),
  )
  def test_a_folder_of_frames_is_refused_with_its_reason(self, files, reason):
    for file in files:
      self._picture(*file.split('/'))
    with self.assertRaisesRegex(ValueError, reason) as caught:
      folders.scan(self.root)
    self.assertIn(str(self.root), str(caught.exception))

  def test_a_link_out_of_a_folder_is_not_followed(self):
    (self.root / 'P1').symlink_to('/etc')
    with self.assertRaisesRegex(ValueError, 'leads out of .*, to /etc'):
      paths.child(self.root, 'P1', 'passwd')

  def test_a_picture_that_claims_400_million_pixels_is_not_decoded(self):
    content = picture_files_test.png_of_zeros(2, 2)
    content = content[:16] + b'\0\0N \0\0N ' + content[24:]
    self._picture('a.png', content=content)
    with self.assertRaisesRegex(ValueError, '20000 x 20000 pixels; at most'):
      picture_files.read(self.root / 'a.png')

  @parameterized.parameters(
    b'#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n',
    b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    b'v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n',
    b'<?xml version="1.0"?><MPD><Period/></MPD>',
  )
  def test_a_playlist_is_no_video(self, content):
    self._picture('a.mp4', content=content)
    with self.assertRaisesRegex(ValueError, 'not a video|no video'):
      next(video.read(self.root / 'a.mp4', video.Counts()))

  def test_a_file_of_torch_runs_nothing(self):
    self._picture('a.pth', content=pickle.dumps(_Code()))
    with mock.patch.dict('sys.modules', torch=None):
      with self.assertRaisesRegex(ImportError, 'a.pth needs PyTorch'):
        tensor_files.read(self.root / 'a.pth')
      with self.assertRaisesRegex(ImportError, 'a.pth needs PyTorch'):
        vgg_files.load_vgg19(self.root / 'a.pth')
    self.assertFalse(pathlib.Path('/tmp/psm_jax_was_here').exists())

  def test_an_archive_of_torch_that_claims_gigabytes_is_not_opened(self):
    self._picture('a.pth', content=_bomb('data/0'))
    with self.assertRaisesRegex(ValueError, 'a.pth .*claims to hold 314572800'):
      tensor_files.read(self.root / 'a.pth')


if __name__ == '__main__':
  absltest.main()
