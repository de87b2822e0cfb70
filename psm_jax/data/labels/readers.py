"""Tables as other tools write them: one file a video, rows a frame and face.

What the tools count differs: OpenFace 2 counts frames from 1, py-feat from 0.
Here a row has either its position in the video, from 0, or, where the tool was
run on single pictures, the picture's own number.
"""

import dataclasses
import json
import pathlib
import re

import numpy as np
import pandas as pd

from psm_jax.data import labels

INTENSITY, PRESENCE, PROBABILITY, RAW = 'r', 'c', 'p', 'raw'
_UNIT = re.compile(r'au_?0*(\d+)(_r|_c|_intensity)?', re.IGNORECASE)
_INTEGER = re.compile(r'[0-9]+')
_PICTURE = re.compile(r'\.(?:jpe?g|png|bmp)$', re.IGNORECASE)
_FRAMES = ('frame', 'frame_idx', 'frame_index', 'frame_number')
_TIMES = {'timestamp': 1.0, 'time_s': 1.0, 'frame_time_in_ms': 1e-3}
_FACES = ('face_id', 'identity', 'face')
_FILES = ('input', 'image', 'image_path', 'file', 'filename', 'path')
_EMOTIONS = (
  'anger',
  'disgust',
  'fear',
  'happiness',
  'sadness',
  'surprise',
  'neutral',
)
_POSE = {'pose_rx': 'pose_pitch', 'pose_ry': 'pose_yaw', 'pose_rz': 'pose_roll'}
_NAMED = 5


@dataclasses.dataclass(frozen=True)
class Tool:
  """One tool's habits.

  Attributes:
    first: the number of a video's first frame.
    kinds: from a unit column's suffix in the tool's table to its kind: 'r'
      intensity 0 to 5, 'c' presence 0 or 1, 'p' probability, 'raw' unknown.
    list_column: a column that holds all units as a list, if there is one.
  """

  first: int
  kinds: dict[str, str]
  list_column: str = ''


_OPENFACE = {'_r': INTENSITY, '_c': PRESENCE, '': RAW}
TOOLS = {
  'openface': Tool(1, _OPENFACE),
  'openface3': Tool(0, _OPENFACE, 'action_units'),
  'pyfeat': Tool(0, {'': PROBABILITY}),
  'libreface': Tool(0, {'_intensity': INTENSITY, '': PRESENCE}),
  'generic': Tool(0, {'': INTENSITY, '_r': INTENSITY, '_c': PRESENCE}),
}
# By the order of the eight units of DISFA that OpenFace 3 was trained on; the
# table itself does not name them.
OPENFACE3_UNITS = (1, 2, 4, 6, 9, 12, 25, 26)


@dataclasses.dataclass(frozen=True)
class ToolTable:
  """One video's table, R rows sorted by number.

  Attributes:
    numbers: [R] float64, positions in the video from 0, or pictures' own
      numbers; NaN where the table gives none.
    are_pictures: whether numbers are the pictures' own.
    time_s: [R] float64 seconds from the video's start, NaN if not given.
    faces: [R] str, the tool's name of the face, '' if it has none.
    values: R rows, float32: AU06_r (intensity), AU06_c (presence), AU06_p
      (probability), AU06_raw, confidence, success, ...; NaN where missing.
    landmarks: [R, 68, 2] float64 pixels of the picture that the tool saw, or
      None.
    problems: a sentence each.
  """

  numbers: np.ndarray
  are_pictures: bool
  time_s: np.ndarray
  faces: np.ndarray
  values: pd.DataFrame
  landmarks: np.ndarray | None
  problems: tuple[str, ...]

  def take(self, rows: np.ndarray) -> 'ToolTable':
    """Returns the table of some rows, [n] int or [R] bool."""
    return dataclasses.replace(
      self,
      numbers=self.numbers[rows],
      time_s=self.time_s[rows],
      faces=self.faces[rows],
      values=self.values.iloc[
        np.flatnonzero(rows) if rows.dtype == bool else rows
      ],
      landmarks=None if self.landmarks is None else self.landmarks[rows],
    )


def read(
  path: pathlib.Path,
  *,
  tool: str,
  first: int | None = None,
  units: tuple[int, ...] = OPENFACE3_UNITS,
) -> ToolTable:
  """Reads one tool's table of one video.

  Args:
    path: the file, comma or tab separated.
    tool: one of TOOLS.
    first: the number of a video's first frame in this table; None for the
      tool's habit, of which the table's own time stamps must not speak against.
    units: action units of a list column, in order.

  Raises:
    ValueError: If the tool is unknown, or the file is no such table.
  """
  if tool not in TOOLS:
    raise ValueError(f'Tool {tool!r} is none of {list(TOOLS)}.')
  habits = TOOLS[tool]
  table = _read_text(path)
  problems = []
  numbers, are_pictures = _numbers(table, path)
  time_s = _times(table)
  if not are_pictures:
    base = habits.first if first is None else first
    if first is None:
      _check_base(numbers, time_s, base, tool, path)
    if (numbers < base).any():
      raise ValueError(
        f'{path} has a frame {int(np.nanmin(numbers))}, though {tool} counts '
        f'from {base}. Name the first number by --first_row.'
      )
    numbers = numbers - base
  values = _values(table, habits, units, path, problems)
  read_table = ToolTable(
    numbers=numbers,
    are_pictures=are_pictures,
    time_s=time_s,
    faces=_faces(table),
    values=values,
    landmarks=_landmarks(table, _failed(values)),
    problems=(),
  )
  return _tidy(read_table, problems, 0 if are_pictures else base)


def rate(table: ToolTable) -> float:
  """Returns rows a second by number and time stamp, NaN if they do not agree.

  Time stamps of old files can be nonsense: they must lie within a quarter of a
  frame of a straight line.
  """
  line = _line(table.numbers, table.time_s)
  return np.nan if line is None else line[0]


def _read_text(path):
  """The table as text, its column names in lower case without spaces."""
  try:
    with open(path, encoding='utf-8-sig') as file:
      separator = '\t' if '\t' in file.readline() else ','
    table = pd.read_csv(
      path,
      sep=separator,
      dtype=str,
      keep_default_na=False,
      index_col=False,
      encoding='utf-8-sig',
      skipinitialspace=True,
    )
  except (OSError, ValueError) as error:
    raise ValueError(f'{path} cannot be read as a table: {error}') from error
  table.columns = [str(name).strip().lower() for name in table.columns]
  twice = sorted(set(table.columns[table.columns.duplicated()]))
  # pandas itself renames exact repetitions to name.1, name.2.
  twice += [name[:-2] for name in table.columns if name.endswith('.1')]
  if twice:
    raise ValueError(f'{path} has more than one column {twice}.')
  return table


def _column(table, names):
  """The first of these columns as numbers, or None."""
  for name in names:
    if name in table:
      return pd.to_numeric(table[name], errors='coerce').to_numpy(np.float64)
  return None


def _numbers(table, path):
  """Frame numbers, and whether they are of pictures read one by one."""
  for name in _FILES:
    if name in table and table[name].nunique() > 1:
      files = table[name].str.strip()
      if files.str.contains(_PICTURE).all():
        stems = [
          pathlib.PurePosixPath(f.replace('\\', '/')).stem for f in files
        ]
        found = [_INTEGER.findall(stem) for stem in stems]
        return np.array([float(f[-1]) if f else np.nan for f in found]), True
  numbers = _column(table, _FRAMES)
  if numbers is None and not any(name in table for name in _TIMES):
    raise ValueError(
      f'{path} has neither frame numbers ({", ".join(_FRAMES)}), nor times '
      f'({", ".join(_TIMES)}), nor names of pictures; its columns are '
      f'{list(table.columns)[:8]}.'
    )
  if numbers is None:
    return np.full(len(table), np.nan), False
  whole = np.isfinite(numbers) & (numbers == np.floor(numbers))
  return np.where(whole, numbers, np.nan), False


def _times(table):
  for name, scale in _TIMES.items():
    if name in table:
      return _column(table, [name]) * scale
  return np.full(len(table), np.nan)


def _line(numbers, time_s):
  """(rate, number at time 0) of a straight line, None if there is none."""
  known = np.isfinite(numbers) & np.isfinite(time_s)
  if known.sum() < 3 or np.ptp(time_s[known]) <= 0:
    return None
  rate, start = np.polyfit(time_s[known], numbers[known], 1)
  off = np.abs(start + rate * time_s[known] - numbers[known]).max()
  return (rate, start) if rate > 0 and off <= 0.25 else None


def _check_base(numbers, time_s, base, tool, path):
  """Raises an error if the time stamps start at another number."""
  line = _line(numbers, time_s)
  if line is not None and round(line[1]) != base:
    raise ValueError(
      f'{path}: its time stamps are 0 at frame {abs(line[1]):.2f}, but {tool} '
      f'counts frames from {base}. Name the first number by --first_row.'
    )


def _faces(table):
  for name in _FACES:
    if name in table:
      return table[name].str.strip().to_numpy(str)
  return np.full(len(table), '', dtype=str)


def _values(table, habits, units, path, problems):
  """Label columns, float32."""
  columns = {}
  for name in table.columns:
    match = _UNIT.fullmatch(name)
    suffix = (match[2] or '').lower() if match else ''
    if match and suffix in habits.kinds:
      column = f'AU{int(match[1]):02d}_{habits.kinds[suffix]}'
    elif name in _EMOTIONS or name in ('confidence', 'success', 'facescore'):
      column = 'confidence' if name == 'facescore' else name
    elif name in _POSE:
      column = _POSE[name]
    else:
      continue
    columns[column] = _column(table, [name])
    if name in _POSE:
      columns[column] = np.degrees(columns[column])
  if habits.list_column in table.columns:
    columns |= _from_list(table[habits.list_column], units, path)
  own = [name for name in columns if name.startswith('AU')]
  if not own:
    raise ValueError(
      f'{path} has no action units; its columns are {list(table.columns)[:8]}.'
    )
  values = pd.DataFrame(columns).astype(np.float32)
  values = values.where(np.isfinite(values))
  failed = _failed(values)
  if failed.any():
    kept = ('success', 'confidence')
    values.loc[failed, [n for n in columns if n not in kept]] = np.nan
    problems.append(f'{failed.sum()} rows say success 0; their values missing')
  return values


def _failed(values):
  """[R] bool, where the tool itself says that it found no face."""
  if 'success' not in values:
    return np.zeros(len(values), bool)
  return (values['success'] == 0).to_numpy()


def _from_list(cells, units, path):
  """From a column of lists to a column a unit."""
  rows = []
  for line, cell in enumerate(cells, start=2):
    try:
      row = json.loads(cell) if cell.strip() else [np.nan] * len(units)
      row = [float(value) for value in row]
    except (TypeError, ValueError) as error:
      raise ValueError(f'{path}, line {line}: {cell!r} is no list.') from error
    if len(row) != len(units):
      raise ValueError(
        f'{path}, line {line}: a list of {len(row)} values for the units '
        f'{units}.'
      )
    rows.append(row)
  array = np.array(rows, np.float64).reshape(-1, len(units))
  return {f'AU{u:02d}_{RAW}': array[:, i] for i, u in enumerate(units)}


def _landmarks(table, failed):
  """[R, 68, 2] float64, None if they are not all there."""
  names = [f'{axis}_{i}' for i in range(labels.NUM_LANDMARKS) for axis in 'xy']
  if not set(names) <= set(table.columns):
    return None
  points = table[names].apply(pd.to_numeric, errors='coerce')
  points = points.to_numpy(np.float64).reshape(-1, labels.NUM_LANDMARKS, 2)
  return np.where(failed[:, None, None], np.nan, points)


def _tidy(table, problems, base):
  """The table sorted by number or time, without repetitions of a face."""
  numberless = ~np.isfinite(table.numbers) & ~np.isfinite(table.time_s)
  if numberless.any():
    problems.append(f'{numberless.sum()} rows have no frame number')
    table = table.take(~numberless)
  order = np.lexsort((table.time_s, table.numbers))
  if (order != np.arange(len(order))).any():
    place = int(np.flatnonzero(order != np.arange(len(order)))[0])
    number = table.numbers[place] + base
    problems.append(
      f'rows are not in order of frames, first at row {place + 1} (frame '
      f'{number:.0f}); they were sorted'
    )
    table = table.take(order)
  keys = pd.DataFrame(
    {'number': table.numbers, 'time': table.time_s, 'face': table.faces}
  )
  # Where the tool names no faces, several rows of a frame may be several faces.
  named = (table.faces != '').any()
  repeated = keys.duplicated(['number', 'face']).to_numpy()
  repeated = repeated & np.isfinite(table.numbers)
  if named and repeated.any():
    some = ', '.join(
      f'{n + base:.0f}' for n in np.unique(table.numbers[repeated])[:_NAMED]
    )
    problems.append(
      f'{repeated.sum()} rows repeat a frame and face (frames {some}); the '
      'first of each was used'
    )
    table = table.take(~repeated)
  return dataclasses.replace(table, problems=tuple(problems))
