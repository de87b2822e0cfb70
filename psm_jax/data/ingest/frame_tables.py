"""Rows of an ingest folder's tables: which show one person, and their crops."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from psm_jax import paths, tabular
from psm_jax.data import sources
from psm_jax.data.ingest import layout
from psm_jax.data.labels import weak

_FRAMES = {
  'person_id': str,
  'track': int,
  'frame': int,
  'time_s': float,
  'success': bool,
}


def read_table(root: pathlib.Path, video_id: str) -> pd.DataFrame:
  """Returns frames.parquet of a video.

  Raises:
    ValueError: If the file is damaged.
  """
  return _read(layout.video_folder(root, video_id) / 'frames.parquet', _FRAMES)


def read_weak_labels(root: pathlib.Path, video_id: str) -> pd.DataFrame | None:
  """Returns weak_labels.parquet of a video, None if its detector made none.

  Raises:
    ValueError: If the file is damaged.
  """
  path = layout.video_folder(root, video_id) / layout.WEAK_LABELS
  if not path.is_file():
    return None
  shape = {'track': int, 'frame': int} | dict.fromkeys(weak.COLUMNS, float)
  return _read(path, shape, only=True)


def _read(path, shape, **options):
  """Returns a table of a video."""
  try:
    return tabular.read(path, shape, **options)
  except ValueError as error:
    raise ValueError(f'{error} Delete its folder and ingest it again.') from (
      error
    )


def _shows(table, part):
  """Tells which rows are of a part: (track, first frame, last frame)."""
  track, first, last = part
  return (table['track'] == track) & table['frame'].between(first, last)


def rows_of(table: pd.DataFrame, parts: Sequence[tuple]) -> pd.DataFrame:
  """Returns the rows of frames.parquet that show one person.

  Args:
    table: from `read_table`.
    parts: (track, first frame, last frame) each.

  Returns:
    A row a frame of the parts, sorted by frame, each frame once.
  """
  rows = pd.concat([table[_shows(table, part)] for part in parts])
  return rows.sort_values('frame').reset_index(drop=True)


def read_frames(root: pathlib.Path, entry: sources.Video) -> pd.DataFrame:
  """Returns the rows of frames.parquet that show one person in one video.

  Weak labels are columns of them, where the detector made any.

  Raises:
    ValueError: If the file is damaged.
  """
  frames = rows_of(read_table(root, entry.video_id), entry.parts)
  told = read_weak_labels(root, entry.video_id)
  on = ['track', 'frame']
  return frames if told is None else frames.merge(told, on=on, how='left')


def read_crops(frames: pd.DataFrame) -> np.ndarray:
  """Returns where in the video's pictures crops were cut.

  Args:
    frames: rows of `read_frames` that have a crop.

  Returns:
    [n, 2, 3] float64, see `psm_jax.data.alignment`.
  """
  side = frames['crop_side_px'].to_numpy(np.float64)
  turn = np.radians(frames['roll_deg'].to_numpy(np.float64))
  right = np.stack([side * np.cos(turn), side * np.sin(turn)], axis=-1)
  down = np.stack([-right[:, 1], right[:, 0]], axis=-1)
  centre = frames[['crop_x_px', 'crop_y_px']].to_numpy(np.float64)
  return np.stack([right, down, centre - (right + down) / 2], axis=-1)


def landmark_crops(
  video_folder: pathlib.Path,
  frames: pd.DataFrame,
  *,
  size_px: int,
  eye_distance: float,
) -> np.ndarray:
  """Returns where a person's crops are cut again, aligned by landmarks.

  Args:
    video_folder: of the video in the ingest folder.
    frames: rows of `read_frames` that have a crop.
    size_px: side of the crops' files.
    eye_distance: see `landmark_alignment.align`.

  Returns:
    [n, 2, 3] float64, see `alignment`, in pixels of the crops' files.

  Raises:
    ValueError: If landmarks.parquet is damaged, or a track has no landmarks.
  """
  # OpenCV is not needed to read crops as they are.
  from psm_jax.data.ingest import landmark_alignment

  path = video_folder / layout.LANDMARKS
  table = _read(path, {'track': int, 'frame': int})
  if 'landmarks' not in table:
    raise ValueError(f'{path} has no column of landmarks.')
  table = table.set_index(['track', 'frame'])['landmarks']
  cut = read_crops(frames)
  made = np.empty_like(cut)
  for track, rows in frames.groupby('track').indices.items():
    own = frames.iloc[rows]
    kept = table.reindex([(track, frame) for frame in own['frame']])
    points = np.full((len(own), 478, 2), np.nan)
    known = kept.notna().to_numpy()
    if not known.any():
      raise ValueError(f'{path} has no landmarks of track {track}.')
    points[known] = np.stack(kept[known]).reshape(-1, 478, 2) / size_px
    points = points @ cut[rows][:, :, :2].swapaxes(1, 2)
    made[rows] = landmark_alignment.align(
      own['time_s'].to_numpy(np.float64),
      points + cut[rows][:, None, :, 2],
      own[list(weak.POSE_COLUMNS)].to_numpy(np.float64),
      eye_distance=eye_distance,
    )
  made[..., 2] -= cut[..., 2]
  return size_px * np.linalg.inv(cut[..., :2]) @ made


def write_persons(
  root: pathlib.Path, video_id: str, people: Mapping[str, Sequence[tuple]]
) -> None:
  """Brings person_id in one video's frames.parquet up to tracks.csv.

  Args:
    root: the ingest folder.
    video_id: the video.
    people: from person_id to (track, first frame, last frame) each.

  Raises:
    ValueError: If the file is damaged.
  """
  path = layout.video_folder(root, video_id) / 'frames.parquet'
  table = read_table(root, video_id)
  named = pd.Series('', index=table.index, dtype=object)
  for person_id, parts in people.items():
    for part in parts:
      named[_shows(table, part)] = person_id
  if not table['person_id'].astype(object).eq(named).all():
    table = table.assign(person_id=named.astype(str))
    with paths.writing_atomic(path) as file:
      table.to_parquet(file, index=False, write_page_checksum=True)
