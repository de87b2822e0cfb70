"""What a frame of a map shows: its picture, or without faces its lines.

n frames, 68 landmarks.
"""

import base64
import dataclasses

import numpy as np
import pandas as pd

from psm_jax.data import labels, movies, store as store_lib

_SIDE_PX = 44
_COLUMNS = 40
# With fewer people the mean face would be somebody's.
_LEAST_PEOPLE = 3
# Of 68 points: jaw, brows, nose, nostrils, eyes, lips outside and inside.
_LINES = (
  range(17),
  range(17, 22),
  range(22, 27),
  range(27, 31),
  range(31, 36),
  (*range(36, 42), 36),
  (*range(42, 48), 42),
  (*range(48, 60), 48),
  (*range(60, 68), 60),
)


@dataclasses.dataclass(frozen=True)
class Faces:
  """The frames of a run, as pictures; these show faces."""

  store: store_lib.FrameStore

  def of(self, frames: pd.DataFrame) -> dict:
    """Returns a picture with a tile a frame, as the page's script reads it.

    Args:
      frames: person_id, video_id and frame of n frames.
    """
    tiles = movies.enlarged(self.images(frames), _SIDE_PX)
    columns = min(_COLUMNS, len(tiles))
    lines = -(-len(tiles) // columns)
    sheet = np.zeros((lines * columns, _SIDE_PX, _SIDE_PX, 3), np.uint8)
    sheet[: len(tiles)] = tiles
    sheet = sheet.reshape(lines, columns, _SIDE_PX, _SIDE_PX, 3)
    sheet = sheet.swapaxes(1, 2).reshape(lines * _SIDE_PX, -1, 3)
    content = base64.b64encode(movies.jpeg(sheet)).decode()
    return {
      'sprite': f'data:image/jpeg;base64,{content}',
      'side': _SIDE_PX,
      'columns': columns,
    }

  def images(self, frames: pd.DataFrame) -> np.ndarray:
    """Returns [n, H, W, 3] uint8 RGB of frames."""
    keys = ['person_id', 'video_id', 'frame']
    places = self.store.index[keys].assign(row=np.arange(len(self.store.index)))
    rows = frames[keys].merge(places, on=keys, how='left')['row']
    side = self.store.size_px
    images = np.asarray(self.store.frames[rows.to_numpy(int)])
    return images.reshape(-1, side, side, 3)


@dataclasses.dataclass(frozen=True)
class Lines:
  """Landmarks as a line face of the mean person; nobody's face.

  Attributes:
    shapes: person_id -> [68, 2] float, the mean landmarks of each, in sides of
      the frame.
    size_px: Side of a frame.
  """

  shapes: dict[str, np.ndarray]
  size_px: int

  def of(self, frames: pd.DataFrame) -> dict:
    """Returns the moved landmarks of the mean person, in percent of the side.

    Args:
      frames: n rows with person_id and landmarks.
    """
    at_rest = np.stack([self.shapes[p] for p in frames['person_id']])
    mean = np.mean(list(self.shapes.values()), axis=0)
    moved = 100 * (_points(frames) / self.size_px - at_rest + mean)
    return {
      'faces': np.nan_to_num(moved).round(1).reshape(len(moved), -1).tolist(),
      'lines': [list(line) for line in _LINES],
    }


def lines_of(tables: dict[str, pd.DataFrame], *, size_px: int) -> Lines | None:
  """Returns line faces of people, None without landmarks or with few people.

  Args:
    tables: person_id -> table with landmarks in pixels of the frame.
    size_px: Side of a frame.
  """
  first = labels.LANDMARK_COLUMNS[0]
  shapes = {
    person: np.nanmean(_points(table), axis=0) / size_px
    for person, table in tables.items()
    if first in table and table[first].notna().any()
  }
  if len(shapes) < max(_LEAST_PEOPLE, len(tables)):
    return None
  return Lines(shapes, size_px)


def _points(table):
  """Returns [n, 68, 2] landmarks."""
  flat = table[list(labels.LANDMARK_COLUMNS)].to_numpy(np.float64)
  return flat.reshape(len(table), -1, 2)
