"""The faces of one picture as arrays, and the overlap of boxes."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

POINTS = ('left_eye', 'right_eye', 'nose', 'left_mouth', 'right_mouth')


class Details(NamedTuple):
  """What one detector, the landmarker, tells of F faces besides.

  Attributes:
    landmarks: [F, 478, 2] float32 (x, y), in the pixels of the boxes.
    pose_deg: [F, 3] float32 yaw, pitch, roll in degrees, see `head_pose`.
    blendshapes: [F, 52] float32 from 0 to 1, see `weak_labels`.
  """

  landmarks: np.ndarray
  pose_deg: np.ndarray
  blendshapes: np.ndarray

  def map(self, function: Callable[[np.ndarray], np.ndarray]) -> 'Details':
    """Returns what a function makes of each of the three."""
    return Details(*map(function, self))


@dataclasses.dataclass(frozen=True)
class Faces:
  """F faces of one picture, in pixels from its top left corner.

  Attributes:
    boxes: [F, 4] float64: left, top, width, height.
    points: [F, 5, 2] float64 (x, y) of both eyes, the nose and both corners of
      the mouth; left and right are the picture's. NaN where unknown.
    scores: [F] float64, 0 to 1; NaN where unknown.
    details: of the F faces; None if the detector tells none.
  """

  boxes: np.ndarray
  points: np.ndarray
  scores: np.ndarray
  details: Details | None = None

  def __len__(self) -> int:
    """How many faces there are."""
    return len(self.boxes)

  def scaled(self, factor: np.ndarray) -> 'Faces':
    """Returns the faces in a picture (x, y) times as large."""
    details = self.details and self.details._replace(
      landmarks=self.details.landmarks * factor.astype(np.float32)
    )
    return Faces(
      self.boxes * np.tile(factor, 2),
      self.points * factor,
      self.scores,
      details,
    )

  def chosen(self, which: np.ndarray) -> 'Faces':
    """Returns some of the faces, by index or mask."""
    return Faces(
      self.boxes[which],
      self.points[which],
      self.scores[which],
      self.details and self.details.map(lambda values: values[which]),
    )


NO_FACES = Faces(np.zeros((0, 4)), np.zeros((0, 5, 2)), np.zeros(0))


def joined(parts: Sequence[Faces]) -> Faces:
  """Returns faces one behind another; all of them have details, or none."""
  columns = zip(*((f.boxes, f.points, f.scores) for f in parts), strict=True)
  details = [
    np.concatenate(column)
    for column in zip(*(f.details for f in parts if f.details), strict=True)
  ]
  return Faces(
    *map(np.concatenate, columns), Details(*details) if details else None
  )


def overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
  """Returns the shared areas of boxes.

  Args:
    one: [..., 4] float: left, top, width, height.
    other: [..., 4] float, of a shape that goes with it.

  Returns:
    [...] float64 areas.
  """
  low = np.maximum(one[..., :2], other[..., :2])
  high = np.minimum(
    one[..., :2] + one[..., 2:], other[..., :2] + other[..., 2:]
  )
  return np.prod(np.clip(high - low, 0, None), axis=-1)


def intersection_over_union(one: np.ndarray, other: np.ndarray) -> np.ndarray:
  """Returns the overlap of boxes as a share of what both cover.

  Args:
    one: [..., 4] float: left, top, width, height.
    other: [..., 4] float, of a shape that goes with it.

  Returns:
    [...] float64 from 0 to 1.
  """
  shared = overlaps(one, other)
  total = one[..., 2:].prod(axis=-1) + other[..., 2:].prod(axis=-1) - shared
  return shared / np.maximum(total, 1e-9)


def without_doubles(faces: Faces) -> np.ndarray:
  """Returns which faces do not lie half inside a better one, [K] int.

  A detector may find one face twice, in two sizes; as two tracks they would
  look like two people.
  """
  order = np.argsort(-np.nan_to_num(faces.scores), kind='stable')
  areas = np.prod(faces.boxes[:, 2:], axis=1)
  shared = overlaps(faces.boxes[:, None], faces.boxes)
  kept = []
  for face in order:
    if (shared[face, kept] <= 0.5 * np.minimum(areas[face], areas[kept])).all():
      kept.append(int(face))
  return np.array(sorted(kept), int)
