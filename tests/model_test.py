"""Models as objects: a run on videos, and what one does with a recording."""

import dataclasses
import pathlib
import shutil
import tempfile
from unittest import mock

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from absl.testing import absltest

import psm_jax
from psm_jax import embedding, methods, tasks, training
from psm_jax.data.ingest import batch, jobs, layout
from psm_jax.data.labels import weak
from tests import tiny
from tests.data.ingest import films

_FRAMES = 24
_SEEN = [f for f in range(_FRAMES) if f != 0]


def toy_that_draws(config):
  """Returns a toy that draws: half the light is the neutral face."""
  toy = tiny.toy_method(config, is_coupled=False)

  def image_of(frames):
    size = tiny.SIZE_PX
    return frames.reshape((-1, size, size, 3)) / jnp.float32(255)

  def pictures(key, params, method_state, shared, frames, canonical):
    del key, params, method_state, shared, canonical
    image = image_of(frames)
    return {
      'neutral': image / 2,
      'reconstruction': 0.9 * image,
      'flow': jnp.full((len(frames), 4, 4, 2), 0.25),
    }

  def draw(params, shared, code, face):
    del params, shared
    return jnp.clip(face + 0 * code[:, :1, None, None], 0, 1)

  return dataclasses.replace(toy, pictures=pictures, draw=draw)


def video(root, name, tracks):
  """Writes a video of faces and its table of boxes."""
  pictures = [
    films.picture(
      *[
        (i, f, left, top)
        for i, (seen, left, top) in enumerate(tracks)
        if seen[0] <= f <= seen[-1]
      ]
    )
    for f in range(_FRAMES)
  ]
  films.write(root / f'{name}.mp4', pictures)
  (root / f'{name}.csv').write_text(films.box_rows(tracks))
  return root / f'{name}.mp4'


class ModelTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    temporary = tempfile.TemporaryDirectory(prefix='psm_jax_model_')
    cls.addClassCleanup(temporary.cleanup)
    for patched in (
      mock.patch.dict(methods.METHODS, facecycle=toy_that_draws),
      mock.patch.object(tasks, 'on_processes', tasks.here),
    ):
      patched.start()
      cls.addClassCleanup(patched.stop)
    cls.root = pathlib.Path(temporary.name)
    cls.video = video(cls.root, 'P1', [(_SEEN, 2, 10)])
    cls.boxes = cls.video.with_suffix('.csv')
    options = jobs.Options(size_px=48, eye_distance=0.35)
    batch.ingest(
      cls.video,
      cls.root / 'ingested',
      options=options,
      boxes=cls.boxes,
      num_workers=1,
    )
    config = tiny.config(
      data__source='video_folder',
      data__path=str(cls.root / 'ingested'),
      train__steps=2,
    )
    cls.workdir = cls.root / 'run'
    training.train(config, cls.workdir)
    embedding.write_embeddings(cls.workdir, controls=False)
    cls.model = psm_jax.load(cls.workdir)

  def test_a_recording_of_the_training_gives_its_embeddings(self):
    trained = psm_jax.embeddings(self.workdir, person_id='P1')
    table = self.model.transform(self.video, boxes=self.boxes)
    units = [c for c in table if c[0] == 'e' and c[1:].isdigit()]
    used = table[table['success']]
    self.assertEqual(used['frame'].tolist(), trained['frame'].tolist())
    np.testing.assert_allclose(used[units], trained[units], atol=1e-5)

  def test_every_frame_has_a_row(self):
    table = self.model.transform(self.video, boxes=self.boxes)
    self.assertEqual(table['frame'].tolist(), list(range(_FRAMES)))
    np.testing.assert_allclose(table['time_s'], np.arange(_FRAMES) / 25)
    self.assertEqual(set(table['person_id']), {'P1'})
    self.assertFalse(table['success'][0])
    self.assertTrue(np.isnan(table['e000'][0]))
    self.assertTrue(np.isnan(table['confidence'][0]))
    self.assertTrue(table['success'][1:].all())
    self.assertLess(table['reconstruction_error'][1:].max(), 25.5)
    self.assertGreater(table['reconstruction_error'][1:].min(), 0)

  def test_an_exported_model_does_the_same(self):
    again = psm_jax.load(self.model.save(self.root / 'zoo'))
    self.assertEqual(again.person_id, 'P1')
    pd.testing.assert_frame_equal(
      again.transform(self.video, boxes=self.boxes),
      self.model.transform(self.video, boxes=self.boxes),
    )

  def test_an_ingest_folder_and_frames_are_sources_too(self):
    frames = tiny.frames(3).reshape(3, tiny.SIZE_PX, tiny.SIZE_PX, 3)
    self.assertLen(self.model.transform(frames), 3)
    table = self.model.transform(self.root / 'ingested')
    self.assertLen(table, _FRAMES)
    with self.assertRaisesRegex(ValueError, '32 x 32 x 3'):
      self.model.transform(frames[:, :16])

  def test_weak_labels_are_told_when_asked_for(self):
    frames = tiny.frames(3).reshape(3, tiny.SIZE_PX, tiny.SIZE_PX, 3)
    with self.assertRaisesRegex(ValueError, 'no weak labels.*landmarker'):
      self.model.transform(frames, weak_labels=True)
    root = self.root / 'seen'
    shutil.copytree(self.root / 'ingested', root)
    jaw = np.linspace(0, 1, len(_SEEN), dtype=np.float32)
    blendshapes = np.zeros((len(_SEEN), 52), np.float32)
    blendshapes[:, weak.NAMES.index('jawOpen')] = jaw
    pose = np.full((len(_SEEN), 3), 7, np.float32)
    table = weak.table(0, np.array(_SEEN), pose, blendshapes)
    table.to_parquet(layout.video_folder(root, 'P1') / layout.WEAK_LABELS)
    self.assertNotIn('weak_jawOpen', self.model.transform(root))
    told = self.model.transform(root, weak_labels=True)
    self.assertEqual(told['frame'].tolist(), list(range(_FRAMES)))
    np.testing.assert_array_equal(told['weak_jawOpen'][1:], jaw)
    np.testing.assert_array_equal(told['weak_pose_yaw'][1:], 7)
    self.assertTrue(np.isnan(told['weak_jawOpen'][0]))

  def test_pictures_are_of_the_frames_with_a_face(self):
    source = self.root / 'ingested'
    neutral = self.model.neutral(source)
    self.assertEqual(neutral.shape, (tiny.SIZE_PX, tiny.SIZE_PX, 3))
    self.assertLen(self.model.reconstruct(source), len(_SEEN))
    self.assertEqual(float(self.model.flow(source).max()), 0.25 * 16)
    driven = self.model.drive(source, face=neutral)
    np.testing.assert_array_equal(
      driven, np.broadcast_to(neutral, driven.shape)
    )

  def test_two_faces_at_once_must_be_named(self):
    pair = video(self.root, 'pair', [(range(24), 2, 10), (range(24), 70, 10)])
    with self.assertRaisesRegex(ValueError, 'two faces .*tracks.csv'):
      self.model.transform(pair, boxes=pair.with_suffix('.csv'))

  def test_a_face_that_was_lost_is_one_person(self):
    lost = video(self.root, 'lost', [(range(10), 2, 10)])
    boxes = lost.with_suffix('.csv')
    boxes.write_text(
      films.box_rows([(range(10), 2, 10), (range(12, 24), 60, 10)])
    )
    table = self.model.transform(lost, boxes=boxes)
    self.assertEqual(table['success'].sum(), 22)
    self.assertEqual(set(table['person_id']), {'P1'})

  def test_crops_leave_nothing_behind(self):
    with mock.patch.object(tempfile, 'tempdir', str(self.root)):
      self.model.transform(self.video, boxes=self.boxes)
    self.assertEmpty(list(self.root.glob('psm_jax-*')))

  def test_a_model_that_is_not_there_is_named(self):
    with self.assertRaisesRegex(ValueError, 'neither a run'):
      psm_jax.load(self.root)
    with self.assertRaisesRegex(ValueError, 'no models of P9.*facecycle-P1-s0'):
      psm_jax.load(self.workdir, person_id='P9')

  def test_a_run_says_how_its_frames_were_cut(self):
    crops = self.model.exported.crops
    self.assertEqual(jobs.Options.of(crops).eye_distance, 0.35)
    with self.assertRaisesRegex(ValueError, 'another version'):
      jobs.Options.of({**crops, 'sharpness': 1})


class ImportTest(absltest.TestCase):
  def test_names_are_listed_before_they_are_imported(self):
    self.assertContainsSubset(['load', 'embeddings', 'Model'], dir(psm_jax))
    with self.assertRaisesRegex(AttributeError, 'lod'):
      psm_jax.lod  # noqa: B018


@pytest.mark.thorough
class EstimatorTest(absltest.TestCase):
  def test_it_fits_and_embeds_arrays(self):
    self.enterContext(
      mock.patch.dict(methods.METHODS, facecycle=toy_that_draws)
    )
    people = {
      name: {
        video: tiny.frames(30, seed=seed).reshape(30, 32, 32, 3)
        for seed, video in enumerate('ab')
      }
      for name in ('P1', 'P2')
    }
    models = psm_jax.PersonSpecificModels(
      workdir=self.create_tempdir().full_path,
      preset='narrow',
      fields={'train.steps': 2},
    )
    with self.assertRaisesRegex(ValueError, 'not trained yet'):
      models.transform()
    table = models.fit_transform(people)
    self.assertLen(table, 120)
    again = psm_jax.PersonSpecificModels.load(models.workdir)
    one = again.transform({'P2': people['P2']['a']})
    units = [c for c in one if c[0] == 'e' and c[1:].isdigit()]
    theirs = table.query('person_id == "P2" and video_id == "a"')
    np.testing.assert_allclose(one[units], theirs[units], atol=1e-5)
    self.assertLen(again.save(models.workdir + '/zoo'), 2)


if __name__ == '__main__':
  absltest.main()
