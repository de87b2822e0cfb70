import dataclasses
import json
import pathlib

import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data.ingest import detection, jobs, video
from psm_jax.data.labels import joining
from tests.data.ingest import films


class MtcnnTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.detector = detection.make(detection.DetectorOptions(min_face_px=40))

  def _detect(self, pixels, *, detector=None):
    path = pathlib.Path(self.create_tempdir().full_path) / 'a.mp4'
    (frame,) = video.read(films.write(path, [pixels]), video.Counts())
    return (detector or self.detector).detect(frame)

  def test_finds_two_faces_where_they_are(self):
    found = self._detect(
      films.picture((0, 0, 10, 16), (4, 0, 140, 16), size=(240, 120))
    )
    self.assertLen(found, 2)
    eyes = found.points[np.argsort(found.boxes[:, 0]), :2]
    for left, own in zip((10, 140), eyes, strict=True):
      middle = own.mean(axis=0)
      self.assertAlmostEqual(middle[0], left + 44, delta=6)
      self.assertBetween(middle[1], 16 + 30, 16 + 50)
      self.assertGreater(own[1, 0], own[0, 0])

  def test_an_enlarged_picture_gives_the_same_face_enlarged(self):
    detector = detection.make(
      detection.DetectorOptions(min_face_px=40, longest_px=160)
    )
    small = films.picture((0, 0, 10, 16))
    once = self._detect(small, detector=detector)
    large = small.repeat(8, axis=0).repeat(8, axis=1)
    found = self._detect(large, detector=detector)
    np.testing.assert_allclose(found.boxes / 8, once.boxes, atol=4)
    np.testing.assert_allclose(found.points / 8, once.points, atol=3)

  def test_a_plain_or_tiny_picture_has_no_face(self):
    self.assertEmpty(self._detect(films.picture()))
    self.assertEmpty(self._detect(films.picture(size=(16, 16))))


class OptionsTest(parameterized.TestCase):
  @parameterized.parameters(
    ({'name': 'haar'}, 'haar'),
    ({'name': 'yunet', 'model': '/no.onnx'}, '/no.onnx'),
    ({'model': 'x.onnx'}, '--model'),
    ({'min_score': 1.5}, '1.5'),
    ({'longest_px': 10}, '--detect_px 10'),
    ({'min_face_px': 4}, '--min_face_px 4'),
  )
  def test_a_wrong_option_is_named(self, options, message):
    with self.assertRaisesRegex(ValueError, message):
      detection.DetectorOptions(**options).check()

  def test_options_come_back_from_what_a_video_keeps(self):
    options = jobs.Options(
      detector=detection.DetectorOptions(min_score=0.5),
      boxes=joining.Settings(join='time'),
    )
    kept = json.loads(json.dumps(dataclasses.asdict(options) | {'table': None}))
    self.assertEqual(jobs.Options.of(kept), options)

  def test_a_file_that_is_no_model_is_named(self):
    path = self.create_tempfile(content='no model').full_path
    with self.assertRaisesRegex(ValueError, path):
      detection.make(detection.DetectorOptions(name='yunet', model=path))


if __name__ == '__main__':
  absltest.main()
