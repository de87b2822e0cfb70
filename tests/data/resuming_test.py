"""Stores whose making is interrupted, killed or done by two at a time."""

import pathlib
import signal
import subprocess
import sys
import threading
from unittest import mock

import pytest
from absl.testing import absltest

from psm_jax.data import builder as builder_lib, decode, folders, store, upkeep
from tests.data import fake_trees, stores

_ROOT = pathlib.Path(__file__).parents[2]
_SIZE = 8
# Decodes, and is killed by itself in the second person.
_KILLED = """
import os, pathlib, signal, sys
from tests.data import resuming_test
def kill():
  os.kill(os.getpid(), signal.SIGKILL)
resuming_test.decode_until(*map(pathlib.Path, sys.argv[1:]), kill)
"""
# The same without TensorFlow, which takes long to load.
_KILLED_WRITER = """
import os, pathlib, signal, sys
from tests.data import stores
stores.fill(
  pathlib.Path(sys.argv[1]), 'AB', lambda: os.kill(os.getpid(), signal.SIGKILL)
)
"""


def decode_until(folder, path, end):
  """Decodes TFDS records and calls `end` within person B."""
  spool = upkeep.StoreWriter.spool

  def spool_until(self, frames):
    def ending():
      for number, frame in enumerate(frames):
        yield frame
        if 'A' in self.person_ids and number == 3:
          end()

    return spool(self, ending())

  with mock.patch.object(upkeep.StoreWriter, 'spool', spool_until):
    decode.fill_store(folder, path, size_px=_SIZE, source={})


def _interrupt():
  raise KeyboardInterrupt


def _kill(code, *arguments):
  """Runs a program that kills itself as `kill -9` would."""
  ended = subprocess.run(
    [sys.executable, '-c', code, *map(str, arguments)],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  if ended.returncode != -signal.SIGKILL:
    raise AssertionError(ended.stderr)


def _records(folder):
  """TFDS records of two people's videos with unreadable pictures."""
  for name, num_frames in (('A/v1', 15), ('A/v2', 10), ('B/v1', 25)):
    for frame in range(num_frames):
      path = folder / 'data' / name / f'{frame}.png'
      fake_trees.picture(path, 7 * frame, side=12 if frame else 16)
  for name in ('A/v2/3.png', 'B/v1/9.png'):
    (folder / 'data' / name).write_bytes(b'junk')
  builder = builder_lib.Faces.of(
    folders.scan(folder / 'data', fps=10.0), data_dir=folder / 'tfds'
  )
  return builder_lib.write(builder)


class DecodingTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.made = _records(self.folder)
    self.path = self.folder / 'store-1'

  def test_people_who_are_done_are_not_decoded_after_an_interruption(self):
    with self.assertRaises(KeyboardInterrupt):
      decode_until(self.made, self.path, _interrupt)
    self._assert_gone_on_with()

  @pytest.mark.slow
  def test_people_who_are_done_are_not_decoded_after_a_kill(self):
    _kill(_KILLED, self.made, self.path)
    self._assert_gone_on_with()

  def _assert_gone_on_with(self):
    self.assertFalse(self.path.exists())
    self.assertTrue((upkeep.part_folder(self.path) / 'A.arrow').exists())
    whole_path = self.folder / 'whole'
    for path, num_decoded in ((self.path, 25), (whole_path, 50)):
      with mock.patch.object(
        decode, 'decode_frame', side_effect=decode.decode_frame
      ) as decode_frame:
        decode.fill_store(self.made, path, size_px=_SIZE, source={})
      self.assertEqual(decode_frame.call_count, num_decoded)
    names = ['A.arrow', 'B.arrow', 'store.json']
    for path in (self.path, whole_path):
      self.assertEqual(sorted(entry.name for entry in path.iterdir()), names)
    for name in names:
      self.assertEqual(
        (self.path / name).read_bytes(), (whole_path / name).read_bytes()
      )
    self.assertLen(store.open_store(self.path).index, 48)
    self.assertEqual(
      [p['path'] for p in store.open_store(self.path).problems],
      ['A/v2/3.png', 'A/v1', 'A/v2', 'B/v1/9.png', 'B/v1'],
    )
    self.assertEqual(
      sorted(entry.name for entry in self.folder.iterdir()),
      ['data', 'store-1', 'tfds', 'whole'],
    )


class WritingTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(self.create_tempdir().full_path) / 'store-1'
    self.part = upkeep.part_folder(self.path)

  def _interrupted(self, people):
    with self.assertRaises(KeyboardInterrupt):
      stores.fill(self.path, people, _interrupt)

  def _assert_finished(self, *, missing):
    self.assertEqual(stores.fill(self.path, 'ABC', lambda: None), missing)
    opened = store.open_store(self.path)
    self.assertEqual(
      opened.frames[:][:, 0].tolist(), [ord(p) for p in 'ABC' for _ in range(3)]
    )
    self.assertEqual([p.name for p in self.path.parent.iterdir()], ['store-1'])
    self.assertEqual(
      sorted(p.name for p in self.path.iterdir()),
      ['A.arrow', 'B.arrow', 'C.arrow', 'store.json'],
    )

  def test_an_interrupted_writer_leaves_who_is_done(self):
    self._interrupted('AB')
    self._assert_finished(missing=['C'])

  def test_a_killed_process_leaves_who_is_done(self):
    _kill(_KILLED_WRITER, self.path)
    self._assert_finished(missing=['C'])

  def test_a_person_whose_bytes_were_lost_is_done_again(self):
    # As after a power cut: the name is on the disk, the frames are not.
    self._interrupted('AB')
    stores.flip(self.part, 'B')
    self._assert_finished(missing=['B', 'C'])

  def test_a_damaged_note_is_not_believed(self):
    self._interrupted('AB')
    content = (self.part / 'store.json').read_bytes()
    (self.part / 'store.json').write_bytes(content[:-20])
    self._assert_finished(missing=['A', 'B', 'C'])

  def test_what_was_made_of_other_data_is_made_anew(self):
    self._interrupted('AB')
    stores.change_manifest(self.part, source={'fingerprint': 'other'})
    self._assert_finished(missing=['A', 'B', 'C'])

  def test_bad_data_leave_nothing(self):
    def fail():
      raise ValueError

    with self.assertRaises(ValueError):
      stores.fill(self.path, 'AB', fail)
    self.assertEmpty(list(self.path.parent.iterdir()))

  def test_another_process_waits_and_takes_what_is_there(self):
    given = []

    def wait():
      with upkeep.writing(self.path, size_px=_SIZE) as writer:
        given.append(writer)

    waiter = threading.Thread(target=wait)

    def start_waiter():
      waiter.start()
      waiter.join(0.3)
      self.assertTrue(waiter.is_alive())

    stores.fill(self.path, 'ABC', start_waiter)
    waiter.join(10)
    self.assertEqual(given, [None])
    self.assertEqual([p.name for p in self.path.parent.iterdir()], ['store-1'])

  def test_after_a_failure_the_one_who_waits_makes_it(self):
    waiter = threading.Thread(
      target=lambda: stores.fill(self.path, 'ABC', lambda: None)
    )

    def start_and_fail():
      waiter.start()
      waiter.join(0.3)
      raise ValueError

    with self.assertRaises(ValueError):
      stores.fill(self.path, 'A', start_and_fail)
    waiter.join(10)
    self.assertEqual(store.open_store(self.path).person_ids, ('A', 'B', 'C'))


if __name__ == '__main__':
  absltest.main()
