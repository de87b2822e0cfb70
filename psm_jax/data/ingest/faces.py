"""The faces of one picture as arrays, and the overlap of boxes."""

import dataclasses

import numpy as np

POINTS = ('left_eye', 'right_eye', 'nose', 'left_mouth', 'right_mouth')


@dataclasses.dataclass(frozen=True)
class Faces:
  """F faces of one picture, in pixels from its top left corner.

  Attributes:
    boxes: [F, 4] float64: left, top, width, height.
    points: [F, 5, 2] float64 (x, y) of both eyes, the nose and both corners of
      the mouth; left and right are the picture's. NaN where unknown.
    scores: [F] float64, 0 to 1; NaN where unknown.
  """

  boxes: np.ndarray
  points: np.ndarray
  scores: np.ndarray

  def __len__(self) -> int:
    """How many faces there are."""
    return len(self.boxes)

  def scaled(self, factor: np.ndarray) -> 'Faces':
    """Returns the faces in a picture (x, y) times as large."""
    return Faces(
      self.boxes * np.tile(factor, 2), self.points * factor, self.scores
    )

  def chosen(self, which: np.ndarray) -> 'Faces':
    """Returns some of the faces, by index or mask."""
    return Faces(self.boxes[which], self.points[which], self.scores[which])


NO_FACES = Faces(np.zeros((0, 4)), np.zeros((0, 5, 2)), np.zeros(0))


def overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
  """Returns the shared areas of boxes.

  Args:
    one: [A, 4] float: left, top, width, height.
    other: [B, 4] float.

  Returns:
    [A, B] float64 areas.
  """
  low = np.maximum(one[:, None, :2], other[None, :, :2])
  high = np.minimum(
    (one[:, :2] + one[:, 2:])[:, None], (other[:, :2] + other[:, 2:])[None]
  )
  return np.prod(np.clip(high - low, 0, None), axis=-1)


def intersection_over_union(one: np.ndarray, other: np.ndarray) -> np.ndarray:
  """Returns the overlap of boxes as a share of what both cover.

  Args:
    one: [A, 4] float: left, top, width, height.
    other: [B, 4] float.

  Returns:
    [A, B] float64 from 0 to 1.
  """
  shared = overlaps(one, other)
  areas = [np.prod(boxes[:, 2:], axis=1) for boxes in (one, other)]
  total = areas[0][:, None] + areas[1][None] - shared
  return shared / np.maximum(total, 1e-9)


def without_doubles(found: Faces) -> Faces:
  """Returns faces without those that lie half inside a better one.

  A detector may find one face twice, in two sizes; as two tracks they would
  look like two people.
  """
  order = np.argsort(-np.nan_to_num(found.scores), kind='stable')
  areas = np.prod(found.boxes[:, 2:], axis=1)
  shared = overlaps(found.boxes, found.boxes)
  kept = []
  for face in order:
    smaller = np.minimum(areas[face], areas[kept])
    if (shared[face, kept] <= 0.5 * smaller).all():
      kept.append(int(face))
  return found.chosen(np.array(sorted(kept), int))
