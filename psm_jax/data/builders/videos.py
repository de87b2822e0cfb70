"""One video's pictures and labels as a TFDS example, for all builders.

The pictures' bytes are kept as they are.
"""

import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from psm_jax.data import alignment, labels


def read_video(
  source,
  video,
  columns: Sequence[str],
  *,
  has_landmarks: bool,
  folder: pathlib.Path,
  table: labels.LabelTable | None,
  report: Callable[[str, str], None],
  labels_path: str,
) -> dict | None:
  """Returns the TFDS example of one video, None if no frame can be used.

  Args:
    source: with fps, align and eye_distance.
    video: with name, person_id, video_id, files and frames.
    columns: names of the label columns wanted; those that are absent are NaN.
    has_landmarks: whether the data set's frames have landmarks.
    folder: where the pictures lie.
    table: labels by the pictures' frame numbers, None if there are none.
    report: takes (path, reason) of what is left out or missing.
    labels_path: what the labels are called in reports.
  """
  frames = np.array(video.frames)
  values = np.full((len(frames), len(columns)), np.nan, np.float32)
  points = np.full((len(frames), labels.NUM_LANDMARKS, 2), np.nan)
  crops = np.full((len(frames), 2, 3), np.nan, np.float32)
  usable = np.full(len(frames), source.align == 'none')
  if table is not None:
    for sentence in _mismatch(table, frames):
      report(labels_path, sentence)
    matched = table.values.reindex(index=frames, columns=columns)
    values = matched.to_numpy(np.float32)
    if table.landmarks is not None:
      points = match_landmarks(table, frames)
    if source.align == 'eyes':
      crops = alignment.eye_crop(
        alignment.eye_centres(points), eye_distance=source.eye_distance
      )
      usable = np.isfinite(crops).all(axis=(1, 2))
  if not usable.any():
    report(
      video.name,
      "no eye landmarks (x36..x47, y36..y47) for data.align='eyes'; video left "
      'out',
    )
    return None
  if not usable.all():
    report(
      labels_path, f'{(~usable).sum()} frames have no eye landmarks; left out'
    )
  example = {
    'person_id': video.person_id,
    'video_id': video.video_id,
    'fps': source.fps,
    'frames': [],
  }
  for i in np.flatnonzero(usable):
    name = video.files[i]
    try:
      image = (folder / name).read_bytes()
    except OSError as error:
      report(f'{video.name}/{name}', f'unreadable file: {error.strerror}')
      continue
    example['frames'].append(
      {
        'image': image,
        'name': os.fsencode(name),
        'frame': video.frames[i],
        'time_s': (video.frames[i] - video.frames[0]) / source.fps,
        'crop': crops[i].astype(np.float32),
      }
      | ({'labels': values[i]} if columns else {})
      | ({'landmarks': points[i].astype(np.float32)} if has_landmarks else {})
    )
  return example if example['frames'] else None


def _mismatch(table, frames):
  """What is wrong with a table, and how it and the pictures differ."""
  yield from table.problems
  labelled = table.values.index.to_numpy()
  missing = len(np.setdiff1d(frames, labelled))
  extra = len(np.setdiff1d(labelled, frames))
  if missing:
    yield f'{missing} of {len(frames)} frames have no row; labels missing'
  if extra:
    yield f'{extra} rows belong to no picture; not used'


def match_landmarks(table: labels.LabelTable, frames: np.ndarray) -> np.ndarray:
  """Returns the landmarks of frames, from a table that has landmarks.

  Args:
    table: the labels of one video.
    frames: [T] int, frame numbers.

  Returns:
    [T, 68, 2] float64, (x, y) as in the table; NaN without row or value.
  """
  position = table.values.index.get_indexer(frames)
  known = position >= 0
  points = np.full((len(frames), labels.NUM_LANDMARKS, 2), np.nan)
  points[known] = table.landmarks[position[known]]
  return points
