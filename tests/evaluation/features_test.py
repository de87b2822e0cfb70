import dataclasses
import pathlib

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.evaluation import features
from tests.evaluation import people


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


class ReadRunTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(self.create_tempdir().full_path)

  def _write(self, data, *parts):
    parts = parts or tuple(data[['model_id', 'person_id', 'video_id']].iloc[0])
    path = self.workdir.joinpath(
      'embeddings', *parts[:2], f'{parts[2]}.parquet'
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    origin = {'schema_version': 1, 'step': 9, 'state': 'a', 'config': 'c'}
    data.attrs = {**origin, **data.attrs}
    data.to_parquet(path)
    return path

  def test_one_table_for_each_model_and_person(self):
    for model_id in ('m-s0', 'm-s1'):
      for person_id in ('P1', 'P2'):
        self._write(_video(model_id=model_id, person_id=person_id))
    found = features.read_run(self.workdir)
    self.assertEqual(
      [(t.source, t.model_id, t.person_id) for t in found],
      [
        ('trained', 'm-s0', 'P1'),
        ('trained', 'm-s0', 'P2'),
        ('trained', 'm-s1', 'P1'),
        ('trained', 'm-s1', 'P2'),
      ],
    )

  def test_rows_of_videos_are_joined_in_order_of_video_and_time(self):
    self._write(_video(video_id='v2', offset=100).iloc[::-1])
    self._write(_video(video_id='v1'))
    (table,) = features.read_run(self.workdir)
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
    (table,) = features.read_run(self.workdir)
    self.assertLen(table.frames, 4)

  def test_no_embeddings_says_where_they_should_be(self):
    with self.assertRaisesRegex(ValueError, str(self.workdir)):
      features.read_run(self.workdir)

  def test_other_columns_than_the_file_beside_it_are_an_error(self):
    self._write(_video())
    self._write(_video(video_id='v2').assign(AU02=0.0))
    with self.assertRaisesRegex(ValueError, r"v2\.parquet .*'AU02'"):
      features.read_run(self.workdir)

  @parameterized.parameters('time_s', 'e000', 'model_id')
  def test_missing_column_is_an_error_that_names_the_file(self, column):
    path = self._write(_video().drop(columns=column), 'm-s0', 'P1', 'v1')
    with self.assertRaisesRegex(ValueError, f'{path}.*{column}'):
      features.read_run(self.workdir)

  @parameterized.parameters(
    ('m-s1', 'P1', 'v1'), ('m-s0', 'P2', 'v1'), ('m-s0', 'P1', 'v2')
  )
  def test_file_in_the_wrong_place_is_an_error(self, *place):
    path = self._write(_video(), *place)
    with self.assertRaisesRegex(ValueError, f'{path} holds'):
      features.read_run(self.workdir)

  def test_every_file_with_nan_is_named(self):
    for person_id in ('P1', 'P2', 'P3'):
      data = _video(person_id=person_id)
      if person_id != 'P2':
        data.loc[2, 'e001'] = np.nan
      self._write(data)
    with self.assertRaises(ValueError) as caught:
      features.read_run(self.workdir)
    message = str(caught.exception)
    self.assertRegex(message, r'P1/v1\.parquet: 1 of 4 frames, first 2')
    self.assertRegex(message, r'P3/v1\.parquet')
    self.assertNotIn('P2', message)

  def test_a_file_that_is_not_parquet_is_named(self):
    path = self._write(_video())
    path.write_bytes(b'nonsense')
    with self.assertRaisesRegex(ValueError, f'{path} is no whole table'):
      features.read_run(self.workdir)

  def test_attrs_say_of_which_model_and_state_a_table_is(self):
    for model_id in ('m-s0', 'm-s1'):
      data = _video(model_id=model_id)
      data.attrs = {'model_id': model_id, 'state': f'state of {model_id}'}
      self._write(data)
    for table in features.read_run(self.workdir):
      taken = table.in_order().take(np.array([1, 0]))
      self.assertEqual(
        taken.frames.attrs['state'], f'state of {table.model_id}'
      )

  @parameterized.parameters(
    ('step', 10, 'm-s1'), ('config', 'd', 'm-s1'), ('state', 'b', 'm-s0')
  )
  def test_a_mixture_is_refused_by_name(self, field, value, model_id):
    first = self._write(_video())
    data = _video(model_id=model_id, video_id='v2')
    data.attrs = {field: value}
    second = self._write(data)
    with self.assertRaisesRegex(
      ValueError,
      f'{second} has {field} {value}, but {first} has .*launch.embed',
    ):
      features.read_run(self.workdir)

  def test_of_a_model_from_elsewhere_the_step_need_not_be_known(self):
    data = _video()
    data.attrs = {'step': None}
    self._write(data)
    self.assertLen(features.read_run(self.workdir), 1)

  def test_models_have_states_of_their_own(self):
    for model_id in ('m-s0', 'm-s1'):
      data = _video(model_id=model_id)
      data.attrs = {'state': model_id}
      self._write(data)
    self.assertLen(features.read_run(self.workdir), 2)

  def test_a_table_that_does_not_say_what_it_is_of_is_refused(self):
    path = self._write(_video())
    pd.read_parquet(path).assign(AU01=0.0).pipe(
      lambda data: pd.DataFrame(data.to_numpy(), columns=data.columns)
    ).convert_dtypes().to_parquet(path)
    with self.assertRaisesRegex(ValueError, f'{path} does not say of which'):
      features.read_run(self.workdir)


class ReadFilesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def _write(self, name, data):
    path = self.folder / name
    if name.endswith('.csv'):
      data.to_csv(path, index=False)
    else:
      data.to_parquet(path, index=False)
    return path

  @parameterized.parameters('a.csv', 'a.parquet')
  def test_ids_stay_text_and_labels_get_their_names(self, name):
    data = _video(person_id='007').rename(columns={'AU01': 'au1'})
    path = self._write(name, data.assign(yaw=3.0))
    (table,) = features.read([path], source='lab')
    self.assertEqual(list(table.ids.values()), ['lab', 'm-s0', '007'])
    np.testing.assert_allclose(
      table.features, _video()[['e000', 'e001', 'e002']]
    )
    self.assertIn('AU01', table.frames)
    self.assertIn('pose_yaw', table.frames)

  def test_without_a_model_it_is_called_after_the_source(self):
    path = self._write('a.csv', _video().drop(columns='model_id'))
    (table,) = features.read_files([path], source='lab')
    self.assertEqual(table.model_id, 'lab')

  def test_several_files_are_one_source(self):
    paths = [self._write(f'{p}.csv', _video(person_id=p)) for p in ('A', 'B')]
    found = features.read_files(paths, source='lab')
    self.assertEqual([table.person_id for table in found], ['A', 'B'])

  def test_bad_files_are_named(self):
    for name, change, message in (
      ('a.csv', lambda d: d.drop(columns='time_s'), r"a\.csv lacks .*'time_s'"),
      ('b.csv', lambda d: d.assign(e001=np.inf), r'b\.csv: 4 of 4 frames'),
      (
        'c.csv',
        lambda d: d.assign(e001='x'),
        r'c\.csv, row 1 of data: e001',
      ),
    ):
      path = self._write(name, change(_video()))
      with self.assertRaisesRegex(ValueError, message):
        features.read_files([path], source='x')
    (self.folder / 'd.parquet').write_bytes(b'no table')
    with self.assertRaisesRegex(ValueError, r'd\.parquet is no whole'):
      features.read_files([self.folder / 'd.parquet'], source='x')
    with self.assertRaisesRegex(ValueError, 'no files'):
      features.read_files([], source='x')

  def test_files_and_runs_are_not_read_together(self):
    with self.assertRaisesRegex(ValueError, 'Name one run, or files'):
      features.read(['runs/a', 'runs/b'])


class ControlsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(self.create_tempdir().full_path)
    self.tables = [
      people.table(people.frames(p, length=10), 'trained', model_id=f'm-{p}')
      for p in ('P1', 'P2')
    ]

  def _write(self, folder, **changes):
    bare = [
      dataclasses.replace(t, frames=t.frames[list(features.FRAME_COLUMNS)])
      for t in self.tables
    ]
    changed = [dataclasses.replace(table, **changes) for table in bare]
    people.write_tables(self.workdir / folder, changed)

  def test_they_are_of_the_frames_that_are_asked_for_with_their_labels(self):
    self._write('controls/random_encoder')
    self._write('controls/pixel_pca', model_id='grey')
    asked = [table.take(np.array([15, 3])) for table in self.tables]
    made = features.controls(self.workdir, asked)
    self.assertEqual(
      [list(table.ids.values()) for table in made],
      [
        ['random_encoder', 'm-P1', 'P1'],
        ['random_encoder', 'm-P2', 'P2'],
        ['pixel_pca', 'grey', 'P1'],
        ['pixel_pca', 'grey', 'P2'],
      ],
    )
    for table, own in zip(made, [*asked, *asked], strict=True):
      np.testing.assert_array_equal(table.features, own.features)
      pd.testing.assert_frame_equal(table.frames, own.frames)

  def test_what_was_not_written_is_left_out(self):
    self.assertEmpty(features.controls(self.workdir, self.tables))

  def test_a_frame_that_a_control_lacks_is_an_error(self):
    self._write('controls/random_encoder')
    frames = self.tables[0].frames
    later = dataclasses.replace(
      self.tables[0], frames=frames.assign(frame=frames['frame'] + 1)
    )
    with self.assertRaisesRegex(ValueError, 'lacks 2 of 20 frames of P1'):
      features.controls(self.workdir, [later])


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

  def test_embeddings_get_length_1_and_what_has_none_stays(self):
    table = people.table(people.frames('P1'))
    table.features[3] = 0
    length = np.linalg.norm(table.scaled(), axis=1)
    np.testing.assert_allclose(np.delete(length, 3), 1)
    self.assertEqual(length[3], 0)
    pose = dataclasses.replace(table, source='head_pose')
    np.testing.assert_array_equal(pose.scaled(), pose.features)
    linear = table.frames.copy()
    linear.attrs = {'unit_length': False}
    linear = dataclasses.replace(table, frames=linear).in_order()
    np.testing.assert_array_equal(linear.scaled(), linear.features)

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
