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
      mock.patch.dict(methods.METHODS, facecycle=model_test.toy_that_draws),
      mock.patch.object(tasks, 'on_processes', tasks.here),
      mock.patch.object(batch, 'ingest', with_boxes),
    ):
      self.enterContext(patched)
    self.config = tiny.config(train__steps=2)

  def _run(self, videos):
    return lab.run(
      videos, self.root / 'LAB', config=self.config, person_from='file'
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


if __name__ == '__main__':
  absltest.main()
