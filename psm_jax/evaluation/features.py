"""Features of one person's frames, read from the tables of launch.embed.

n frames, D features.

  tables = features.read_run(workdir)
  tables += features.controls(workdir, tables)
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from psm_jax import paths
from psm_jax.data import embedded, labels
from psm_jax.data.labels import weak

TRAINED = 'trained'
RANDOM_ENCODER = 'random_encoder'
PIXEL_PCA = 'pixel_pca'
HEAD_POSE = 'head_pose'
NEAREST_IN_TIME = 'nearest_in_time'
CONTROLS = (RANDOM_ENCODER, PIXEL_PCA, HEAD_POSE, NEAREST_IN_TIME)
_MADE = {RANDOM_ENCODER: embedded.RANDOM_ENCODER, PIXEL_PCA: embedded.PIXELS}

FRAME_COLUMNS = ('person_id', 'video_id', 'frame', 'time_s')
_KEYS = ['video_id', 'frame']


@dataclasses.dataclass(frozen=True)
class FeatureTable:
  """What one source says about every frame of one person.

  Attributes:
    source: Where the features come from: 'trained', one of CONTROLS or another
      id. The features of 'pixel_pca' are grey pixels; the probes reduce them by
      a PCA fitted on their training part. 'nearest_in_time' has none (D = 0):
      it reads the labels, see controls.py.
    model_id: The model that made the features.
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
    if self.frames.duplicated(_KEYS).any():
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

  def scaled(self) -> np.ndarray:
    """Returns [n, D] float64, as frames are to be compared.

    Embeddings get length 1, a row of zeros stays, unless the method says that
    their length tells something too; pixels and the head pose are as given.
    """
    data = self.features.astype(np.float64)
    is_given = self.source in (PIXEL_PCA, HEAD_POSE)
    if is_given or not self.frames.attrs.get('unit_length', True):
      return data
    return unit_length(data)

  def take(self, rows: np.ndarray) -> 'FeatureTable':
    """Returns the table of some rows, in their order.

    Args:
      rows: [m] int or [n] bool.
    """
    return dataclasses.replace(
      self,
      features=self.features[rows],
      frames=self.frames.iloc[rows].reset_index(drop=True),
    )

  def in_order(self) -> 'FeatureTable':
    """Returns the table by video, time and frame number; video_id is text."""
    frames = self.frames.assign(video_id=self.frames['video_id'].astype(str))
    rows = np.lexsort((frames['frame'], frames['time_s'], frames['video_id']))
    return dataclasses.replace(self, frames=frames).take(rows)


def read_run(
  workdir: str | os.PathLike,
  *,
  source: str = TRAINED,
  folder: str = embedded.EMBEDDINGS,
  kind: str = weak.CODED,
) -> list[FeatureTable]:
  """Reads the tables of launch.embed, one for each model and person.

  Args:
    workdir: The run directory.
    source: Name of these features in the results.
    folder: One of data/embedded.py.
    kind: Which labels are kept, see `labels.weak.choose`.

  Returns:
    Tables ordered by model and person, their frames by video and time; `attrs`
    of their frames say of which model, step and state they are.

  Raises:
    ValueError: If there are no tables, or a file is unreadable, in the wrong
      place, of another step, state or configuration than the files beside it,
      or holds values that are not finite. Names the file.
  """
  root = pathlib.Path(workdir) / folder
  return _join(_read_tree(root, '*/*/*.parquet', folder), source, kind)


def read_files(
  files: Sequence[str | os.PathLike], *, source: str, kind: str = weak.CODED
) -> list[FeatureTable]:
  """Reads embeddings that another program wrote.

  Args:
    files: Parquet (.parquet) or CSV files with the columns person_id,
      video_id, frame, time_s, e000, e001, ... and labels, if there are any,
      called as in labels.column_name: AU01, au1, AU01_r, yaw. A column model_id
      is optional; without it the model is called after the source.
    source: Name of these features in the results.
    kind: Which labels are kept, see `labels.weak.choose`.

  Returns:
    A table for each model and person, over all files.

  Raises:
    ValueError: If a file is unreadable or lacks a column, or a table is not
      one. Names the file.
  """
  if not files:
    raise ValueError('There are no files of embeddings to read.')
  parts = {}
  for path in map(pathlib.Path, files):
    data = _read(path).rename(columns=labels.column_name)
    data['model_id'] = data.get('model_id', source)
    parts[path] = data
  return _join(parts, source, kind)


def read(
  places: Sequence[str | os.PathLike],
  *,
  source: str = TRAINED,
  kind: str = weak.CODED,
) -> list[FeatureTable]:
  """Reads a run (see `read_run`), or files (see `read_files`).

  Raises:
    ValueError: If places are neither files alone nor one run.
  """
  if any(
    pathlib.Path(place).suffix in ('.parquet', '.csv') for place in places
  ):
    return read_files(places, source=source, kind=kind)
  if len(places) != 1:
    raise ValueError(
      f'{places} are not all Parquet or CSV files. Name one run, or files.'
    )
  return read_run(places[0], source=source, kind=kind)


def controls(
  workdir: str | os.PathLike,
  tables: Sequence[FeatureTable],
  *,
  sources: Sequence[str] = tuple(_MADE),
) -> list[FeatureTable]:
  """Returns the controls that launch.embed wrote for the frames of tables.

  Args:
    workdir: The run directory.
    tables: Of the run's models, and of frames that it embedded.
    sources: 'random_encoder' and 'pixel_pca', or one of them.

  Returns:
    Tables in the frames' order and with the labels of a person's first table;
    none of controls that were not written.

  Raises:
    ValueError: See read_run; also if a control lacks a frame.
  """
  frames = {table.person_id: table.frames for table in reversed(tables)}
  return [
    at(table, wanted)
    for source in sources
    for person_id, wanted in sorted(frames.items())
    for table in read_person(
      workdir, person_id, source=source, folder=_MADE[source]
    )
  ]


def read_person(
  workdir: str | os.PathLike, person_id: str, *, source: str, folder: str
) -> list[FeatureTable]:
  """Reads one person's tables of a folder, one for each model; [] if none.

  Args:
    workdir: The run directory.
    person_id: Whose frames.
    source: Name of these features.
    folder: One of data/embedded.py.

  Raises:
    ValueError: See read_run.
  """
  root = pathlib.Path(workdir) / folder
  pattern = f'*/{person_id}/*.parquet'
  if not any(root.glob(pattern)):
    return []
  return _join(_read_tree(root, pattern, folder), source)


def at(table: FeatureTable, frames: pd.DataFrame) -> FeatureTable:
  """Returns a table of other frames, in their order and with their labels.

  Args:
    table: Features of frames, among them all that are wanted.
    frames: Of the same person, with video_id and frame.

  Raises:
    ValueError: If a frame is not in the table.
  """
  keys, wanted = (
    pd.MultiIndex.from_frame(
      side[_KEYS].astype({'video_id': str, 'frame': np.int64})
    )
    for side in (table.frames, frames)
  )
  rows = keys.get_indexer(wanted)
  if (rows < 0).any():
    raise ValueError(
      f'{table.source} of {table.model_id} lacks {int((rows < 0).sum())} of '
      f'{len(rows)} frames of {table.person_id}, first '
      f'{wanted[(rows < 0).argmax()]}. Embed again: python -m launch.embed'
    )
  return dataclasses.replace(
    table,
    features=table.features[rows],
    frames=frames.reset_index(drop=True),
  )


def unit_length(data: np.ndarray) -> np.ndarray:
  """Returns [n, D] rows scaled to length 1; a row of zeros stays."""
  norm = np.linalg.norm(data, axis=1, keepdims=True)
  return data / np.where(norm == 0, 1.0, norm)


def _units(data: pd.DataFrame) -> list[str]:
  """Returns the columns that hold features."""
  return [c for c in data if re.fullmatch(r'e\d{3,}', c)]


def _read_tree(
  root: pathlib.Path, pattern: str, folder: str
) -> dict[pathlib.Path, pd.DataFrame]:
  """Reads files of a run and checks that they belong together."""
  parts: dict[pathlib.Path, pd.DataFrame] = {}
  firsts: dict[str, tuple[pathlib.Path, pd.DataFrame]] = {}
  for path in sorted(root.glob(pattern)):
    if any(part.startswith('.') for part in path.relative_to(root).parts):
      continue
    data = parts[path] = _read(path, 'model_id')
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
    again = 'Embed again: python -m launch.embed'
    if data.attrs.get('schema_version') != embedded.SCHEMA_VERSION:
      raise ValueError(
        f'{path} does not say of which model and step it is, or as another '
        f'version does. {again}'
      )
    first, whole = firsts.setdefault('', (path, data))
    beside, model = firsts.setdefault(path.parent.parent.name, (path, data))
    if list(data.columns) != list(whole.columns):
      raise ValueError(
        f'{path} and {first} differ in their columns: '
        f'{sorted(set(data) ^ set(whole)) or "their order"}. {again}'
      )
    for other, those, field in (
      (first, whole, 'config'),
      (first, whole, 'step'),
      (beside, model, 'state'),
    ):
      if data.attrs[field] != those.attrs[field]:
        raise ValueError(
          f'{path} has {field} {data.attrs[field]}, but {other} has '
          f'{those.attrs[field]}: a mixture cannot be scored. {again}'
        )
  if not parts:
    raise ValueError(
      f'Found no tables {root}/<model_id>/<person_id>/<video_id>.parquet. '
      'Write them with launch.embed first.'
    )
  return parts


def _read(path: pathlib.Path, *required: str) -> pd.DataFrame:
  """Reads one file and checks its columns."""
  texts = ('model_id', 'person_id', 'video_id')
  try:
    if path.suffix == '.parquet':
      data = pd.read_parquet(path)
    else:
      data = pd.read_csv(path, dtype=dict.fromkeys(texts, str))
  except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors.
    raise ValueError(f'{path} is not a readable table: {error}') from error
  required = *FRAME_COLUMNS, *required, 'e000'
  missing = [c for c in required if c not in data]
  if missing:
    raise ValueError(f'{path} lacks the columns {missing}.')
  try:
    return data.astype(
      dict.fromkeys(_units(data), np.float32) | {'frame': np.int64}
    )
  except (TypeError, ValueError) as error:
    raise ValueError(f'{path} holds a value that is no number: {error}') from (
      error
    )


def _join(
  parts: dict[pathlib.Path, pd.DataFrame], source: str, kind: str = weak.CODED
) -> list[FeatureTable]:
  """Returns a table for each model and person of some files."""
  (first, expected), problems = next(iter(parts.items())), []
  for path, data in parts.items():
    if _units(data) != _units(expected):
      raise ValueError(
        f'{path} has {len(_units(data))} embedding columns and {first} '
        f'{len(_units(expected))}, or other ones. Read files of one model '
        'together.'
      )
    bad = ~np.isfinite(data[_units(data)].to_numpy()).all(axis=1)
    if bad.any():
      number = data['frame'].to_numpy()[bad.argmax()]
      problems.append(
        f'{path}: {bad.sum()} of {len(bad)} frames, first {number}'
      )
  if problems:
    raise ValueError(
      'Embeddings are NaN or infinite, so their model diverged:\n'
      + '\n'.join(problems)
      + '\nTrain these models again or remove their folders.'
    )
  whole = pd.concat(parts.values(), ignore_index=True)
  units, tables = _units(whole), []
  origins = {data.attrs.get('model_id'): data.attrs for data in parts.values()}
  for (model_id, person_id), data in whole.groupby(['model_id', 'person_id']):
    frames = data.drop(columns=['model_id', *units]).reset_index(drop=True)
    frames = weak.choose(frames, kind).copy()  # In one piece.
    frames.attrs = origins.get(model_id, {})
    table = FeatureTable(
      source, model_id, person_id, data[units].to_numpy(), frames
    )
    order = np.lexsort((frames['time_s'], frames['video_id']))
    tables.append(table.take(order))
  return tables
