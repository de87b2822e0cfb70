import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from concurrent import futures
from unittest import mock

import cv2
import ml_collections
import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.data import alignment, builder, decode, labels, prepare, store
from tests.data import stores

_ROOT = pathlib.Path(__file__).parents[2]
_AVATARS = _ROOT.parent / 'shared' / 'data' / 'avatars'


def _config(**changes):
  config = ml_collections.ConfigDict(
    {
      'source': 'frame_folder',
      'path': '',
      'size_px': 8,
      'align': 'none',
      'eye_distance': 0.40,
      'fps': 0.0,
      'persons': (),
      'min_frames': 0,
      'synthetic': {
        'num_people': 2,
        'num_videos': 2,
        'num_frames': 3,
        'seed': 0,
        'fps': 20.0,
      },
    }
  )
  config.update(changes)
  return config


def _write_picture(path, value, *, side=8):
  """A plain grey picture; JPEG and PNG both keep it exactly enough."""
  path.parent.mkdir(parents=True, exist_ok=True)
  cv2.imwrite(str(path), np.full((side, side, 3), value, np.uint8))


def _landmark_table(frames):
  """Rows of labels.csv with level eyes, 20 pixels apart."""
  columns = {'frame': frames}
  for point in range(68):
    columns[f'x{point}'] = 20.0 if point < 42 else 40.0
    columns[f'y{point}'] = 30.0
  return pd.DataFrame(columns)


def _aligned_by_opencv(video, frame, side=64):
  """One frame with its eyes brought to their place by other means."""
  row = pd.read_csv(video / 'labels.csv').set_index('frame').loc[frame]
  left, right = (
    np.array([row[[f'{axis}{i}' for i in points]].mean() for axis in 'xy'])
    for points in (range(36, 42), range(42, 48))
  )
  turned = left + (right - left) @ np.array([[0, 1], [-1, 0]])
  scale = 4  # Drawn larger, then averaged down.
  goal = np.array([(0.3, 0.3), (0.7, 0.3), (0.3, 0.7)]) * side * scale
  matrix = cv2.getAffineTransform(
    np.float32([left, right, turned]) - 0.5, np.float32(goal) - 0.5
  )
  picture = cv2.imread(str(video / f'frame{frame:06d}.jpg'))[..., ::-1]
  large = cv2.warpAffine(
    picture,
    matrix,
    (side * scale, side * scale),
    borderMode=cv2.BORDER_REPLICATE,
  )
  return cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA).astype(
    float
  )


class _TestCase(parameterized.TestCase):
  """A test that may ask for empty folders."""

  def folder(self):
    return pathlib.Path(self.create_tempdir().full_path)


class FrameFolderTest(absltest.TestCase):
  """One folder with everything that may be wrong, prepared once."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    temporary = tempfile.TemporaryDirectory(prefix='psm_jax_prepare_')
    cls.addClassCleanup(temporary.cleanup)
    cls.root = pathlib.Path(temporary.name) / 'data'
    cls.directory = pathlib.Path(temporary.name) / 'cache'
    cls.root.mkdir()
    (cls.root / 'dataset.json').write_text('{"fps": 10}')
    for frame in (3, 4, 8):
      _write_picture(cls.root / 'A' / 'v1' / f'f{frame:04d}.png', 10 * frame)
    (cls.root / 'A' / 'v1' / 'labels.csv').write_text(
      'frame,au12,mood,yaw\n3,1.5,ok,2\n8,4,,3\n9,5,ok,4\n'
    )
    for frame in range(5):
      side = 12 if frame == 2 else 8
      _write_picture(
        cls.root / 'B' / 'v1' / f'{frame}.jpg', 40 + frame, side=side
      )
    (cls.root / 'B' / 'v1' / '3.jpg').write_bytes(b'\xff\xd8 not a picture')
    (cls.root / 'B' / 'v1' / '4.jpg').write_bytes(b'')
    _write_picture(cls.root / 'B' / 'v2' / '7.jpg', 90)
    (cls.root / 'B' / 'v2' / 'labels.csv').write_text('time,au1\n1,2\n')
    _write_picture(cls.root / 'C' / 'v1' / '1.jpg', 90)
    (cls.root / 'C' / 'v1' / '1.jpg').write_bytes(b'junk')
    cls.config = _config(path=str(cls.root))
    cls.path = prepare.prepare(cls.config, directory=cls.directory)
    cls.store = store.open_store(cls.path)
    cls.reasons = {p['path']: p['reason'] for p in cls.store.problems}

  def test_the_store_lies_in_the_directory(self):
    self.assertEqual(self.path.parent, self.directory)
    self.assertStartsWith(self.path.name, 'store-')

  def test_frames_are_decoded_in_order(self):
    np.testing.assert_allclose(
      self.store.frames[:][:, 0], [30, 40, 80, 40, 41, 42, 90], atol=1
    )

  def test_frame_numbers_are_the_files_own(self):
    self.assertEqual(self.store.index['frame'].tolist(), [3, 4, 8, 0, 1, 2, 7])

  def test_time_counts_from_the_smallest_frame_number(self):
    # Exactly: 32 bits would be wrong by milliseconds after some hours.
    self.assertEqual(
      self.store.index['time_s'].tolist(), [0, 0.1, 0.5, 0, 0.1, 0.2, 0]
    )

  def test_labels_are_matched_by_frame_number_and_missing_else(self):
    self.assertEqual(self.store.label_columns, ['AU12', 'mood', 'pose_yaw'])
    np.testing.assert_array_equal(
      self.store.index['AU12'], [1.5, np.nan, 4] + 4 * [np.nan]
    )
    np.testing.assert_array_equal(
      self.store.index['pose_yaw'], [2, np.nan, 3] + 4 * [np.nan]
    )

  def test_videos_carry_the_data_sets_rate(self):
    self.assertEqual(
      self.store.videos('B'),
      (store.Video('v1', 3, 6, 10.0), store.Video('v2', 6, 7, 10.0)),
    )

  def test_unreadable_pictures_are_named_and_left_out(self):
    for name in ('B/v1/3.jpg', 'B/v1/4.jpg', 'C/v1/1.jpg'):
      self.assertStartsWith(self.reasons[name], 'unreadable picture')
    self.assertEqual(self.store.person_ids, ('A', 'B'))

  def test_pictures_of_several_sizes_are_reported(self):
    self.assertIn('8x8 (2), 12x12 (1)', self.reasons['B/v1'])

  def test_missing_extra_and_wrong_labels_are_counted(self):
    reasons = [
      problem['reason']
      for problem in self.store.problems
      if problem['path'] == 'A/v1/labels.csv'
    ]
    self.assertEqual(
      reasons,
      [
        '2 cells are not numbers',
        '1 of 3 frames have no row; labels missing',
        '1 rows belong to no picture; not used',
      ],
    )

  def test_a_table_without_frame_column_is_reported(self):
    self.assertIn('no column `frame`', self.reasons['B/v2/labels.csv'])

  def test_every_problem_was_listed_once(self):
    self.assertLen(self.store.problems, 8)

  def test_preparing_again_changes_nothing(self):
    def listing():
      return {
        path: path.stat().st_mtime_ns for path in self.directory.rglob('*')
      }

    before = listing()
    self.assertEqual(
      prepare.prepare(self.config, directory=self.directory), self.path
    )
    self.assertEqual(listing(), before)

  def test_an_existing_store_needs_no_tensorflow(self):
    code = (
      'import sys, ml_collections\n'
      'from psm_jax.data import prepare\n'
      f'config = ml_collections.ConfigDict({self.config.to_dict()!r})\n'
      f'print(prepare.prepare(config, directory={str(self.directory)!r}))\n'
      "print(sorted({'tensorflow', 'cv2', 'jax'} & set(sys.modules)))\n"
    )
    result = subprocess.run(
      [sys.executable, '-c', code],
      cwd=_ROOT,
      capture_output=True,
      text=True,
      check=False,
    )
    self.assertEqual(result.stdout, f'{self.path}\n[]\n', result.stderr)

  def test_another_size_reuses_the_tfds_data_set(self):
    config = self.config.copy_and_resolve_references()
    config.size_px = 16
    path = prepare.prepare(config, directory=self.directory)
    self.assertNotEqual(path, self.path)
    opened = store.open_store(path)
    self.assertEqual(opened.frames.shape, (7, 16 * 16 * 3))
    self.assertEqual({p['path'] for p in opened.problems}, set(self.reasons))
    prepared = list((self.directory / 'tfds' / 'faces').iterdir())
    self.assertLen([p for p in prepared if p.name[0] != '.'], 1)

  def test_the_bytes_of_the_pictures_are_kept_by_tfds(self):
    # The test files are small, so the record holds them contiguously.
    (record,) = (self.directory / 'tfds').rglob('*.tfrecord*')
    picture = (self.root / 'A' / 'v1' / 'f0003.png').read_bytes()
    self.assertIn(picture, record.read_bytes())

  def test_problems_are_summed_up_in_the_log(self):
    with self.assertLogs(level='WARNING') as logs:
      prepare.log_summary(self.store)
    text = '\n'.join(logs.output)
    self.assertIn('3 x unreadable picture', text)
    self.assertIn('All 8 problems are listed in', text)


class StaleCacheTest(_TestCase):
  def test_a_changed_picture_makes_another_store(self):
    root, directory = self.folder(), self.folder()
    _write_picture(root / 'A' / 'v1' / '1.png', 50)
    config = _config(path=str(root), fps=25.0)
    before = prepare.prepare(config, directory=directory)
    _write_picture(root / 'A' / 'v1' / '1.png', 60)
    os.utime(root / 'A' / 'v1' / '1.png', ns=(5, 5))
    after = prepare.prepare(config, directory=directory)
    self.assertEqual(store.open_store(before).frames[0][0], 50)
    self.assertEqual(store.open_store(after).frames[0][0], 60)


class DamageTest(_TestCase):
  def test_a_flipped_byte_is_named_when_the_person_is_read(self):
    root, directory = self.folder(), self.folder()
    for person in 'AB':
      _write_picture(root / person / 'v1' / '1.png', 50)
    config = _config(path=str(root), fps=1.0)
    path = prepare.prepare(config, directory=directory)
    stores.flip(path, 'B')
    self.assertEqual(prepare.prepare(config, directory=directory), path)
    frames = store.open_store(path).frames
    self.assertEqual(frames[0][0], 50)
    with self.assertRaisesRegex(ValueError, 'B.arrow, .* person B'):
      frames[1]


class AlignmentTest(_TestCase):
  def test_frames_without_eyes_are_left_out_and_counted(self):
    root = self.folder()
    for frame in range(4):
      _write_picture(root / 'A' / 'v1' / f'{frame}.png', 50, side=64)
    _write_picture(root / 'B' / 'v1' / '0.png', 50, side=64)
    table = _landmark_table([0, 1, 2])
    table.loc[1, 'x38'] = np.nan
    table.to_csv(root / 'A' / 'v1' / 'labels.csv', index=False)
    opened = store.open_store(
      prepare.prepare(
        _config(path=str(root), fps=25.0, align='eyes'),
        directory=self.folder(),
      )
    )
    self.assertEqual(opened.index['frame'].tolist(), [0, 2])
    self.assertEmpty(opened.label_columns)
    reasons = [(p['path'], p['reason']) for p in opened.problems]
    self.assertIn(
      ('A/v1/labels.csv', '2 frames have no eye landmarks; left out'), reasons
    )
    self.assertIn('B/v1', [path for path, _ in reasons])

  def test_no_landmarks_at_all_is_an_error(self):
    root = self.folder()
    _write_picture(root / 'A' / 'v1' / '0.png', 50)
    with self.assertRaisesRegex(ValueError, "landmarks.*data.align='eyes'"):
      prepare.prepare(
        _config(path=str(root), fps=25.0, align='eyes'),
        directory=self.folder(),
      )

  def test_eyes_of_the_avatars_land_in_their_place(self):
    if not _AVATARS.is_dir():
      self.skipTest(f'{_AVATARS} is absent')
    config = _config(
      path=str(_AVATARS), persons=('AV006',), align='eyes', size_px=64
    )
    opened = store.open_store(prepare.prepare(config, directory=self.folder()))
    self.assertEmpty(opened.problems)
    self.assertEqual(opened.videos('AV006')[0].fps, 20.0)
    self.assertEqual(opened.index['frame'].iloc[0], 1)
    self.assertEqual(opened.index['time_s'].iloc[1], 0.05)
    for row in (0, 77, 600, 1111):
      video, frame = opened.index[['video_id', 'frame']].iloc[row]
      expected = _aligned_by_opencv(_AVATARS / 'AV006' / video, frame)
      actual = opened.frames[row].reshape(64, 64, 3).astype(float)
      off_by = [
        np.abs(np.roll(actual, shift, axis=axis) - expected)[4:-4, 4:-4].mean()
        for shift, axis in ((0, 0), (1, 0), (-1, 0), (1, 1), (-1, 1))
      ]
      self.assertLess(off_by[0], 1.5)
      self.assertLess(3 * off_by[0], min(off_by[1:]))


class LandmarkTest(_TestCase):
  """A bright dot on each picture, and its place among the landmarks."""

  _POINT = 30  # The tip of the nose.

  def setUp(self):
    super().setUp()
    self.root = self.folder()
    table = _landmark_table([0, 1, 2])
    for frame, (x, y) in enumerate([(30.3, 35.2), (26.8, 40.6), (33.1, 31.4)]):
      self._draw(self.root / 'A' / 'v1' / f'{frame}.png', x, y)
      table.loc[frame, [f'x{self._POINT}', f'y{self._POINT}']] = (x, y)
      # Eyes turned by a little in every frame.
      table.loc[frame, [f'y{i}' for i in range(42, 48)]] = 30.0 + 2 * frame
    table.to_csv(self.root / 'A' / 'v1' / 'labels.csv', index=False)

  def _draw(self, path, x, y):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.indices((64, 80)) + 0.5
    grey = 250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
    cv2.imwrite(str(path), np.round(grey).astype(np.uint8))

  def _prepare(self, **options):
    options = {'size_px': 48, 'fps': 25.0} | options
    return store.open_store(
      prepare.prepare(
        _config(path=str(self.root), **options), directory=self.folder()
      )
    )

  def _points(self, opened):
    columns = opened.index[list(labels.LANDMARK_COLUMNS)]
    return columns.to_numpy().reshape(-1, 68, 2)

  @parameterized.product(align=('none', 'eyes'), size_px=(48, 80))
  def test_a_dot_lies_where_the_index_says(self, align, size_px):
    opened = self._prepare(align=align, size_px=size_px)
    light = np.asarray(opened.frames).reshape(3, size_px, size_px, 3)[..., 0]
    light = light / light.sum(axis=(1, 2), keepdims=True)
    y, x = np.indices((size_px, size_px)) + 0.5
    seen = np.stack([(x * light).sum((1, 2)), (y * light).sum((1, 2))], axis=-1)
    np.testing.assert_allclose(
      self._points(opened)[:, self._POINT], seen, atol=0.1
    )

  def test_aligned_eyes_lie_at_one_place(self):
    opened = self._prepare(align='eyes', eye_distance=0.3)
    np.testing.assert_allclose(
      alignment.eye_centres(self._points(opened)),
      [[(0.35 * 48, 0.3 * 48), (0.65 * 48, 0.3 * 48)]] * 3,
      atol=1e-3,
    )

  def test_what_has_no_landmarks_is_missing(self):
    _write_picture(self.root / 'A' / 'v1' / '7.png', 50, side=64)
    _write_picture(self.root / 'B' / 'v1' / '0.png', 50, side=64)
    (self.root / 'A' / 'v1' / '1.png').write_bytes(b'junk')
    opened = self._prepare()
    self.assertEqual(opened.index['frame'].tolist(), [0, 2, 7, 0])
    np.testing.assert_array_equal(
      np.isnan(self._points(opened)).all(axis=(1, 2)),
      [False, False, True, True],
    )
    # The centre square of 80 x 64 begins at x = 8.
    np.testing.assert_allclose(
      self._points(opened)[1, self._POINT],
      np.array([33.1 - 8, 31.4]) * 48 / 64,
      rtol=1e-6,
    )

  def test_columns_without_any_value_are_left_out(self):
    path = self.root / 'A' / 'v1' / 'labels.csv'
    path.write_text(f'frame,au1,{",".join(labels.LANDMARK_COLUMNS)}\n')
    opened = self._prepare()
    self.assertFalse(opened.has_landmarks)
    self.assertEqual(opened.label_columns, ['AU01'])


class SyntheticTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    temporary = tempfile.TemporaryDirectory(prefix='psm_jax_prepare_')
    cls.addClassCleanup(temporary.cleanup)
    cls.directory = pathlib.Path(temporary.name)
    cls.config = _config(source='synthetic_faces', size_px=16)
    cls.store = store.open_store(
      prepare.prepare(cls.config, directory=cls.directory)
    )

  def test_people_videos_and_frames_are_those_asked_for(self):
    self.assertEqual(self.store.person_ids, ('P001', 'P002'))
    self.assertEqual(
      self.store.videos('P002'),
      (store.Video('video01', 6, 9, 20.0), store.Video('video02', 9, 12, 20.0)),
    )
    self.assertEqual(self.store.index['frame'].tolist(), [0, 1, 2] * 4)
    np.testing.assert_allclose(self.store.index['time_s'][:3], [0, 0.05, 0.1])

  def test_frames_are_the_rendered_pictures(self):
    from psm_jax.data import synthetic  # Imports OpenCV.

    person = synthetic.sample_person(0, 1)
    performance = synthetic.sample_performance(person, 0, 1, 3, 20.0)
    np.testing.assert_array_equal(
      self.store.frames[10].reshape(16, 16, 3),
      synthetic.render(person, performance, 1, size_px=16),
    )
    np.testing.assert_array_equal(
      self.store.index[list(synthetic.ACTION_UNITS)].iloc[10],
      performance.intensity[1],
    )

  def test_labels_name_action_units_and_pose(self):
    for name in ('AU01', 'AU26', 'pose_yaw', 'pose_pitch', 'pose_roll'):
      self.assertIn(name, self.store.label_columns)

  def test_people_can_be_chosen(self):
    config = self.config.copy_and_resolve_references()
    config.persons = ('P002',)
    opened = store.open_store(prepare.prepare(config, directory=self.directory))
    np.testing.assert_array_equal(opened.frames, self.store.frames[6:])

  def test_alignment_is_refused(self):
    with self.assertRaisesRegex(ValueError, 'data.align'):
      prepare.prepare(
        _config(source='synthetic_faces', align='eyes'),
        directory=self.directory,
      )

  def test_a_finished_store_is_used_as_it_is(self):
    config = _config(source='store', path=str(self.store.path), size_px=16)
    unused = self.directory / 'unused'
    self.assertEqual(prepare.prepare(config, directory=unused), self.store.path)
    self.assertFalse(unused.exists())

  def test_a_finished_store_of_another_size_is_refused(self):
    config = _config(source='store', path=str(self.store.path), size_px=32)
    with self.assertRaisesRegex(ValueError, '16 px.*data.size_px is 32'):
      prepare.prepare(config, directory=self.directory)

  def test_a_finished_store_is_not_cut_down(self):
    config = _config(
      source='store',
      path=str(self.store.path),
      size_px=16,
      persons=('P001',),
    )
    with self.assertRaisesRegex(ValueError, 'data.persons'):
      prepare.prepare(config, directory=self.directory)


class ErrorTest(_TestCase):
  def test_an_unknown_source_is_named_with_the_choices(self):
    with self.assertRaisesRegex(
      ValueError, "data.source 'webcam'.*synthetic_faces.*frame_folder.*store"
    ):
      prepare.prepare(_config(source='webcam'), directory=self.folder())

  def test_no_store_at_the_path_is_named(self):
    config = _config(source='store', path='/nowhere/store-1')
    with self.assertRaisesRegex(ValueError, '/nowhere/store-1'):
      prepare.prepare(config, directory=self.folder())

  def test_only_unreadable_pictures_is_an_error_that_leaves_no_store(self):
    root, directory = self.folder(), self.folder()
    (root / 'A' / 'v1').mkdir(parents=True)
    (root / 'A' / 'v1' / '1.jpg').write_bytes(b'junk')
    with self.assertRaisesRegex(ValueError, r'None of the 1.*A/v1/1\.jpg'):
      prepare.prepare(_config(path=str(root), fps=1.0), directory=directory)
    self.assertEmpty(list(directory.glob('*store*')))

  def test_a_directory_that_cannot_be_written_is_named(self):
    file = self.folder() / 'file'
    file.write_text('x')
    config = _config(source='synthetic_faces')
    with self.assertRaisesRegex(OSError, str(file)):
      prepare.prepare(config, directory=file / 'cache')

  def test_a_damaged_store_is_not_silently_rebuilt(self):
    root, directory = self.folder(), self.folder()
    _write_picture(root / 'A' / 'v1' / '1.png', 50)
    config = _config(path=str(root), fps=1.0)
    path = prepare.prepare(config, directory=directory)
    meta = json.loads((path / 'store.json').read_text())
    (path / 'store.json').write_text(json.dumps(meta | {'size_px': 7}))
    with self.assertRaisesRegex(ValueError, 'delete .*prepare it again'):
      prepare.prepare(config, directory=directory)

  def test_two_runs_that_share_a_folder_read_pictures_one_after_another(self):
    root, directory = self.folder(), self.folder()
    _write_picture(root / 'A' / 'v1' / '1.png', 50)
    reading, most = [], []

    def write(made):
      reading.append(made)
      most.append(len(reading))
      time.sleep(0.3)
      reading.pop()
      return directory / 'tfds/faces/a/1.0.0'

    with (
      mock.patch.object(builder, 'write', write),
      mock.patch.object(decode, 'fill_store'),
      futures.ThreadPoolExecutor() as pool,
    ):
      # Of other sizes, so that only the pictures are the same.
      configs = [
        _config(path=str(root), fps=1.0, size_px=size) for size in (8, 16)
      ]
      for config in configs:
        pool.submit(prepare.prepare, config, directory=directory)
    self.assertEqual(most, [1, 1])

  def test_leftovers_of_a_killed_run_are_named(self):
    root, directory = self.folder(), self.folder()
    _write_picture(root / 'A' / 'v1' / '1.png', 50)
    leftovers = (
      '.store-56.part',
      'tfds/faces/ab/incomplete.CD_1.0.0',
    )
    for name in leftovers:
      (directory / name).mkdir(parents=True)
    with self.assertLogs(level='WARNING') as logs:
      prepare.prepare(_config(path=str(root), fps=1.0), directory=directory)
    for name in leftovers:
      self.assertIn(name, '\n'.join(logs.output))


if __name__ == '__main__':
  absltest.main()
