"""Whole folders of videos; most runs take boxes from tables, for speed."""

import dataclasses
import errno
import fractions
import json
import os
import pathlib
import shutil
import stat
import tempfile
import unittest.mock

import numpy as np
import pandas as pd
from absl.testing import absltest

from psm_jax import tasks
from psm_jax.data import builder as builder_lib, decode, labels, store
from psm_jax.data.ingest import (
  batch,
  crops,
  detection,
  faces as faces_lib,
  folder,
  frame_tables,
  jobs,
  layout,
  processing,
  video_tables,
)
from psm_jax.data.labels import attach, collection
from tests.data.ingest import films

_OPTIONS = jobs.Options(
  detector=detection.DetectorOptions(min_face_px=40), size_px=32
)


def _ingest(path, output, **options):
  options = {'person_from': 'file'} | options
  with unittest.mock.patch.object(tasks, 'on_processes', tasks.here):
    return batch.ingest(path, output, options=_OPTIONS, **options)


class ProcessesTest(absltest.TestCase):
  """One run as a user starts it: MTCNN, processes, good and bad files."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    temporary = tempfile.TemporaryDirectory(prefix='psm_jax_ingest_')
    cls.addClassCleanup(temporary.cleanup)
    cls.root = pathlib.Path(temporary.name)
    videos = cls.root / 'videos'
    videos.mkdir()
    person = [films.picture((0, i, 20 + i, 16)) for i in range(16)]
    films.write(videos / 'person.mp4', person)
    films.write(videos / 'no one.mp4', [films.picture()] * 3)
    films.write(videos / '=one frame.mkv', person[:1])
    (videos / 'empty.mp4').touch()
    (videos / 'text.mp4').write_text('text')
    cls.outcome = batch.ingest(
      videos,
      cls.root / 'out',
      options=_OPTIONS,
      person_from='file',
      num_workers=1,
    )
    cls.out = cls.root / 'out'

  def test_each_video_is_told_apart(self):
    self.assertEqual(self.outcome.count('ok'), 1)
    self.assertEqual(self.outcome.count('no_face'), 2)
    self.assertEqual(self.outcome.count('failed'), 2)
    table = pd.read_csv(self.out / 'summary.csv').set_index('name')
    self.assertIn('empty', table.loc['empty.mp4', 'reason'])
    self.assertIn('not a video', table.loc['text.mp4', 'reason'])
    self.assertIn('no face in 3', table.loc['no one.mp4', 'reason'])
    # No formula for a spreadsheet.
    self.assertIn('never long enough', table.loc["'=one frame.mkv", 'reason'])

  def test_faces_are_for_the_owner_alone(self):
    for path in [self.out, *self.out.rglob('*')]:
      if path.is_dir():
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o700, path)

  def test_every_frame_has_a_row_and_every_found_face_a_crop(self):
    made = self.out / 'videos' / 'person'
    table = pd.read_parquet(made / 'frames.parquet')
    self.assertEqual(table['frame'].tolist(), list(range(16)))
    self.assertEqual(table['time_s'].dtype, np.float64)
    np.testing.assert_allclose(table['time_s'], np.arange(16) / 25)
    self.assertTrue(table['success'].all())
    self.assertEqual(set(table['person_id']), {'person'})
    self.assertGreaterEqual(table['confidence'].min(), 0.9)
    self.assertEqual(
      sorted(p.name for p in (made / 'track00').iterdir()),
      [f'{i:06d}.jpg' for i in range(16)],
    )
    counts = json.loads((made / 'video.json').read_text())['counts']
    self.assertEqual((counts['decoded'], counts['crops']), (16, 16))

  def test_without_a_face_there_are_rows_without_success(self):
    (made,) = (self.out / 'videos').glob('no-one-*')
    table = pd.read_parquet(made / 'frames.parquet')
    self.assertEqual(table['track'].tolist(), [-1] * 3)
    self.assertFalse(table['success'].any())
    self.assertTrue(table['x'].isna().all())


class _FolderTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path)
    self.out = self.root / 'out'
    for name in ('videos', 'boxes'):
      (self.root / name).mkdir()

  def _add(self, name, tracks, num_frames=24):
    """A video and its table of boxes: (frames found, left, top) a track.

    A face is seen from the first to the last frame where it is found.
    """
    pictures = [
      films.picture(
        *[
          (i, f, left, top)
          for i, (frames, left, top) in enumerate(tracks)
          if frames[0] <= f <= frames[-1]
        ]
      )
      for f in range(num_frames)
    ]
    films.write(self.root / 'videos' / name, pictures)
    table = self.root / 'boxes' / f'{pathlib.Path(name).stem}.csv'
    table.write_text(films.box_rows(tracks))

  def _run(self, **options):
    return _ingest(
      self.root / 'videos', self.out, boxes=self.root / 'boxes', **options
    )

  def _made(self, video_id):
    path = layout.video_folder(self.out, video_id) / 'video.json'
    return json.loads(path.read_text())['made']


class BatchTest(_FolderTest):
  def test_two_people_wait_to_be_confirmed(self):
    self._add('pair.mp4', [(range(24), 2, 10), (range(24), 70, 10)])
    outcome = self._run()
    self.assertEqual(outcome.num_open_tracks, 2)
    self.assertEmpty(outcome.people)
    with self.assertRaisesRegex(ValueError, 'No track of .* is confirmed'):
      folder.scan(self.out)
    path = self.out / 'tracks.csv'
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace('pair,1,0,23,', 'pair,1,0,23,right')
    path.write_text('\n'.join(lines) + '\n')
    outcome = self._run()
    self.assertEqual(path.read_text().splitlines(), lines)
    self.assertEqual([row['person_id'] for row in outcome.people], ['right'])
    (video,) = folder.scan(self.out).videos
    self.assertEqual(video.parts, ((1, 0, 23),))
    table = pd.read_parquet(self.out / 'videos' / 'pair' / 'frames.parquet')
    self.assertEqual(
      set(zip(table['track'], table['person_id'], strict=True)),
      {(0, ''), (1, 'right')},
    )

  def test_several_videos_are_nobodys_until_somebody_says_whose(self):
    (self.root / 'videos' / 'P1').mkdir()
    for left, name in enumerate(('a.mp4', 'P1/b.mp4', 'P1/c.mp4')):
      self._add(name, [(range(24), left, 10)])
    outcome = self._run(person_from='ask')
    self.assertEqual((outcome.num_waiting, outcome.people), (3, []))
    made = self._made('a')
    outcome = self._run(person_from='folder')
    # Nothing says who is seen in a video of no folder.
    people = [(row['person_id'], row['videos']) for row in outcome.people]
    self.assertEqual(people, [('P1', 2), ('a', 1)])
    self.assertEqual((outcome.num_waiting, self._made('a')), (0, made))
    # What is confirmed stays so, whatever comes later.
    self._add('d.mp4', [(range(24), 9, 10)])
    outcome = self._run(person_from='ask')
    self.assertEqual(outcome.num_waiting, 1)
    self.assertLen(outcome.people, 2)
    self.assertLen(self._run().people, 3)

  def test_a_second_face_however_short_keeps_a_video_unconfirmed(self):
    self._add('a.mp4', [(range(24), 2, 10), (range(4, 8), 70, 10)])
    outcome = self._run()
    self.assertEqual(outcome.num_open_tracks, 1)
    self.assertEmpty(outcome.people)

  def test_a_track_that_goes_over_to_another_face_is_offered_in_two(self):
    # Brightness fades from one to the other: no cut is found.
    table = films.box_rows([(range(40), 36, 16)])
    (self.root / 'boxes' / 'a.csv').write_text(table)
    share = np.clip((np.arange(40) - 17) / 6, 0, 1)
    films.write(
      self.root / 'videos' / 'a.mp4',
      [
        np.round(
          (1 - part) * films.picture((0, i % 32, 36, 16)).astype(float)
          + part * films.picture((3, i % 32, 36, 16))
        ).astype(np.uint8)
        for i, part in enumerate(share)
      ],
    )
    outcome = self._run()
    (row,) = outcome.rows
    self.assertEqual((row['cuts'], row['tracks']), (0, 1))
    self.assertRegex(row['warnings'], 'another from frame (19|20|21) ')
    self.assertEmpty(outcome.people)
    lines = (self.out / 'tracks.csv').read_text().splitlines()[1:]
    parts = [line.split(',')[1:5] for line in lines]
    change = int(parts[1][1])
    self.assertEqual(
      parts, [['0', '0', f'{change - 1}', ''], ['0', f'{change}', '39', '']]
    )

  def test_frames_of_a_variable_rate_keep_the_times_of_the_file(self):
    # A telephone in the dark: the second half is slower, after a pause.
    steps_ms = [33] * 12 + [400] + [50] * 11
    times_ms = np.cumsum([0, *steps_ms[:-1]]).tolist()
    films.write(
      self.root / 'videos' / 'a.mp4',
      [films.picture((0, f, 2, 10)) for f in range(24)],
      times_ms=times_ms,
    )
    table = films.box_rows([(range(24), 2, 10)])
    (self.root / 'boxes' / 'a.csv').write_text(table)
    self._run()
    table = frame_tables.read_table(self.out, 'a')
    np.testing.assert_allclose(
      table['time_s'], np.array(times_ms) / 1000, atol=1e-9
    )

  def test_boxes_of_stored_pixels_are_brought_to_those_shown(self):
    pixels = films.picture((0, 0, 2, 10))
    films.write(
      self.root / 'videos' / 'a.mkv',
      [pixels] * 12,
      aspect=fractions.Fraction(4, 3),
    )
    rows = [f'{i + 1},0,0.9,1,19,22,54,74' for i in range(12)]
    head = 'frame,timestamp,confidence,success,x,y,width,height'
    table = self.root / 'boxes' / 'a.csv'
    for text, left in (
      ('\n'.join([head, *rows]), 19 * 4 / 3),
      (films.box_rows([(range(12), 2, 10)]), 19),
    ):
      table.write_text(text + '\n')
      (row,) = self._run().rows
      self.assertIn('160x120 and shown as 213x120', row['warnings'])
      boxes = pd.read_parquet(self.out / 'videos' / 'a' / 'frames.parquet')
      np.testing.assert_allclose(boxes['x'], left, atol=0.1)

  def test_boxes_go_by_the_rule_of_labels(self):
    self._add('a.mp4', [(range(24), 2, 10)])
    rows = [f'{i},19,22,54,74' for i in range(1, 25)]
    text = '\n'.join(['frame,x,y,width,height', *rows])
    (self.root / 'boxes' / 'a.csv').write_text(text + '\n')
    (row,) = self._run().rows
    self.assertRegex(row['reason'], '--first_row=0.*--first_row=1')
    options = dataclasses.replace(_OPTIONS, first_row=1)
    with unittest.mock.patch.object(tasks, 'on_processes', tasks.here):
      (row,) = batch.ingest(
        self.root / 'videos',
        self.out,
        options=options,
        boxes=self.root / 'boxes',
      ).rows
    self.assertEqual((row['status'], row['crops']), ('ok', 24))

  def test_every_file_and_linked_folder_ends_in_the_summary(self):
    self._add('a.mp4', [(range(24), 2, 10)])
    elsewhere = self.root / 'elsewhere'
    elsewhere.mkdir()
    shutil.copy(self.root / 'videos' / 'a.mp4', elsewhere / 'b.mp4')
    (self.root / 'boxes' / 'b.csv').write_text(
      (self.root / 'boxes' / 'a.csv').read_text()
    )
    videos = self.root / 'videos'
    (videos / 'linked').symlink_to(elsewhere)
    (videos / 'round').symlink_to(videos)
    (videos / 'notes.txt').touch()
    (videos / 'clip').touch()
    (videos / 'gone').symlink_to('nowhere')
    (videos / '.hidden').mkdir()
    for number in range(30):
      (videos / f'{number}.jpg').touch()
    self._run()
    table = pd.read_csv(self.out / 'summary.csv').set_index('name')
    self.assertEqual(table.loc['linked/b.mp4', 'status'], 'ok')
    self.assertIn('a copy of a.mp4', table.loc['linked/b.mp4', 'warnings'])
    self.assertEqual(table['confirmed'].sum(), 1)
    self.assertIn('nothing', table.loc['gone', 'reason'])
    pictures = [f'{number}.jpg' for number in range(30)]
    for name in ('round', 'notes.txt', 'clip', 'gone', '.hidden', *pictures):
      self.assertEqual(table.loc[name, 'status'], 'left_out')

  def test_done_videos_stay_and_new_ones_come(self):
    self._add('a.mp4', [(range(24), 2, 10)])
    self._run()
    made = self._made('a')
    self._add('b.mp4', [(range(24), 2, 10)])
    outcome = self._run()
    self.assertEqual(outcome.count('ok'), 2)
    self.assertEqual(self._made('a'), made)
    # A killed run leaves this; the next one takes it away.
    leftover = self.out / 'videos' / '.new-0'
    leftover.mkdir()
    shutil.rmtree(self.out / 'videos' / 'b')
    self._run()
    self.assertFalse(leftover.exists())
    self.assertEqual(self._made('a'), made)
    self.assertTrue((self.out / 'videos' / 'b' / 'video.json').exists())

  def test_a_changed_video_is_made_anew_unless_its_tracks_were_filled_in(self):
    self._add('a.mp4', [(range(24), 2, 10)])
    self._run()
    made = self._made('a')
    self._add('a.mp4', [(range(12), 2, 10)], num_frames=12)
    self._run()
    again = self._made('a')
    self.assertNotEqual(again, made)
    path = self.out / 'tracks.csv'
    self.assertIn('a,0,0,11,a,auto', path.read_text())
    path.write_text(path.read_text().replace('a,0,0,11,a', 'a,0,0,11,mine'))
    self._add('a.mp4', [(range(20), 2, 10)], num_frames=20)
    (row,) = self._run().rows
    self.assertIn('filled in by hand', row['reason'])
    self.assertEqual(self._made('a'), again)
    self.assertIn('mine', path.read_text())

  def test_a_broken_tracks_table_stops_before_any_work(self):
    self._add('a.mp4', [(range(24), 2, 10)])
    self.out.mkdir(mode=0o700)
    (self.out / 'tracks.csv').write_text('oops\n')
    with self.assertRaisesRegex(ValueError, 'lacks the columns'):
      self._run()
    self.assertEqual((self.out / 'tracks.csv').read_text(), 'oops\n')
    self.assertEmpty(list((self.out / 'videos').iterdir()))

  def test_a_full_disk_fails_the_video_and_leaves_nothing(self):
    self._add('a.mp4', [(range(24), 2, 10)])
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with unittest.mock.patch.object(
      processing, '_write_crop', side_effect=full
    ):
      (row,) = self._run().rows
    self.assertEqual(row['status'], 'failed')
    self.assertIn('No space left', row['reason'])
    self.assertEmpty(list((self.out / 'videos').iterdir()))
    self.assertEqual(self._run().count('ok'), 1)

  def test_a_face_lost_half_way_keeps_a_row_a_frame(self):
    self._add('a.mp4', [([*range(10), *range(15, 24)], 2, 10)])
    (person,) = self._run().people
    self.assertEqual((person['frames'], person['gaps']), (19, 1))
    self.assertAlmostEqual(person['longest_gap_s'], 6 / 25)
    self.assertIn('too little', person['note'])
    table = pd.read_parquet(self.out / 'videos' / 'a' / 'frames.parquet')
    self.assertEqual(table['frame'].tolist(), list(range(24)))
    self.assertEqual(
      np.flatnonzero(~table['success']).tolist(), [10, 11, 12, 13, 14]
    )

  def test_a_missing_table_of_boxes_is_named(self):
    self._add('a.mp4', [(range(24), 2, 10)])
    (self.root / 'boxes' / 'a.csv').unlink()
    (row,) = self._run().rows
    self.assertIn('no table of it in', row['reason'])

  def test_a_file_that_may_not_be_read_is_named(self):
    if os.name != 'posix' or not os.geteuid():
      self.skipTest('everything may be read by this user')
    self._add('a.mp4', [(range(24), 2, 10)])
    (self.root / 'videos' / 'a.mp4').chmod(0)
    (row,) = self._run().rows
    self.assertIn('Permission denied', row['reason'])

  def test_two_runs_of_one_folder_are_kept_apart(self):
    self._add('a.mp4', [(range(24), 2, 10)])
    self._run()
    with (
      batch._locked(self.out),
      self.assertRaisesRegex(ValueError, 'Another process'),
    ):
      self._run()


class TrainingDataTest(_FolderTest):
  """What the training pipeline makes of an ingest folder."""

  def _store(self, source, *, size_px=32):
    builder = builder_lib.Faces.of(source, data_dir=self.root / 'tfds')
    path = self.root / f'store-{source.fingerprint}'
    decode.fill_store(
      builder_lib.write(builder), path, size_px=size_px, source={}
    )
    return store.open_store(path)

  def test_frames_and_times_and_labels_arrive(self):
    self._add('a.mp4', [([*range(10), *range(15, 24)], 2, 10)])
    self._add('b.mp4', [(range(24), 2, 10), (range(24), 70, 10)])
    self._run()
    table = self.out / 'videos' / 'a' / 'labels.csv'
    table.write_text('frame,au1\n0,2.5\n1,3\n')
    path = self.out / 'tracks.csv'
    text = path.read_text().replace('b,0,0,23,', 'b,0,0,11,a')
    path.write_text(text.replace('b,1,0,23,', 'b,1,12,23,a'))
    # Somebody is ingesting another video meanwhile.
    (self.out / 'videos' / '.new-0').mkdir()
    source = folder.scan(self.out)
    frame_store = self._store(source)
    self.assertEqual(frame_store.person_ids, ('a',))
    index = frame_store.index.set_index('video_id')
    self.assertEqual(
      index.loc['a', 'frame'].tolist(), [*range(10), *range(15, 24)]
    )
    self.assertEqual(index.loc['b', 'frame'].tolist(), list(range(24)))
    np.testing.assert_allclose(index['time_s'], index['frame'] / 25)
    np.testing.assert_array_equal(
      index.loc['a', 'AU01'].to_numpy()[:3], [2.5, 3, np.nan]
    )
    self.assertTrue((index['confidence'] > 0.9).all())
    self.assertTrue((index['blur'] > 0).all())
    # Half of b's crops are of the other face.
    pixels = np.asarray(frame_store.frames)[-24:].astype(int)
    self.assertGreater(
      np.abs(pixels[11] - pixels[12]).mean(),
      2 * np.abs(pixels[10] - pixels[11]).mean(),
    )

  def test_landmarks_of_the_video_become_those_of_the_crop(self):
    self._add('a.mp4', [(range(24), 2, 10)])
    self._run()
    made = self.out / 'videos' / 'a'
    table = pd.read_parquet(made / 'frames.parquet')
    # The middle of each crop, and a point to the right of it, along the eyes.
    middle = table[['crop_x_px', 'crop_y_px']].to_numpy(np.float64)
    turn, side = np.radians(table['roll_deg']), table['crop_side_px']
    aside = np.stack([side * np.cos(turn), side * np.sin(turn)], axis=-1) / 4
    points = np.repeat(middle[:, None], 68, axis=1)
    points[:, 9] += aside
    names = [f'{axis}_{point}' for point in range(68) for axis in 'xy']
    lines = [f'frame,AU12_r,{",".join(names)}']
    for frame, point in list(enumerate(points))[:20]:
      lines.append(f'{frame + 1},1,{",".join(map(str, point.ravel()))}')
    before = folder.scan(self.out).fingerprint
    (self.root / 'openface').mkdir()
    (self.root / 'openface' / 'a.csv').write_text('\n'.join(lines) + '\n')
    options = collection.Options(tool='openface', landmarks=True)
    attach.to_frames(self.root / 'openface', self.out, options)
    source = folder.scan(self.out)
    self.assertNotEqual(source.fingerprint, before)
    index = self._store(source, size_px=16).index
    placed = index[list(labels.LANDMARK_COLUMNS)].to_numpy()
    placed = placed.reshape(24, 68, 2)
    np.testing.assert_allclose(placed[:20, 5], np.full((20, 2), 8), atol=1e-3)
    np.testing.assert_allclose(
      placed[:20, 9], np.tile([12, 8], (20, 1)), atol=1e-3
    )
    self.assertTrue(np.isnan(placed[20:]).all())

  def _attach(self, **options):
    return attach.to_frames(
      self.root / 'tables',
      self.out,
      collection.Options(**{'tool': 'openface'} | options),
    )

  def _labels(self, video_id, name='labels.csv'):
    return pd.read_csv(self.out / 'videos' / video_id / name)

  def _table(self, name, head, rows):
    path = self.root / 'tables' / name
    path.parent.mkdir(exist_ok=True)
    path.write_text('\n'.join([head, *rows]) + '\n')

  def test_labels_of_a_whole_video_are_of_its_one_face(self):
    self._add('a.mp4', [(range(24), 2, 10)])
    self._run()
    self._table(
      'a.csv',
      'frame,confidence,AU12_r',
      [f'{frame + 1},0.5,{frame}' for frame in range(24)],
    )
    summary = self._attach()
    path = self.out / 'videos' / 'a' / 'labels.csv'
    self.assertEqual(summary.written, (path,))
    table = pd.read_csv(path)
    self.assertEqual(table['AU12_r'].tolist(), list(range(24)))
    self.assertIn('openface_confidence', table)
    self.assertNotIn('confidence', table)
    with self.assertRaisesRegex(ValueError, 'counts frames from 0'):
      attach.to_frames(
        self.root / 'tables',
        self.out,
        collection.Options(tool='openface'),
        fps=25.0,
      )

  def test_pictures_cut_from_a_video_count_from_1_as_their_numbers_say(self):
    self._add('a.mp4', [(range(24), 2, 10)])
    self._run()
    rows = [f'a_{k + 1:06d}.jpg,"[{k}, {k}]"' for k in range(24)]
    self._table('a.csv', 'image_path,action_units', rows)
    self._attach(tool='openface3', units=(1, 2))
    self.assertEqual(self._labels('a')['AU01_raw'].tolist(), list(range(24)))
    self._table('a.csv', 'image_path,action_units', rows[:-1])
    with self.assertRaisesRegex(ValueError, '--first_row=0.*--first_row=1'):
      self._attach(tool='openface3', units=(1, 2), overwrite=True)
    for first in (0, 1):
      self._attach(
        tool='openface3', units=(1, 2), overwrite=True, first_row=first
      )
      self.assertEqual(self._labels('a')['AU01_raw'][10], 9 + first)

  def test_rows_at_another_place_are_not_the_persons(self):
    self._add('b.mp4', [(range(24), 2, 10), (range(24), 70, 10)])
    self._run()
    path = self.out / 'tracks.csv'
    path.write_text(path.read_text().replace('b,0,0,23,', 'b,0,0,23,c'))
    # One face a frame: the other person's from frame 12 on.
    lefts = [19] * 12 + [87] * 12
    rows = [f'{i},{left},22,54,74,{i}' for i, left in enumerate(lefts)]
    self._table('b.csv', 'frame,x,y,width,height,AU12', rows)
    self._attach(tool='generic')
    labels_of = self._labels('b')['AU12_r']
    self.assertEqual(labels_of[:12].tolist(), list(range(12)))
    self.assertTrue(labels_of[12:].isna().all())

  def test_people_of_one_video_get_the_rows_of_their_place_or_name(self):
    self._add('b.mp4', [(range(24), 2, 10), (range(24), 70, 10)])
    self._run()
    path = self.out / 'tracks.csv'
    text = path.read_text().replace('b,0,0,23,', 'b,0,0,23,c')
    path.write_text(text.replace('b,1,0,23,', 'b,1,0,23,d'))
    boxes = ((70 + 17, 1), (2 + 17, 0))  # The right face is face 0 here.
    self._table(
      'b.csv',
      'frame,face,x,y,width,height,AU12',
      [
        f'{frame},{face},{left},22,54,74,{person}{frame}'
        for frame in range(24)
        for face, (left, person) in enumerate(boxes)
      ],
    )
    self._attach(tool='generic')
    for name, person in (('c', 0), ('d', 1)):
      table = self._labels('b', f'labels.{name}.csv')
      self.assertEqual(
        table['AU12_r'].tolist(), [int(f'{person}{f}') for f in range(24)]
      )
    self._attach(tool='generic', overwrite=True, faces={'c/b': '1', 'd/b': '0'})
    index = self._store(folder.scan(self.out)).index
    last = index[index['frame'] == 23].set_index('person_id')['AU12_r']
    self.assertEqual(last.to_dict(), {'c': 23, 'd': 123})
    self._table(
      'b.csv',
      'frame,face,AU12',
      [f'{f},{face},{face}' for f in range(24) for face in (0, 1)],
    )
    with self.assertRaisesRegex(ValueError, 'Name the faces by --faces'):
      self._attach(tool='generic', overwrite=True)
    faces = {'c/b': '0', 'd/b': '1'}
    self._attach(tool='generic', overwrite=True, faces=faces)
    table = self._labels('b', 'labels.d.csv')
    self.assertEqual(set(table['AU12_r']), {1})

  def test_crops_are_those_of_the_table(self):
    times = np.arange(12) / 25
    boxes = np.tile([20.0, 30.0, 54.0, 74.0], (12, 1))
    points = np.array([(36, 60), (58, 64), (47, 74), (38, 90), (56, 92)])
    points = points + np.linspace(0, 9, 12)[:, None, None]
    faces = faces_lib.Faces(boxes, points, np.ones(12))
    aligned = crops.align(times, faces, eye_distance=0.4)
    rows = video_tables.TrackRows(
      frames=np.arange(12),
      faces=faces,
      is_made_up=np.zeros(12, bool),
      crops=aligned,
      measured=np.ones((12, 3)),
    )
    search = video_tables.Search(times, [rows], {})
    table = video_tables.frames_table('a', search)
    np.testing.assert_allclose(
      frame_tables.read_crops(table), aligned, atol=1e-4
    )

  def test_long_videos_are_written_in_parts_and_joined(self):
    self._add('a.mp4', [(range(24), 2, 10)])
    self._run()
    with unittest.mock.patch.object(builder_lib, '_RECORD_FRAMES', 10):
      frame_store = self._store(folder.scan(self.out))
    (video,) = frame_store.videos('a')
    self.assertEqual((video.start, video.stop), (0, 24))
    self.assertEqual(frame_store.index['frame'].tolist(), list(range(24)))

  def test_the_fingerprint_follows_who_is_who(self):
    self._add('a.mp4', [(range(24), 2, 10)])
    self._run()
    one = folder.scan(self.out).fingerprint
    self.assertEqual(folder.scan(self.out).fingerprint, one)
    path = self.out / 'tracks.csv'
    path.write_text(path.read_text().replace('a,0,0,23,a', 'a,0,0,20,a'))
    self.assertNotEqual(folder.scan(self.out).fingerprint, one)

  def test_an_absent_person_and_a_wrong_folder_are_named(self):
    self._add('a.mp4', [(range(24), 2, 10)])
    self._run()
    with self.assertRaisesRegex(ValueError, 'names zoe'):
      folder.scan(self.out, persons=['zoe'])
    with self.assertRaisesRegex(ValueError, 'holds no tracks.csv'):
      folder.scan(self.root)


if __name__ == '__main__':
  absltest.main()
