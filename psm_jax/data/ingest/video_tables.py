"""What is known of one video: the rows of frames.parquet, counts and tracks."""

import dataclasses

import numpy as np
import pandas as pd

from psm_jax.data import alignment, frame_times
from psm_jax.data.ingest import faces as faces_lib, video
from psm_jax.data.labels import weak

UNITS = {
  'frame': 'counted from 0 in the order shown',
  'time_s': 'seconds by the clock of the file',
  'x, y, width, height, *_eye_*, nose_*, *_mouth_*, crop_*_px, face_px': (
    'pixels of the picture as shown, from its top left corner'
  ),
  'roll_deg': 'degrees clockwise',
  'confidence': '0 to 1, empty if interpolated',
  'face_px': 'square root of the area of the box',
  'blur': "variance of the crop's Laplacian; lower is blurrier",
  'brightness': 'mean grey level of the crop, 0 to 255',
}
_POINT_COLUMNS = [
  f'{name}_{axis}' for name in faces_lib.POINTS for axis in 'xy'
]
_NUMBER_COLUMNS = (
  'confidence x y width height'.split()
  + _POINT_COLUMNS
  + 'crop_x_px crop_y_px crop_side_px roll_deg'.split()
  + 'face_px blur brightness'.split()
)
FRAME_COLUMNS = [
  *'person_id video_id track frame time_s success interpolated inside'.split(),
  *_NUMBER_COLUMNS,
]
_DTYPES = {
  'track': 'int32',
  'frame': 'int64',
  'time_s': 'float64',
  'success': 'bool',
  'interpolated': 'bool',
  'inside': 'bool',
} | dict.fromkeys(_NUMBER_COLUMNS, 'float32')


@dataclasses.dataclass
class TrackRows:
  """A track's faces, crops and what was measured of them, n rows.

  Attributes:
    frames: [n] int64, increasing.
    faces: where the face is.
    is_made_up: [n] bool, see `tracking.fill`.
    crops: [n, 2, 3] float64, see `psm_jax.data.alignment`.
    measured: [n, 3] float32: whether the crop lies within the picture,
      `crops.blur` and `crops.brightness`.
    changes_at: frame from which the face seems to be another, None if it stays
      the same; see `appearance`.
  """

  frames: np.ndarray
  faces: faces_lib.Faces
  is_made_up: np.ndarray
  crops: np.ndarray
  measured: np.ndarray
  changes_at: int | None = None


@dataclasses.dataclass
class Search:
  """What the first reading of a video found.

  Attributes:
    time_s: [T] float64, of all frames.
    tracks: in order of their first frames.
    counts: cuts to another scene, frames with a face, faces in all frames, and
      of these in no track: cuts, with_face, faces, faces_dropped.
  """

  time_s: np.ndarray
  tracks: list[TrackRows]
  counts: dict[str, int]


def frames_table(video_id: str, search: Search) -> pd.DataFrame:
  """Returns frames.parquet: a row a frame of each track, one if it has none.

  Args:
    video_id: the video's.
    search: what was found; its crops measured.
  """
  parts, covered = [], np.zeros(len(search.time_s), bool)
  for number, track in enumerate(search.tracks):
    span = np.arange(track.frames[0], track.frames[-1] + 1)
    covered[span] = True
    parts.append(_track_table(number, track).reindex(span))
    parts[-1]['track'] = number
  alone = np.flatnonzero(~covered)
  if len(alone) or not parts:
    parts.append(pd.DataFrame({'track': -1}, index=alone))
  table = pd.concat(parts)
  table.index.name = 'frame'
  table = table.reset_index().sort_values(['frame', 'track'])
  table['time_s'] = search.time_s[table['frame']]
  table['person_id'], table['video_id'] = '', video_id
  for name in ('success', 'interpolated', 'inside'):
    table[name] = table[name].eq(True) if name in table else False
  table = table.reindex(columns=FRAME_COLUMNS)
  return table.astype(_DTYPES).reset_index(drop=True)


def _track_table(number, track):
  boxes, crop = track.faces.boxes, track.crops
  across = crop[:, :, 0]
  centre = crop @ np.array([0.5, 0.5, 1.0])
  columns = {
    'success': True,
    'interpolated': track.is_made_up,
    'inside': track.measured[:, 0] == 1,
    'confidence': track.faces.scores,
    'crop_x_px': centre[:, 0],
    'crop_y_px': centre[:, 1],
    'crop_side_px': np.linalg.norm(across, axis=1),
    'roll_deg': np.degrees(np.arctan2(across[:, 1], across[:, 0])),
    'face_px': np.sqrt(boxes[:, 2] * boxes[:, 3]),
    'blur': track.measured[:, 1],
    'brightness': track.measured[:, 2],
  }
  columns |= dict(zip(('x', 'y', 'width', 'height'), boxes.T, strict=True))
  points = track.faces.points.reshape(-1, len(_POINT_COLUMNS))
  columns |= dict(zip(_POINT_COLUMNS, points.T, strict=True))
  return pd.DataFrame(columns, index=track.frames)


def details_tables(
  number: int, track: TrackRows, *, size_px: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
  """Returns what is kept of the landmarks, pose and blendshapes of a track.

  Args:
    number: of the track.
    track: whose faces have details; those that are made up have no row.
    size_px: side of a crop's file.

  Returns:
    Rows of landmarks.parquet: track, frame and `landmarks`, a list of 956
    float32, x and y of each in turn, in pixels of the crop's file from its top
    left corner; rows of weak_labels.parquet, see `labels.weak`.
  """
  sought = ~track.is_made_up
  details = track.faces.chosen(sought).details
  frames = track.frames[sought]
  places = alignment.to_frame(
    details.landmarks, track.crops[sought], size_px=size_px
  ).astype(np.float32)
  landmarks = pd.DataFrame(
    {
      'track': np.int32(number),
      'frame': frames,
      'landmarks': list(places.reshape(len(frames), -1)),
    }
  )
  return landmarks, weak.table(
    number, frames, details.pose_deg, details.blendshapes
  )


def describe(
  search: Search, counts: video.Counts, frames: pd.DataFrame
) -> dict:
  """Returns what video.json says of the frames and tracks.

  Args:
    search: what was found.
    counts: of reading the video.
    frames: from `frames_table`.
  """
  return {
    'codec': counts.codec,
    'width': counts.width,
    'height': counts.height,
    'pixel_scale': [
      counts.width / counts.stored[0],
      counts.height / counts.stored[1],
    ],
    'fps': round(frame_times.frame_rate(search.time_s), 4),
    'first_s': float(search.time_s[0]),
    'last_s': float(search.time_s[-1]),
    'counts': {
      'decoded': counts.decoded,
      'damaged': counts.damaged,
      'hidden': counts.hidden,
      **search.counts,
      'crops': sum(len(t.frames) for t in search.tracks),
      'interpolated': sum(int(t.is_made_up.sum()) for t in search.tracks),
    },
    'units': UNITS,
    'tracks': [
      _describe_track(number, track, search.time_s, frames)
      for number, track in enumerate(search.tracks)
    ],
  }


def _describe_track(number, track, time_s, frames):
  own = frames[(frames['track'] == number) & frames['success']]
  first, last = int(track.frames[0]), int(track.frames[-1])
  return {
    'track': number,
    'first_frame': first,
    'last_frame': last,
    'first_s': float(time_s[first]),
    'last_s': float(time_s[last]),
    'crops': len(own),
    'missing': last - first + 1 - len(own),
    'changes_at': track.changes_at,
    'inside': int(own['inside'].sum()),
    'face_px': round(float(own['face_px'].median()), 1),
    'blur': round(float(own['blur'].median()), 1),
    'brightness': round(float(own['brightness'].median()), 1),
  }
