import pathlib

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


if __name__ == '__main__':
  absltest.main()
