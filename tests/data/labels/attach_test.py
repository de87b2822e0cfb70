import pathlib

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.data import embedded, folders, labels
from psm_jax.data.labels import attach, collection
from psm_jax.evaluation import features, splits
from tests.data import fake_trees


def _openface(path, num_rows, *, first=1, fps=25.0, extra='', cells=''):
  """A table in which AU12_r is the frame's position in the video."""
  rows = [
    f'{k + first}, {k / fps:.3f}, 0.9, 1, {k}, {k % 2}{cells}'
    for k in range(num_rows)
  ]
  header = f'frame, timestamp, confidence, success, AU12_r, AU12_c{extra}'
  fake_trees.text(path, '\n'.join([header, *rows]) + '\n')


class _AttachTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = pathlib.Path(self.create_tempdir().full_path)
    self.frames, self.tables = folder / 'frames', folder / 'tables'
    self.tables.mkdir()

  def add_video(self, name, numbers):
    for number in numbers:
      fake_trees.picture(self.frames / name / f'{number:05d}.jpg')

  def attach(self, **options):
    return attach.to_frames(
      self.tables,
      self.frames,
      collection.Options(tool='openface', **options),
      fps=25.0,
    )

  def labels(self, name):
    table = labels.read_labels(self.frames / name / 'labels.csv')
    self.assertEmpty(table.problems)
    return table

  def reasons(self, summary):
    return '\n'.join(f'{where}: {why}' for where, why in summary.problems)


class ToFramesTest(_AttachTest):
  @parameterized.parameters(0, 1)
  def test_rows_come_to_their_pictures_however_these_are_numbered(self, first):
    self.add_video('A/v1', range(first, first + 6))
    _openface(self.tables / 'A' / 'v1.csv', 6)
    summary = self.attach()
    table = self.labels('A/v1')
    self.assertEqual(table.values.index.tolist(), [*range(first, first + 6)])
    self.assertEqual(table.values['AU12_r'].tolist(), [0, 1, 2, 3, 4, 5])
    self.assertEqual(
      list(table.values.columns), ['confidence', 'success', 'AU12_r', 'AU12_c']
    )
    self.assertEqual((summary.num_labelled, summary.num_unused), (6, 0))
    self.assertEmpty(summary.problems)

  def test_missing_pictures_do_not_move_rows(self):
    self.add_video('A/v1', [1, 2, 5, 6])
    _openface(self.tables / 'v1.csv', 6)
    summary = self.attach()
    self.assertEqual(
      self.labels('A/v1').values['AU12_r'].tolist(), [0, 1, 4, 5]
    )
    self.assertEqual((summary.num_used, summary.num_unused), (4, 2))
    self.assertIn('2 rows belong to no frame', self.reasons(summary))
    self.assertAlmostEqual(summary.difference_s, 0)

  def test_a_table_counted_from_0_is_not_joined_one_frame_off(self):
    self.add_video('A/v1', range(1, 7))
    self.add_video('B/v2', range(1, 7))
    _openface(self.tables / 'A_v1.csv', 6, first=0)
    _openface(self.tables / 'B_v2.csv', 6)
    summary = self.attach()
    self.assertEqual(summary.videos, ('B/v2',))
    self.assertFalse((self.frames / 'A/v1/labels.csv').exists())
    self.assertIn('has a frame 0, though', self.reasons(summary))

  def test_labels_of_people_stay_as_they_are(self):
    self.add_video('A/v1', [1, 2, 3])
    path = self.frames / 'A/v1/labels.csv'
    path.write_text('frame, AU12,note\n2,1.50,smile\n9,4,\n')
    _openface(self.tables / 'v1.csv', 3)
    self.attach(prefix='openface_')
    self.assertEqual(
      path.read_text(),
      'frame,AU12,note,openface_confidence,openface_success,openface_AU12_r,'
      'openface_AU12_c\n1,,,0.899999976,1,0,0\n2,1.50,smile,0.899999976,1,1,1\n'
      '3,,,0.899999976,1,2,0\n9,4,,,,,\n',
    )

  def test_scored_columns_never_replace_labels_of_people(self):
    self.add_video('A/v1', [1, 2, 3])
    path = self.frames / 'A/v1/labels.csv'
    path.write_text('frame,au12\n2,1.5\n')
    _openface(self.tables / 'v1.csv', 3)
    with self.assertRaisesRegex(ValueError, 'labels.csv has AU12 already'):
      self.attach(score='intensity')
    self.assertEqual(path.read_text(), 'frame,au12\n2,1.5\n')

  @parameterized.parameters(
    ('intensity', [0, 1, 2, 3]), ('presence', [0, 1, 0, 1])
  )
  def test_what_is_scored_is_chosen(self, score, expected):
    self.add_video('A/v1', range(1, 5))
    _openface(self.tables / 'v1.csv', 4)
    self.attach(score=score)
    self.assertEqual(self.labels('A/v1').values['AU12'].tolist(), expected)

  def test_a_second_time_needs_permission(self):
    self.add_video('A/v1', [1, 2, 3])
    _openface(self.tables / 'v1.csv', 3)
    self.attach()
    before = (self.frames / 'A/v1/labels.csv').read_text()
    with self.assertRaisesRegex(ValueError, 'AU12_r.*--overwrite'):
      self.attach()
    self.attach(overwrite=True)
    self.assertEqual((self.frames / 'A/v1/labels.csv').read_text(), before)

  def test_several_faces_wait_for_the_user(self):
    for name in ('A/v1', 'B/v2'):
      self.add_video(name, [1, 2])
    fake_trees.text(
      self.tables / 'v1.csv',
      'frame,face_id,AU12_r\n1,0,5\n1,1,7\n2,1,8\n',
    )
    _openface(self.tables / 'v2.csv', 2)
    summary = self.attach()
    self.assertEqual(summary.videos, ('B/v2',))
    self.assertIn('2 faces (0, 1)', self.reasons(summary))
    path = self.tables / 'faces.csv'
    path.write_text('person_id,video_id,face\nA,v1,1\n')
    self.attach(faces=collection.read_faces(path), overwrite=True)
    self.assertEqual(self.labels('A/v1').values['AU12_r'].tolist(), [7, 8])

  def test_tables_and_videos_without_the_other_are_named(self):
    for name in ('A/v1', 'B/v1', 'B/v2'):
      self.add_video(name, [1, 2])
    _openface(self.tables / 'v1.csv', 2)
    _openface(self.tables / 'v2.csv', 2)
    summary = self.attach()
    # Two people have a v1, so its table could be of either.
    self.assertEqual(summary.videos, ('B/v2',))
    self.assertIn('A/v1: no table of it', self.reasons(summary))
    self.assertIn('v1.csv: belongs to no video', self.reasons(summary))

  def test_rows_that_count_pictures_are_suspected(self):
    self.add_video('A/v1', [1, 2, 7, 8])
    self.add_video('B/v2', range(1, 9))
    _openface(self.tables / 'v1.csv', 4)
    _openface(self.tables / 'v2.csv', 8)
    summary = self.attach()
    self.assertIn(
      'A/v1: there are as many rows as pictures', self.reasons(summary)
    )
    self.assertNotIn('B/v2', self.reasons(summary))

  def test_a_shift_against_labels_of_people_is_noticed(self):
    self.add_video('A/v1', range(1, 301))
    signal = np.cumsum(np.random.default_rng(0).standard_normal(300))
    rows = [f'{f + 1},{value}' for f, value in enumerate(signal)]
    fake_trees.text(
      self.frames / 'A/v1/labels.csv', 'frame,AU12\n' + '\n'.join(rows) + '\n'
    )
    rows = [f'{f + 2},{value}' for f, value in enumerate(signal[:-1])]
    table = 'frame,AU12_r\n1,0\n' + '\n'.join(rows) + '\n'
    fake_trees.text(self.tables / 'v1.csv', table)
    summary = self.attach()
    self.assertIn('AU12 of both sources agrees best', self.reasons(summary))
    self.assertIn('+1 frames', self.reasons(summary))

  def test_landmarks_align_the_eyes(self):
    self.add_video('A/v1', [1, 2])
    names = [f'{axis}_{i}' for axis in 'xy' for i in range(68)]
    cells = [str(i) for i in range(136)]
    _openface(
      self.tables / 'v1.csv',
      2,
      extra=', ' + ', '.join(names),
      cells=', ' + ', '.join(cells),
    )
    self.attach(landmarks=True)
    points = self.labels('A/v1').landmarks
    np.testing.assert_array_equal(points[1, 40], [40, 68 + 40])
    self.assertLen(folders.scan(self.frames, align='eyes', fps=25.0).videos, 1)

  @parameterized.parameters(
    ({'score': 'probability'}, 'no such columns; they have.*AU12_r'),
    ({'score': 'best'}, "score 'best' is none of"),
    ({'landmarks': True}, 'no landmarks'),
    ({'first_frame': '2'}, "first_frame '2'"),
  )
  def test_options_that_cannot_be_used_are_named(self, options, message):
    self.add_video('A/v1', [1, 2])
    _openface(self.tables / 'v1.csv', 2)
    with self.assertRaisesRegex(ValueError, message):
      self.attach(**options)
    self.assertFalse((self.frames / 'A/v1/labels.csv').exists())

  def test_nothing_in_common_says_why(self):
    self.add_video('A/v1', [1, 2])
    _openface(self.tables / 'other.csv', 2)
    with self.assertRaisesRegex(ValueError, 'A/v1: no table of it.*other.csv'):
      self.attach()


class OverlapTest(_AttachTest):
  def test_of_several_faces_near_a_person_the_nearest_is_the_person(self):
    video = collection.Video(
      'v1',
      np.arange(4),
      np.arange(4) / 25,
      is_whole=True,
      table_names=('v1',),
      people={'A/v1': np.tile([10.0, 10.0, 20.0, 20.0], (4, 1))},
    )
    # Both rows of a frame overlap the person's box, in either order.
    rows = [
      f'{frame},{left},10,20,20,{left}'
      for frame in range(4)
      for left in ((11, 18), (18, 11))[frame % 2]
    ]
    fake_trees.text(
      self.tables / 'v1.csv',
      '\n'.join(['frame,x,y,width,height,AU12', *rows]) + '\n',
    )
    _, joined = collection.join_all(
      self.tables, [video], collection.Options(tool='generic')
    )
    self.assertEqual(joined['A/v1'].values['AU12_r'].tolist(), [11] * 4)


class ToEmbeddingsTest(_AttachTest):
  def setUp(self):
    super().setUp()
    self.run = self.frames.parent / 'run'
    for model in ('m-A-s0', 'm-A-s1', 'm-B-s0'):
      person = model.split('-')[1]
      for video in ('v1', 'v2'):
        path = self.run / 'embeddings' / model / person / f'{video}.parquet'
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = np.arange(1, 5)
        table = pd.DataFrame(
          {
            'model_id': model,
            'person_id': person,
            'video_id': video,
            'frame': frames,
            'time_s': (frames - 1) / 25,
            'e000': np.zeros(4, np.float32),
          }
        )
        table.attrs = {
          'schema_version': embedded.SCHEMA_VERSION,
          'model_id': model,
          'step': 5,
          'state': model,
          'config': 'c',
        }
        table.to_parquet(path, index=False)

  def attach(self, **options):
    return attach.to_embeddings(
      self.tables, self.run, collection.Options(tool='openface', **options)
    )

  def read(self, model, video):
    person = model.split('-')[1]
    return pd.read_parquet(
      self.run / 'embeddings' / model / person / f'{video}.parquet'
    )

  def test_all_models_of_a_video_get_the_same_columns(self):
    _openface(self.tables / 'A' / 'v1.csv', 4)
    summary = self.attach(score='intensity')
    self.assertLen(summary.written, 6)
    for model in ('m-A-s0', 'm-A-s1'):
      self.assertEqual(self.read(model, 'v1')['AU12'].tolist(), [0, 1, 2, 3])
    # The tables of a run must have the same columns to be evaluated.
    self.assertTrue(self.read('m-B-s0', 'v2')['AU12'].isna().all())
    self.assertEqual(
      list(self.read('m-A-s0', 'v1')), list(self.read('m-B-s0', 'v2'))
    )
    self.assertEqual(self.read('m-A-s0', 'v1')['AU12'].dtype, np.float32)
    names = [p.name for p in (self.run / 'embeddings').rglob('*.p*')]
    self.assertCountEqual(names, ['v1.parquet', 'v2.parquet'] * 3)

  def test_what_is_scored_is_what_an_evaluation_reads(self):
    _openface(self.tables / 'A' / 'v1.csv', 4)
    self.attach(score='intensity')
    tables = features.read_run(self.run)
    labels_of = [
      splits.action_unit_labels(table.frames, threshold=2) for table in tables
    ]
    self.assertEqual([list(found) for found in labels_of], [['AU12']] * 3)
    np.testing.assert_array_equal(
      labels_of[0]['AU12'], [0, 0, 1, 1] + 4 * [np.nan]
    )

  def test_columns_that_are_there_are_not_replaced_unasked(self):
    _openface(self.tables / 'A' / 'v1.csv', 4)
    self.attach()
    with self.assertRaisesRegex(ValueError, 'parquet has .*AU12_c'):
      self.attach()
    self.attach(overwrite=True)
    self.assertEqual(self.read('m-A-s0', 'v1')['AU12_r'].tolist(), [0, 1, 2, 3])

  def test_a_folder_without_embeddings_says_what_to_do(self):
    with self.assertRaisesRegex(ValueError, 'launch.embed first'):
      attach.to_embeddings(
        self.tables, self.frames, collection.Options(tool='openface')
      )


class ReadFacesTest(absltest.TestCase):
  def test_another_table_is_refused(self):
    path = pathlib.Path(self.create_tempdir().full_path) / 'faces.csv'
    path.write_text('person,video,face\nA,v1,0\n')
    with self.assertRaisesRegex(
      ValueError, "lacks the columns .'person_id', 'video_id'"
    ):
      collection.read_faces(path)


if __name__ == '__main__':
  absltest.main()
