"""What reading a published data set's folders has in common.

A data set is a value (`Dataset`): how a picture's path names the person and the
video, and where the labels are. `scan` finds pictures and labels, joins them by
frame number, and returns the source that `builder` makes records of.
Nothing is written to the data set's folders, and no picture is opened.
"""

import dataclasses
import functools
import pathlib
import re
from collections.abc import Callable

import numpy as np
import pandas as pd
from absl import logging

from psm_jax import tabular
from psm_jax.data import alignment, folders, folds, labels, shifts, sources
from psm_jax.data.datasets import pictures

_UNIT = re.compile(r'(?:AU)?0*([1-9]\d?)(_[rc])?', re.IGNORECASE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """How a user's copy is read: fields of `data` and of `data.tree`.

  Attributes:
    images: folders of the pictures, a glob below the root or an absolute one;
      '' is the whole root.
    labels: folder of the labels, below the root or absolute; '' is the usual
      one of the data set.
    label_shift: see `shifts.choose`.
    missing_codes: values of a label that mean not coded.
    folds: CSV table of folds (see `folds.read`); '' is the published one, if
      there is one.
    align: 'none', or 'eyes' where the data set has landmarks.
    eye_distance: see `alignment.eye_crop`.
    fps: frames a second; 0 is the data set's own.
    persons: ids to keep; () for all.
  """

  images: str = ''
  labels: str = ''
  label_shift: str = 'check'
  missing_codes: tuple[float, ...] = (9.0, 999.0, -1.0)
  folds: str = ''
  align: str = 'none'
  eye_distance: float = 0.40
  fps: float = 0.0
  persons: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
  """One data set's own rules; `root` is the user's copy.

  Attributes:
    kind: its name.
    columns: label columns that it has by its documentation.
    fps: frames a second.
    is_fps_known: whether that number is documented; else it is a guess.
    expected: the pictures' path in words, for messages.
    identify: a `pictures.Identify`.
    read_labels: (root, options, videos, report) -> tables by (person, video),
      with the labels' own frame numbers; None without labels.
    has_landmarks: whether the tables hold landmarks.
    is_shift_possible: whether labels are numbered apart from the pictures.
    has_dense_labels: whether every frame of a video has a label.
    person_ids: (root, options, report) -> ids of people by what `identify`
      calls them; None if it calls them so.
    find_fps: videos -> frames a second that their layout shows, or None.
    find_folds: (root, options, videos) -> folds; None for the published ones.
  """

  kind: str
  columns: tuple[str, ...]
  fps: float
  is_fps_known: bool
  expected: str
  identify: Callable
  read_labels: Callable | None = None
  has_landmarks: bool = False
  is_shift_possible: bool = False
  has_dense_labels: bool = False
  person_ids: Callable | None = None
  find_fps: Callable | None = None
  find_folds: Callable | None = None


def scan(
  dataset: Dataset, root: str | pathlib.Path, options: Options
) -> sources.Source:
  """Lists a data set's pictures and reads its labels.

  Args:
    dataset: its rules.
    root: its folder.
    options: how the user's copy differs.

  Raises:
    ValueError: If an option cannot be used, there are no pictures, two folders
      hold the pictures of one video, or labels and pictures seem to be numbered
      apart. Names the field to change.
  """
  root = pathlib.Path(root)
  if not root.is_dir():
    raise ValueError(f'data.path {str(root)!r} is not a folder.')
  if options.align == 'eyes' and not dataset.has_landmarks:
    raise ValueError(
      f"data.align 'eyes' needs landmarks, and none are read with "
      f"{dataset.kind}. Use 'none' and give aligned face crops (launch.ingest "
      'makes them of videos).'
    )
  folders.check_options(options.align, options.eye_distance, options.fps)
  if not (root / options.labels).is_dir():
    raise ValueError(
      f'data.tree.labels: {root / options.labels} is not a folder.'
    )
  problems: list[dict[str, str]] = []
  report = sources.reporter(problems)
  ids = dataset.person_ids(root, options, report) if dataset.person_ids else {}

  def identify(where, stem):
    key = dataset.identify(where, stem)
    return key and (ids.get(key[0], key[0]), key[1])

  there = pictures.find(
    root,
    options.images,
    identify,
    report=report,
    expected=dataset.expected,
  )
  people = [video.person_id for video in there]
  chosen = sources.choose_persons(options.persons, people, where=str(root))
  known_folds = _find_folds(dataset, root, options, there)
  for sentence in folds.compare(known_folds, people):
    if known_folds:
      report('folds', sentence)
  videos = [video for video in there if video.person_id in chosen]
  tables = {}
  if dataset.read_labels:
    tables = dataset.read_labels(root, options, videos, report)
  if dataset.is_shift_possible:
    tables = _shifted(dataset, videos, tables, options, report)
  fps = options.fps or _own_fps(dataset, videos)
  videos = tuple(
    dataclasses.replace(video, fps=fps, labels=tables.get(video.key))
    for video in videos
  )
  return sources.Source(
    root=root,
    videos=videos,
    label_columns=_columns(dataset, videos),
    has_landmarks=any(t.landmarks is not None for t in tables.values()),
    problems=tuple(problems),
    fingerprint=sources.fingerprint(
      [
        dataset.kind,
        options.align,
        alignment.EYE_HEIGHT,
        options.eye_distance,
        sorted(known_folds.items()),
      ],
      videos,
    ),
    shots=functools.partial(
      sources.picture_shots,
      align=options.align,
      eye_distance=options.eye_distance,
    ),
    folds={p: f for p, f in known_folds.items() if p in chosen},
  )


def _find_folds(dataset, root, options, videos):
  if options.folds:
    return folds.read(root / options.folds)
  if dataset.find_folds:
    return dataset.find_folds(root, options, videos)
  return folds.published(dataset.kind)


def _own_fps(dataset, videos):
  if dataset.find_fps and (fps := dataset.find_fps(videos)):
    return fps
  if not dataset.is_fps_known:
    logging.warning(
      'Times of %s assume %g frames a second, which is not documented. Set '
      'data.fps.',
      dataset.kind,
      dataset.fps,
    )
  return dataset.fps


def _shifted(dataset, videos, tables, options, report):
  """The tables indexed by the pictures' numbers."""
  shift, remark = shifts.choose(
    [
      (np.array(video.frames), tables[video.key].values.index.to_numpy())
      for video in videos
      if video.key in tables
    ],
    choice=options.label_shift,
    field='data.tree.label_shift',
    is_dense=dataset.has_dense_labels,
  )
  if remark:
    logging.warning('%s: %s', dataset.kind, remark)
    report('.', remark)
  return {
    key: dataclasses.replace(
      table, values=table.values.set_axis(table.values.index + shift)
    )
    for key, table in tables.items()
  }


def _columns(dataset, videos):
  """The label columns of all videos: documented ones first."""
  seen = {
    column
    for video in videos
    if video.labels is not None
    for column in video.labels.values.columns
  }
  documented = [c for c in dataset.columns if c in seen]
  return (*documented, *sorted(seen.difference(documented)))


def label_folder(
  root: pathlib.Path,
  options: Options,
  usual: tuple[str, ...],
  report: Callable,
) -> pathlib.Path | None:
  """Returns the folder of the labels: the user's, or the first usual one.

  Without one it is reported and None is returned.
  """
  if options.labels:
    return root / options.labels
  for name in usual:
    if (root / name).is_dir():
      return root / name
  report(
    '.',
    f'no folder of labels ({", ".join(usual)}); set data.tree.labels if they '
    'lie elsewhere',
  )
  return None


def checked_labels(
  values: pd.Series,
  path: pathlib.Path,
  options: Options,
  report: Callable,
  *,
  high: int,
  what: str,
) -> np.ndarray:
  """Returns labels as float64, NaN where they are missing or impossible.

  Args:
    values: numbers, perhaps as text.
    path: where they stand, for the report.
    options: whose missing_codes are NaN.
    report: is told how many are below 0 or above `high`.
    high: largest value allowed.
    what: what they are called in the report.
  """
  numbers = np.asarray(pd.to_numeric(values, errors='coerce'), np.float64)
  numbers = np.where(np.isin(numbers, options.missing_codes), np.nan, numbers)
  wrong = (numbers < 0) | (numbers > high)
  if wrong.any():
    allowed = '0 or 1' if high == 1 else f'0 to {high}'
    report(path, f'{wrong.sum()} {what} are not {allowed}; missing')
  return np.where(wrong, np.nan, numbers)


def read_codes(
  path: pathlib.Path,
  options: Options,
  report: Callable,
  *,
  is_frame_first: bool = False,
) -> pd.DataFrame:
  """Returns a table of coded action units by frame, float64.

  A column `frame` (or `0`) holds the frame; `AU6` or `6` is presence and
  becomes AU06_c (0 or 1), `AU6_r` is intensity and becomes AU06 (0 to 5).

  Args:
    path: the file.
    options: see `checked_labels`.
    report: is told what is not used.
    is_frame_first: whether the first column holds the frame, whatever its name.

  Raises:
    ValueError: If the file is no such table.
  """
  table = tabular.read(path, {})
  named = [name for name in table if name.lower() in ('frame', '0')]
  frames = list(table)[:1] if is_frame_first else named
  units = {name: _UNIT.fullmatch(name) for name in table.columns.drop(frames)}
  if len(frames) != 1 or not any(units.values()):
    raise ValueError(
      'expected one column `frame` (or `0`) and columns AU<k> or <k>, got '
      f'{list(table)[:8]}'
    )
  columns = {}
  for name, unit in units.items():
    if unit is None:
      report(path, f'column {name!r} is no action unit; not used')
      continue
    suffix, high = ('', 5) if unit[2] in ('_r', '_R') else ('_c', 1)
    columns[f'AU{int(unit[1]):02d}{suffix}'] = checked_labels(
      table[name], path, options, report, high=high, what=f'codes of {name}'
    )
  index = tabular.numbers(table[frames[0]])
  return once(pd.DataFrame(columns, index), path, report)


def once(
  table: pd.Series | pd.DataFrame, path: pathlib.Path, report: Callable
) -> pd.Series | pd.DataFrame:
  """Returns a table by frame with one row for each whole frame number."""
  usable = (table.index % 1 == 0) & ~table.index.duplicated()
  if not usable.all():
    report(
      path, f'{(~usable).sum()} rows lack a frame number of their own; not used'
    )
  return table[usable]


def as_labels(values: pd.DataFrame) -> labels.LabelTable:
  """Returns a table by frame as labels, without landmarks."""
  values.index = values.index.astype(np.int64).rename('frame')
  return labels.LabelTable(values.astype(np.float32), None, ())


def read_pairs(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
  """Returns the frame numbers and values of a file of lines `frame,value`.

  A header is left out.

  Returns:
    [R] int64 and [R] float64, NaN where empty.

  Raises:
    ValueError: If the file holds anything else, or nothing.
  """
  try:
    table = pd.read_csv(
      path,
      header=None,
      names=['frame', 'value'],
      encoding='utf-8-sig',
      skipinitialspace=True,
      dtype=str,
      index_col=False,
    )
  except (OSError, ValueError) as error:
    raise ValueError(f'{path} holds no lines frame,value: {error}') from error
  frame = pd.to_numeric(table['frame'], errors='coerce')
  if len(frame) and np.isnan(frame[0]):
    table, frame = table[1:], frame[1:]
  value = pd.to_numeric(table['value'], errors='coerce')
  wrong = frame.isna() | (frame % 1 != 0)
  wrong |= value.isna() & table['value'].notna()
  if wrong.any() or not len(frame):
    line = f', line {wrong.idxmax() + 1}' if wrong.any() else ' is empty'
    raise ValueError(f'{path}{line}: expected two numbers, frame,value.')
  return frame.to_numpy(np.int64), value.to_numpy(np.float64)
