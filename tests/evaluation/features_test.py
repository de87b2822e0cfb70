import pathlib
import types

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.evaluation import features


def _video(
  *, model_id='m-s0', person_id='P1', video_id='v1', num_frames=4, offset=0.0
):
  data = pd.DataFrame(
    {
      'model_id': model_id,
      'person_id': person_id,
      'video_id': video_id,
      'frame': np.arange(num_frames),
      'time_s': np.arange(num_frames) / 20,
    }
  )
  for unit in range(3):
    data[f'e{unit:03d}'] = np.float32(unit + offset + np.arange(num_frames))
  return data.assign(AU01=np.linspace(0, 3, num_frames))


class ReadEmbeddingsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(self.create_tempdir().full_path)

  def _write(self, data, *parts):
    parts = parts or tuple(data[['model_id', 'person_id', 'video_id']].iloc[0])
    path = self.workdir.joinpath(
      'embeddings', *parts[:2], f'{parts[2]}.parquet'
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    data.to_parquet(path)
    return path

  def test_one_table_for_each_model_and_person(self):
    for model_id in ('m-s0', 'm-s1'):
      for person_id in ('P1', 'P2'):
        self._write(_video(model_id=model_id, person_id=person_id))
    found = features.read_embeddings(self.workdir)
    self.assertEqual(
      [(t.source, t.model_id, t.person_id) for t in found],
      [
        ('psm', 'm-s0', 'P1'),
        ('psm', 'm-s0', 'P2'),
        ('psm', 'm-s1', 'P1'),
        ('psm', 'm-s1', 'P2'),
      ],
    )

  def test_rows_of_videos_are_joined_in_order_of_video_and_time(self):
    self._write(_video(video_id='v2', offset=100).iloc[::-1])
    self._write(_video(video_id='v1'))
    (table,) = features.read_embeddings(self.workdir)
    self.assertEqual(table.frames['video_id'].tolist(), ['v1'] * 4 + ['v2'] * 4)
    np.testing.assert_array_equal(
      table.features[:, 0], [0, 1, 2, 3, 100, 101, 102, 103]
    )
    self.assertEqual(table.features.dtype, np.float32)
    self.assertEqual(
      list(table.frames), ['person_id', 'video_id', 'frame', 'time_s', 'AU01']
    )

  def test_unfinished_files_are_left_out(self):
    self._write(_video())
    self._write(_video(), 'm-s0', 'P1', '.v2-half')
    self._write(_video(person_id='P2'), 'm-s0', '.P2', 'v1')
    (table,) = features.read_embeddings(self.workdir)
    self.assertLen(table.frames, 4)

  def test_no_embeddings_says_where_they_should_be(self):
    with self.assertRaisesRegex(ValueError, str(self.workdir)):
      features.read_embeddings(self.workdir)

  def test_other_columns_than_the_file_beside_it_are_an_error(self):
    self._write(_video())
    self._write(_video(video_id='v2').assign(AU02=0.0))
    with self.assertRaisesRegex(ValueError, r"v2\.parquet .*'AU02'"):
      features.read_embeddings(self.workdir)

  @parameterized.parameters('time_s', 'e000', 'model_id')
  def test_missing_column_is_an_error_that_names_the_file(self, column):
    path = self._write(_video().drop(columns=column), 'm-s0', 'P1', 'v1')
    with self.assertRaisesRegex(ValueError, f'{path}.*{column}'):
      features.read_embeddings(self.workdir)

  @parameterized.parameters(
    ('m-s1', 'P1', 'v1'), ('m-s0', 'P2', 'v1'), ('m-s0', 'P1', 'v2')
  )
  def test_file_in_the_wrong_place_is_an_error(self, *place):
    path = self._write(_video(), *place)
    with self.assertRaisesRegex(ValueError, f'{path} holds'):
      features.read_embeddings(self.workdir)

  def test_every_file_with_nan_is_named(self):
    for person_id in ('P1', 'P2', 'P3'):
      data = _video(person_id=person_id)
      if person_id != 'P2':
        data.loc[2, 'e001'] = np.nan
      self._write(data)
    with self.assertRaises(ValueError) as caught:
      features.read_embeddings(self.workdir)
    message = str(caught.exception)
    self.assertRegex(message, r'P1/v1\.parquet: 1 of 4 frames, first 2')
    self.assertRegex(message, r'P3/v1\.parquet')
    self.assertNotIn('P2', message)

  def test_a_file_that_is_not_parquet_is_named(self):
    path = self._write(_video())
    path.write_bytes(b'nonsense')
    with self.assertRaisesRegex(ValueError, f'{path} is not a readable'):
      features.read_embeddings(self.workdir)


class FeatureTableTest(parameterized.TestCase):
  def _table(self, **changes):
    fields = {
      'source': 'psm',
      'model_id': 'm-s0',
      'person_id': 'P1',
      'features': np.zeros((2, 3), np.float32),
      'frames': pd.DataFrame(
        {
          'person_id': 'P1',
          'video_id': 'v1',
          'frame': [0, 1],
          'time_s': [0, 0.05],
        }
      ),
    }
    return features.FeatureTable(**{**fields, **changes})

  def test_sound_table_is_accepted(self):
    self.assertEqual(self._table().person_id, 'P1')

  @parameterized.parameters('source', 'model_id', 'person_id')
  def test_unsafe_id_is_an_error(self, field):
    with self.assertRaisesRegex(ValueError, field):
      self._table(**{field: '=1+1'})

  @parameterized.parameters((np.zeros((3, 3), np.float32),), (np.zeros(2),))
  def test_wrong_shape_is_an_error(self, data):
    with self.assertRaisesRegex(ValueError, 'shape'):
      self._table(features=data)

  def test_wrong_dtype_is_an_error(self):
    with self.assertRaisesRegex(ValueError, 'float64'):
      self._table(features=np.zeros((2, 3)))

  def test_infinite_feature_is_an_error(self):
    with self.assertRaisesRegex(ValueError, 'finite'):
      self._table(features=np.full((2, 3), np.inf, np.float32))

  @parameterized.parameters(
    ('person_id', 'P2', 'P2'),
    ('frame', 0, 'more than once'),
    ('time_s', np.nan, 'time_s'),
  )
  def test_inconsistent_frames_are_an_error(self, column, value, message):
    frames = self._table().frames.assign(**{column: value})
    with self.assertRaisesRegex(ValueError, message):
      self._table(frames=frames)


class GreyPixelsTest(parameterized.TestCase):
  @parameterized.parameters((64, 64), (32, 32), (96, 64), (45, 70), (20, 33))
  def test_constant_frame_keeps_its_luma(self, height, width):
    frames = np.empty((2, height, width, 3), np.uint8)
    frames[:] = (10, 100, 200)
    grey = features.grey_pixels(frames)
    self.assertEqual(grey.shape, (2, 1024))
    np.testing.assert_allclose(
      grey, (0.299 * 10 + 0.587 * 100 + 0.114 * 200) / 255, rtol=1e-5
    )

  def test_multiples_of_32_are_block_means(self):
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), np.uint8)
    luma = frames @ np.array([0.299, 0.587, 0.114]) / 255
    blocks = luma.reshape(3, 32, 2, 32, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(
      features.grey_pixels(frames), blocks.reshape(3, -1), atol=1e-6
    )

  @parameterized.parameters(40, 31, 77)
  def test_any_size_equals_means_of_finely_repeated_pixels(self, size):
    frames = np.random.default_rng(1).integers(
      0, 256, (1, size, size, 3), np.uint8
    )
    luma = frames[0] @ np.array([0.299, 0.587, 0.114]) / 255
    fine = luma.repeat(32, axis=0).repeat(32, axis=1)
    blocks = fine.reshape(32, size, 32, size).mean(axis=(1, 3))
    np.testing.assert_allclose(
      features.grey_pixels(frames)[0], blocks.ravel(), atol=1e-6
    )

  def test_pixels_are_row_major(self):
    frames = np.zeros((1, 32, 32, 3), np.uint8)
    frames[0, 2, 5] = 255
    self.assertEqual(features.grey_pixels(frames)[0].argmax(), 2 * 32 + 5)

  def test_float_frames_are_an_error(self):
    with self.assertRaisesRegex(ValueError, 'float32'):
      features.grey_pixels(np.zeros((1, 32, 32, 3), np.float32))


class PixelTableTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    index = pd.concat(
      [
        pd.DataFrame(
          {'person_id': p, 'video_id': 'v1', 'frame': [0, 1], 'time_s': [0, 1]}
        )
        for p in ('P1', 'P2')
      ],
      ignore_index=True,
    )
    frames = np.arange(4, dtype=np.uint8)[:, None].repeat(8 * 8 * 3, axis=1)
    self.store = types.SimpleNamespace(
      path='store', size_px=8, index=index, frames=frames * 10
    )

  def _embeddings(self, frame):
    return features.FeatureTable(
      'psm',
      'm-s0',
      'P2',
      np.zeros((len(frame), 2), np.float32),
      pd.DataFrame(
        {
          'person_id': 'P2',
          'video_id': 'v1',
          'frame': frame,
          'time_s': np.float64(frame),
          'AU01': 3.0,
        }
      ),
    )

  def test_rows_follow_the_embeddings(self):
    table = features.pixel_table(self._embeddings([1, 0]), self.store)
    np.testing.assert_allclose(table.features[:, 0] * 255, [30, 20], rtol=1e-5)
    self.assertEqual(
      (table.source, table.model_id, table.features.shape),
      ('pixel_pca', 'm-s0', (2, 1024)),
    )
    self.assertEqual(table.frames['AU01'].tolist(), [3.0, 3.0])

  def test_frames_of_the_store_are_rows_of_rgb_pixels(self):
    self.store.frames[:] = np.tile(np.uint8([200, 0, 0]), 64)
    table = features.pixel_table(self._embeddings([0]), self.store)
    np.testing.assert_allclose(table.features, 0.299 * 200 / 255, rtol=1e-5)

  def test_frame_that_the_store_lacks_is_an_error(self):
    with self.assertRaisesRegex(ValueError, 'lacks 1 of the 2'):
      features.pixel_table(self._embeddings([1, 7]), self.store)


if __name__ == '__main__':
  absltest.main()
