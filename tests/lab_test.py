"""From videos to a page by one call, stopped and gone on with."""

import dataclasses
import pathlib
from unittest import mock

import pytest
from absl.testing import absltest

from psm_jax import lab, methods, tasks
from psm_jax.data.ingest import (
  batch,
  detection,
  folder,
  jobs,
  layout,
)
from psm_jax.data.labels import weak
from psm_jax.runs import run
from tests import model_test, tiny


class LabTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path)
    ingest = batch.ingest

    def with_boxes(path, output, **options):
      self.detector = options['options'].detector
      options['options'] = jobs.Options(size_px=48)
      return ingest(path, output, boxes=self.root, **options)

    for patched in (
      mock.patch.dict(
        methods.METHODS,
        facecycle=model_test.toy_that_draws,
        canonical=model_test.toy_that_draws,
      ),
      mock.patch.object(tasks, 'on_processes', tasks.here),
      mock.patch.object(batch, 'ingest', with_boxes),
    ):
      self.enterContext(patched)
    self.config = tiny.config(train__steps=2)

  def _run(self, videos, **options):
    return lab.run(
      videos,
      self.root / 'LAB',
      config=self.config,
      person_from='file',
      **options,
    )

  def test_coded_labels_are_scored_before_those_of_a_network(self):
    seen = [*folder.QUALITY_COLUMNS]
    self.assertEqual(lab.labels_of(seen), '')
    seen += weak.COLUMNS
    self.assertEqual(lab.labels_of(seen), weak.BLENDSHAPES)
    self.assertEqual(lab.labels_of([*seen, 'AU12']), weak.CODED)

  def test_the_detector_that_gives_most_is_taken_where_it_is(self):
    alone = model_test.video(self.root, 'alone', [(range(24), 2, 10)])

    def landmarker(options):
      self.assertEqual(options.name, detection.AUTO)
      return dataclasses.replace(options, name=detection.LANDMARKER)

    with (
      mock.patch.object(detection.DetectorOptions, 'resolved', landmarker),
      mock.patch.object(lab, '_is_named', return_value=False),
    ):
      self._run([alone])
    self.assertEqual(self.detector.name, detection.LANDMARKER)

  @pytest.mark.thorough
  def test_faces_are_named_once_and_then_a_page_is_there(self):
    pair = model_test.video(
      self.root, 'pair', [(range(24), 2, 10), (range(24), 70, 10)]
    )
    alone = model_test.video(self.root, 'alone', [(range(24), 2, 10)])
    videos = [pair, alone]
    self.assertEqual(self._run(videos).state, lab.ASKS)
    self.assertEqual(self._run(videos).state, lab.ASKS)
    table = self.root / 'LAB' / 'ingested' / layout.TRACKS
    table.write_text(table.read_text().replace('pair,1,0,23,', 'pair,1,0,23,B'))
    outcome = self._run(videos)
    self.assertEqual(outcome.state, lab.DONE)
    text = outcome.page.read_text()
    self.assertIn('Nobody labelled these frames', text)
    self.assertNotIn('is missing', text)
    tables = self.root / 'LAB' / 'run' / 'embeddings'
    before = {p: p.stat().st_mtime_ns for p in tables.rglob('*.parquet')}
    self.assertLen(before, 2)
    self.assertEqual(self._run(videos).state, lab.DONE)
    after = {p: p.stat().st_mtime_ns for p in tables.rglob('*.parquet')}
    self.assertEqual(after, before)

  @pytest.mark.thorough
  def test_own_models_begin_with_a_general_one_if_asked(self):
    self.config.method.name, self.config.train.steps = 'canonical', 8
    self.config.curriculum.pairing = 'repaired'
    videos = [
      model_test.video(self.root, name, [(range(24), left, 10)])
      for name, left in (('A', 2), ('B', 70))
    ]
    self.assertEqual(self._run(videos, general=True).state, lab.DONE)
    general, own = (
      run.open_run(self.root / 'LAB' / name) for name in ('general', 'run')
    )
    self.assertEqual(
      [(m.cohort, m.steps_done) for m in general.models], [(('A', 'B'), 16)]
    )
    self.assertEqual(
      [(m.cohort, m.steps_done, m.init_from) for m in own.models],
      [((name,), 2, general.models[0].model_id) for name in ('A', 'B')],
    )
    self.assertFalse((self.root / 'LAB' / 'general' / 'data').exists())
    with self.assertRaisesRegex(ValueError, 'init.path'):
      self._run(videos)

  def test_models_that_began_alone_are_not_begun_again(self):
    alone = model_test.video(self.root, 'A', [(range(24), 2, 10)])
    (self.root / 'LAB' / 'run').mkdir(parents=True)
    self.config.method.name = 'canonical'
    with self.assertRaisesRegex(ValueError, 'begun without a general one'):
      self._run([alone], general=True)

  def test_a_general_model_first_is_refused_before_anything_is_made(self):
    for steps, name in ((8, 'facecycle'), (0, 'canonical')):
      self.config.method.name, self.config.train.steps = name, steps
      with self.assertRaisesRegex(ValueError, f'not with {name} and {steps}'):
        self._run([self.root / 'video.mp4'], general=True)
    self.assertFalse((self.root / 'LAB').exists())


if __name__ == '__main__':
  absltest.main()
