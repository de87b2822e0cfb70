"""Where things lie in an ingest folder, and how its files are written.

tracks.csv                    who is who; to be filled in
summary.csv, people.csv       what became of each video; what there is of whom
contact_sheets/VIDEO.jpg      a row a track
videos/VIDEO/video.json       counts, options, tracks
videos/VIDEO/frames.parquet   a row a frame and track
videos/VIDEO/landmarks.parquet, weak_labels.parquet  with the landmarker only
videos/VIDEO/track00/*.jpg    crops, named by frame number
"""

import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from psm_jax import csv_files, json_files, paths

SCHEMA_VERSION = 2
TRACKS, SUMMARY, PEOPLE = 'tracks.csv', 'summary.csv', 'people.csv'
SHEETS, VIDEOS = 'contact_sheets', 'videos'
LANDMARKS, WEAK_LABELS = 'landmarks.parquet', 'weak_labels.parquet'
# What is read of video.json.
_VIDEO = {
  **dict.fromkeys(
    ('video_id', 'name', 'key', 'content', 'digest', 'suggestion', 'made'), str
  ),
  **dict.fromkeys(('fps', 'first_s', 'last_s'), float),
  'width': int,
  'height': int,
  'pixel_scale': [float],
  'options': {'size_px': int, 'format': str, 'table': (str, type(None))},
  'warnings': [str],
  'sheets': [str],
  'counts': dict.fromkeys(
    ('decoded', 'cuts', 'with_face', 'faces', 'faces_dropped', 'crops'), int
  ),
  'tracks': [
    {
      **dict.fromkeys(
        ('track', 'first_frame', 'last_frame', 'crops', 'missing'), int
      ),
      **dict.fromkeys(
        ('first_s', 'last_s', 'face_px', 'blur', 'brightness'), float
      ),
      'changes_at': (int, type(None)),
    }
  ],
}


def video_folder(root: str | os.PathLike, video_id: str) -> pathlib.Path:
  """Returns the folder of one video."""
  return paths.child(root, VIDEOS, video_id)


def track_name(track: int) -> str:
  """Returns the name of a track's folder."""
  return f'track{track:02d}'


def crop_name(frame: int, extension: str) -> str:
  """Returns the name of a crop's file."""
  return f'{frame:06d}.{extension}'


def read_video(folder: pathlib.Path) -> dict:
  """Returns what video.json says.

  Raises:
    ValueError: If it is missing, damaged or of another version.
  """
  path = folder / 'video.json'
  remedy = f'Delete {folder} and ingest it again.'
  try:
    content = json_files.read_version(path, _VIDEO, version=SCHEMA_VERSION)
  except ValueError as error:
    raise ValueError(f'{error} {remedy}') from error
  if content['video_id'] != folder.name:
    raise ValueError(
      f'{path} is about {content["video_id"]!r}, not {folder.name!r}; the '
      f'folder was renamed. Give it its name back.'
    )
  return content


def list_videos(root: pathlib.Path) -> tuple[dict[str, dict], list[str]]:
  """Returns what video.json says of every finished video, and what is wrong.

  Args:
    root: the ingest folder.

  Returns:
    From video_id, sorted, to what `read_video` returns; a sentence for each
    that is damaged.
  """
  folder = root / VIDEOS
  found, problems = {}, []
  for path in sorted(folder.iterdir()) if folder.is_dir() else ():
    if path.is_dir() and not path.name.startswith('.'):
      try:
        found[path.name] = read_video(path)
      except ValueError as error:
        problems.append(str(error))
  return found, problems


def shown(name: str) -> str:
  """Returns a file's name fit for a message or a table, whatever is in it."""
  name = os.fsencode(name).decode('utf-8', 'backslashreplace')
  return ''.join(c if c.isprintable() else f'\\x{ord(c):02x}' for c in name)


def cell(value) -> str:
  """Returns a table's cell that no spreadsheet takes for a formula."""
  if value is None or value != value:
    return ''
  if isinstance(value, float):
    return f'{value:.6g}'
  if isinstance(value, str):
    return csv_files.safe(' '.join(value.split()))
  return str(value)


def table(
  columns: Sequence[str],
  rows: Iterable[Mapping],
  *,
  separator: str = ',',
) -> str:
  """Returns a CSV table; numbers with six digits, missing ones empty."""
  # As objects: whole numbers stay so where others are missing.
  cells = pd.DataFrame(rows, columns=list(columns), dtype=object).map(cell)
  return csv_files.text_of(cells, separator=separator)
