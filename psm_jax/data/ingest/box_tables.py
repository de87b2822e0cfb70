"""Boxes found by another program, a table a video, instead of a detector.

Read are OpenFace's tables (frames counted from 1, 68 landmarks), py-feat's
(frames from 0, `FaceRectX` and so on, landmarks) and plain ones: `frame` from
0, `x`, `y`, `width`, `height` in pixels and, if known, `confidence` and the
points (`left_eye_x`, `left_eye_y`, ...). Who is who is not taken from them.
"""

import dataclasses
import pathlib

import numpy as np

from psm_jax import tabular
from psm_jax.data.ingest import faces as faces_lib, video
from psm_jax.data.labels import joining, numbering, readers, tools


def read(path: pathlib.Path, *, first_row: int | None) -> readers.ToolTable:
  """Reads the table of one video's boxes, by whatever tool.

  Args:
    path: the file.
    first_row: the number of the video's first frame; None for the tool's habit.

  Raises:
    ValueError: If the file is no such table.
    OSError: If it cannot be read.
  """
  names = {name.lower() for name in tabular.read(path, {}, num_rows=0)}
  tool = 'generic'
  if {'timestamp', 'success', 'confidence'} <= names:
    tool = 'openface'
  elif 'facerectx' in names:
    tool = 'pyfeat'
  table = readers.read(path, tool=tool, first=first_row)
  if table.seen is None:
    raise ValueError(
      f'{path.name} has no boxes (x, y, width, height or FaceRectX, ...) and '
      'no 68 landmarks (x_0..x_67, y_0..y_67).'
    )
  # Plain tables of boxes are as this project describes them.
  return dataclasses.replace(
    table, is_base_sure=table.is_base_sure or tool == 'generic'
  )


def place(
  table: readers.ToolTable,
  time_s: np.ndarray,
  counts: video.Counts,
  settings: joining.Settings,
) -> tuple[np.ndarray, faces_lib.Faces, list[str]]:
  """Brings the faces of a table to the frames of its video.

  Args:
    table: from `read`.
    time_s: [T] float64, when the video's frames are shown.
    counts: of reading the video.
    settings: how the table is read if it could be read in two ways.

  Returns:
    [F] int64 frames in order, their F faces in pixels of the picture as shown,
    and what is doubtful, a sentence each.

  Raises:
    ValueError: If rows cannot be brought to frames.
  """
  target = joining.Target(
    'the video', np.arange(len(time_s)), time_s, is_whole=True
  )
  numbering.check_habit(target, table)
  (table,) = numbering.first_rows([(target, table)])
  reading = joining.read(target, table, settings=settings)
  problems = [*table.problems, *filter(None, [reading.remark])]
  shown = np.array([counts.width, counts.height])
  scale = shown / counts.stored
  if not np.allclose(scale, 1, atol=0.01):
    sees_stored = tools.TOOLS[table.tool].sees_stored
    problems.append(
      f'pixels are not square: the picture is stored as '
      f'{counts.stored[0]}x{counts.stored[1]} and shown as '
      f'{shown[0]}x{shown[1]}; boxes are taken to be in pixels of the '
      + ('stored one' if sees_stored else 'one shown')
    )
    if sees_stored:
      table = table.scaled(scale)
  seen = table.seen
  usable = (reading.place >= 0) & np.isfinite(seen.boxes).all(axis=1)
  usable &= (seen.boxes[:, 2:] > 0).all(axis=1)
  if not usable.all():
    problems.append(
      f'{(~usable).sum()} rows without a face, or of no frame of the video'
    )
  centres = seen.boxes[usable, :2] + seen.boxes[usable, 2:] / 2
  outside = ((centres < 0) | (centres > shown)).any(axis=1)
  if outside.any():
    problems.append(
      f'{outside.sum()} boxes lie outside the picture as shown, '
      f'{shown[0]}x{shown[1]}: was another picture size, or one that is not '
      'turned, searched?'
    )
  rows = np.flatnonzero(usable)
  rows = rows[np.argsort(reading.place[rows], kind='stable')]
  frames = reading.place[rows]
  kept = np.concatenate(
    [
      of_frame[faces_lib.without_doubles(seen.chosen(of_frame))]
      for of_frame in np.split(rows, np.flatnonzero(np.diff(frames)) + 1)
    ]
  )
  return (
    reading.place[kept],
    seen.chosen(kept),
    [f'{table.path.name}: {problem}' for problem in problems],
  )
