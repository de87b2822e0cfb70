import json
import pathlib
import struct
import tempfile
from unittest import mock

import cv2
import numpy as np
from absl.testing import absltest

from psm_jax.data import builder as builder_lib, decode, folders, store
from psm_jax.data.tf import tfds


def _make_folder(root, num_videos=3, *, labels='frame,au1\n5,2.5\n'):
  """Videos of two frames, numbers 5 and 7; v1 alone has labels."""
  for video in range(num_videos):
    folder = root / 'A' / f'v{video}'
    folder.mkdir(parents=True)
    for frame in (5, 7):
      picture = np.full((6, 8, 3), 10 * video + frame, np.uint8)
      cv2.imwrite(str(folder / f'{frame}.png'), picture)
  if labels:
    (root / 'A' / 'v1' / 'labels.csv').write_text(labels)
  return folders.scan(root, fps=4.0)


class FrameFolderBuilderTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    temporary = tempfile.TemporaryDirectory(prefix='psm_jax_builders_')
    cls.addClassCleanup(temporary.cleanup)
    cls.folder = pathlib.Path(temporary.name)
    cls.source = _make_folder(cls.folder / 'data')
    cls.builder = builder_lib.Faces.of(cls.source, data_dir=cls.folder / 'tfds')
    cls.prepared = builder_lib.write(cls.builder)

  def test_is_named_by_the_sources_fingerprint(self):
    self.assertEqual(
      self.prepared,
      self.folder
      / 'tfds'
      / 'faces'
      / self.source.fingerprint
      / str(self.builder.version),
    )

  def test_one_example_is_one_video_in_order(self):
    videos = list(tfds.as_numpy(self.builder.as_dataset(split='train')))
    self.assertEqual(
      [video['video_id'] for video in videos], [b'v0', b'v1', b'v2']
    )
    video = videos[1]
    self.assertEqual(video['person_id'], b'A')
    self.assertEqual(video['fps'], 4.0)
    frames = video['frames']
    self.assertEqual(frames['frame'].tolist(), [5, 7])
    self.assertEqual(frames['time_s'].tolist(), [0.0, 0.5])
    self.assertEqual(frames['name'].tolist(), [b'5.png', b'7.png'])
    np.testing.assert_array_equal(frames['labels'], [[2.5], [np.nan]])
    np.testing.assert_array_equal(frames['image'][1], np.full((6, 8, 3), 17))
    self.assertTrue(np.isnan(frames['crop']).all())

  def test_can_be_read_without_our_code(self):
    builder = tfds.builder_from_directory(self.prepared)
    (first, *_) = tfds.as_numpy(builder.as_dataset(split='train'))
    self.assertEqual(first['frames']['image'].shape, (2, 6, 8, 3))

  def test_metadata_names_labels_and_counts_frames(self):
    metadata = builder_lib.read_metadata(self.prepared)
    self.assertEqual(metadata['label_columns'], ['AU01'])
    self.assertEqual(metadata['num_frames'], 6)
    self.assertEqual(
      metadata['problems'],
      [
        {
          'path': 'A/v1/labels.csv',
          'reason': '1 of 2 frames have no row; labels missing',
        }
      ],
    )

  def test_several_shards_keep_the_order(self):
    builder = builder_lib.Faces.of(
      self.source, data_dir=self.folder / 'sharded'
    )
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(num_shards=3)
    )
    path = self.folder / 'store'
    decode.fill_store(
      pathlib.Path(builder.data_dir), path, size_px=8, source={}
    )
    self.assertEqual(
      store.open_store(path).frames[:][:, 0].tolist(), [5, 7, 15, 17, 25, 27]
    )

  def test_a_damaged_record_is_named_not_skipped(self):
    builder = builder_lib.Faces.of(
      self.source, data_dir=self.folder / 'damaged'
    )
    prepared = builder_lib.write(builder)
    (record,) = prepared.glob('*.tfrecord*')
    content = bytearray(record.read_bytes())
    content[len(content) // 2] ^= 255
    record.write_bytes(content)
    with self.assertRaisesRegex(ValueError, f'{prepared} is damaged'):
      decode.fill_store(
        prepared, self.folder / 'store_damaged', size_px=8, source={}
      )
    self.assertEmpty(list(self.folder.glob('*store_damaged*')))

  def test_a_damaged_or_missing_file_of_the_data_set_is_named(self):
    builder = builder_lib.Faces.of(self.source, data_dir=self.folder / 'parts')
    prepared = builder_lib.write(builder)
    for path in sorted(prepared.iterdir()):
      content = path.read_bytes()
      for damage in (path.unlink, lambda path=path: path.write_bytes(b'[')):
        damage()
        with self.assertRaisesRegex(
          (ValueError, OSError), str(prepared.parent)
        ):
          # As `prepare` does it.
          builder_lib.Faces.of(self.source, data_dir=self.folder / 'parts')
          decode.fill_store(
            prepared, self.folder / 'store_parts', size_px=8, source={}
          )
        path.write_bytes(content)

  def test_a_full_disk_is_said_of_the_data_set(self):
    builder = builder_lib.Faces.of(self.source, data_dir=self.folder / 'full')
    text = 'ResourceExhaustedError: Failed to write; No space left on device'
    with (
      mock.patch.object(
        builder, 'download_and_prepare', side_effect=RuntimeError(text)
      ),
      self.assertRaisesRegex(OSError, 'No space left .*/full/faces/'),
    ):
      builder_lib.write(builder)

  def test_a_lost_record_is_noticed(self):
    builder = builder_lib.Faces.of(self.source, data_dir=self.folder / 'lost')
    prepared = builder_lib.write(builder)
    metadata = builder_lib.read_metadata(prepared)
    (prepared / 'metadata.json').write_text(
      json.dumps(metadata | {'num_frames': 8})
    )
    with self.assertRaisesRegex(ValueError, f'{prepared} is damaged'):
      decode.fill_store(
        prepared, self.folder / 'store_lost', size_px=8, source={}
      )


class RecordsTest(absltest.TestCase):
  """The frames of one video, as TFDS is given them."""

  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path) / 'data'

  def _records(self, source, index):
    problems = []
    builder = builder_lib.Faces.of(
      source, data_dir=self.create_tempdir().full_path
    )
    records = builder._records(
      source.videos[index], lambda path, reason: problems.append(path)
    )
    return list(records), problems

  def test_bytes_are_the_files_own(self):
    ((frame, _),), problems = self._records(_make_folder(self.root), 0)
    self.assertEqual(
      frame['image'], (self.root / 'A' / 'v0' / '5.png').read_bytes()
    )
    self.assertEmpty(problems)

  def test_columns_of_other_videos_are_missing(self):
    source = _make_folder(self.root)
    (self.root / 'A' / 'v2' / 'labels.csv').write_text('frame,au2\n5,1\n')
    source = folders.scan(self.root, fps=4.0)
    self.assertEqual(source.label_columns, ('AU01', 'AU02'))
    ((frame, _),), _ = self._records(source, 1)
    np.testing.assert_array_equal(frame['labels'], [2.5, np.nan])

  def test_without_label_columns_there_are_no_labels(self):
    ((frame, _),), _ = self._records(_make_folder(self.root, labels=''), 0)
    self.assertNotIn('labels', frame)

  def test_a_picture_that_claims_too_much_is_reported_and_the_rest_used(self):
    source = _make_folder(self.root)
    path = self.root / 'A' / 'v0' / '5.png'
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack('>II', 1 << 14, 1 << 14)
    path.write_bytes(content)
    ((frame,),), problems = self._records(source, 0)
    self.assertEqual(problems, ['A/v0/5.png'])
    self.assertEqual(frame['frame'], 7)

  def test_a_vanished_picture_is_reported_and_the_rest_used(self):
    source = _make_folder(self.root)
    (self.root / 'A' / 'v0' / '5.png').unlink()
    ((frame,),), problems = self._records(source, 0)
    self.assertEqual(problems, ['A/v0/5.png'])
    # Time still counts from the video's smallest frame number.
    self.assertEqual(frame['time_s'], 0.5)

  def test_a_video_that_vanished_gives_no_example(self):
    source = _make_folder(self.root)
    for path in (self.root / 'A' / 'v0').iterdir():
      path.unlink()
    examples, problems = self._records(source, 0)
    self.assertEmpty(examples)
    self.assertLen(problems, 2)

  def test_a_broken_table_is_reported_once_and_its_pictures_used(self):
    source = _make_folder(self.root, labels='frame,au1,au1\n5,1,2\n')
    self.assertEmpty(source.label_columns)
    (frames,), problems = self._records(source, 1)
    self.assertLen(frames, 2)
    self.assertEqual(problems, ['A/v1/labels.csv'])

  def test_a_video_too_long_for_a_record_becomes_several(self):
    source = _make_folder(self.root, num_videos=1, labels='')
    size = (self.root / 'A' / 'v0' / '5.png').stat().st_size
    for limits in ({'_RECORD_FRAMES': 1}, {'_LARGEST_RECORD_BYTES': size}):
      with mock.patch.multiple(builder_lib, **limits):
        ((first,), (second,)), _ = self._records(source, 0)
      self.assertEqual((first['frame'], second['frame']), (5, 7))


if __name__ == '__main__':
  absltest.main()
