"""A folder of tool tables: which is of which video, and all of them joined."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import pandas as pd
from absl import logging

from psm_jax import paths
from psm_jax.data.labels import joining, readers

SCORES = {
  'none': None,
  'intensity': readers.INTENSITY,
  'presence': readers.PRESENCE,
  'probability': readers.PROBABILITY,
  'raw': readers.RAW,
}
_EXTENSIONS = ('.csv', '.tsv', '.txt')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """How tables are read and what is written.

  Attributes:
    tool: one of `readers.TOOLS`.
    first_row: number of a video's first frame in the tables; None for the
      tool's habit.
    first_frame: number of a video's first frame among ours: 'check', '0', '1'.
    units: action units of OpenFace 3's list, in order.
    score: which of the tool's units become AU01, AU02, ..., which
      launch.evaluate scores: a key of SCORES.
    prefix: put before the other columns' names, to keep tools apart.
    overwrite: replace columns of these names.
    faces: from PERSON/VIDEO to the tool's name of the person's face.
    landmarks: also write x0..x67, y0..y67 (beside frames only).
  """

  tool: str
  first_row: int | None = None
  first_frame: str = 'check'
  units: tuple[int, ...] = readers.OPENFACE3_UNITS
  score: str = 'none'
  prefix: str = ''
  overwrite: bool = False
  faces: Mapping[str, str] = dataclasses.field(default_factory=dict)
  landmarks: bool = False


@dataclasses.dataclass(frozen=True)
class Summary:
  """What was joined.

  Attributes:
    videos: PERSON/VIDEO of those that got labels.
    num_frames: frames of all videos.
    num_labelled: frames that got a row.
    num_unused: rows that belong to no frame.
    problems: (path or video, reason) each.
    written: the files.
  """

  videos: tuple[str, ...]
  num_frames: int
  num_labelled: int
  num_unused: int
  problems: tuple[tuple[str, str], ...]
  written: tuple[pathlib.Path, ...]


def read_faces(path: str | pathlib.Path) -> dict[str, str]:
  """Reads which face is the person: CSV of person_id, video_id, face.

  Raises:
    ValueError: If it is no such table.
  """
  try:
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    names = table['person_id'].str.strip() + '/' + table['video_id'].str.strip()
    return dict(zip(names, table['face'].str.strip(), strict=True))
  except (OSError, ValueError, KeyError) as error:
    raise ValueError(
      f'{path}: expected a CSV table with person_id, video_id and face; {error}'
    ) from error


def find_table(
  folder: pathlib.Path, name: str, *, is_unique: bool
) -> pathlib.Path | None:
  """Returns the table of a video, None if there is none.

  Looked for as PERSON/VIDEO, PERSON_VIDEO and PERSON-VIDEO with .csv, .tsv or
  .txt; then, if no other person has a video of that name, as VIDEO.

  Args:
    folder: where the tables lie.
    name: PERSON/VIDEO.
    is_unique: whether no other person has a video of that name.
  """
  person, video = name.split('/')
  stems = [(person, video), (f'{person}_{video}',), (f'{person}-{video}',)]
  if is_unique:
    stems.append((video,))
  for *above, stem in stems:
    for extension in _EXTENSIONS:
      path = paths.child(folder, *above, stem + extension)
      if path.is_file():
        return path
  return None


def join_all(
  tables: str | pathlib.Path,
  targets: Sequence[joining.Target],
  options: Options,
) -> tuple[Summary, dict[str, joining.Joined]]:
  """Joins every video with its table.

  Args:
    tables: folder of the tables, see `find_table`.
    targets: the videos.
    options: how tables are read.

  Returns:
    What was joined, nothing written yet, and the labels by PERSON/VIDEO.

  Raises:
    ValueError: If no row belongs to any frame.
  """
  folder = pathlib.Path(tables)
  if not folder.is_dir():
    raise ValueError(f'The folder of tables {folder} is not there.')
  if options.score not in SCORES:
    raise ValueError(f'score {options.score!r} is none of {list(SCORES)}.')
  problems, pairs = [], []
  video_ids = [target.name.split('/')[1] for target in targets]
  used = set()
  for target, video_id in zip(targets, video_ids, strict=True):
    path = find_table(
      folder, target.name, is_unique=video_ids.count(video_id) == 1
    )
    if path is None:
      problems.append((target.name, f'no table of it in {folder}'))
      continue
    used.add(path)
    try:
      table = readers.read(
        path,
        tool=options.tool,
        first=options.first_row,
        units=options.units,
      )
    except ValueError as error:
      problems.append((target.name, f'table not used: {error}'))
      continue
    problems += [(str(path), sentence) for sentence in table.problems]
    table, doubt = joining.choose_face(table, options.faces.get(target.name))
    if doubt:
      problems.append((str(path), doubt))
    if len(table.values):
      pairs.append((target, table))
  for path in sorted(folder.rglob('*')):
    if path.suffix.lower() in _EXTENSIONS and path not in used:
      problems.append((str(path), 'belongs to no video; not used'))
  if not pairs:
    raise ValueError(_explain_nothing(folder, targets, problems))
  first, how = joining.first_frame(pairs, choice=options.first_frame)
  logging.info('%s', how)
  joined = {}
  for target, table in pairs:
    joined[target.name], doubt = joining.join(target, table, first=first)
    _report_join(target, table, joined[target.name], doubt, problems)
  if not any(table.has_row.any() for table in joined.values()):
    raise ValueError(_explain_nothing(folder, targets, problems))
  summary = Summary(
    videos=tuple(joined),
    num_frames=sum(len(target.frames) for target in targets),
    num_labelled=sum(int(table.has_row.sum()) for table in joined.values()),
    num_unused=sum(table.num_unused for table in joined.values()),
    problems=tuple(problems),
    written=(),
  )
  return summary, joined


def _report_join(target, table, joined, doubt, problems):
  """Adds what did not fit between one video and its table."""
  if doubt:
    problems.append((target.name, doubt))
  missing = int((~joined.has_row).sum())
  if missing:
    problems.append(
      (
        target.name,
        f'{missing} of {len(joined.has_row)} frames have no row; labels '
        'missing',
      )
    )
  if joined.num_unused:
    problems.append(
      (target.name, f'{joined.num_unused} rows belong to no frame; not used')
    )
  gaps = target.frames[-1] > len(target.frames)
  if missing and gaps and len(table.values) == len(target.frames):
    problems.append(
      (
        target.name,
        'there are as many rows as pictures, though pictures are missing: if '
        'the tool was run on the pictures, its rows count them, and not the '
        "video's frames. Run it on the video, or so that it names the pictures",
      )
    )


def _explain_nothing(folder, targets, problems):
  shown = '; '.join(f'{where}: {why}' for where, why in problems[:4])
  return (
    f'No row of {folder} belongs to a frame of the {len(targets)} videos. '
    f'{shown}'
  )
