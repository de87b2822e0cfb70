import errno
import json
import os
import pathlib
import struct
import zlib
from unittest import mock

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized
from pyarrow import parquet

from psm_jax.data import labels, store, store_files

_SIZE = 4


def _index(videos, **labels):
  """An index of [(person_id, video_id, num_frames)]."""
  rows = [
    (person_id, video_id, frame, frame / 10)
    for person_id, video_id, num_frames in videos
    for frame in range(num_frames)
  ]
  table = pd.DataFrame(rows, columns=list(store.KEY_COLUMNS))
  return table.assign(**labels)


_VIDEOS = [('A', 'v1', 3), ('A', 'v2', 2), ('B', 'v1', 4)]
_FPS = {('A', 'v1'): 10.0, ('A', 'v2'): 10.0, ('B', 'v1'): 30.0}


def _write(path, *, keep=None, index=None, **kwargs):
  index = _index(_VIDEOS, AU12=np.arange(9) / 2) if index is None else index
  with store.writing(path, num_frames=9, size_px=_SIZE) as writer:
    writer.frames[:] = np.arange(9)[:, None]
    writer.finish(index, fps=_FPS, keep=keep, **kwargs)
  return path


class StoreTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(self.create_tempdir().full_path) / 'store-1'

  def test_what_was_written_is_read(self):
    _write(self.path, problems=[{'path': 'a', 'reason': 'b'}], source={'x': 1})
    opened = store.open_store(self.path)
    self.assertEqual(opened.path, self.path)
    self.assertEqual(opened.size_px, _SIZE)
    self.assertEqual(opened.person_ids, ('A', 'B'))
    self.assertEqual(opened.label_columns, ['AU12'])
    self.assertFalse(opened.has_landmarks)
    self.assertEqual(opened.problems, ({'path': 'a', 'reason': 'b'},))
    self.assertEqual(opened.source, {'x': 1})
    np.testing.assert_array_equal(
      opened.frames, np.repeat(np.arange(9)[:, None], _SIZE * _SIZE * 3, 1)
    )
    self.assertEqual(opened.index['AU12'].iloc[3], 1.5)
    self.assertEqual(opened.index['time_s'].dtype, np.float64)
    self.assertEqual(opened.index['frame'].dtype, np.int64)

  def test_landmarks_are_not_called_labels(self):
    points = np.arange(9 * 136, dtype=np.float32).reshape(9, 136)
    points = pd.DataFrame(points, columns=list(labels.LANDMARK_COLUMNS))
    index = pd.concat([_index(_VIDEOS, AU12=np.arange(9) / 2), points], axis=1)
    opened = store.open_store(_write(self.path, index=index))
    self.assertTrue(opened.has_landmarks)
    self.assertEqual(opened.label_columns, ['AU12'])
    described = json.loads((self.path / 'store.json').read_text())
    self.assertEqual(described['label_columns'], ['AU12'])
    pd.testing.assert_frame_equal(opened.index[points.columns], points)

  def test_videos_point_at_their_rows(self):
    opened = store.open_store(_write(self.path))
    self.assertEqual(
      opened.videos('A'),
      (store.Video('v1', 0, 3, 10.0), store.Video('v2', 3, 5, 10.0)),
    )
    self.assertEqual(opened.videos('B'), (store.Video('v1', 5, 9, 30.0),))

  def test_an_unknown_person_is_named_with_those_there(self):
    opened = store.open_store(_write(self.path))
    with self.assertRaisesRegex(ValueError, "'C'.*A, B"):
      opened.videos('C')

  def test_frames_are_mapped_and_read_only(self):
    opened = store.open_store(_write(self.path))
    self.assertIsInstance(opened.frames, np.memmap)
    with self.assertRaises(ValueError):
      opened.frames[0, 0] = 1

  def test_missing_labels_stay_missing(self):
    labels = np.array([np.nan, *range(8)])
    opened = store.open_store(
      _write(self.path, index=_index(_VIDEOS, AU12=labels))
    )
    self.assertTrue(np.isnan(opened.index['AU12'].iloc[0]))

  def test_frames_not_kept_are_left_out(self):
    keep = np.array([1, 0, 1, 1, 1, 0, 1, 1, 1], bool)
    index = _index(_VIDEOS)[keep]
    opened = store.open_store(_write(self.path, keep=keep, index=index))
    np.testing.assert_array_equal(opened.frames[:, 0], np.flatnonzero(keep))
    self.assertEqual(opened.videos('B'), (store.Video('v1', 4, 7, 30.0),))
    self.assertEqual(
      sorted(entry.name for entry in self.path.iterdir()),
      ['frames.npy', 'index.parquet', 'store.json', 'verified.json'],
    )

  def test_the_folder_is_closed_to_others(self):
    self.assertEqual(_write(self.path).stat().st_mode & 0o077, 0)

  def test_nothing_is_left_after_an_error(self):
    with (
      self.assertRaises(ZeroDivisionError),
      store.writing(self.path, num_frames=9, size_px=_SIZE),
    ):
      raise ZeroDivisionError
    self.assertEmpty(list(self.path.parent.iterdir()))

  def test_a_store_appears_only_when_finished(self):
    with store.writing(self.path, num_frames=9, size_px=_SIZE) as writer:
      writer.frames[:] = 0
      self.assertFalse(self.path.exists())
      writer.finish(_index(_VIDEOS), fps=_FPS)
      self.assertFalse(self.path.exists())
    self.assertTrue(self.path.exists())

  def test_forgetting_to_finish_is_an_error(self):
    with (
      self.assertRaisesRegex(RuntimeError, 'not finished'),
      store.writing(self.path, num_frames=9, size_px=_SIZE),
    ):
      pass

  def test_the_first_of_two_writers_wins(self):
    with store.writing(self.path, num_frames=9, size_px=_SIZE) as writer:
      _write(self.path, source={'winner': True})
      writer.finish(_index(_VIDEOS), fps=_FPS)
    self.assertEqual(store.open_store(self.path).source, {'winner': True})
    self.assertLen(list(self.path.parent.iterdir()), 1)

  def test_another_folder_of_that_name_is_not_replaced(self):
    self.path.mkdir()
    (self.path / 'thesis.tex').write_text('x')
    with self.assertRaises(OSError):
      _write(self.path)
    self.assertTrue((self.path / 'thesis.tex').exists())

  @parameterized.parameters((0, 8), (3, 0))
  def test_an_empty_store_is_refused(self, num_frames, size_px):
    with (
      self.assertRaisesRegex(ValueError, 'needs frames'),
      store.writing(self.path, num_frames=num_frames, size_px=size_px),
    ):
      pass

  def test_a_store_larger_than_the_disk_is_refused(self):
    with (
      self.assertRaisesRegex(OSError, 'GB are free.*store-1'),
      store.writing(self.path, num_frames=10**12, size_px=64),
    ):
      pass
    self.assertEmpty(list(self.path.parent.iterdir()))

  def test_the_space_is_taken_before_the_first_frame_is_written(self):
    if not hasattr(os, 'posix_fallocate'):
      self.skipTest('this system cannot reserve space')
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
      mock.patch.object(store_files.os, 'posix_fallocate', side_effect=full),
      self.assertRaisesRegex(OSError, 'No space left'),
    ):
      _write(self.path)
    self.assertEmpty(list(self.path.parent.iterdir()))

  @parameterized.named_parameters(
    ('unsorted', lambda index: index.iloc[::-1], 'sorted'),
    (
      'a_person_in_two_pieces',
      lambda index: index.iloc[[0, 1, 2, 5, 6, 7, 8, 3, 4]],
      'sorted',
    ),
    (
      'a_video_in_two_pieces',
      lambda index: index.iloc[[0, 1, 3, 4, 2, 5, 6, 7, 8]],
      'sorted',
    ),
    ('repeated', lambda index: index.iloc[[0, *range(8)]], 'sorted'),
    ('short', lambda index: index.iloc[:5], '5 index rows for 9'),
    ('no_time', lambda index: index.drop(columns='time_s'), 'time_s'),
    ('unsafe', lambda index: index.replace('B', '..'), 'person_id'),
  )
  def test_a_wrong_index_is_refused(self, change, message):
    with self.assertRaisesRegex(ValueError, message):
      _write(self.path, index=change(_index(_VIDEOS)))

  def test_people_may_come_in_any_order(self):
    order = [5, 6, 7, 8, 0, 1, 2, 3, 4]
    index = _index(_VIDEOS).iloc[order]
    opened = store.open_store(_write(self.path, index=index))
    self.assertEqual(opened.person_ids, ('A', 'B'))
    self.assertEqual(opened.videos('B'), (store.Video('v1', 0, 4, 30.0),))

  def test_it_can_be_read_as_its_format_is_described(self):
    # docs/frame_store.md, with nothing that knows NumPy's format.
    _write(self.path)
    described = json.loads((self.path / 'store.json').read_text())
    content = (self.path / described['frames']).read_bytes()
    self.assertEqual(content[:8], b'\x93NUMPY\x01\x00')
    (head,) = struct.unpack('<H', content[8:10])
    row = described['size_px'] ** 2 * 3
    self.assertLen(content, 10 + head + described['num_frames'] * row)
    for video in described['videos']:
      start, stop = video['start'], video['stop']
      own = content[10 + head + start * row : 10 + head + stop * row]
      self.assertEqual(own[::row], bytes(range(start, stop)))
      self.assertEqual(zlib.crc32(own), video['crc32'])
    index = (self.path / described['index']).read_bytes()
    self.assertEqual(zlib.crc32(index), described['index_crc32'])
    rows = parquet.read_table(self.path / described['index']).to_pylist()
    self.assertEqual(
      rows[5],
      {'person_id': 'B', 'video_id': 'v1', 'frame': 0, 'time_s': 0.0}
      | {'AU12': 2.5},
    )


class OpenStoreTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(self.create_tempdir().full_path) / 'store-1'
    _write(self.path)

  def _change_meta(self, **changes):
    path = self.path / 'store.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))

  def _assert_refused(self, message):
    with self.assertRaisesRegex(ValueError, f'{self.path}.*{message}'):
      store.open_store(self.path)

  def test_a_folder_without_store_json_is_unfinished(self):
    (self.path / 'store.json').unlink()
    self._assert_refused('not a finished frame store')

  def test_another_schema_version_is_named(self):
    self._change_meta(schema_version=99)
    self._assert_refused('schema version 99')

  @parameterized.parameters('frames.npy', 'index.parquet')
  def test_a_missing_file_is_damage(self, name):
    (self.path / name).unlink()
    self._assert_refused('Delete')

  @parameterized.parameters('frames.npy', 'index.parquet', 'store.json')
  def test_a_garbled_file_is_damage(self, name):
    (self.path / name).write_bytes(b'garbage')
    self._assert_refused('Delete')

  def test_a_truncated_array_is_damage(self):
    content = (self.path / 'frames.npy').read_bytes()
    (self.path / 'frames.npy').write_bytes(content[:-10])
    self._assert_refused('Delete')

  def test_a_flipped_byte_of_the_index_is_damage(self):
    content = bytearray((self.path / 'index.parquet').read_bytes())
    content[len(content) // 3] ^= 1
    (self.path / 'index.parquet').write_bytes(content)
    self._assert_refused('checksum of index.parquet')

  def test_videos_that_leave_frames_out_are_damage(self):
    videos = json.loads((self.path / 'store.json').read_text())['videos']
    self._change_meta(videos=videos[:2])
    self._assert_refused('5 frames of 9')
    videos[1]['start'] += 1
    self._change_meta(videos=videos)
    self._assert_refused('A/v2 has rows 4 to 5, but the one before ends at 3')

  def test_a_file_elsewhere_is_refused(self):
    self._change_meta(frames='../../frames.npy')
    self._assert_refused('not a safe file name')

  def test_another_size_is_damage(self):
    self._change_meta(size_px=8)
    self._assert_refused('expected')

  def test_an_unsafe_id_is_refused(self):
    videos = json.loads((self.path / 'store.json').read_text())['videos']
    videos[0]['person_id'] = '../etc'
    self._change_meta(videos=videos)
    self._assert_refused('etc')

  def test_pickled_frames_are_refused(self):
    np.save(self.path / 'frames.npy', np.array([{}], object))
    self._assert_refused('damaged')


class ListSomeTest(parameterized.TestCase):
  @parameterized.parameters(
    ([], 'none'),
    (['a', 'b'], 'a, b'),
    (['a', 'b', 'c', 'd'], 'a, b and 2 more'),
  )
  def test_long_lists_are_cut(self, names, text):
    self.assertEqual(store.list_some(names, limit=2), text)


if __name__ == '__main__':
  absltest.main()
