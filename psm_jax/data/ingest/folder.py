"""An ingest folder as a source of training frames.

source = folder.scan('/data/ingested')
"""

import functools
import hashlib
import io
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from psm_jax import paths, tabular
from psm_jax.data import alignment, labels, picture_files, sources, store
from psm_jax.data.ingest import layout, tracks
from psm_jax.data.labels import weak

SCHEMA_VERSION = 1
ALIGNMENTS = ('none', 'landmarks')
_FRAMES = {
  'person_id': str,
  'track': int,
  'frame': int,
  'time_s': float,
  'success': bool,
}
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
  problems = [{'path': layout.VIDEOS, 'reason': text} for text in damaged]
  by_id = {content['video_id']: content for content in contents}
  table = tracks.read(root)
  confirmed = tracks.assignments(root, table, by_id)
  people = sorted({entry.person_id for entry in confirmed})
  sources.check_persons(persons, people, where=f'{root}/{layout.TRACKS}')
  problems += _left_out(confirmed, contents, table, by_id)
  parts = _parts(confirmed)
  videos, digest = [], hashlib.sha256(f'{SCHEMA_VERSION}'.encode())
  for person_id in people:
    for video_id in sorted(parts):
      if person_id in parts[video_id] and (not persons or person_id in persons):
        entry = _video(root, by_id[video_id], person_id, parts[video_id])
        if (
          entry.labels is None
          and len(parts[video_id]) > 1
          and labels_path(root, video_id, '', is_alone=True).is_file()
        ):
          reason = 'labels.csv not used: more than one person is confirmed'
          problems.append({'path': video_id, 'reason': reason})
        videos.append(entry)
        _digest_video(by_id[video_id], entry, digest)
  if not videos:
    raise ValueError(
      f'No track of {root} is confirmed. Look at {layout.SHEETS}/ and fill in '
      f'person_id in {root / layout.TRACKS}.'
      + ''.join(f' {reason}' for reason in damaged[:3])
    )
  if align == 'landmarks':
    _check_landmarks(videos)
    digest.update(json.dumps([align, eye_distance]).encode())
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
          *sources.label_columns(videos),
        )
      )
    ),
    problems=tuple(problems),
    fingerprint=digest.hexdigest()[:16],
    shots=functools.partial(
      _shots,
      options={name: by_id[name]['options'] for name in by_id},
      eye_distance=eye_distance if align == 'landmarks' else None,
    ),
  )


def _check_landmarks(videos):
  """Refuses videos whose detector gave no landmarks."""
  without = [
    video.name
    for video in videos
    if not (video.folder / layout.LANDMARKS).is_file()
  ]
  if without:
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
  rows = read_frames(video.folder.parents[1], video)
  rows = rows[rows['success']].reset_index(drop=True)
  frames = rows['frame'].to_numpy()
  kept = [*QUALITY_COLUMNS, *(c for c in weak.COLUMNS if c in rows)]
  values, points = rows[kept], None
  table = sources.label_table(video, report)
  if table is not None:
    reasons = list(table.problems)
    if missing := len(np.setdiff1d(frames, table.values.index)):
      reasons.append(f'{missing} of {len(frames)} frames have no row')
    for reason in reasons:
      report(sources.labels_name(video), reason)
    theirs = table.values.reindex(index=frames).reset_index(drop=True)
    values = values.drop(columns=theirs.columns, errors='ignore').join(theirs)
    points = sources.match_landmarks(table, frames)
  if points is not None:
    points = alignment.to_frame(
      points, read_crops(rows), size_px=options['size_px']
    )
  crops = None
  if eye_distance is not None:
    crops = landmark_crops(
      video.folder,
      rows,
      size_px=options['size_px'],
      eye_distance=eye_distance,
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
    What `processing.Options.of` takes; `table` names a table of boxes or is
    None.
  """
  contents, _ = layout.list_videos(pathlib.Path(root))
  ways = [
    content['options'] | {'table': content['options']['table'] and 'a table'}
    for content in contents
  ]
  return ways[0] if ways and all(way == ways[0] for way in ways) else {}


def _left_out(confirmed, contents, table, by_id):
  """Problems: tracks that nobody is named for, rows without a video."""
  named = {(entry.video_id, entry.track) for entry in confirmed}
  problems = []
  for content in contents:
    open_tracks = [
      str(track['track'])
      for track in content['tracks']
      if (content['video_id'], track['track']) not in named
    ]
    if open_tracks:
      reason = f'tracks without person_id, not used: {", ".join(open_tracks)}'
      problems.append({'path': content['video_id'], 'reason': reason})
  for row in table.rows:
    if row['person_id'] and row['video_id'] not in by_id:
      reason = f'line {row["line"]} names a video that is not there; not used'
      problems.append({'path': layout.TRACKS, 'reason': reason})
  return problems


def _parts(confirmed):
  """From video_id and person_id to (track, first, last), in order."""
  parts = {}
  for entry in confirmed:
    part = (entry.track, entry.first_frame, entry.last_frame)
    of_video = parts.setdefault(entry.video_id, {})
    of_video[entry.person_id] = (*of_video.get(entry.person_id, ()), part)
  return parts


def confirmed_parts(
  root: pathlib.Path, contents: Sequence[Mapping]
) -> dict[str, dict[str, tuple[tuple[int, int, int], ...]]]:
  """Returns who is seen where by tracks.csv.

  Args:
    root: the ingest folder.
    contents: video.json of its videos.

  Returns:
    From video_id and person_id to (track, first frame, last frame) in order;
    videos in which nobody is confirmed are empty.

  Raises:
    ValueError: If tracks.csv is wrong.
  """
  by_id = {content['video_id']: content for content in contents}
  confirmed = tracks.assignments(root, tracks.read(root), by_id)
  return {video_id: {} for video_id in by_id} | _parts(confirmed)


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
  has_labels = path.is_file()
  return sources.Video(
    person_id=person_id,
    video_id=video_id,
    fps=float(content['fps']),
    folder=path.parent,
    labels=path if has_labels else None,
    has_landmarks=has_labels and labels.names_landmarks(path.read_bytes()),
    parts=parts[person_id],
  )


def _digest_video(video, entry, digest):
  values = [entry.name, video['made'], entry.parts, entry.fps]
  if entry.labels is not None:
    values.append(hashlib.sha256(entry.labels.read_bytes()).hexdigest())
    # Stores of earlier versions, which kept none, are another store.
    values += ['landmarks'] if entry.has_landmarks else []
  digest.update(json.dumps(values).encode())


def read_table(root: pathlib.Path, video_id: str) -> pd.DataFrame:
  """Returns frames.parquet of a video.

  Raises:
    ValueError: If the file is damaged.
  """
  path = layout.video_folder(root, video_id) / 'frames.parquet'
  return _read(path, _FRAMES)


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


def rows_of(table: pd.DataFrame, parts: Sequence[tuple]) -> pd.DataFrame:
  """Returns the rows of frames.parquet that show one person.

  Args:
    table: from `read_table`.
    parts: (track, first frame, last frame) each.

  Returns:
    A row a frame of the parts, sorted by frame, each frame once.
  """
  rows = [
    table[(table['track'] == track) & table['frame'].between(first, last)]
    for track, first, last in parts
  ]
  return pd.concat(rows).sort_values('frame').reset_index(drop=True)


def read_frames(root: pathlib.Path, entry: sources.Video) -> pd.DataFrame:
  """Returns the rows of frames.parquet that show one person in one video.

  Weak labels are columns of them, where the detector made any.

  Raises:
    ValueError: If the file is damaged.
  """
  frames = rows_of(read_table(root, entry.video_id), entry.parts)
  labels_of = read_weak_labels(root, entry.video_id)
  if labels_of is None:
    return frames
  return frames.merge(labels_of, on=['track', 'frame'], how='left')


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
    ).crops
  made[..., 2] -= cut[..., 2]
  return size_px * np.linalg.inv(cut[..., :2]) @ made


def write_persons(
  root: pathlib.Path,
  content: Mapping,
  confirmed: Sequence[tracks.Assignment],
) -> None:
  """Brings person_id in one video's frames.parquet up to tracks.csv.

  Args:
    root: the ingest folder.
    content: the video's video.json.
    confirmed: what `tracks.assignments` returned.

  Raises:
    ValueError: If the file is damaged.
  """
  path = layout.video_folder(root, content['video_id']) / 'frames.parquet'
  table = read_table(root, content['video_id'])
  person_id = pd.Series('', index=table.index, dtype=object)
  for entry in confirmed:
    if entry.video_id == content['video_id']:
      shown = (table['track'] == entry.track) & table['frame'].between(
        entry.first_frame, entry.last_frame
      )
      person_id[shown] = entry.person_id
  if not table['person_id'].astype(object).eq(person_id).all():
    encoded = io.BytesIO()
    table.assign(person_id=person_id.astype(str)).to_parquet(
      encoded, index=False, write_page_checksum=True
    )
    paths.write_atomic(path, encoded.getvalue())
