"""Boxes found by another program, a CSV a video, instead of a detector.

Read are OpenFace's tables (frames counted from 1, 68 landmarks), py-feat's
(frames from 0, `FaceRectX` and so on, landmarks) and plain ones: `frame` from
0, `x`, `y`, `width`, `height` in pixels and, if known, `confidence` and the
points (`left_eye_x`, `left_eye_y`, ...). Who is who is not taken from them.
"""

import pathlib

import numpy as np
import pandas as pd

from psm_jax.data import alignment
from psm_jax.data.ingest import faces as faces_lib
from psm_jax.data.ingest import video

_BOX = ('x', 'y', 'width', 'height')
_PYFEAT_BOX = ('FaceRectX', 'FaceRectY', 'FaceRectWidth', 'FaceRectHeight')
_NOSE_TIP, _MOUTH_CORNERS = 30, (48, 54)
# From OpenFace's landmarks, brows to chin, up to the forehead.
_FOREHEAD_SHARE = 0.2


class BoxTable:
  """The faces of each frame, from a table.

  Attributes:
    problems: what was wrong with the table, a sentence each.
  """

  def __init__(self, frames, found: faces_lib.Faces, problems):
    order = np.argsort(frames, kind='stable')
    self._frames = frames[order]
    self._found = found.chosen(order)
    self.problems = tuple(problems)

  def detect(self, frame: video.Frame) -> faces_lib.Faces:
    """Returns a frame's faces, in pixels of the picture as shown."""
    low, high = np.searchsorted(self._frames, [frame.index, frame.index + 1])
    if low == high:
      return faces_lib.NO_FACES
    return faces_lib.without_doubles(self._found.chosen(slice(low, high)))


def read(path: pathlib.Path) -> BoxTable:
  """Reads the table of one video.

  Rows without a whole frame number or a box are left out; so are rows that say
  success 0, and repetitions of a frame's face.

  Raises:
    ValueError: If the file is no such table.
    OSError: If it cannot be read.
  """
  try:
    table = pd.read_csv(path, encoding='utf-8-sig', skipinitialspace=True)
  except ValueError as error:  # pandas' parsing errors, and bad UTF-8.
    raise ValueError(
      f'{path.name} is no CSV table in UTF-8: {error}'
    ) from error
  table.columns = [str(name).strip() for name in table.columns]
  if 'frame' not in table:
    raise ValueError(
      f'{path.name} has no column `frame`; its columns are '
      f'{", ".join(table.columns[:8])}...'
    )
  boxes, points, scores = _columns(table, path.name)
  problems = []
  first = 1 if _is_openface(table) else 0
  frames = pd.to_numeric(table['frame'], errors='coerce').to_numpy(np.float64)
  frames = frames - first
  usable = np.isfinite(frames) & np.isfinite(boxes).all(axis=1)
  usable &= (boxes[:, 2:] > 0).all(axis=1) & (frames == np.floor(frames))
  usable &= frames >= 0
  if 'success' in table:
    usable &= (_numbers(table, ['success']) > 0)[:, 0]
  if not usable.all():
    problems.append(f'{(~usable).sum()} rows without a face or frame number')
  repeated = _repeated(table, frames, boxes) & usable
  if repeated.any():
    problems.append(f'{repeated.sum()} rows repeat a face of their frame')
  kept = np.flatnonzero(usable & ~repeated)
  frames = frames[kept].astype(np.int64)
  if (np.diff(frames) < 0).any():
    problems.append('rows are not in order of their frames; sorted')
  found = faces_lib.Faces(boxes[kept], points[kept], scores[kept])
  return BoxTable(
    frames, found, [f'{path.name}: {problem}' for problem in problems]
  )


def _numbers(table, names):
  """[R, len(names)] float64, NaN where a cell is no number."""
  columns = [pd.to_numeric(table[name], errors='coerce') for name in names]
  return np.stack([c.to_numpy(np.float64) for c in columns], axis=1)


def _is_openface(table):
  """OpenFace alone has a timestamp beside success; it counts from 1."""
  return {'timestamp', 'success', 'confidence'} <= set(table.columns)


def _columns(table, name):
  """([R, 4] boxes, [R, 5, 2] points, [R] scores) of a table's rows."""
  landmarks = _landmarks(table)
  points = np.full((len(table), 5, 2), np.nan)
  if landmarks is not None:
    points[:, :2] = alignment.eye_centres(landmarks)
    points[:, 2] = landmarks[:, _NOSE_TIP]
    points[:, 3:] = landmarks[:, _MOUTH_CORNERS]
  else:
    for index, point in enumerate(faces_lib.POINTS):
      pair = [f'{point}_x', f'{point}_y']
      if set(pair) <= set(table.columns):
        points[:, index] = _numbers(table, pair)
  if set(_PYFEAT_BOX) <= set(table.columns):
    boxes = _numbers(table, _PYFEAT_BOX)
  elif set(_BOX) <= set(table.columns):
    boxes = _numbers(table, _BOX)
  elif landmarks is not None:
    boxes = _around(landmarks)
  else:
    raise ValueError(
      f'{name} has no boxes (x, y, width, height or FaceRectX, ...) and no '
      '68 landmarks (x_0..x_67, y_0..y_67).'
    )
  score = next((c for c in ('confidence', 'FaceScore') if c in table), None)
  scores = np.full(len(table), np.nan)
  if score:
    scores = _numbers(table, [score])[:, 0]
  return boxes, points, scores


def _landmarks(table):
  """[R, 68, 2] landmarks in pixels, None if the table has none."""
  names = [f'{axis}_{point}' for point in range(68) for axis in 'xy']
  if not set(names) <= set(table.columns):
    return None
  return _numbers(table, names).reshape(-1, 68, 2)


def _around(landmarks):
  low, high = landmarks.min(axis=1), landmarks.max(axis=1)
  low[:, 1] -= _FOREHEAD_SHARE * (high - low)[:, 1]
  return np.concatenate([low, high - low], axis=1)


def _repeated(table, frames, boxes):
  """[R] bool: a row that says what an earlier one said."""
  names = [c for c in ('face_id', 'face', 'track') if c in table]
  keys = pd.DataFrame({'frame': frames})
  if names:
    keys['face'] = table[names[0]].astype(str).to_numpy()
  else:
    keys = pd.concat([keys, pd.DataFrame(np.round(boxes))], axis=1)
  return keys.duplicated().to_numpy()
