"""Contact sheets: what each track of a video shows, to say who it is."""

import math
import pathlib

import cv2
import numpy as np

from psm_jax import paths
from psm_jax.data import movies

COLUMNS = 12
_ROWS = 40  # A sheet; more tracks go onto further sheets.
_THUMB_PX = 96
_LABEL_PX = 18
_TITLE_PX = 26
_PAPER, _INK = 255, 0


def chosen_frames(frames: np.ndarray) -> np.ndarray:
  """Returns up to `COLUMNS` of a track's frames, the first and last among them.

  Args:
    frames: [n] int64, increasing.
  """
  count = min(COLUMNS, len(frames))
  return frames[np.linspace(0, len(frames) - 1, count).round().astype(int)]


def write(
  folder: pathlib.Path,
  name: str,
  rows: list[tuple[str, dict[int, np.ndarray]]],
) -> list[pathlib.Path]:
  """Writes sheets as NAME.jpg, NAME.2.jpg, ... and returns their paths.

  Args:
    folder: Where they go.
    name: What they are called.
    rows: See `draw`.
  """
  written = []
  for number, sheet in enumerate(draw(rows), start=1):
    suffix = f'.{number}' if number > 1 else ''
    path = paths.child(folder, f'{name}{suffix}.jpg')
    written.append(paths.write_atomic(path, sheet))
  return written


def draw(
  rows: list[tuple[str, dict[int, np.ndarray]]],
) -> list[bytes]:
  """Returns the sheets of a video as JPEG files, none if there is no track.

  Args:
    rows: a (title, crops by frame number) a track; crops are [S, S, 3] uint8.

  """
  sheets = []
  for start in range(0, len(rows), _ROWS):
    page = rows[start : start + _ROWS]
    height = len(page) * (_TITLE_PX + _THUMB_PX + _LABEL_PX)
    sheet = np.full((height, COLUMNS * _THUMB_PX, 3), _PAPER, np.uint8)
    for index, (title, crops) in enumerate(page):
      _draw_row(
        sheet[index * height // len(page) :], title, dict(sorted(crops.items()))
      )
    sheets.append(movies.jpeg(sheet, quality=90))
  return sheets


def _draw_row(area, title, crops):
  """One track's title, pictures and frame numbers, at the top of an area."""
  _write(area, title, 4, _TITLE_PX - 8, 0.5)
  for column, (frame, crop) in enumerate(crops.items()):
    left, side = column * _THUMB_PX, _THUMB_PX - 2
    area[_TITLE_PX : _TITLE_PX + side, left : left + side] = cv2.resize(
      crop, (side, side), interpolation=cv2.INTER_AREA
    )
    shift = max(0, 5 - math.floor(math.log10(max(frame, 1)))) * 4
    _write(
      area, str(frame), left + 12 + shift, _TITLE_PX + _THUMB_PX + 10, 0.38
    )


def _write(area, text, x, y, scale):
  cv2.putText(
    area,
    text,
    (x, y),
    cv2.FONT_HERSHEY_SIMPLEX,
    scale,
    (_INK,) * 3,
    1,
    cv2.LINE_AA,
  )
