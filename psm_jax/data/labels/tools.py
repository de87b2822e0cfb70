"""What other tools call things in their tables, and how they count."""

import dataclasses
import re

INTENSITY, PRESENCE, PROBABILITY, RAW = 'r', 'c', 'p', 'raw'
UNIT = re.compile(r'au_?0*(\d+)(_r|_c|_intensity)?', re.IGNORECASE)
FRAMES = ('frame', 'frame_idx', 'frame_index', 'frame_number')
# Time stamps; where no unit is named, the video's steps tell it, see `joining`.
TIMES = re.compile(
  r'(frame_?)?(timestamp|time_?stamp|time|timecode|t|seconds|pts_time)'
  r'([ _]*(in_)?[\[(]?(?P<unit>s|secs?|seconds?|ms|msecs?|us|ns)[\])]?)?',
  re.IGNORECASE,
)
SECONDS = {'m': 1e-3, 'u': 1e-6, 'n': 1e-9}
# Of tables with a row a frame and label: its name, its value.
LONG_NAMES = ('category_name', 'category', 'blendshape', 'name', 'label')
LONG_VALUES = ('score', 'value', 'weight', 'coefficient')
FACES = ('face_id', 'identity', 'face', 'track')
FILES = ('input', 'image', 'image_path', 'file', 'filename', 'path')
SCORES = ('confidence', 'facescore', 'face_detection_score')
_SAME = (
  'success anger contempt disgust fear happiness sadness surprise neutral '
  'valence arousal gaze_pitch gaze_yaw gaze_angle gaze_angle_x gaze_angle_y'
).split()
# From what a tool calls a label, in small letters, to what it is called here.
LABELS = dict(zip(_SAME, _SAME, strict=True)) | {
  **dict.fromkeys(SCORES, 'confidence'),
  # As the second version of py-feat calls them.
  'angry': 'anger',
  'happy': 'happiness',
  'sad': 'sadness',
  'pose_rx': 'pose_pitch',
  'pose_ry': 'pose_yaw',
  'pose_rz': 'pose_roll',
  # Degrees or radians, by the version of the tool.
  'pitch': 'pitch_raw',
  'yaw': 'yaw_raw',
  'roll': 'roll_raw',
}
IN_RADIANS = ('pose_rx', 'pose_ry', 'pose_rz')
_SIDES = ('Left', 'Right')
# As MediaPipe's model names them.
BLENDSHAPES = (
  '_neutral',
  *(f'browDown{s}' for s in _SIDES),
  'browInnerUp',
  *(f'browOuterUp{s}' for s in _SIDES),
  'cheekPuff',
  *(f'cheekSquint{s}' for s in _SIDES),
  *(
    f'eye{what}{s}'
    for what in 'Blink LookDown LookIn LookOut LookUp Squint Wide'.split()
    for s in _SIDES
  ),
  *'jawForward jawLeft jawOpen jawRight mouthClose'.split(),
  *(f'mouthDimple{s}' for s in _SIDES),
  *(f'mouthFrown{s}' for s in _SIDES),
  'mouthFunnel',
  'mouthLeft',
  *(f'mouthLowerDown{s}' for s in _SIDES),
  *(f'mouthPress{s}' for s in _SIDES),
  *'mouthPucker mouthRight mouthRollLower mouthRollUpper'.split(),
  *'mouthShrugLower mouthShrugUpper'.split(),
  *(f'mouthSmile{s}' for s in _SIDES),
  *(f'mouthStretch{s}' for s in _SIDES),
  *(f'mouthUpperUp{s}' for s in _SIDES),
  *(f'noseSneer{s}' for s in _SIDES),
  'tongueOut',
)
LABELS |= {name.lower(): name for name in BLENDSHAPES}
BOXES = (
  ('facerectx', 'facerecty', 'facerectwidth', 'facerectheight'),
  ('x', 'y', 'width', 'height'),
)


@dataclasses.dataclass(frozen=True)
class Tool:
  """One tool's habits.

  Attributes:
    first: the number of a video's first frame.
    is_first_sure: whether all its tables are known to begin there.
    kinds: from a unit column's suffix in the tool's table to its kind: 'r'
      intensity 0 to 5, 'c' presence 0 or 1, 'p' probability, 'raw' unknown.
    list_column: a column that holds all units as a list, if there is one.
    tells_starts: whether time stamps are known to be those of frames' starts.
    sees_stored: whether it takes pictures as they are stored, whatever shape
      the file says that their pixels have.
  """

  first: int
  is_first_sure: bool
  kinds: dict[str, str]
  list_column: str = ''
  tells_starts: bool = True
  sees_stored: bool = True


_OPENFACE = {'_r': INTENSITY, '_c': PRESENCE, '': RAW}
_GENERIC = {'': INTENSITY, '_r': INTENSITY, '_c': PRESENCE}
TOOLS = {
  'openface': Tool(1, True, _OPENFACE),
  'openface3': Tool(0, False, _OPENFACE, list_column='action_units'),
  'pyfeat': Tool(0, False, {'': PROBABILITY}),
  'libreface': Tool(0, False, {'_intensity': INTENSITY, '': PRESENCE}),
  'mediapipe': Tool(0, False, {}, tells_starts=False),
  'generic': Tool(0, False, _GENERIC, tells_starts=False, sees_stored=False),
}
# By the order of the eight units of DISFA that OpenFace 3 was trained on; the
# table itself does not name them.
OPENFACE3_UNITS = (1, 2, 4, 6, 9, 12, 25, 26)
