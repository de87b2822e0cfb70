"""A folder of tool tables: all of them joined with the videos' frames."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from absl import logging

from psm_jax import tabular
from psm_jax.data.ingest import faces as faces_lib
from psm_jax.data.labels import (
  joining,
  numbering,
  readers,
  table_files,
  tools,
)

SCORES = {
  'none': None,
  'intensity': tools.INTENSITY,
  'presence': tools.PRESENCE,
  'probability': tools.PROBABILITY,
  'raw': tools.RAW,
}
_FACE_COLUMNS = ('person_id', 'video_id', 'face')
_MIN_OVERLAP = 0.2  # Of intersection over union: the same face.
_DEFAULTS = joining.Settings()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """How tables are read and what is written.

  Attributes:
    tool: one of `tools.TOOLS`.
    first_row: number of a video's first frame in the tables; None for the
      tool's habit.
    first_frame: number of a video's first frame among ours: 'check', '0', '1'.
    settings: how tables are read that could be read in two ways.
    units: action units of OpenFace 3's list, in order.
    score: which of the tool's units become AU01, AU02, ..., which
      launch.evaluate scores: a key of SCORES.
    prefix: put before the other columns' names, to keep tools apart.
    overwrite: replace columns of these names.
    faces: from PERSON/VIDEO to the tool's names of the person's face.
    landmarks: also write x0..x67, y0..y67 (beside frames only).
  """

  tool: str
  first_row: int | None = None
  first_frame: str = 'check'
  settings: joining.Settings = _DEFAULTS
  units: tuple[int, ...] = tools.OPENFACE3_UNITS
  score: str = 'none'
  prefix: str = ''
  overwrite: bool = False
  faces: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
  landmarks: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Video(joining.Target):
  """One video whose frames may get labels.

  Attributes:
    table_names: what its table may be called, see `table_files.assign`.
    people: by PERSON/VIDEO, [T, 4] float64 boxes of the person's face in pixels
      of the picture as shown, NaN where it is not seen; None if not known.
    scale: (x, y) size of the picture as shown, in that of the stored one.
    has_others: whether faces are seen in it that are none of these people's.
  """

  table_names: tuple[str, ...]
  people: Mapping[str, np.ndarray | None]
  scale: tuple[float, float] = (1.0, 1.0)
  has_others: bool = False


@dataclasses.dataclass(frozen=True)
class Joined:
  """A tool's labels of one person on a video's T frames.

  Attributes:
    values: T rows, float32, NaN where no row belongs to the frame.
    landmarks: [T, 68, 2] float64, NaN where missing; None if there are none.
  """

  values: pd.DataFrame
  landmarks: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Summary:
  """What was joined.

  Attributes:
    videos: PERSON/VIDEO of those that got labels.
    num_frames: frames of all videos.
    num_labelled: frames that got a row.
    num_used: rows that belong to a frame.
    num_unused: rows that belong to no frame.
    difference_s: largest difference between the time stamp of a row and the
      time of its frame; NaN if none is known.
    problems: (path or video, reason) each.
    written: the files.
  """

  videos: tuple[str, ...]
  num_frames: int
  num_labelled: int
  num_used: int
  num_unused: int
  difference_s: float
  problems: tuple[tuple[str, str], ...]
  written: tuple[pathlib.Path, ...]


def read_faces(path: str | pathlib.Path) -> dict[str, list[str]]:
  """Reads which faces are the person: CSV of person_id, video_id, face.

  A tool that loses a face may give it another name: one row each.

  Raises:
    ValueError: If it is no such table.
  """
  table = tabular.read(path, dict.fromkeys(_FACE_COLUMNS, str))
  names = table['person_id'].str.strip() + '/' + table['video_id'].str.strip()
  return table['face'].str.strip().groupby(names).agg(list).to_dict()


def join_all(
  folder: str | pathlib.Path, videos: Sequence[Video], options: Options
) -> tuple[Summary, dict[str, Joined]]:
  """Joins every video with its table.

  Args:
    folder: of the tables, see `table_files.assign`.
    videos: the videos.
    options: how tables are read.

  Returns:
    What was joined, nothing written yet, and the labels by PERSON/VIDEO.

  Raises:
    ValueError: If no row belongs to any frame, or a table can be read in two
      ways and the options do not say which is right.
  """
  folder = pathlib.Path(folder)
  if options.score not in SCORES:
    raise ValueError(f'score {options.score!r} is none of {list(SCORES)}.')
  paths, problems = table_files.assign(
    folder, {video.name: video.table_names for video in videos}
  )
  pairs = _read_all(videos, paths, options, problems)
  if not pairs:
    raise ValueError(_explain_nothing(folder, videos, problems))
  read = numbering.first_rows(pairs)
  pairs = [(v, table) for (v, _), table in zip(pairs, read, strict=True)]
  first = 0
  if not all(video.is_whole for video, _ in pairs):
    first, how = numbering.first_frame(pairs, choice=options.first_frame)
    logging.info('%s', how)
  joined, counts = {}, []
  for video, table in pairs:
    reading = joining.read(video, table, first=first, settings=options.settings)
    if options.settings.join == 'check':
      joining.check_reach(video, table, reading)
    rows = _rows_of_people(video, table, reading, options.faces, problems)
    joined |= {name: _take(table, places) for name, places in rows.items()}
    counts.append(_count(video, table, reading, rows, problems))
  table_of_counts = pd.DataFrame(counts)
  if not table_of_counts['labelled'].any():
    raise ValueError(_explain_nothing(folder, videos, problems))
  summary = Summary(
    videos=tuple(joined),
    num_frames=sum(len(video.frames) for video in videos),
    num_labelled=int(table_of_counts['labelled'].sum()),
    num_used=int(table_of_counts['used'].sum()),
    num_unused=int(table_of_counts['unused'].sum()),
    difference_s=float(table_of_counts['difference_s'].max()),
    problems=tuple(problems),
    written=(),
  )
  return summary, joined


def _read_all(videos, paths, options, problems):
  """[(video, its table)] of those that can be read; the rest is named."""
  pairs, left_out = [], {}
  for video in videos:
    if (path := paths.get(video.name)) is None:
      continue
    try:
      table = readers.read(
        path, tool=options.tool, first=options.first_row, units=options.units
      )
      if not set(table.values) - {'confidence', 'success'}:
        raise ValueError(
          f'{path} has no action units or other labels of {options.tool}; its '
          f'columns are {list(table.left_out)[:8]}.'
        )
      numbering.check_habit(video, table)
    except ValueError as error:
      problems.append((video.name, f'table not used: {error}'))
      continue
    problems += [(str(path), sentence) for sentence in table.problems]
    left_out.setdefault(table.left_out, path)
    if tools.TOOLS[options.tool].sees_stored:
      table = table.scaled(np.array(video.scale))
    pairs.append((video, table))
  problems += [
    (str(path), f'columns not kept: {_abridged(names)}')
    for names, path in left_out.items()
    if names
  ]
  return pairs


def _abridged(names):
  """Names in a row, those that only differ in a number once."""
  kinds = {}
  for name in names:
    kinds.setdefault(''.join('#' if c.isdigit() else c for c in name), name)
  shown = [
    name if '#' not in kind else f'{name}...' for kind, name in kinds.items()
  ]
  return ', '.join(shown[:30]) + (', ...' if len(shown) > 30 else '')


def _rows_of_people(video, table, reading, faces, problems):
  """From PERSON/VIDEO to [T] int64, the row of each frame or -1.

  Which face is the person is the user's to say, or the place in the picture:
  another tool's face 0 may be anybody.
  """
  rows = {}
  for name in [name for name in video.people if name in faces]:
    is_face = np.isin(table.faces, faces[name])
    rows[name] = _row_of_frame(video, reading, is_face)
    if not is_face.any():
      there = ', '.join(sorted(set(table.faces.tolist()))[:8])
      problems.append(
        (
          str(table.path),
          f'no row of face {", ".join(faces[name])}; there are {there}',
        )
      )
  open_people = [name for name in video.people if name not in faces]
  if not open_people:
    return rows
  every = reading.place >= 0
  is_repeated = every & pd.Series(reading.place).duplicated(keep=False)
  names = sorted(set(table.faces.tolist()))
  boxes = [video.people[name] for name in open_people]
  is_one_face = len(names) < 2 and not is_repeated.any()
  has_boxes = table.seen is not None and all(box is not None for box in boxes)
  is_alone = len(video.people) == 1
  if has_boxes and not (is_one_face and is_alone and not video.has_others):
    return rows | _by_overlap(video, table, reading, open_people)
  if is_one_face and is_alone:
    rows[open_people[0]] = _row_of_frame(video, reading, every)
    if video.has_others:
      problems.append(
        (
          video.name,
          'somebody else is seen in it, and the table has no boxes that tell '
          'whose its rows are; taken to be of this person',
        )
      )
  elif not is_alone:
    problems.append(
      (
        video.name,
        f'{len(video.people)} people, and the table has no boxes that tell '
        'whose its rows are; not used. Name the faces by --faces',
      )
    )
  elif len(names) > 1:
    problems.append(
      (
        str(table.path),
        f'{len(names)} faces ({", ".join(names[:8])}), and nobody says which '
        'of them is the person; not used. Name it by --faces',
      )
    )
  else:
    several = len(np.unique(reading.place[is_repeated]))
    problems.append(
      (
        str(table.path),
        f'{several} frames have several faces without a name; not used',
      )
    )
    rows[open_people[0]] = _row_of_frame(video, reading, ~is_repeated)
  return rows


def _row_of_frame(video, reading, chosen):
  """[T] int64, the first chosen row of each frame, -1 for none."""
  rows = np.full(len(video.frames), -1)
  chosen = np.flatnonzero(chosen & (reading.place >= 0))[::-1]
  rows[reading.place[chosen]] = chosen
  return rows


def _by_overlap(video, table, reading, people):
  """Rows of people whose box in the frame is nearest to the row's own."""
  overlap = np.zeros((len(reading.place), len(people)))
  has_frame = np.flatnonzero(reading.place >= 0)
  for column, name in enumerate(people):
    boxes = video.people[name][reading.place[has_frame]]
    overlap[has_frame, column] = np.nan_to_num(
      faces_lib.intersection_over_union(boxes, table.seen.boxes[has_frame])
    )
  best = overlap.argmax(axis=1)
  rows = {}
  for column, name in enumerate(people):
    share = np.where(best == column, overlap[:, column], 0.0)
    # The best of a frame comes last, and stays.
    order = np.argsort(share, kind='stable')
    order = order[share[order] >= _MIN_OVERLAP]
    rows[name] = np.full(len(video.frames), -1)
    rows[name][reading.place[order]] = order
  return rows


def _take(table, rows):
  """The labels of rows by position, NaN for -1."""
  has_row = rows >= 0
  values = table.values.iloc[rows].reset_index(drop=True)
  values.loc[~has_row] = np.nan
  landmarks = table.landmarks
  if landmarks is not None:
    landmarks = np.where(has_row[:, None, None], landmarks[rows], np.nan)
  return Joined(values, landmarks)


def _count(video, table, reading, rows, problems):
  """Counts one video's rows and frames, and names what did not fit."""
  num_frames, num_rows = len(video.frames), len(table.values)
  places = np.reshape(list(rows.values()), (-1, num_frames))
  used = len(np.unique(places[places >= 0]))
  labelled = int((places >= 0).any(axis=0).sum())
  missing = num_frames - labelled
  logging.info(
    '%s: joined by %s; %d rows used, %d unused; %d of %d frames have none%s',
    video.name,
    reading.by,
    used,
    num_rows - used,
    missing,
    num_frames,
    f'; time stamps and frames differ by {reading.difference_s:.3f} s at most'
    if np.isfinite(reading.difference_s)
    else '',
  )
  no_frame = int((reading.place < 0).sum())
  is_gapless = video.frames[-1] <= num_frames
  doubts = (
    (reading.remark, reading.remark),
    (
      missing,
      f'{missing} of {num_frames} frames have no row; labels missing',
    ),
    (no_frame, f'{no_frame} rows belong to no frame; not used'),
    (
      missing and num_frames == num_rows and not is_gapless,
      'there are as many rows as pictures, though pictures are missing: if '
      'the tool was run on the pictures, its rows count them, and not the '
      "video's frames. Run it on the video, or so that it names the pictures",
    ),
  )
  problems += [(video.name, sentence) for is_so, sentence in doubts if is_so]
  return {
    'labelled': labelled,
    'used': used,
    'unused': num_rows - used,
    'difference_s': reading.difference_s,
  }


def _explain_nothing(folder, videos, problems):
  shown = '; '.join(f'{where}: {why}' for where, why in problems[:6])
  return (
    f'No row of {folder} belongs to a frame of the {len(videos)} videos. '
    f'{shown}'
  )
