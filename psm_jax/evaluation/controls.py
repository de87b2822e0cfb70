"""Controls: pixels, head pose, and the nearest training frame in time.

n frames, H W pixels. A gain of an embedding that a control shows too is not
about facial action: pixel_pca tells what any picture gives away, head_pose what
the position of the head does, and nearest_in_time the closeness of training
frames.

  tables += [controls.pixel_table(table, frame_store)]
  tables += controls.from_labels(table)
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from psm_jax.evaluation import features

if TYPE_CHECKING:
  from psm_jax.data import store as store_lib

POSES = ('yaw', 'pitch', 'roll')  # Columns pose_yaw, ..., degrees.
_GREY_PX = 32
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601.
_CHUNK = 256  # Frames turned grey at once; bounds the memory.


def from_labels(table: features.FeatureTable) -> list[features.FeatureTable]:
  """Returns the controls of a table that its labels allow.

  Args:
    table: Features of one person.

  Returns:
    Tables of the same rows, model and person: 'head_pose', if a head pose is
    labelled, and 'nearest_in_time'.
  """
  nearest = dataclasses.replace(
    table,
    source=features.NEAREST_IN_TIME,
    features=np.zeros((len(table.frames), 0), np.float32),
  )
  pose = _pose_features(table)
  if pose is None:
    return [nearest]
  return [
    dataclasses.replace(table, source=features.HEAD_POSE, features=pose),
    nearest,
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


def pixel_table(
  table: features.FeatureTable, frame_store: store_lib.FrameStore
) -> features.FeatureTable:
  """Returns the pixel control of a table: the same frames as grey pixels.

  Args:
    table: Features whose frames the store holds.
    frame_store: The run's frames.

  Returns:
    A table of source 'pixel_pca' with D = 1024, same rows, same order.

  Raises:
    ValueError: If a frame of the table is not in the store.
  """
  rows = store_rows(table.frames, frame_store)
  size = frame_store.size_px
  grey = np.empty((len(rows), _GREY_PX**2), np.float32)
  for start in range(0, len(rows), _CHUNK):
    part = frame_store.frames[rows[start : start + _CHUNK]]
    grey[start : start + _CHUNK] = grey_pixels(part.reshape(-1, size, size, 3))
  return dataclasses.replace(table, source=features.PIXEL_PCA, features=grey)


def store_rows(
  frames: pd.DataFrame, frame_store: store_lib.FrameStore
) -> np.ndarray:
  """Returns [n] int, the rows of a store that hold some frames.

  Args:
    frames: n rows with person_id, video_id and frame.
    frame_store: The run's frames.

  Raises:
    ValueError: If a frame is not in the store.
  """
  keys = ['person_id', 'video_id', 'frame']
  index = pd.MultiIndex.from_frame(frame_store.index[keys])
  rows = pd.Series(np.arange(len(index)), index)
  found = rows.reindex(pd.MultiIndex.from_frame(frames[keys]))
  if found.isna().any():
    raise ValueError(
      f'The frame store {frame_store.path} lacks {int(found.isna().sum())} of '
      f'the {len(found)} embedded frames, first {found.index[found.isna()][0]}.'
      ' Evaluate with the store that the embeddings were made from.'
    )
  return found.to_numpy(np.int64)


def grey_pixels(frames: np.ndarray) -> np.ndarray:
  """Returns frames as 32 x 32 grey pixels, averaged over equal areas.

  A pixel that lies in two cells counts in each by its share, so any size is
  averaged exactly.

  Args:
    frames: [n, H, W, 3] uint8, RGB.

  Returns:
    [n, 1024] float32 in [0, 1], row-major, BT.601 luma.

  Raises:
    ValueError: If frames are not [n, H, W, 3] uint8.
  """
  if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
    raise ValueError(
      f'frames are {frames.dtype} of shape {frames.shape}; expected uint8 '
      '[n, H, W, 3].'
    )
  num_frames, height, width, _ = frames.shape
  rows = _area_matrix(height, _GREY_PX)
  columns = _area_matrix(width, _GREY_PX)
  grey = np.empty((num_frames, _GREY_PX, _GREY_PX), np.float32)
  for start in range(0, num_frames, _CHUNK):
    part = frames[start : start + _CHUNK].astype(np.float32) @ _LUMA
    grey[start : start + _CHUNK] = rows @ part @ columns.T
  return np.clip(grey.reshape(num_frames, -1) / 255.0, 0.0, 1.0)


def is_control(source: str) -> bool:
  """Tells whether a source holds no picture and no embedding."""
  return source in (features.HEAD_POSE, features.NEAREST_IN_TIME)


def mean_of_neighbours(
  frames, train: np.ndarray, test: np.ndarray, values: np.ndarray
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
  before, after = (
    np.where(side < 0, other, side)
    for side, other in ((before, after), (after, before))
  )
  mean = (values[before] + values[after]) / 2.0
  mean[before < 0] = np.nan
  return mean


def nearest(frames, train: np.ndarray, test: np.ndarray) -> np.ndarray:
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
  video = frames['video_id'].astype(str).to_numpy()
  time_s = frames['time_s'].to_numpy(np.float64)
  before = np.full(len(test), -1)
  after = np.full(len(test), -1)
  for video_id in np.unique(video[test]):
    own = np.flatnonzero(video[train] == video_id)
    if not len(own):
      continue
    own = own[np.argsort(time_s[train[own]], kind='stable')]
    asked = np.flatnonzero(video[test] == video_id)
    place = np.searchsorted(time_s[train[own]], time_s[test[asked]], 'right')
    before[asked] = np.where(place > 0, own[place - 1], -1)
    after[asked] = np.where(
      place < len(own), own[np.minimum(place, len(own) - 1)], -1
    )
  return before, after


def _pose_features(table):
  """Returns [n, D] angles, their squares and whether they are unknown."""
  angles = pose_angles(table.frames)
  if angles.empty:
    return None
  unknown = angles.isna().any(axis=1).to_numpy(np.float64)
  # An unknown angle takes the mean, and the last column says so.
  angles = angles.fillna(angles.mean()).to_numpy()
  return np.concatenate(
    [angles, angles**2, unknown[:, None]], axis=1, dtype=np.float32
  )


def _area_matrix(size_in: int, size_out: int) -> np.ndarray:
  """Returns [size_out, size_in] float32: share of each input in each cell."""
  edges = np.linspace(0.0, size_in, size_out + 1)
  pixel = np.arange(size_in)
  overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(
    edges[:-1, None], pixel
  )
  return (np.maximum(overlap, 0.0) * size_out / size_in).astype(np.float32)
