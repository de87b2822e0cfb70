"""What a frame store can be made from, described without opening a picture.

A source is a list of videos, and a function that says what the pictures of one
are (`Shots`) when its turn comes. Every source has a `fingerprint` that changes
with anything that would change the frames; caches are named by it, so a stale
one is never used.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from psm_jax.data import alignment, labels as labels_lib, picture_files, store

# Takes (path, reason) of what is left out or doubtful.
Report = Callable[[str, str], None]
PICTURES = ('.jpg', '.jpeg', '.png')
_INTEGER = re.compile(r'[0-9]+')
_LARGEST_FRAME = 2**53
_SCHEMA_VERSION = 2  # Changes when the same sources are read differently.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Video:
  """What one person does in one video.

  Attributes:
    person_id: who.
    video_id: the video.
    fps: frames a second.
    folder: where the pictures lie; None for invented people.
    files: names of the pictures, sorted by frame number; () for ingested
      videos, whose tables say.
    frames: their frame numbers, strictly increasing.
    labels: the labels, or the file that holds them; None without.
    parts: of an ingested video, (track, first frame, last frame) of the person,
      in order and apart.
    state: of an ingested video, what changes with its files.
  """

  person_id: str
  video_id: str
  fps: float
  folder: pathlib.Path | None = None
  files: tuple[str, ...] = ()
  frames: tuple[int, ...] = ()
  labels: labels_lib.LabelTable | pathlib.Path | None = None
  parts: tuple[tuple[int, int, int], ...] = ()
  state: str = ''

  @property
  def key(self) -> tuple[str, str]:
    """(person_id, video_id)."""
    return self.person_id, self.video_id

  @property
  def name(self) -> str:
    """PERSON/VIDEO."""
    return f'{self.person_id}/{self.video_id}'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shots:
  """The usable pictures of one video, in order, before they are read.

  Attributes:
    names: of the pictures.
    frames: [n] int64, frame numbers.
    time_s: [n] float64.
    read: from a position to the encoded picture; may raise OSError, and
      ValueError as `picture_files.read` does.
    labels: n rows, a column a label, NaN where missing.
    crops: [n, 2, 3] float, see `alignment`; None for the centre square.
    landmarks: [n, 68, 2] float, (x, y) pixels of the pictures, NaN where
      missing; None without.
  """

  names: Sequence[str]
  frames: np.ndarray
  time_s: np.ndarray
  read: Callable[[int], bytes]
  labels: pd.DataFrame
  crops: np.ndarray | None = None
  landmarks: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
  """Videos that a store can be made from.

  Attributes:
    root: their folder, or what they are called in messages.
    videos: sorted by person and video.
    label_columns: names of the labels that every frame will have.
    has_landmarks: whether any video has landmarks among its labels.
    problems: what was left out or is doubtful, each {'path', 'reason'}.
    fingerprint: 16 hex digits that change with any file or option.
    shots: (video, report) -> `Shots`, None if no picture can be used.
    folds: from person to fold; only people who are in one.
  """

  root: pathlib.Path
  videos: tuple[Video, ...]
  label_columns: tuple[str, ...]
  problems: tuple[dict[str, str], ...]
  fingerprint: str
  shots: Callable[[Video, Report], Shots | None]
  has_landmarks: bool = False
  folds: Mapping[str, str] = dataclasses.field(default_factory=dict)


def reporter(problems: list[dict[str, str]]) -> Report:
  """Returns a report that adds to a list of problems, see `Source`."""
  return lambda path, reason: problems.append(
    {'path': str(path), 'reason': reason}
  )


@contextlib.contextmanager
def reporting(path: str | pathlib.Path, report: Report) -> Iterator[None]:
  """Has a file that turns out not to be readable reported as not used."""
  try:
    yield
  except (OSError, ValueError) as error:
    report(path, f'not used: {error}')


def fingerprint(how: Sequence[Any], videos: Sequence[Video]) -> str:
  """Returns 16 hex digits that change with any file or option, see `Source`.

  Args:
    how: what JSON can express of the options.
    videos: whose rates, parts, pictures (by size and time of change) and labels
      (by content) count; where they lie does not.
  """
  made = hashlib.sha256(json.dumps([_SCHEMA_VERSION, *how]).encode())
  for video in videos:
    files = []
    for name in video.files if video.folder else ():
      status = (video.folder / name).stat()
      files.append([name, status.st_size, status.st_mtime_ns])
    described = [video.name, video.fps, video.parts, video.state, files]
    made.update(json.dumps(described).encode())
    made.update(_content_of(video.labels))
  return made.hexdigest()[:16]


def _content_of(table):
  """The bytes of labels, b'' without."""
  if table is None or isinstance(table, pathlib.Path):
    return table.read_bytes() if table else b''
  values, points = table.values, table.landmarks
  names = json.dumps([*map(str, values.columns), points is not None])
  arrays = [values.index.to_numpy(np.int64), values.to_numpy(np.float32)]
  arrays += [] if points is None else [points]
  return names.encode() + b''.join(array.tobytes() for array in arrays)


def digest(value) -> str:
  """Returns 16 hex digits of a value that JSON can express."""
  text = json.dumps(value, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def by_frame(
  names: Sequence[str], where: str | pathlib.Path, report: Report
) -> dict[int, str]:
  """Returns pictures' names by frame number, the last integer of the stem.

  Args:
    names: In their order: the first of a number is used.
    where: Their folder, for the report of those that cannot be used.
    report: Takes these.
  """
  numbered = {}
  for name in names:
    integers = _INTEGER.findall(pathlib.PurePath(name).stem)
    frame = int(integers[-1]) if integers else _LARGEST_FRAME
    if frame >= _LARGEST_FRAME:
      report(f'{where}/{name}', 'no usable frame number in the file name')
    elif frame in numbered:
      report(
        f'{where}/{name}',
        f'same frame number as {numbered[frame]}, which was used',
      )
    else:
      numbered[frame] = name
  return dict(sorted(numbered.items()))


def choose_persons(
  persons: Sequence[str], there: Iterable[str], *, where: str
) -> list[str]:
  """Returns the people asked for, sorted; all there are if nobody is.

  Args:
    persons: ids asked for.
    there: ids there are.
    where: they were looked for, for the message.

  Raises:
    ValueError: If a person asked for is not there.
  """
  every = sorted(set(there))
  if absent := sorted(set(persons) - set(every)):
    raise ValueError(
      f'data.persons names {store.list_some(absent)}, not found in {where}, '
      f'which has {store.list_some(every)}.'
    )
  return sorted(set(persons)) or every


def scan_labels(videos: Sequence[Video]) -> tuple[tuple[str, ...], bool]:
  """Returns what all files of labels that can be read hold.

  Returns:
    The names of the labels, in order, and whether any file has landmarks.
  """
  columns: dict[str, None] = {}
  for video in videos:
    if video.labels is not None:
      with contextlib.suppress(ValueError):  # `labels_of` will report it.
        columns |= dict.fromkeys(labels_lib.read_columns(video.labels))
  names = [name for name in columns if name not in labels_lib.LANDMARK_COLUMNS]
  return tuple(names), len(names) < len(columns)


def labels_name(video: Video) -> str:
  """Returns what a video's labels are called in reports."""
  if isinstance(video.labels, pathlib.Path):
    return f'{video.name}/{video.labels.name}'
  return video.name


def labels_of(
  video: Video, frames: np.ndarray, report: Report
) -> tuple[pd.DataFrame, np.ndarray | None]:
  """Returns the labels and landmarks of a video's frames.

  Args:
    video: whose labels, or the file of them, are taken; one that cannot be read
      is reported and left out.
    frames: [T] int, frame numbers.
    report: takes also what is wrong with the labels, and how they and the
      frames differ.

  Returns:
    T rows, a column a label, NaN where missing; [T, 68, 2] float64, (x, y) as
    in the labels, NaN likewise, or None without landmarks.
  """
  table, name = video.labels, labels_name(video)
  if isinstance(table, pathlib.Path):
    path, table = table, None
    with reporting(name, report):
      table = labels_lib.read_labels(path)
  if table is None:
    return pd.DataFrame(index=range(len(frames))), None
  place = table.values.index.get_indexer(frames)
  missing = (place < 0).sum()
  extra = len(table.values) - len(frames) + missing
  doubts = (
    (missing, f'{missing} of {len(frames)} frames have no row; labels missing'),
    # What ingest found is a part of the frames there are.
    (video.files and extra, f'{extra} rows belong to no picture; not used'),
  )
  for reason in (*table.problems, *(text for is_so, text in doubts if is_so)):
    report(name, reason)
  values = table.values.reindex(index=frames).reset_index(drop=True)
  if table.landmarks is None:
    return values, None
  points = np.full((len(frames), labels_lib.NUM_LANDMARKS, 2), np.nan)
  points[place >= 0] = table.landmarks[place[place >= 0]]
  return values, points


def picture_shots(
  video: Video, report: Report, *, align: str, eye_distance: float
) -> Shots | None:
  """Returns the shots of a video whose pictures are files of a folder.

  Args:
    video: with folder, files and frames.
    report: see `Report`.
    align: 'eyes' to cut out the eyes' crop, 'none' for the centre square.
    eye_distance: see `alignment.eye_crop`.
  """
  frames = np.array(video.frames)
  values, points = labels_of(video, frames, report)
  crops, usable = None, np.full(len(frames), align == 'none')
  if align == 'eyes' and points is not None:
    crops = alignment.eye_crop(
      alignment.eye_centres(points), eye_distance=eye_distance
    )
    usable = np.isfinite(crops).all(axis=(1, 2))
  if not usable.any():
    report(
      video.name,
      "no eye landmarks (x36..x47, y36..y47) for data.align='eyes'; video left "
      'out',
    )
    return None
  if not usable.all():
    report(
      labels_name(video),
      f'{(~usable).sum()} frames have no eye landmarks; left out',
    )
  names = [video.files[row] for row in np.flatnonzero(usable)]
  return Shots(
    names=names,
    frames=frames[usable],
    # From the smallest number, usable or not.
    time_s=(frames[usable] - frames[0]) / video.fps,
    read=lambda row: picture_files.read(video.folder / names[row]),
    labels=values[usable],
    crops=None if crops is None else crops[usable],
    landmarks=None if points is None else points[usable],
  )
