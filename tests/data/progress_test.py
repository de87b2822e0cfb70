"""Stores whose decoding is interrupted, killed or done by two at a time."""

import pathlib
import signal
import subprocess
import sys
import threading
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from absl.testing import absltest

from psm_jax.data import decode, folders, progress, store, store_files
from psm_jax.data.builders import records
from psm_jax.data.builders.frame_folder import frame_folder_dataset_builder
from tests.data import fake_trees

_ROOT = pathlib.Path(__file__).parents[2]
_SIZE = 8
_NUM_FRAMES = 60
# Decodes, and is killed by itself when so many blocks are noted.
_KILLED = """
import os, pathlib, signal, sys
from tests.data import progress_test
def kill():
  os.kill(os.getpid(), signal.SIGKILL)
progress_test.decode_until(*map(pathlib.Path, sys.argv[1:]), kill)
"""
# The same without TensorFlow, which takes long to load.
_KILLED_WRITER = """
import os, pathlib, signal, sys
from psm_jax.data import progress
progress._BLOCK = 2
with progress.decoding(
  pathlib.Path(sys.argv[1]), num_frames=7, size_px=8
) as done:
  for row in range(5):
    done.frames[row], done.sizes[row] = row, (9, 9)
    done.note(row + 1)
  os.kill(os.getpid(), signal.SIGKILL)
"""


def _interrupt():
  raise KeyboardInterrupt


def decode_until(folder, path, end):
  """Decodes TFDS records in small blocks and calls `end` at row 32."""
  write = progress.Progress._write

  def count(self, line):
    write(self, line)
    if line.get('stop', 0) >= 32:
      end()

  with (
    mock.patch.object(progress, '_BLOCK', 8),
    mock.patch.object(decode, '_BATCH', 4),
    mock.patch.object(progress.Progress, '_write', count),
  ):
    decode.fill_store(folder, path, size_px=_SIZE, source={})


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
  """TFDS records of two people's videos with an unreadable picture."""
  for name, num_frames in (('A/v1', 25), ('A/v2', 10), ('B/v1', 25)):
    for frame in range(num_frames):
      path = folder / 'data' / name / f'{frame}.png'
      fake_trees.picture(path, 7 * frame, side=12)
  (folder / 'data' / 'A' / 'v2' / '3.png').write_bytes(b'junk')
  builder = frame_folder_dataset_builder.Builder.of(
    folders.scan(folder / 'data', fps=10.0), data_dir=folder / 'tfds'
  )
  return records.prepare(builder)


class DecodingTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.made = _records(self.folder)
    self.path = self.folder / 'store-1'

  def test_only_what_is_missing_is_decoded_after_an_interruption(self):
    with self.assertRaises(KeyboardInterrupt):
      decode_until(
        self.made, self.path, mock.Mock(side_effect=KeyboardInterrupt)
      )
    self._assert_gone_on_with()

  @pytest.mark.slow
  def test_only_what_is_missing_is_decoded_after_a_kill(self):
    _kill(_KILLED, self.made, self.path)
    self._assert_gone_on_with()

  def _assert_gone_on_with(self):
    self.assertFalse(self.path.exists())
    self.assertTrue(progress.part_folder(self.path).exists())
    whole_path = self.folder / 'whole'
    with mock.patch.object(
      decode, 'frames_dataset', side_effect=decode.frames_dataset
    ) as frames_dataset:
      for path in (self.path, whole_path):
        decode.fill_store(self.made, path, size_px=_SIZE, source={})
    # The batch that holds the unreadable picture reaches one row further.
    self.assertEqual(
      [call.kwargs['first_row'] for call in frames_dataset.mock_calls], [33, 0]
    )
    self.assertFalse(progress.part_folder(self.path).exists())
    resumed, whole = store.open_store(self.path), store.open_store(whole_path)
    np.testing.assert_array_equal(resumed.frames, whole.frames)
    pd.testing.assert_frame_equal(resumed.index, whole.index)
    self.assertEqual(resumed.problems, whole.problems)
    self.assertLen(resumed.index, _NUM_FRAMES - 1)
    for name in ('frames.npy', 'store.json'):
      self.assertEqual(
        (self.path / name).read_bytes(), (whole_path / name).read_bytes()
      )
    self.assertEqual(
      sorted(entry.name for entry in self.path.iterdir()),
      ['frames.npy', 'index.parquet', 'store.json', 'verified.json'],
    )


class ProgressTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(self.create_tempdir().full_path) / 'store-1'
    self.part = progress.part_folder(self.path)
    self.enterContext(mock.patch.object(progress, '_BLOCK', 2))

  def _decoding(self, num_frames=7, size_px=_SIZE):
    return progress.decoding(self.path, num_frames=num_frames, size_px=size_px)

  def _fill(self, done, stop):
    for row in range(done.num_done, stop):
      done.frames[row], done.sizes[row] = row, (9, 9)
      done.note(row + 1)

  def _interrupt(self, stop):
    with self.assertRaises(KeyboardInterrupt), self._decoding() as done:
      self._fill(done, stop)
      raise KeyboardInterrupt

  def _finish(self):
    with self._decoding() as done:
      first = done.num_done
      self._fill(done, 7)
      self._publish(done)
    return first

  def _publish(self, done):
    done.clean()
    index = pd.DataFrame(
      {'person_id': 'A', 'video_id': 'v1', 'frame': range(7), 'time_s': 0.0}
    )
    store.StoreWriter(done.folder, done.frames, _SIZE).finish(
      index, fps={('A', 'v1'): 1.0}
    )
    store_files.publish(done.folder, self.path)

  def test_whole_blocks_stay_done(self):
    self._interrupt(5)
    self.assertEqual(self._finish(), 4)
    opened = store.open_store(self.path)
    self.assertEqual(opened.frames[:, 0].tolist(), list(range(7)))
    self.assertEqual([p.name for p in self.path.parent.iterdir()], ['store-1'])

  def test_a_killed_process_leaves_what_it_noted(self):
    _kill(_KILLED_WRITER, self.path)
    self.assertEqual(self._finish(), 4)
    self.assertEqual(
      store.open_store(self.path).frames[:, 0].tolist(), list(range(7))
    )

  def test_a_block_that_was_lost_is_done_again(self):
    # As after a power cut: the note is on the disk, the frames are not.
    self._interrupt(6)
    frames = np.load(self.part / 'frames.npy', mmap_mode='r+')
    frames[2] = 99
    frames.flush()
    self.assertEqual(self._finish(), 2)
    self.assertEqual(
      store.open_store(self.path).frames[:, 0].tolist(), list(range(7))
    )

  def test_a_note_cut_short_is_not_believed(self):
    self._interrupt(6)
    content = (self.part / 'done.jsonl').read_bytes()
    (self.part / 'done.jsonl').write_bytes(content[:-20])
    self.assertEqual(self._finish(), 4)

  def test_what_is_no_progress_of_this_store_is_begun_anew(self):
    self._interrupt(6)
    with self.assertRaises(KeyboardInterrupt), self._decoding(9) as done:
      self.assertEqual(done.num_done, 0)
      self.assertEqual(done.frames.shape, (9, _SIZE * _SIZE * 3))
      raise KeyboardInterrupt
    (self.part / 'done.jsonl').write_text('[]\n')
    self.assertEqual(self._finish(), 0)

  def test_bad_data_leave_nothing(self):
    with self.assertRaises(ValueError), self._decoding() as done:
      self._fill(done, 5)
      raise ValueError
    self.assertEmpty(list(self.path.parent.iterdir()))

  def test_a_full_disk_leaves_nothing(self):
    with (
      self.assertRaisesRegex(OSError, 'GB are free'),
      self._decoding(num_frames=10**12),
    ):
      pass
    self.assertEmpty(list(self.path.parent.iterdir()))

  def test_another_process_waits_and_takes_what_is_there(self):
    if progress.fcntl is None:
      self.skipTest('no locks here')
    given = []

    def wait():
      with self._decoding() as done:
        given.append(done)

    waiter = threading.Thread(target=wait)
    with self._decoding() as done:
      waiter.start()
      waiter.join(0.2)
      self.assertTrue(waiter.is_alive())
      self._fill(done, 7)
      self._publish(done)
    waiter.join(10)
    self.assertEqual(given, [None])
    self.assertEqual([p.name for p in self.path.parent.iterdir()], ['store-1'])


if __name__ == '__main__':
  absltest.main()
