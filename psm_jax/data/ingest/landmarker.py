"""A detector by MediaPipe's face landmarker models, without MediaPipe.

Faces are sought by BlazeFace (Bazarevsky et al., 2019; short range: 896 anchors
in a picture of 128 pixels). Each is turned upright and gets 478 landmarks
(Kartynnik et al., 2019; Grishchenko et al., 2020), and 146 of these give 52
blendshapes. The models' cards say what the networks take and give. In the next
frame a face is measured where its landmarks were, as the models' makers do; the
picture is searched when one is lost, and else every few frames.
"""

import functools
from collections.abc import Iterator

import cv2
import numpy as np

from psm_jax.data.ingest import (
  crops as crops_lib,
  faces as faces_lib,
  head_pose,
  landmark_models,
  video,
)
from psm_jax.data.ingest.faces import Details, Faces

# Anchors lie in the middle of each cell: (cells a side, anchors a cell).
_ANCHORS = ((16, 2), (8, 6))
# BlazeFace is trained to find faces from here on; that it is one, and whether
# its landmarks can be used, is then said by the second network.
_MIN_SEARCH_LOGIT = 0.0  # A score of 0.5.
_SAME_FACE = 0.3  # Overlap of boxes that are averaged, as published.
# Side of the smallest face that is found, in sides of the picture.
_LEAST_SHARE = 0.14
_ONE_ROW = 1.25
# Of neighbouring windows, in sides: a face that lies in neither whole is so
# large that it was found in the windows twice their size.
_OVERLAP = 0.4
_MARGIN = 1.5  # Side of the second network's picture, in sides of the box.
# Frames, after which a new face is seen at the latest: where nobody is seen,
# and beside faces that are followed.
_SEARCH_EVERY, _SEARCH_BESIDE_EVERY = 5, 10

# Landmarks by their published numbers.
EYES = (
  (33, 7, 163, 144, 145, 153, 154, 155, 133)
  + (246, 161, 160, 159, 158, 157, 173),
  (263, 249, 390, 373, 374, 380, 381, 382, 362)
  + (466, 388, 387, 386, 385, 384, 398),
)
LIPS = (
  (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
  + (185, 40, 39, 37, 0, 267, 269, 270, 409)
  + (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
  + (191, 80, 81, 82, 13, 312, 311, 310, 415)
)
_BROWS = (46, 53, 52, 65, 55, 70, 63, 105, 66, 107) + (
  276,
  283,
  282,
  295,
  285,
  300,
  293,
  334,
  296,
  336,
)
_OVAL = (
  (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288)
  + (397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136)
  + (172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
)
NOSE_RIDGE = (1, 4, 5, 6, 8, 168, 195, 197)
_IRISES = tuple(range(468, 478))
BLENDSHAPE_POINTS = np.array(
  sorted((*EYES[0], *EYES[1], *LIPS, *_BROWS, *_OVAL, *NOSE_RIDGE, *_IRISES))
)
# The corners of either eye, the tip of the nose, the corners of the mouth.
_FIVE = np.array([[33, 133], [362, 263], [4, 4], [61, 61], [291, 291]])


class LandmarkerDetector:
  """Boxes, points, landmarks, head pose and blendshapes of all faces."""

  def __init__(self, options, networks=None):
    """Takes `detection.DetectorOptions`; networks are read if not given.

    Raises:
      ValueError: If the model file cannot be used.
    """
    self._options = options
    self._networks = networks or landmark_models.Networks(
      landmark_models.locate(options.model)
    )
    # Frame, size of its picture, and crops in which its faces were.
    self._index, self._shape, self._crops = 0, (), np.zeros((0, 2, 3))
    self._searched = 0

  def detect(self, frame: video.Frame) -> Faces:
    """Returns a frame's faces, in pixels of the picture as shown.

    Frames are those of one video, in order.
    """
    picture = frame.picture(longest_px=self._options.longest_px)
    is_next = 0 < frame.index - self._index <= _SEARCH_EVERY
    followed = faces_lib.NO_FACES
    if is_next and picture.shape == self._shape:
      followed = self._measured(picture, self._crops)
    else:
      self._crops = self._crops[:0]
    every = _SEARCH_BESIDE_EVERY if len(followed) else _SEARCH_EVERY
    is_due = not is_next or frame.index - self._searched >= every
    is_close = is_due or len(followed) < len(self._crops)
    self._searched = frame.index if is_close else self._searched
    faces = followed
    if is_close or not len(followed):
      crops = self._search(picture, followed, is_close=is_close)
      faces = self._measured(picture, crops, followed)
    self._index, self._shape = frame.index, picture.shape
    self._crops = _around(faces)
    return faces.scaled(frame.enlargement(picture))

  def _measured(self, picture, crops, known=faces_lib.NO_FACES):
    """The faces known and those in crops, each once."""
    faces = [
      face
      for face in (self._measure(picture, crop) for crop in crops)
      if face.scores[0] >= self._options.min_score
      and face.boxes[0, 2:].max() >= self._options.min_face_px
    ]
    if len(known):
      faces.append(known)
    if not faces:
      return faces_lib.NO_FACES
    faces = faces_lib.joined(faces)
    return faces.chosen(faces_lib.without_doubles(faces))

  def _search(self, picture, known, *, is_close):
    """[F, 2, 3] upright crops of what may be faces but those known.

    A close look at what is small takes most of the time.
    """
    longest, places = max(picture.shape[:2]), np.zeros((0, 5))
    for parts in range(3 if is_close else 2):
      side = longest // 2**parts
      # Smaller windows cost more, and find what is too far to be used.
      if parts < 2 or (
        not len(places) and side * _LEAST_SHARE * 2 > self._options.min_face_px
      ):
        found = [self._search_in(picture, *w) for w in windows(picture, side)]
        places = np.concatenate([places, *found])
    middle, side, angle, score = np.split(places, [2, 3, 4], 1)
    boxes = np.concatenate([middle - side / 2, side, side], axis=1)
    points = np.full((len(boxes), 5, 2), np.nan)
    chosen = faces_lib.without_doubles(Faces(boxes, points, score[:, 0]))
    overlap = faces_lib.intersection_over_union(
      boxes[chosen, None], known.boxes
    )
    chosen = chosen[(overlap < _SAME_FACE).all(axis=1)]
    return _upright(middle[chosen], side[chosen, 0], angle[chosen, 0])

  def _search_in(self, picture, left, top, width, height):
    """[K, 5] middle, side, angle and score of what is found in a window."""
    shrunk, share, margin = _letterbox(
      picture[top : top + height, left : left + width]
    )
    place, scores = decode(*self._networks.search(shrunk))
    place[:, :2] = (place[:, :2] - margin) / share + [left, top]
    place[:, 2] /= share
    return np.column_stack([place, scores])

  def _measure(self, picture, crop):
    """One face, whose score is that of the second network."""
    networks, size_px = self._networks, landmark_models.FACE_PX
    points, presence = networks.landmarks(
      crops_lib.sample(picture, crop, size_px=size_px)
    )
    points = points.astype(np.float64) / size_px
    flat = points[:, :2] @ crop[:, :2].T + crop[:, 2]
    deep = points[:, 2:] * np.linalg.norm(crop[:, 0])
    low, high = flat.min(axis=0), flat.max(axis=0)
    return Faces(
      boxes=np.concatenate([low, high - low])[None],
      points=flat[_FIVE].mean(axis=1)[None],
      scores=np.array([_sigmoid(presence)]),
      details=Details(
        landmarks=flat[None].astype(np.float32),
        pose_deg=head_pose.pose(
          np.concatenate([flat, deep], axis=1)[: len(networks.mean_face)],
          networks.mean_face,
          networks.weights,
        )[None].astype(np.float32),
        blendshapes=np.clip(
          networks.blendshapes(flat[BLENDSHAPE_POINTS].astype(np.float32)),
          0,
          1,
        )[None],
      ),
    )


def _upright(middle, side, angle):
  """[F, 2, 3] crops around faces, so that they are upright in them."""
  right = _MARGIN * side * np.stack([np.cos(angle), np.sin(angle)])
  down = np.stack([-right[1], right[0]])
  crops = np.stack([right, down, middle.T - (right + down) / 2])
  return crops.transpose(2, 1, 0)


def _around(faces):
  """[F, 2, 3] crops by the faces' own landmarks."""
  across = faces.points[:, 1] - faces.points[:, 0]
  return _upright(
    faces.boxes[:, :2] + faces.boxes[:, 2:] / 2,
    faces.boxes[:, 2:].max(axis=1),
    np.arctan2(across[:, 1], across[:, 0]),
  )


def windows(
  picture: np.ndarray, side: int
) -> Iterator[tuple[int, int, int, int]]:
  """Yields overlapping parts of a picture: (left, top, width, height).

  Args:
    picture: [H, W, 3].
    side: of a part; a little more if the picture then has one row of parts.
  """
  height, width = picture.shape[:2]
  if side <= min(height, width) <= _ONE_ROW * side:
    side = min(height, width)
  for top in _starts(height, side):
    for left in _starts(width, side):
      yield left, top, min(side, width), min(side, height)


def _starts(length, side):
  """Where windows of a side begin that overlap enough, within a length."""
  step = max(1, int(side * (1 - _OVERLAP)))
  count = 1 + max(0, -(-(length - side) // step))
  return np.linspace(0, max(0, length - side), count).astype(int).tolist()


def _letterbox(picture):
  """(pixels to be searched, scale, [2] width of the bars that were added)."""
  side = landmark_models.SEARCH_PX
  height, width = picture.shape[:2]
  share = side / max(height, width)
  size = np.maximum(1, np.round(np.array([width, height]) * share)).astype(int)
  margin = (side - size) // 2
  shrunk = np.zeros((side, side, 3), np.uint8)
  shrunk[margin[1] : margin[1] + size[1], margin[0] : margin[0] + size[0]] = (
    cv2.resize(picture, size.tolist(), interpolation=cv2.INTER_AREA)
  )
  return shrunk, share, margin


def decode(
  boxes: np.ndarray, logits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the faces that the first network finds.

  Boxes that overlap are one face, at the mean weighted by their scores, which
  shakes less from frame to frame than the best of them (Bazarevsky et al.,
  2019, section 3.3).

  Args:
    boxes: [896, 16] float32, see `Networks.search`.
    logits: [896] float32.

  Returns:
    [F, 4] float64 (x, y) of the middle, side, and angle of the eyes' line in
    radians clockwise; [F] float64 scores from 0 to 1.
  """
  likely = np.flatnonzero(logits >= _MIN_SEARCH_LOGIT)
  if not len(likely):
    return np.zeros((0, 4)), np.zeros(0)
  scores = _sigmoid(logits[likely].astype(np.float64))
  boxes = boxes[likely].astype(np.float64)
  boxes[:, :2] += _anchors()[likely]
  boxes[:, 4:] += np.tile(_anchors()[likely], 6)
  corners = np.concatenate([boxes[:, :2] - boxes[:, 2:4] / 2, boxes[:, 2:4]], 1)
  left, made, best = np.argsort(-scores, kind='stable'), [], []
  while len(left):
    overlap = faces_lib.intersection_over_union(corners[left[0]], corners[left])
    same = left[overlap > _SAME_FACE]
    made.append(np.average(boxes[same], axis=0, weights=scores[same]))
    best.append(scores[left[0]])
    left = left[overlap <= _SAME_FACE]
  made = np.array(made).reshape(-1, boxes.shape[1])
  across = made[:, 6:8] - made[:, 4:6]
  angle = np.arctan2(across[:, 1], across[:, 0])
  return (
    np.column_stack([made[:, :2], made[:, 2:4].max(axis=1), angle]),
    np.array(best),
  )


@functools.cache
def _anchors():
  """[896, 2] float64 (x, y) of the anchors in the picture, row by row."""
  parts = []
  for cells, count in _ANCHORS:
    middle = (np.arange(cells) + 0.5) * landmark_models.SEARCH_PX / cells
    grid = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2)
    parts.append(grid.repeat(count, axis=0))
  return np.concatenate(parts)


def _sigmoid(logits):
  return 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
