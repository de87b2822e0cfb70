"""Tables as other tools write them: one file a video, rows a frame and face.

What the tools count differs: OpenFace 2 counts frames from 1, py-feat from 0.
Rows have the table's own numbers, and `base`, that of the video's first frame.
"""

import dataclasses
import pathlib
import re

import numpy as np
import pandas as pd
from absl import logging

from psm_jax import json_files, tabular
from psm_jax.data import alignment
from psm_jax.data.ingest import faces as faces_lib
from psm_jax.data.labels import columns as label_columns, tools

_INTEGER = re.compile(r'[0-9]+')
_PICTURE = re.compile(r'\.(?:jpe?g|png|bmp|tiff?|webp)$', re.IGNORECASE)
_CLOCK = r'^(\d+):([0-5]?\d):([0-5]?\d(?:\.\d+)?)$'
_TIME_CODE = r'\d+:\d+:\d+[:;]\d+'
_NOSE_TIP, _MOUTH_CORNERS = 30, (48, 54)
# From OpenFace's landmarks, brows to chin, up to the forehead.
_FOREHEAD_SHARE = 0.2
_NAMED = 5


@dataclasses.dataclass(frozen=True)
class ToolTable:
  """One video's table, R rows sorted by number.

  Attributes:
    path: the file.
    tool: one of `tools.TOOLS`.
    numbers: [R] float64 as the table counts; NaN where it gives none.
    are_pictures: whether numbers are those in the names of pictures.
    base: number of the video's first frame; None for pictures' own numbers.
    is_base_said: whether the user said so.
    is_base_sure: whether all of the tool's tables are known to begin there.
    time_s: [R] float64 seconds as the table gives them, NaN if it does not.
    faces: [R] str, the tool's name of the face, '' if it has none.
    values: R rows, float32: AU06_r (intensity), AU06_c (presence), AU06_p
      (probability), AU06_raw, jawOpen, confidence, success, ...; NaN where
      missing.
    landmarks: [R, 68, 2] float64 pixels of the picture that the tool saw, or
      None.
    seen: R faces in such pixels, NaN where unknown; None if there are none.
    left_out: names of the columns that are not kept.
    problems: a sentence each.
  """

  path: pathlib.Path
  tool: str
  numbers: np.ndarray
  are_pictures: bool
  base: int | None
  is_base_said: bool
  is_base_sure: bool
  time_s: np.ndarray
  faces: np.ndarray
  values: pd.DataFrame
  landmarks: np.ndarray | None
  seen: faces_lib.Faces | None
  left_out: tuple[str, ...]
  problems: tuple[str, ...]

  @property
  def tells_starts(self) -> bool:
    """Whether time stamps are known to be those of frames' starts."""
    return tools.TOOLS[self.tool].tells_starts

  def take(self, rows: np.ndarray) -> 'ToolTable':
    """Returns the table of some rows, [n] int or [R] bool."""
    return dataclasses.replace(
      self,
      numbers=self.numbers[rows],
      time_s=self.time_s[rows],
      faces=self.faces[rows],
      values=self.values.loc[rows].reset_index(drop=True),
      landmarks=None if self.landmarks is None else self.landmarks[rows],
      seen=None if self.seen is None else self.seen.chosen(rows),
    )

  def scaled(self, factor: np.ndarray) -> 'ToolTable':
    """Returns the table with positions in a picture (x, y) times as large."""
    return dataclasses.replace(
      self,
      landmarks=None if self.landmarks is None else self.landmarks * factor,
      seen=None if self.seen is None else self.seen.scaled(factor),
    )


def read(
  path: pathlib.Path,
  *,
  tool: str,
  first: int | None = None,
  units: tuple[int, ...] = tools.OPENFACE3_UNITS,
) -> ToolTable:
  """Reads one tool's table of one video.

  Args:
    path: the file, see `tabular.read`.
    tool: one of `tools.TOOLS`.
    first: the number of a video's first frame in this table; None for the
      tool's habit, see `numbering`.
    units: action units of a list column, in order.

  Raises:
    ValueError: If the tool is unknown, or the file is no such table.
  """
  if tool not in tools.TOOLS:
    raise ValueError(f'Tool {tool!r} is none of {list(tools.TOOLS)}.')
  text = tabular.read(path, {})
  if not len(text):
    raise ValueError(
      f'{path} has a head but no rows: the tool found no face, or was stopped. '
      'Run it again, or take the table away.'
    )
  text = _wide(text, path)
  names = _by_small_letters(text.columns)
  numbers, are_pictures = _numbers(text, names, path)
  time_s = _times(text, path)
  if not (np.isfinite(numbers) | np.isfinite(time_s)).any():
    raise ValueError(f'{path} has neither numbers nor times in any row.')
  habits = tools.TOOLS[tool]
  habit = None if are_pictures else habits.first
  values, failed, used, problems = _values(text, names, habits, units, path)
  landmarks, seen = _positions(text, names, failed)
  table = ToolTable(
    path=path,
    tool=tool,
    numbers=numbers,
    are_pictures=are_pictures,
    base=habit if first is None else first,
    is_base_said=first is not None,
    is_base_sure=habits.is_first_sure and not are_pictures,
    time_s=time_s,
    faces=_faces(text, names),
    values=values,
    landmarks=landmarks,
    seen=seen,
    left_out=_left_out(text.columns, used),
    problems=(),
  )
  return _tidy(table, problems)


def _by_small_letters(columns):
  """From a name in small letters to the column, where there is only one."""
  small = [name.lower() for name in columns]
  return {
    low: name
    for low, name in zip(small, columns, strict=True)
    if name == low or small.count(low) == 1
  }


def _wide(text, path):
  """A table with a row a frame and label, as one with a row a frame."""
  names = _by_small_letters(text.columns)
  labels = next((names[n] for n in tools.LONG_NAMES if n in names), None)
  values = next((names[n] for n in tools.LONG_VALUES if n in names), None)
  if not labels or not values:
    return text
  called = text[labels].str.strip()
  if not called.str.lower().isin(tools.LABELS).any():
    return text
  keys = [
    name
    for name in text
    if name.lower() in (*tools.FRAMES, *tools.FACES)
    or tools.TIMES.fullmatch(name)
  ]
  if text.duplicated([*keys, labels]).any():
    row = int(text.duplicated([*keys, labels]).to_numpy().argmax()) + 1
    raise ValueError(
      f'{path}, row {row} of data: {called[row - 1]} is there twice for one '
      f'frame and face ({", ".join(keys)}).'
    )
  of_row = text.groupby(keys, sort=False).ngroup()
  table = text.assign(row=of_row, label=called).pivot(
    index='row', columns='label', values=values
  )
  return text[keys].drop_duplicates(ignore_index=True).join(table.fillna(''))


def _numbers(text, names, path):
  """Frame numbers, and whether they are of pictures read one by one."""
  for name in tools.FILES:
    if name in names:
      files = text[names[name]].str.strip().str.replace('\\', '/')
      if files.nunique() > 1 and files.str.contains(_PICTURE).all():
        return _picture_numbers(files), True
  for name in tools.FRAMES:
    if name in names:
      numbers = tabular.numbers(text[names[name]])
      return np.where(numbers == np.floor(numbers), numbers, np.nan), False
  if not any(tools.TIMES.fullmatch(name) for name in text):
    raise ValueError(
      f'{path} has neither frame numbers ({", ".join(tools.FRAMES)}), nor '
      'times (timestamp, time_s, timestamp_ms, ...), nor names of pictures; '
      f'its columns are {list(text.columns)[:8]}.'
    )
  return np.full(len(text), np.nan), False


def _picture_numbers(files):
  """[R] float64, the last integer of the names that is not always the same."""
  parts = pd.DataFrame(
    [_INTEGER.findall(pathlib.PurePosixPath(file).stem)[::-1] for file in files]
  )
  varying = [column for column in parts if parts[column].nunique() > 1]
  if not varying:
    return np.full(len(files), np.nan)
  return tabular.numbers(parts[varying[0]])


def _times(text, path):
  """[R] float64 in seconds, unless the name says no unit; NaN for none."""
  name = next((name for name in text if tools.TIMES.fullmatch(name)), None)
  if name is None:
    return np.full(len(text), np.nan)
  cells = text[name].str.strip().str.replace(',', '.')
  unit = tools.TIMES.fullmatch(name)['unit'] or 's'
  times = tabular.numbers(cells) * tools.SECONDS.get(unit[0].lower(), 1)
  clock = cells.str.extract(_CLOCK).astype(np.float64).to_numpy()
  times = np.where(np.isnan(times), clock @ [3600, 60, 1], times)
  codes = cells.str.fullmatch(_TIME_CODE)
  if codes.any():
    logging.warning(
      '%s: %s counts frames within a second (%s), which tells no time without '
      'the rate of its maker; not used.',
      path,
      name,
      cells[codes.idxmax()],
    )
  return times


def _faces(text, names):
  for name in tools.FACES:
    if name in names:
      return text[names[name]].str.strip().to_numpy(str)
  return np.full(len(text), '', dtype=str)


def _values(text, names, habits, units, path):
  """(float32 labels, where no face was found, names of columns, problems)."""
  values, used, wrong = {}, set(), {}
  for name in text.columns:
    match = tools.UNIT.fullmatch(name)
    suffix = (match[2] or '').lower() if match else ''
    low = name.lower()
    if match and suffix in habits.kinds:
      meaning = f'AU{int(match[1]):02d}_{habits.kinds[suffix]}'
    elif low in tools.LABELS and names.get(low) == name:
      meaning = tools.LABELS[low]
    else:
      continue
    if meaning in values:
      raise ValueError(f'{path} has more than one column for {meaning}.')
    used.add(name)
    values[meaning] = tabular.numbers(text[name])
    wrong[name] = tabular.num_wrong(text[name])
    if low in tools.IN_RADIANS:
      values[meaning] = np.degrees(values[meaning])
  if habits.list_column in names:
    used.add(names[habits.list_column])
    values |= _from_list(text[names[habits.list_column]], units, path)
  values = pd.DataFrame(values, index=range(len(text))).astype(np.float32)
  failed = (values.reindex(columns=['success']) == 0).to_numpy()[:, 0]
  problems = [
    f'{count} cells of {name} are no numbers; missing'
    for name, count in wrong.items()
    if count
  ]
  if failed.any():
    told = values.columns.difference(['success', 'confidence'])
    values.loc[failed, told] = np.nan
    problems.append(f'{failed.sum()} rows say success 0; their values missing')
  return values, failed, used, problems


def _from_list(cells, units, path):
  """From a column of lists to a column a unit."""
  rows = []
  for line, cell in enumerate(cells, start=2):
    row, where = [np.nan] * len(units), f'{path}, line {line}, {cells.name}'
    if cell.strip():
      row = json_files.parse(cell.encode(), [float], where)
    if len(row) != len(units):
      raise ValueError(
        f'{where}: a list of {len(row)} values for the units {units}.'
      )
    rows.append(row)
  array = np.array(rows, np.float64).reshape(-1, len(units))
  return {f'AU{u:02d}_{tools.RAW}': array[:, i] for i, u in enumerate(units)}


def _positions(text, names, failed):
  """(landmarks or None, faces or None); NaN where the tool found no face."""
  landmarks = None
  wanted = [
    f'{axis}_{i}' for i in range(label_columns.NUM_LANDMARKS) for axis in 'xy'
  ]
  # Exactly these: X_0 of OpenFace is another point, in millimetres.
  if set(wanted) <= set(text.columns):
    landmarks = _array(text, wanted).reshape(len(text), -1, 2)
    landmarks[failed] = np.nan
  if box := next((b for b in tools.BOXES if set(b) <= set(names)), None):
    boxes = _array(text, [names[name] for name in box])
  elif landmarks is not None:
    low, high = landmarks.min(axis=1), landmarks.max(axis=1)
    low[:, 1] -= _FOREHEAD_SHARE * (high - low)[:, 1]
    boxes = np.concatenate([low, high - low], axis=1)
  else:
    return None, None
  boxes[failed] = np.nan
  points = np.full((len(text), len(faces_lib.POINTS), 2), np.nan)
  if landmarks is not None:
    points[:, :2] = alignment.eye_centres(landmarks)
    points[:, 2] = landmarks[:, _NOSE_TIP]
    points[:, 3:] = landmarks[:, _MOUTH_CORNERS]
  for index, point in enumerate(faces_lib.POINTS):
    pair = [f'{point}_x', f'{point}_y']
    if set(pair) <= set(names):
      points[:, index] = _array(text, [names[name] for name in pair])
  scores = next((names[name] for name in tools.SCORES if name in names), None)
  return landmarks, faces_lib.Faces(
    boxes,
    points,
    tabular.numbers(text[scores]) if scores else np.full(len(text), np.nan),
  )


def _array(text, names):
  return np.stack([tabular.numbers(text[name]) for name in names], axis=1)


def _left_out(columns, used):
  """Names of columns that hold neither keys, nor labels, nor positions."""
  keys = {
    *tools.FRAMES,
    *tools.FACES,
    *tools.FILES,
    *sum(tools.BOXES, ()),
    *(f'{point}_{axis}' for point in faces_lib.POINTS for axis in 'xy'),
  }
  return tuple(
    name
    for name in columns
    if name not in used
    and name.lower() not in keys
    and not tools.TIMES.fullmatch(name)
    and not re.fullmatch(r'[xy]_\d+', name)
  )


def _tidy(table, problems):
  """The table sorted by number or time, without repetitions of a face."""
  numberless = ~np.isfinite(table.numbers) & ~np.isfinite(table.time_s)
  if numberless.any():
    problems.append(f'{numberless.sum()} rows have no frame number')
    table = table.take(~numberless)
  order = np.lexsort((table.time_s, table.numbers))
  if (order != np.arange(len(order))).any():
    place = int(np.flatnonzero(order != np.arange(len(order)))[0])
    problems.append(
      f'rows are not in order of frames, first at row {place + 1} (frame '
      f'{table.numbers[place]:.0f}); they were sorted'
    )
    table = table.take(order)
  keys = pd.DataFrame({'number': table.numbers, 'face': table.faces})
  if not (table.faces != '').any() and table.seen is not None:
    # Where the tool names no faces, rows of a frame may be several faces.
    keys = keys.join(pd.DataFrame(np.round(table.seen.boxes)))
  elif not (table.faces != '').any():
    keys = keys[:0].reindex(keys.index)
  repeated = keys.duplicated().to_numpy() & np.isfinite(keys['number'])
  if repeated.any():
    some = ', '.join(
      f'{n:.0f}' for n in np.unique(table.numbers[repeated])[:_NAMED]
    )
    problems.append(
      f'{repeated.sum()} rows repeat a frame and face (frames {some}); the '
      'first of each was used'
    )
    table = table.take(~repeated.to_numpy())
  return dataclasses.replace(table, problems=tuple(problems))
