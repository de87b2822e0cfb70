"""Features of one person's frames: embeddings from a run, pixel controls.

n frames, D features, H W pixels.

  tables = features.read_embeddings(workdir)
  tables += [features.pixel_table(table, frame_store) for table in tables]
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from psm_jax import paths

if TYPE_CHECKING:
  from psm_jax.data import store

PSM = 'psm'
RANDOM_ENCODER = 'random_encoder'
PIXEL_PCA = 'pixel_pca'

FRAME_COLUMNS = ('person_id', 'video_id', 'frame', 'time_s')
_ID_COLUMNS = ('model_id', *FRAME_COLUMNS)
_GREY_PX = 32
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601.
_CHUNK = 256  # Frames turned grey at once; bounds the memory.


@dataclasses.dataclass(frozen=True)
class FeatureTable:
  """What one source says about every frame of one person.

  Attributes:
    source: Where the features come from: 'psm', 'random_encoder', 'pixel_pca'
      or another id. The features of 'pixel_pca' are grey pixels; the probes
      reduce them by a PCA fitted on their training part.
    model_id: The model that made the features, or whose control they are.
    person_id: The person on every frame.
    features: [n, D] float32, finite.
    frames: n rows: person_id, video_id, frame, time_s (finite seconds), then
      label columns (float, NaN is missing).

  Raises:
    ValueError: If an id is unsafe, or features and frames do not fit together.
  """

  source: str
  model_id: str
  person_id: str
  features: np.ndarray
  frames: pd.DataFrame

  def __post_init__(self):
    for what in ('source', 'model_id', 'person_id'):
      paths.check_id(getattr(self, what), what=what)
    where = f'The {self.source} features of person {self.person_id}'
    if self.features.ndim != 2 or len(self.features) != len(self.frames):
      raise ValueError(
        f'{where} have shape {self.features.shape}; expected one row for each '
        f'of {len(self.frames)} frames.'
      )
    if self.features.dtype != np.float32:
      raise ValueError(
        f'{where} are {self.features.dtype}; convert them to float32.'
      )
    missing = [c for c in FRAME_COLUMNS if c not in self.frames]
    if missing:
      raise ValueError(f'{where} lack the columns {missing} in frames.')
    others = set(self.frames['person_id']) - {self.person_id}
    if others:
      raise ValueError(f'{where} hold frames of {sorted(map(str, others))}.')
    if not np.isfinite(self.frames['time_s'].to_numpy(np.float64)).all():
      raise ValueError(f'{where} have frames without a finite time_s.')
    if self.frames.duplicated(['video_id', 'frame']).any():
      raise ValueError(f'{where} hold a frame of a video more than once.')
    if not np.isfinite(self.features).all():
      raise ValueError(f'{where} are not all finite.')


def read_embeddings(
  workdir: str | pathlib.Path, *, source: str = PSM
) -> list[FeatureTable]:
  """Reads the embeddings of a run, one table for each model and person.

  Reads <workdir>/embeddings/<model_id>/<person_id>/<video_id>.parquet with the
  columns model_id, person_id, video_id, frame, time_s, e000, e001, ... and
  labels. Names that begin with a dot are unfinished files and are left out.

  Args:
    workdir: The run directory.
    source: Name of these features in the results.

  Returns:
    Tables ordered by model and person, their frames by video and time.

  Raises:
    ValueError: If there are no embeddings, or a file is unreadable, is in the
      wrong folder, has other columns than the files beside it, or holds values
      that are not finite. Names the file.
  """
  root = pathlib.Path(workdir) / 'embeddings'
  groups: dict[tuple[str, str], list[pathlib.Path]] = {}
  for path in sorted(root.glob('*/*/*.parquet')):
    model_id, person_id, name = path.relative_to(root).parts
    if not any(part.startswith('.') for part in (model_id, person_id, name)):
      groups.setdefault((model_id, person_id), []).append(path)
  if not groups:
    raise ValueError(
      f'Found no embeddings {root}/<model_id>/<person_id>/<video_id>.parquet. '
      'Write them with launch.embed first.'
    )
  videos = {group: _read_videos(files) for group, files in groups.items()}
  _check_finite(videos)
  return [
    _join(source, model_id, person_id, parts)
    for (model_id, person_id), parts in videos.items()
  ]


def pixel_table(
  table: FeatureTable, frame_store: store.FrameStore
) -> FeatureTable:
  """Returns the pixel control of a table: the same frames as grey pixels.

  Args:
    table: Features whose frames the store holds.
    frame_store: The run's frames.

  Returns:
    A table of source 'pixel_pca' with D = 1024, same rows, same order.

  Raises:
    ValueError: If a frame of the table is not in the store.
  """
  index = frame_store.index
  rows = pd.Series(
    np.arange(len(index)),
    pd.MultiIndex.from_frame(index[['person_id', 'video_id', 'frame']]),
  )
  wanted = pd.MultiIndex.from_frame(
    table.frames[['person_id', 'video_id', 'frame']]
  )
  found = rows.reindex(wanted)
  if found.isna().any():
    raise ValueError(
      f'The frame store {frame_store.path} lacks {int(found.isna().sum())} of '
      f'the {len(found)} embedded frames, first {found.index[found.isna()][0]}.'
      ' Evaluate with the store that the embeddings were made from.'
    )
  size = frame_store.size_px
  grey = np.empty((len(found), _GREY_PX**2), np.float32)
  found = found.to_numpy(np.int64)
  for start in range(0, len(found), _CHUNK):
    part = frame_store.frames[found[start : start + _CHUNK]]
    grey[start : start + _CHUNK] = grey_pixels(part.reshape(-1, size, size, 3))
  return dataclasses.replace(table, source=PIXEL_PCA, features=grey)


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


def _area_matrix(size_in: int, size_out: int) -> np.ndarray:
  """Returns [size_out, size_in] float32: share of each input in each cell."""
  edges = np.linspace(0.0, size_in, size_out + 1)
  pixel = np.arange(size_in)
  overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(
    edges[:-1, None], pixel
  )
  return (np.maximum(overlap, 0.0) * size_out / size_in).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class _VideoPart:
  """The rows of one file."""

  path: pathlib.Path
  embeddings: np.ndarray
  frames: pd.DataFrame


def _read_videos(files: list[pathlib.Path]) -> list[_VideoPart]:
  """Reads the files of one model and person and compares their columns."""
  parts: list[_VideoPart] = []
  columns = None
  for path in files:
    data = _read_parquet(path)
    if columns is None:
      columns = list(data.columns)
    elif list(data.columns) != columns:
      other = sorted(set(columns) ^ set(data.columns)) or 'their order'
      raise ValueError(
        f'{path} and {files[0]} differ in their columns: {other}. Write the '
        'embeddings of this person again with one version of launch.embed.'
      )
    units = [c for c in data.columns if re.fullmatch(r'e\d{3,}', c)]
    parts.append(
      _VideoPart(
        path,
        data[units].to_numpy(np.float32),
        data.drop(columns=['model_id', *units]),
      )
    )
  return parts


def _read_parquet(path: pathlib.Path) -> pd.DataFrame:
  """Reads one file and checks that its columns belong to its place."""
  try:
    data = pd.read_parquet(path)
  except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors.
    raise ValueError(f'{path} is not a readable Parquet file: {error}') from (
      error
    )
  missing = [c for c in (*_ID_COLUMNS, 'e000') if c not in data]
  if missing:
    raise ValueError(f'{path} lacks the columns {missing}.')
  for column, expected in (
    ('model_id', path.parent.parent.name),
    ('person_id', path.parent.name),
    ('video_id', path.stem),
  ):
    seen = sorted(set(map(str, data[column])))
    if seen != [expected]:
      raise ValueError(
        f'{path} holds {column} {seen}; its place says {expected!r}.'
      )
  return data


def _check_finite(videos: dict[tuple[str, str], list[_VideoPart]]) -> None:
  """Raises an error that names every file with a NaN or infinite value."""
  problems = []
  for part in (part for parts in videos.values() for part in parts):
    bad = ~np.isfinite(part.embeddings).all(axis=1)
    if bad.any():
      first = part.frames['frame'].to_numpy()[bad.argmax()]
      problems.append(
        f'{part.path}: {bad.sum()} of {len(bad)} frames, first {first}'
      )
  if problems:
    raise ValueError(
      'Embeddings are NaN or infinite, so their model diverged:\n'
      + '\n'.join(problems)
      + '\nTrain these models again or remove their folders.'
    )


def _join(
  source: str, model_id: str, person_id: str, parts: list[_VideoPart]
) -> FeatureTable:
  """Returns one person's videos as one table ordered by video and time."""
  frames = pd.concat([part.frames for part in parts], ignore_index=True)
  order = np.lexsort((frames['time_s'], frames['video_id']))
  return FeatureTable(
    source=source,
    model_id=model_id,
    person_id=person_id,
    features=np.concatenate([part.embeddings for part in parts])[order],
    frames=frames.iloc[order].reset_index(drop=True),
  )
