"""Features that cannot know the face: where the head is, and what is next door.

n frames, D features, T targets.

They are scored as embeddings are, on the same frames. A gain of an embedding
that a control shows too is not about facial action: pixel_pca tells what any
picture gives away, head_pose what the position of the head does, and
nearest_in_time the closeness of training frames.

  tables += controls.from_labels(table)
"""

import dataclasses

import numpy as np
import pandas as pd

from psm_jax.evaluation import features

POSES = ('yaw', 'pitch', 'roll')  # Columns pose_yaw, ..., degrees.


def from_labels(table: features.FeatureTable) -> list[features.FeatureTable]:
  """Returns the controls of a table that its labels allow.

  Args:
    table: Features of one person.

  Returns:
    Tables of the same rows and person: 'head_pose', if a head pose is
    labelled, and 'nearest_in_time'.
  """
  data = {features.NEAREST_IN_TIME: np.zeros((len(table.frames), 0))}
  angles = pose_angles(table.frames)
  if not angles.empty:
    unknown = angles.isna().any(axis=1).to_numpy(np.float64)
    # An unknown angle takes the mean, and the last column says so.
    angles = angles.fillna(angles.mean()).to_numpy()
    pose = np.concatenate([angles, angles**2, unknown[:, None]], axis=1)
    data = {features.HEAD_POSE: pose, **data}
  return [
    dataclasses.replace(
      table, source=source, model_id=source, features=columns.astype(np.float32)
    )
    for source, columns in data.items()
  ]


def pose_angles(frames: pd.DataFrame) -> pd.DataFrame:
  """Returns the angles of the head that are labelled on any frame.

  Args:
    frames: n rows; pose_yaw, pose_pitch and pose_roll are degrees.

  Returns:
    n rows, float64, of none to three of these columns.
  """
  angles = frames.filter([f'pose_{pose}' for pose in POSES])
  return angles.astype(np.float64).dropna(axis=1, how='all')


def mean_of_neighbours(
  frames: pd.DataFrame, train: np.ndarray, test: np.ndarray, values: np.ndarray
) -> np.ndarray:
  """Returns the mean of the training values next to each test frame in time.

  The neighbours are the nearest training frame before and the nearest after in
  the same video; at the ends of a video the only one counts.

  Args:
    frames: n rows with video_id and time_s.
    train: [n_train] int, rows.
    test: [n_test] int, rows.
    values: [n_train] or [n_train, T] float of the training frames.

  Returns:
    [n_test] or [n_test, T] float64; NaN in videos without training frames.
  """
  before, after = _neighbours(frames, train, test)
  # With one neighbour it stands for both.
  before, after = (
    np.where(before < 0, after, before),
    np.where(after < 0, before, after),
  )
  mean = (values[before] + values[after]) / 2.0
  mean[before < 0] = np.nan
  return mean


def nearest(
  frames: pd.DataFrame, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
  """Returns which training frame of the same video is nearest in time.

  Args:
    frames: n rows with video_id and time_s.
    train: [n_train] int, rows.
    test: [n_test] int, rows.

  Returns:
    [n_test] int, positions in train, -1 in videos without training frames. Of
    two frames equally near it is the earlier.
  """
  before, after = _neighbours(frames, train, test)
  time_s = frames['time_s'].to_numpy(np.float64)
  gap_before, gap_after = (
    np.where(side < 0, np.inf, np.abs(time_s[test] - time_s[train[side]]))
    for side in (before, after)
  )
  return np.where(gap_after < gap_before, after, before)


def _neighbours(frames, train, test):
  """Returns [n_test] positions in train of the frames around, -1 for none."""
  keys = frames[['video_id', 'time_s']].astype(
    {'video_id': str, 'time_s': float}
  )
  known, asked = (
    keys.iloc[rows]
    .assign(place=np.arange(len(rows)))
    .sort_values('time_s', kind='stable')
    for rows in (train, test)
  )
  return [
    pd.merge_asof(
      asked,
      known,
      on='time_s',
      by='video_id',
      suffixes=('', '_known'),
      direction=direction,
      allow_exact_matches=direction == 'backward',
    )
    .sort_values('place')['place_known']
    .fillna(-1)
    .to_numpy(int)
    for direction in ('backward', 'forward')
  ]
