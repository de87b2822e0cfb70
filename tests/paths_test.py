import errno
import os
import pathlib
import stat
from unittest import mock

from absl.testing import absltest, parameterized

from psm_jax import paths


class CheckIdTest(parameterized.TestCase):
  @parameterized.parameters(
    'AV003', '7', 'a_b-c', 'facecycle-AV003-s0', 'x' * 64
  )
  def test_a_safe_id_comes_back_unchanged(self, text):
    self.assertEqual(paths.check_id(text, what='person_id'), text)

  @parameterized.parameters(
    '', '.', '..', '-a', '_a', 'a/b', 'a\\b', 'a.b', 'a b', 'a\n', 'a\0',
    '=1+1', '@x', 'é', '٣', 'x' * 65, 3, None, b'a', pathlib.Path('a'),
  )  # fmt: skip
  def test_an_unsafe_id_is_refused_with_its_value(self, text):
    with self.assertRaises(ValueError) as caught:
      paths.check_id(text, what='person_id')
    self.assertStartsWith(
      str(caught.exception), f'person_id {text!r} is not a safe name'
    )

  @parameterized.parameters('con', 'NUL', 'Aux', 'prn', 'COM1', 'lpt9')
  def test_a_windows_device_is_refused(self, text):
    with self.assertRaisesRegex(ValueError, 'device name on Windows'):
      paths.check_id(text, what='video_id')

  @parameterized.parameters('console', 'com10', 'nul-1')
  def test_a_name_that_only_begins_like_a_device_is_safe(self, text):
    self.assertEqual(paths.check_id(text, what='video_id'), text)


class ChildTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path)

  def test_parts_are_joined_and_nothing_is_created(self):
    path = paths.child(self.root, 'embeddings', 'AV003', 'day1.parquet')
    self.assertEqual(path, self.root / 'embeddings' / 'AV003' / 'day1.parquet')
    self.assertEmpty(list(self.root.iterdir()))

  def test_a_relative_root_stays_relative(self):
    self.assertEqual(paths.child('runs', 'a'), pathlib.Path('runs/a'))

  @parameterized.parameters(
    '', '.', '..', '../a', 'a/b', '/etc', 'C:', 'a\\b', '.a', '-a', 'a.', 'a\0',
    'a\n', 'é', 'nul.parquet', 'x' * 201, None, 3,
  )  # fmt: skip
  def test_an_unsafe_part_is_refused(self, part):
    with self.assertRaisesRegex(ValueError, 'not a safe file name'):
      paths.child(self.root, 'embeddings', part)

  def test_a_link_out_of_the_root_is_refused(self):
    outside = pathlib.Path(self.create_tempdir().full_path)
    (self.root / 'link').symlink_to(outside)
    with self.assertRaisesRegex(ValueError, 'leads out of'):
      paths.child(self.root, 'link', 'a')

  def test_a_link_inside_the_root_is_followed(self):
    (self.root / 'real').mkdir()
    (self.root / 'link').symlink_to(self.root / 'real')
    self.assertEqual(
      paths.child(self.root, 'link', 'a').resolve(),
      (self.root / 'real' / 'a').resolve(),
    )

  def test_a_root_that_is_itself_a_link_is_fine(self):
    link = self.root / 'run'
    (self.root / 'real').mkdir()
    link.symlink_to(self.root / 'real')
    self.assertEqual(paths.child(link, 'a'), link / 'a')


@absltest.skipIf(os.name != 'posix', 'file modes are those of POSIX')
class MakePrivateDirTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path)

  def test_the_folder_and_the_parents_it_needs_are_made_private(self):
    self.root.chmod(0o755)
    path = paths.make_private_dir(self.root / 'a' / 'b' / 'c')
    for made in (path, path.parent, path.parent.parent):
      self.assertEqual(stat.S_IMODE(made.stat().st_mode), 0o700)
    self.assertEqual(stat.S_IMODE(self.root.stat().st_mode), 0o755)

  def test_an_existing_private_folder_is_left_in_silence(self):
    path = paths.make_private_dir(self.root / 'a')
    with self.assertNoLogs('absl'):
      self.assertEqual(paths.make_private_dir(path), path)

  def test_an_existing_open_folder_keeps_its_mode_with_a_warning(self):
    self.root.chmod(0o755)
    with self.assertLogs('absl', 'WARNING') as logs:
      paths.make_private_dir(self.root)
    self.assertIn(f'{self.root} can be entered', logs.output[0])
    self.assertEqual(stat.S_IMODE(self.root.stat().st_mode), 0o755)

  def test_a_file_in_the_way_is_an_error(self):
    (self.root / 'a').write_text('')
    with self.assertRaises(FileExistsError):
      paths.make_private_dir(self.root / 'a')


class WriteAtomicTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path)

  @parameterized.parameters(
    (b'\0\xff\r\n', b'\0\xff\r\n'), ('é\n', b'\xc3\xa9\n')
  )
  def test_the_file_holds_the_content_and_nothing_is_left(self, data, content):
    path = paths.write_atomic(self.root / 'a.json', data)
    self.assertEqual(path.read_bytes(), content)
    self.assertEqual(list(self.root.iterdir()), [path])

  def test_an_existing_file_is_replaced(self):
    path = paths.write_atomic(self.root / 'a', 'long old content')
    paths.write_atomic(path, 'new')
    self.assertEqual(path.read_text(), 'new')

  def test_a_failed_rename_leaves_the_old_file_and_no_other(self):
    path = paths.write_atomic(self.root / 'a', 'old')
    with (
      mock.patch.object(os, 'replace', side_effect=OSError('disk full')),
      self.assertRaisesRegex(OSError, 'disk full'),
    ):
      paths.write_atomic(path, 'new')
    self.assertEqual(path.read_text(), 'old')
    self.assertEqual(list(self.root.iterdir()), [path])

  def test_a_full_disk_is_said_of_the_file(self):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
      mock.patch.object(os, 'fsync', side_effect=full),
      self.assertRaisesRegex(OSError, f"No space left .*'{self.root}/a'"),
    ):
      paths.write_atomic(self.root / 'a', 'new')
    self.assertEmpty(list(self.root.iterdir()))

  def test_the_content_is_on_the_disk_before_the_rename(self):
    calls = mock.Mock()
    with (
      mock.patch.object(os, 'fsync', wraps=os.fsync) as fsync,
      mock.patch.object(os, 'replace', wraps=os.replace) as replace,
    ):
      calls.attach_mock(fsync, 'fsync')
      calls.attach_mock(replace, 'replace')
      paths.write_atomic(self.root / 'a', 'new')
    names = [call[0] for call in calls.mock_calls]
    self.assertEqual(names[:2], ['fsync', 'replace'])

  def test_what_a_killed_writer_left_goes_and_what_a_live_one_writes_stays(
    self,
  ):
    left = self.root / '.out.txt.0123abcd.tmp'
    other = self.root / '.other.txt.0123abcd.tmp'
    left.touch()
    other.touch()
    with paths.writing_atomic(self.root / 'out.txt') as first:
      self.assertFalse(left.exists())
      with paths.writing_atomic(self.root / 'out.txt') as second:
        second.write(b'second')
      first.write(b'first')
    self.assertEqual((self.root / 'out.txt').read_bytes(), b'first')
    self.assertEqual(
      sorted(p.name for p in self.root.iterdir()), [other.name, 'out.txt']
    )

  def test_a_sweep_before_the_lock_only_costs_another_name(self):
    path, swept = self.root / 'out.txt', []
    take = paths._take_lock

    def slow(file, temporary):
      if not swept:
        swept.append(temporary)
        temporary.unlink()
      return take(file, temporary)

    with mock.patch.object(paths, '_take_lock', slow):
      paths.write_atomic(path, 'all of it')
    self.assertEqual(path.read_text(), 'all of it')
    self.assertEqual([p.name for p in self.root.iterdir()], ['out.txt'])

  def test_where_files_cannot_be_locked_it_is_written_and_nothing_swept(self):
    left = self.root / '.out.txt.0123abcd.tmp'
    left.touch()
    refused = OSError(errno.ENOSYS, 'Function not implemented')
    with mock.patch.object(paths, '_take_lock', side_effect=refused):
      paths.write_atomic(self.root / 'out.txt', 'all of it')
    self.assertEqual((self.root / 'out.txt').read_text(), 'all of it')
    self.assertTrue(left.exists())

  def test_a_missing_folder_is_an_error(self):
    with self.assertRaises(FileNotFoundError):
      paths.write_atomic(self.root / 'nowhere' / 'a', 'x')


class CheckLocalTest(parameterized.TestCase):
  @parameterized.parameters('runs/a', '/x', 'C:\\runs', 'a:b', './gs://x')
  def test_a_place_of_this_machine_is_returned(self, text):
    self.assertEqual(paths.check_local(text, what='x'), pathlib.Path(text))

  @parameterized.parameters('', '  ', 'a\0b')
  def test_no_place_is_refused(self, text):
    with self.assertRaisesRegex(ValueError, '--out is .*name a file or folder'):
      paths.check_local(text, what='--out')

  @parameterized.parameters('gs://b/x', 'gs:/b', 's3://b', 'file:///x')
  def test_an_address_is_refused(self, text):
    with self.assertRaisesRegex(ValueError, '--out is .*, an address'):
      paths.check_local(text, what='--out')


if __name__ == '__main__':
  absltest.main()
