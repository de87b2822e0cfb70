import json
import os
import pathlib
import zlib

import numpy as np
import pandas as pd
import pyarrow as pa
from absl.testing import absltest, parameterized

from psm_jax.data import labels, store, store_files, upkeep
from tests.data import stores

_SIZE = 4


def _index(videos, **columns):
  """An index of [(person_id, video_id, num_frames)]."""
  rows = [
    (person_id, video_id, frame, frame / 10)
    for person_id, video_id, num_frames in videos
    for frame in range(num_frames)
  ]
  table = pd.DataFrame(rows, columns=list(store.KEY_COLUMNS))
  return table.assign(**columns)


_VIDEOS = [('A', 'v1', 3), ('A', 'v2', 2), ('B', 'v1', 4)]
_FPS = {('A', 'v1'): 10.0, ('A', 'v2'): 10.0, ('B', 'v1'): 30.0}


def _write(path, *, index=None, **options):
  index = _index(_VIDEOS, AU12=np.arange(9) / 2) if index is None else index
  frames = np.repeat(np.arange(9, dtype=np.uint8)[:, None], _SIZE**2 * 3, 1)
  return stores.write(path, frames, index, size_px=_SIZE, fps=_FPS, **options)


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
    self.assertEqual(opened.index['AU12'].tolist(), (np.arange(9) / 2).tolist())
    self.assertEqual(
      [str(opened.index[name].dtype) for name in ('frame', 'time_s', 'AU12')],
      ['int64', 'float64', 'float32'],
    )

  def test_landmarks_are_not_called_labels(self):
    points = np.arange(9 * 136, dtype=np.float32).reshape(9, 136)
    points = pd.DataFrame(points, columns=list(labels.LANDMARK_COLUMNS))
    index = pd.concat([_index(_VIDEOS, AU12=np.arange(9) / 2), points], axis=1)
    opened = store.open_store(_write(self.path, index=index))
    self.assertTrue(opened.has_landmarks)
    self.assertEqual(opened.label_columns, ['AU12'])
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

  def test_missing_labels_stay_missing(self):
    values = np.array([np.nan, *range(8)])
    opened = store.open_store(
      _write(self.path, index=_index(_VIDEOS, AU12=values))
    )
    self.assertTrue(np.isnan(opened.index['AU12'].iloc[0]))
    self.assertEqual(opened.index['AU12'].iloc[1], 0)

  def test_people_are_sorted_however_they_come(self):
    order = [5, 6, 7, 8, 0, 1, 2, 3, 4]
    index = _index(_VIDEOS).iloc[order].reset_index(drop=True)
    opened = store.open_store(_write(self.path, index=index))
    self.assertEqual(opened.videos('B'), (store.Video('v1', 5, 9, 30.0),))
    # What came first was numbered first.
    self.assertEqual(opened.frames[5:][:, 0].tolist(), [0, 1, 2, 3])

  def test_the_folder_is_closed_to_others(self):
    self.assertEqual(_write(self.path).stat().st_mode & 0o077, 0)

  def test_many_people_need_no_descriptor_each(self):
    if not os.path.isdir('/proc/self/fd'):
      self.skipTest('open files cannot be counted here')
    _write(self.path)
    before = len(os.listdir('/proc/self/fd'))
    opened = store.open_store(self.path)
    self.assertEqual(opened.frames[8][0], 8)
    self.assertLen(os.listdir('/proc/self/fd'), before)

  def test_it_can_be_read_as_its_format_is_described(self):
    # docs/frame_store.md.
    _write(self.path)
    described = json.loads((self.path / 'store.json').read_text())
    row_bytes = described['size_px'] ** 2 * 3
    first_value = 0
    for person in described['people']:
      content = (self.path / f'{person["person_id"]}.arrow').read_bytes()
      self.assertLen(content, person['num_bytes'])
      start = person['frames_at']
      stop = start + person['num_frames'] * row_bytes
      frames = content[start:stop]
      last_value = first_value + person['num_frames']
      self.assertEqual(
        frames[::row_bytes], bytes(range(first_value, last_value))
      )
      self.assertEqual(zlib.crc32(frames), person['frames_crc32'])
      self.assertEqual(
        zlib.crc32(content[:start] + content[stop:]), person['index_crc32']
      )
      table = pa.ipc.open_file(self.path / f'{person["person_id"]}.arrow')
      table = table.read_all()
      self.assertEqual(table['frames'].to_pylist()[-1][:1], frames[-1:])
      first_value = last_value
    self.assertEqual(
      json.loads(table.schema.metadata[b'videos']), [['v1', 4, 30.0]]
    )
    row = table.drop_columns('frames').to_pylist()[0]
    self.assertEqual(
      row,
      {'person_id': 'B', 'video_id': 'v1', 'frame': 0, 'time_s': 0.0}
      | {'AU12': 2.5},
    )


class FramesTest(parameterized.TestCase):
  """Indexing agrees with that of one NumPy array."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    generator = np.random.default_rng(0)
    cls.array = generator.integers(0, 256, (9, _SIZE**2 * 3), dtype=np.uint8)

  def setUp(self):
    super().setUp()
    path = pathlib.Path(self.create_tempdir().full_path) / 'store'
    index = _index(_VIDEOS)
    stores.write(path, self.array, index, size_px=_SIZE, fps=_FPS)
    self.frames = store.open_store(path).frames

  @parameterized.parameters(
    (4,),
    (-1,),
    (slice(None),),
    (slice(3, 7),),
    (slice(8, 2, -2),),
    (slice(4, 4),),
    ([8, 0, 8, 4, 5],),
    (np.array([[5, 4], [0, 8]]),),
    (np.array([], int),),
    (np.arange(9) % 2 == 0,),
  )
  def test_rows_are_those_of_an_array(self, rows):
    np.testing.assert_array_equal(self.frames[rows], self.array[rows])

  def test_whole_frames_have_the_shape_and_type_they_say(self):
    self.assertEqual(np.asarray(self.frames).shape, self.frames.shape)
    self.assertEqual(self.frames[:2].dtype, self.frames.dtype)
    self.assertLen(self.frames, 9)

  @parameterized.parameters((9,), (-10,), ([[0, 9]],), ([[-1, 0]],))
  def test_a_row_that_is_not_there_is_an_error(self, rows):
    with self.assertRaises(IndexError):
      self.frames[np.array(rows) if isinstance(rows, list) else rows]


class WritingTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(self.create_tempdir().full_path) / 'store-1'

  def _left(self):
    return list(self.path.parent.iterdir())

  def test_bad_data_leave_nothing(self):
    with (
      self.assertRaises(ValueError),
      upkeep.writing(self.path, size_px=_SIZE),
    ):
      raise ValueError
    self.assertEmpty(self._left())

  def test_a_store_appears_only_when_finished(self):
    with upkeep.writing(self.path, size_px=_SIZE) as writer:
      writer.add(
        np.zeros((3, 48), np.uint8), _index(_VIDEOS[:1]), fps={'v1': 1.0}
      )
      self.assertFalse(self.path.exists())
    self.assertEqual(self._left(), [self.path])
    self.assertEqual(
      sorted(entry.name for entry in self.path.iterdir()),
      ['A.arrow', 'store.json'],
    )

  def test_an_empty_store_is_refused(self):
    with (
      self.assertRaisesRegex(ValueError, 'needs frames'),
      upkeep.writing(self.path, size_px=_SIZE),
    ):
      pass
    self.assertEmpty(self._left())

  def test_another_folder_of_that_name_is_not_replaced(self):
    self.path.mkdir()
    (self.path / 'thesis.tex').write_text('x')
    with self.assertRaisesRegex(OSError, 'no frame store.*store-1'):
      _write(self.path)
    self.assertTrue((self.path / 'thesis.tex').exists())
    self.assertEqual(self._left(), [self.path])

  def test_a_store_larger_than_the_disk_is_refused(self):
    with (
      self.assertRaisesRegex(OSError, 'GB are free'),
      upkeep.writing(self.path, num_frames=10**12, size_px=64),
    ):
      pass
    self.assertEmpty(self._left())

  @parameterized.named_parameters(
    ('unsorted', lambda index: index.iloc[[1, 0, *range(2, 9)]], 'sorted'),
    (
      'a_video_in_two_pieces',
      lambda index: index.iloc[[0, 1, 3, 4, 2, 5, 6, 7, 8]],
      'sorted',
    ),
    ('repeated', lambda index: index.iloc[[0, *range(8)]], 'sorted'),
    ('no_time', lambda index: index.drop(columns='time_s'), 'time_s'),
    ('unsafe', lambda index: index.replace('B', '..'), 'person_id'),
    ('unsafe_video', lambda index: index.replace('v1', '../v'), 'video_id'),
  )
  def test_a_wrong_index_is_refused(self, change, message):
    index = change(_index(_VIDEOS)).reset_index(drop=True)
    rates = dict.fromkeys(
      zip(index.person_id, index.video_id, strict=True), 1.0
    )
    with self.assertRaisesRegex(ValueError, message):
      stores.write(
        self.path, np.zeros((9, 48), np.uint8), index, size_px=4, fps=rates
      )
    self.assertEmpty(self._left())

  @parameterized.parameters(
    (5, '3 index rows for 5'), (0, '3 index rows for 0')
  )
  def test_frames_and_rows_must_agree(self, num_frames, message):
    with (
      self.assertRaisesRegex(ValueError, message),
      upkeep.writing(self.path, size_px=_SIZE) as writer,
    ):
      writer.add(
        np.zeros((num_frames, 48), np.uint8),
        _index(_VIDEOS[:1]),
        fps={'v1': 1.0},
      )

  def test_one_person_at_a_time(self):
    with (
      self.assertRaisesRegex(ValueError, 'of one person'),
      upkeep.writing(self.path, size_px=_SIZE) as writer,
    ):
      writer.add(
        np.zeros((9, 48), np.uint8), _index(_VIDEOS), fps={'v1': 1.0, 'v2': 1.0}
      )


class OpenStoreTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.path = pathlib.Path(self.create_tempdir().full_path) / 'store-1'
    _write(self.path)
    self.file = self.path / 'B.arrow'
    self.content = self.file.read_bytes()

  def _assert_refused(self, message):
    with self.assertRaisesRegex(ValueError, f'{self.path}.*{message}'):
      store.open_store(self.path)

  def _change_text(self, **changes):
    path = self.path / 'store.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))

  def test_a_folder_without_store_json_is_unfinished(self):
    (self.path / 'store.json').unlink()
    self._assert_refused('not a finished frame store')

  def test_another_schema_version_is_named(self):
    self._change_text(schema_version=2)
    self._assert_refused('schema version 2')

  @parameterized.parameters('garbage', '[]', '{}', '3')
  def test_a_garbled_store_json_is_damage(self, content):
    (self.path / 'store.json').write_text(content)
    self._assert_refused('store.json.*prepare it')

  def test_any_change_of_store_json_is_damage(self):
    self._change_text(source={'folds': {'A': '2'}})
    self._assert_refused('store.json is damaged')

  def test_a_missing_file_is_named_with_what_to_do(self):
    self.file.unlink()
    self._assert_refused('B.arrow, .* person B, .*Copy it again.*--remove=B')

  @parameterized.parameters(0, 1, 100, 700)
  def test_a_file_cut_short_is_damage(self, num_bytes):
    self.file.write_bytes(self.content[:num_bytes])
    self._assert_refused(r'B.arrow, .* person B, .*--remove=B')

  def test_a_foreign_file_is_damage(self):
    (self.path / 'A.arrow').replace(self.file)
    with pa.OSFile(str(self.path / 'A.arrow'), 'wb') as sink:
      table = pa.table({'person_id': ['A'], 'frames': [b'0']})
      with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    self._assert_refused('A.arrow, .* person A')

  def test_each_flipped_byte_is_found(self):
    entry = store_files.read_manifest(self.path)['people'][1]
    start = entry['frames_at']
    stop = start + entry['num_frames'] * _SIZE**2 * 3
    # Never other numbers, and no crash of Arrow, wherever it hits.
    for position in range(0, len(self.content), 3):
      content = bytearray(self.content)
      content[position] ^= 4
      self.file.write_bytes(content)
      if not start <= position < stop:
        self._assert_refused('B.arrow, .* person B')
        continue
      opened = store.open_store(self.path)
      self.assertEqual(opened.frames[4][0], 4)  # Of A, who is whole.
      with self.assertRaisesRegex(ValueError, 'B.arrow, .*frames are not'):
        opened.frames[5]

  def test_damage_is_found_by_every_reader_whatever_the_clock_says(self):
    before = self.file.stat()
    opened = store.open_store(self.path)
    self.assertEqual(opened.frames[5][0], 5)
    stores.flip(self.path, 'B', row=3)
    os.utime(self.file, ns=(before.st_atime_ns, before.st_mtime_ns))
    for rows in (5, np.array([[0, 5]]), slice(None)):
      with self.assertRaisesRegex(ValueError, 'person B'):
        store.open_store(self.path).frames[rows]

  def test_an_unsafe_id_is_refused(self):
    people = store_files.read_manifest(self.path)['people']
    people[0]['person_id'] = '../etc'
    stores.change_manifest(self.path, people=people)
    with self.assertRaisesRegex(ValueError, 'etc'):
      store.open_store(self.path)


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
