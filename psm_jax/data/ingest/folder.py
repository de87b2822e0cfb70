"""An ingest folder as a source of training frames.

source = folder.scan('/data/ingested')
"""

import functools
import itertools
import pathlib
from collections.abc import Sequence

import numpy as np

from psm_jax.data import alignment, picture_files, sources, store
from psm_jax.data.ingest import frame_tables, layout, tracks
from psm_jax.data.labels import weak

ALIGNMENTS = ('none', 'landmarks')

QUALITY_COLUMNS = ('confidence', 'face_px', 'blur', 'brightness')


def scan(
  path: str | pathlib.Path,
  *,
  persons: Sequence[str] = (),
  align: str = 'none',
  eye_distance: float = 0.4,
) -> sources.Source:
  """Lists the confirmed tracks of an ingest folder; no crop is opened.

  Args:
    path: the folder that `batch.ingest` made.
    persons: ids to keep; () for all.
    align: 'none' takes crops as they are, 'landmarks' cuts them again, see
      `landmark_alignment`.
    eye_distance: of 'landmarks'.

  Raises:
    ValueError: If align is another, a video has no landmarks to align by, it is
      no ingest folder, tracks.csv is missing or wrong, no
      track is confirmed, or a requested person is absent.
  """
  if not str(path):
    raise ValueError('data.path is empty; give the folder of launch.ingest.')
  if align not in ALIGNMENTS:
    raise ValueError(
      f'data.align {align!r} is none of {ALIGNMENTS}, which ingested videos '
      'allow. launch.ingest has aligned them by their eyes: set '
      '--config.data.align=none.'
    )
  root = pathlib.Path(path)
  if (
    not (root / layout.TRACKS).is_file() or not (root / layout.VIDEOS).is_dir()
  ):
    raise ValueError(
      f'data.path {str(root)!r} holds no {layout.TRACKS} and {layout.VIDEOS}/. '
      'Give the folder that launch.ingest made.'
    )
  contents, damaged = layout.list_videos(root)
  table = tracks.read(root)
  parts = tracks.assignments(root, table, contents)
  people = sources.choose_persons(
    persons,
    itertools.chain.from_iterable(parts.values()),
    where=f'{root}/{layout.TRACKS}',
  )
  problems = [{'path': layout.VIDEOS, 'reason': text} for text in damaged]
  report = sources.reporter(problems)
  _report_left_out(parts, contents, table, report)
  videos = []
  for person_id in people:
    for video_id, content in contents.items():
      of_video = parts[video_id]
      if person_id in of_video:
        entry = _video(root, content, person_id, of_video)
        if (
          entry.labels is None
          and len(of_video) > 1
          and labels_path(root, video_id, '', is_alone=True).is_file()
        ):
          report(
            video_id, 'labels.csv not used: more than one person is confirmed'
          )
        videos.append(entry)
  if not videos:
    raise ValueError(
      f'No track of {root} is confirmed. Look at {layout.SHEETS}/ and fill in '
      f'person_id in {root / layout.TRACKS}.'
      + ''.join(f' {reason}' for reason in damaged[:3])
    )
  if align == 'landmarks':
    _check_landmarks(videos)
  label_columns, has_landmarks = sources.scan_labels(videos)
  has_weak_labels = any(
    (video.folder / layout.WEAK_LABELS).is_file() for video in videos
  )
  return sources.Source(
    root=root,
    videos=tuple(videos),
    label_columns=tuple(
      dict.fromkeys(
        (
          *QUALITY_COLUMNS,
          *(weak.COLUMNS if has_weak_labels else ()),
          *label_columns,
        )
      )
    ),
    has_landmarks=has_landmarks,
    problems=tuple(problems),
    fingerprint=sources.fingerprint(
      [align, eye_distance if align == 'landmarks' else None], videos
    ),
    shots=functools.partial(
      _shots,
      options={name: contents[name]['options'] for name in contents},
      eye_distance=eye_distance if align == 'landmarks' else None,
    ),
  )


def _check_landmarks(videos):
  """Refuses videos whose detector gave no landmarks."""
  if without := [
    video.name
    for video in videos
    if not (video.folder / layout.LANDMARKS).is_file()
  ]:
    raise ValueError(
      f"data.align 'landmarks': {len(without)} of {len(videos)} videos have no "
      f'{layout.LANDMARKS}: {store.list_some(without)}. Ingest them again with '
      '--detector=landmarker.'
    )


def _shots(video, report, *, options, eye_distance):
  """See `sources.Source`: the crops that show the person, by their own times.

  Args:
    video: of an ingest folder.
    report: see `sources.Report`.
    options: of each video's ingest, by video_id.
    eye_distance: of crops that are cut again by landmarks, None to take them as
      they are.
  """
  options = options[video.video_id]
  rows = frame_tables.read_frames(video.folder.parents[1], video)
  rows = rows[rows['success']].reset_index(drop=True)
  frames = rows['frame'].to_numpy()
  theirs, points = sources.labels_of(video, frames, report)
  kept = [*QUALITY_COLUMNS, *(c for c in weak.COLUMNS if c in rows)]
  values = rows[[c for c in kept if c not in theirs]].join(theirs)
  if points is not None:
    points = alignment.to_frame(
      points, frame_tables.read_crops(rows), size_px=options['size_px']
    )
  crops = (
    None
    if eye_distance is None
    else frame_tables.landmark_crops(
      video.folder,
      rows,
      size_px=options['size_px'],
      eye_distance=eye_distance,
    )
  )
  names = [
    f'{layout.track_name(track)}/{layout.crop_name(frame, options["format"])}'
    for track, frame in zip(rows['track'], frames.tolist(), strict=True)
  ]
  return sources.Shots(
    names=names,
    frames=frames,
    time_s=rows['time_s'].to_numpy(np.float64),
    read=lambda row: picture_files.read(video.folder / names[row]),
    labels=values,
    crops=crops,
    landmarks=points,
  )


def options(root: str | pathlib.Path) -> dict:
  """Returns how the videos of an ingest folder were cut, {} if in two ways.

  Args:
    root: the folder.

  Returns:
    What `jobs.Options.of` takes; `table` names a table of boxes or is
    None.
  """
  contents, _ = layout.list_videos(pathlib.Path(root))
  ways = [
    content['options'] | {'table': content['options']['table'] and 'a table'}
    for content in contents.values()
  ]
  return ways[0] if ways and all(way == ways[0] for way in ways) else {}


def _report_left_out(parts, contents, table, report):
  """Names tracks that nobody is named for, and rows without a video."""
  for video_id, content in contents.items():
    named = {track for of in parts[video_id].values() for track, *_ in of}
    if open_tracks := [
      str(track['track'])
      for track in content['tracks']
      if track['track'] not in named
    ]:
      report(
        video_id,
        f'tracks without person_id, not used: {", ".join(open_tracks)}',
      )
  for row in table.rows:
    if row['person_id'] and row['video_id'] not in contents:
      report(
        layout.TRACKS,
        f'line {row["line"]} names a video that is not there; not used',
      )


def labels_path(
  root: pathlib.Path, video_id: str, person_id: str, *, is_alone: bool
) -> pathlib.Path:
  """Returns where the labels of a person in a video lie, there or not.

  Args:
    root: the ingest folder.
    video_id: the video.
    person_id: who.
    is_alone: whether nobody else is confirmed in the video.
  """
  name = 'labels.csv' if is_alone else f'labels.{person_id}.csv'
  return layout.video_folder(root, video_id) / name


def _video(root, content, person_id, parts):
  """One person's part of a video."""
  video_id = content['video_id']
  path = labels_path(root, video_id, person_id, is_alone=len(parts) == 1)
  return sources.Video(
    person_id=person_id,
    video_id=video_id,
    fps=float(content['fps']),
    folder=path.parent,
    labels=path if path.is_file() else None,
    parts=tuple(parts[person_id]),
    state=content['made'],
  )
