"""Features of one person's frames: embeddings from a run, made ready to probe.

n frames, D features.

  tables = features.read_embeddings(workdir)
"""

import dataclasses
import pathlib
import re

import numpy as np
import pandas as pd
import scipy.linalg

from psm_jax import paths

TRAINED = 'trained'
RANDOM_ENCODER = 'random_encoder'
PIXEL_PCA = 'pixel_pca'
HEAD_POSE = 'head_pose'
NEAREST_IN_TIME = 'nearest_in_time'

FRAME_COLUMNS = ('person_id', 'video_id', 'frame', 'time_s')
_ID_COLUMNS = ('model_id', *FRAME_COLUMNS)
_PIXEL_COMPONENTS = 64
# A column whose spread is below this share of its size is float32 rounding.
_CONSTANT = 1e-6


@dataclasses.dataclass(frozen=True)
class FeatureTable:
  """What one source says about every frame of one person.

  Attributes:
    source: Where the features come from: 'trained', 'random_encoder',
      'pixel_pca', 'head_pose', 'nearest_in_time' or another id. The features
      of 'pixel_pca' are grey pixels; the probes reduce them by a PCA fitted on
      their training part. 'nearest_in_time' has none (D = 0): it reads the
      labels, see controls.py.
    model_id: The model that made the features, or whose control they are.
    person_id: The person on every frame.
    features: [n, D] float32, finite.
    frames: n rows: person_id, video_id, frame, time_s (finite seconds), then
      label columns (float, NaN is missing; `expression` may hold text).

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

  @property
  def ids(self) -> dict[str, str]:
    """Returns what rows of results begin with: source, model and person."""
    return {
      'source': self.source,
      'model_id': self.model_id,
      'person_id': self.person_id,
    }


def read_embeddings(
  workdir: str | pathlib.Path, *, source: str = TRAINED
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


@dataclasses.dataclass(frozen=True)
class Preparation:
  """What makes features ready for a linear model, fitted on a training part.

  Attributes:
    to_unit_length: Scale every row to length 1 first.
    mean: [D] float64, taken away.
    axes: [D, k] float64, principal axes, or None to keep the columns.
    scale: [D] or [k] float64, a factor, 0 for what is constant in training.
  """

  to_unit_length: bool
  mean: np.ndarray
  axes: np.ndarray | None
  scale: np.ndarray

  def apply(self, data: np.ndarray) -> np.ndarray:
    """Returns [n, D or k] float64 from [n, D] features."""
    data = data.astype(np.float64)
    if self.to_unit_length:
      data = unit_length(data)
    data = data - self.mean
    return (data if self.axes is None else data @ self.axes) * self.scale


def unit_length(data: np.ndarray) -> np.ndarray:
  """Returns [n, D] rows scaled to length 1; a row of zeros stays."""
  norm = np.linalg.norm(data, axis=1, keepdims=True)
  return data / np.where(norm == 0, 1.0, norm)


def fit_preparation(
  train: np.ndarray,
  *,
  source: str,
  l2_normalise: bool,
  num_components: int | None,
) -> Preparation:
  """Returns how a source's features are prepared for a linear model.

  Embeddings are scaled to length 1 if l2_normalise and reduced to
  num_components; the pixels of 'pixel_pca' are reduced to 64 principal
  components; the angles of 'head_pose' stay as they are. Then every column gets
  mean 0 and standard deviation 1 on the training part (so components are
  whitened). Columns that are constant there become 0. There are never more
  components than the training part has.

  Args:
    train: [n_train, D] float.
    source: The source of the features.
    l2_normalise: See above.
    num_components: See above; None keeps all columns.
  """
  train = train.astype(np.float64)
  to_unit_length = False
  if source == PIXEL_PCA:
    num_components = _PIXEL_COMPONENTS
  elif source == HEAD_POSE:
    num_components = None
  elif l2_normalise:
    train, to_unit_length = unit_length(train), True
  mean = train.mean(axis=0)
  size = np.abs(train).max(axis=0)
  train, axes = train - mean, None
  if num_components is not None:
    axes = _principal_axes(train, num_components)
    train = train @ axes
    # Directions beyond the rank are rounding; compare with the widest one.
    size = np.full(train.shape[1], np.abs(train).max(initial=0.0))
  std = train.std(axis=0)
  is_constant = std <= _CONSTANT * size
  scale = np.where(is_constant, 0.0, 1.0 / np.where(is_constant, 1.0, std))
  return Preparation(to_unit_length, mean, axes, scale)


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


def _principal_axes(centred: np.ndarray, num_components: int) -> np.ndarray:
  """Returns [D, k] the axes of greatest variance, k <= num_components."""
  num_frames, num_features = centred.shape
  num_components = min(num_components, num_frames, num_features)
  if num_features <= num_frames:
    chosen = (num_features - num_components, num_features - 1)
    _, axes = scipy.linalg.eigh(centred.T @ centred, subset_by_index=chosen)
    return axes[:, ::-1]
  chosen = (num_frames - num_components, num_frames - 1)
  value, left = scipy.linalg.eigh(centred @ centred.T, subset_by_index=chosen)
  length = np.sqrt(np.maximum(value, 0.0))
  usable = length > _CONSTANT * length.max()
  scale = np.where(usable, 1.0 / np.where(usable, length, 1.0), 0.0)
  return (centred.T @ (left * scale))[:, ::-1]
