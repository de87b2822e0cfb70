"""Features of one person's frames, read from the tables of launch.embed.

n frames, D features.

  tables = features.read_run(workdir)
  tables += features.controls(workdir, tables)
"""

import collections
import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from psm_jax import paths, tabular
from psm_jax.data import embedded, labels
from psm_jax.data.labels import weak

TRAINED = 'trained'
CONTROLS = RANDOM_ENCODER, PIXEL_PCA, HEAD_POSE, NEAREST_IN_TIME = (
  'random_encoder',
  'pixel_pca',
  'head_pose',
  'nearest_in_time',
)
_MADE = {RANDOM_ENCODER: embedded.RANDOM_ENCODER, PIXEL_PCA: embedded.PIXELS}

FRAME_COLUMNS = ('person_id', 'video_id', 'frame', 'time_s')
_KEYS = ['video_id', 'frame']
_IDS = ('model_id', 'person_id', 'video_id')


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

  @property
  def has_length(self) -> bool:
    """Returns whether more than the direction of a frame's features counts."""
    is_given = self.source in (PIXEL_PCA, HEAD_POSE)
    return is_given or not self.frames.attrs.get('unit_length', True)

  def scaled(self) -> np.ndarray:
    """Returns [n, D] float64, as frames are to be compared.

    Embeddings get length 1, a row of zeros stays, unless the method says that
    their length tells something too; pixels and the head pose are as given.
    """
    data = self.features.astype(np.float64)
    return data if self.has_length else unit_length(data)

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
  files = embedded.files(pathlib.Path(workdir) / folder)
  return _join({path: embedded.read(path) for path in files}, source, kind)


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
  parts = {
    path: _read_foreign(path, source) for path in map(pathlib.Path, files)
  }
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
  return [
    at(table, first.frames)
    for source in sources
    for person_id, first in sorted(one_a_person(tables).items())
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
  if not any(root.glob(f'*/{person_id}/*.parquet')):
    return []
  files = embedded.files(root, person_id=person_id)
  return _join({path: embedded.read(path) for path in files}, source)


def at(table: FeatureTable, frames: pd.DataFrame) -> FeatureTable:
  """Returns a table of other frames, in their order and with their labels.

  Args:
    table: Features of frames, among them all that are wanted.
    frames: Of the same person, with video_id and frame.

  Raises:
    ValueError: If a frame is not in the table.
  """
  wanted = keys_of(frames)
  rows = keys_of(table.frames).get_indexer(wanted)
  if (rows < 0).any():
    raise ValueError(
      f'{table.source} of {table.model_id} lacks {int((rows < 0).sum())} of '
      f'{len(rows)} frames of {table.person_id}, first '
      f'{wanted[(rows < 0).argmax()]}. Embed again: python -m launch.embed'
    )
  frames = frames.reset_index(drop=True)
  frames.attrs = (
    table.frames.attrs
  )  # What the features are, and of which model.
  return dataclasses.replace(
    table, features=table.features[rows], frames=frames
  )


def by_person(tables: Sequence[FeatureTable]) -> dict[str, list[FeatureTable]]:
  """Returns person_id to that person's tables, in their order.

  Raises:
    ValueError: If two are of the same source, model and person.
  """
  people = collections.defaultdict(list)
  for table in tables:
    theirs = people[table.person_id]
    if any(table.ids == other.ids for other in theirs):
      raise ValueError(f'There are two feature tables of {table.ids}.')
    theirs.append(table)
  return dict(people)


def one_a_person(tables: Sequence[FeatureTable]) -> dict[str, FeatureTable]:
  """Returns person_id to the first of that person's tables."""
  return {table.person_id: table for table in reversed(tables)}


def keys_of(frames: pd.DataFrame) -> pd.MultiIndex:
  """Returns by what frames of a person are told: (video_id, frame)."""
  return pd.MultiIndex.from_frame(
    frames[_KEYS].astype({'video_id': str, 'frame': np.int64})
  )


def unit_length(data: np.ndarray) -> np.ndarray:
  """Returns [n, D] rows scaled to length 1; a row of zeros stays."""
  norm = np.linalg.norm(data, axis=1, keepdims=True)
  return data / np.where(norm == 0, 1.0, norm)


def _read_foreign(path: pathlib.Path, model_id: str) -> pd.DataFrame:
  """Returns embeddings that another program wrote, labels by our names.

  They are of one model, called as said, if the file names none.
  """
  data = tabular.read(path, {})
  ids = [name for name in _IDS if name in data]
  # Some count people and videos.
  counted = data[ids].select_dtypes('integer')
  data = data.astype(dict.fromkeys(counted, str))
  shape = dict.fromkeys(ids, str) | {'person_id': str, 'video_id': str}
  shape |= {'frame': int, 'time_s': float}
  data = embedded.with_features(tabular.fit(data, shape, path), path)
  for name in data.columns.difference([*shape, *embedded.units_of(data)]):
    with contextlib.suppress(ValueError):  # A label may be text.
      data = tabular.fit(data, {name: float}, path)
  data = data.rename(columns=labels.column_name)
  return data if 'model_id' in data else data.assign(model_id=model_id)


def _join(
  parts: dict[pathlib.Path, pd.DataFrame], source: str, kind: str = weak.CODED
) -> list[FeatureTable]:
  """Returns a table for each model and person of some files."""
  (first, expected), problems = next(iter(parts.items())), []
  units, tables = embedded.units_of(expected), []
  for path, data in parts.items():
    if embedded.units_of(data) != units:
      raise ValueError(
        f'{path} has {len(embedded.units_of(data))} embedding columns and '
        f'{first} {len(units)}, or other ones. Read files of one model '
        'together.'
      )
    bad = ~np.isfinite(data[units].to_numpy()).all(axis=1)
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
  origins = {data.attrs.get('model_id'): data.attrs for data in parts.values()}
  for (model_id, person_id), data in whole.groupby(['model_id', 'person_id']):
    frames = data.drop(columns=['model_id', *units]).reset_index(drop=True)
    frames = weak.choose(frames, kind).copy()  # In one piece.
    frames.attrs = origins.get(model_id, {})
    try:
      table = FeatureTable(
        source, model_id, person_id, data[units].to_numpy(), frames
      )
    except ValueError as error:
      files = [
        str(path)
        for path, part in parts.items()
        if person_id in set(part['person_id'])
      ]
      raise ValueError(f'{", ".join(files[:3])}: {error}') from error
    tables.append(
      table.take(np.lexsort((frames['time_s'], frames['video_id'])))
    )
  return tables
