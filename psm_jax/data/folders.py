"""Folders of frames: PERSON/VIDEO/*.jpg, .jpeg or .png, labels.csv if any.

Frame numbers are the last integer in a file's stem (`frame000017.jpg` is 17,
`img_0_005.png` is 5), never a position: missing frames stay missing. A file
`dataset.json` in the root may give {"fps": 20}.
"""

import functools
import math
import os
import pathlib
from collections.abc import Sequence

from absl import logging

from psm_jax import json_files, paths
from psm_jax.data import alignment, frame_times, sources

ALIGNMENTS = ('none', 'eyes')


def scan(
  root: str | pathlib.Path,
  *,
  align: str = 'none',
  eye_distance: float = 0.40,
  fps: float = 0.0,
  persons: Sequence[str] = (),
) -> sources.Source:
  """Lists a folder of frames; no picture is opened.

  Args:
    root: the folder that holds the persons' folders.
    align: 'eyes' to bring the eyes to a fixed place by the landmark columns of
      labels.csv, 'none' for the centre square.
    eye_distance: distance of the eyes as a share of the frame's side.
    fps: frames a second; 0 for dataset.json's, or else 25.
    persons: ids to keep; () for all.

  Raises:
    ValueError: If an option is out of range, the folder is missing or holds no
      such pictures, a requested person is absent, or an id is unsafe or
      differs from another by case alone.
  """
  check_options(align, eye_distance, fps)
  root = pathlib.Path(root)
  if not root.is_dir():
    raise ValueError(f'data.path {str(root)!r} is not a folder.')
  fps = fps or _dataset_fps(root)
  problems, videos = [], []
  report = sources.reporter(problems)
  folders = _list_ids(root, 'person_id')
  for person_id in sources.choose_persons(persons, folders, where=str(root)):
    videos += _scan_person(folders[person_id], person_id, fps, report)
  if not videos:
    raise ValueError(
      f'No pictures under {root}. Expected PERSON/VIDEO/*.jpg (or .jpeg, '
      '.png), with the frame number in the file name'
      + ''.join(f'; {p["path"]}: {p["reason"]}' for p in problems[:3])
      + '.'
    )
  label_columns, has_landmarks = sources.scan_labels(videos)
  return sources.Source(
    root=root,
    videos=tuple(videos),
    label_columns=label_columns,
    has_landmarks=has_landmarks,
    problems=tuple(problems),
    fingerprint=sources.fingerprint(
      [align, alignment.EYE_HEIGHT, eye_distance], videos
    ),
    shots=functools.partial(
      sources.picture_shots, align=align, eye_distance=eye_distance
    ),
  )


def check_options(align: str, eye_distance: float, fps: float) -> None:
  """Raises a ValueError if an option is out of range."""
  for is_wrong, message in (
    (
      align not in ALIGNMENTS,
      f'data.align {align!r} is none of {list(ALIGNMENTS)}.',
    ),
    (
      not 0.05 <= eye_distance <= 0.9,
      f'data.eye_distance {eye_distance} is a share of the side, expected '
      '0.05 to 0.9.',
    ),
    (
      not (math.isfinite(fps) and fps >= 0),
      f'data.fps {fps} must be positive, or 0 for that of the data.',
    ),
  ):
    if is_wrong:
      raise ValueError(message)


def _dataset_fps(root):
  """Frames a second from dataset.json, or 25."""
  path = root / 'dataset.json'
  stated = json_files.read(path, dict) if path.is_file() else {}
  fps = stated.get('fps')
  if fps is None:
    logging.warning(
      '%s gives no fps; times assume %g frames a second. Set data.fps.',
      path,
      frame_times.DEFAULT_FPS,
    )
    return frame_times.DEFAULT_FPS
  json_files.check(fps, float, f'{path}, fps')
  if fps <= 0:
    raise ValueError(f'{path}: fps is {fps!r}, expected a positive number.')
  return float(fps)


def _list_ids(folder, what):
  """From the names of the subfolders, checked and sorted, to their paths."""
  with os.scandir(folder) as entries:
    path_of = {
      entry.name: pathlib.Path(entry.path)
      for entry in sorted(entries, key=lambda entry: entry.name)
      if entry.is_dir() and not entry.name.startswith('.')
    }
  seen = {}
  for name, path in path_of.items():
    paths.check_id(name, what=f'{path}: {what}')
    twin = seen.setdefault(name.lower(), name)
    if twin != name:
      raise ValueError(
        f'{folder} holds {twin!r} and {name!r}, which differ only in case and '
        'are one folder on many systems. Rename one.'
      )
  return path_of


def _scan_person(person_folder, person_id, fps, report):
  """One person's videos."""
  if loose := [name for name in _files(person_folder) if _is_picture(name)]:
    report(
      person_id,
      f'{len(loose)} pictures outside a video folder, not read; put them in a '
      f'folder, {person_id}/VIDEO/',
    )
  video_folders = _list_ids(person_folder, 'video_id')
  if not video_folders:
    report(person_id, 'no video folders')
  videos = [
    _scan_video(folder, person_id, video_id, fps, report)
    for video_id, folder in video_folders.items()
  ]
  return [video for video in videos if video is not None]


def _files(folder):
  """The names of the files in a folder, sorted."""
  with os.scandir(folder) as entries:
    return sorted(entry.name for entry in entries if entry.is_file())


def _is_picture(name):
  return not name.startswith('.') and name.lower().endswith(sources.PICTURES)


def _scan_video(folder, person_id, video_id, fps, report):
  """One video's files, None if there is no picture among them."""
  where = f'{person_id}/{video_id}'
  files = _files(folder)
  numbered = sources.by_frame(list(filter(_is_picture, files)), where, report)
  if not numbered:
    report(where, 'no pictures')
    return None
  return sources.Video(
    person_id=person_id,
    video_id=video_id,
    fps=fps,
    folder=folder,
    files=tuple(numbered.values()),
    frames=tuple(numbered),
    labels=folder / 'labels.csv' if 'labels.csv' in files else None,
  )
