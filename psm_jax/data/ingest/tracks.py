"""tracks.csv: who is seen in each track, filled in by a person.

A row says that `person_id` is seen in frames first_frame to last_frame of a
track. A row without person_id is not used. A track that goes over from one
person to another is cut by writing its row twice, with other frames. A video
with one face in it is filled in already (`confirmed` says auto).
"""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Mapping

from psm_jax import paths
from psm_jax.data.ingest import layout

KEYS = ('video_id', 'track', 'first_frame', 'last_frame', 'person_id')
COLUMNS = (
  *KEYS,
  'confirmed',
  'suggestion',
  'first_s',
  'last_s',
  'crops',
  'face_px',
  'sheet',
)
AUTO = 'auto'


@dataclasses.dataclass
class TrackTable:
  """tracks.csv as it stands, text by text.

  Attributes:
    columns: names, ours and those a user added.
    rows: a row each, and 'line': of the file, counted from 1.
    separator: ',', ';' or tab.
  """

  columns: list[str]
  rows: list[dict]
  separator: str = ','

  def of_video(self, video_id: str) -> list[dict]:
    """Returns the rows of one video."""
    return [row for row in self.rows if row['video_id'] == video_id]

  def text(self) -> str:
    """Returns the table as it is written."""
    return layout.table(self.columns, self.rows, separator=self.separator)


def read(root: pathlib.Path) -> TrackTable:
  """Reads an ingest folder's tracks.csv; an empty table if there is none.

  Raises:
    ValueError: If the file is no table with the columns of `KEYS`.
  """
  path = root / layout.TRACKS
  if not path.exists():
    return TrackTable(list(COLUMNS), [])
  try:
    text = path.read_text(encoding='utf-8-sig')
    separator = max(',;\t', key=text.partition('\n')[0].count)
    reader = csv.DictReader(io.StringIO(text), delimiter=separator)
    columns = [name for name in reader.fieldnames or () if name]
    # Cells that a row lacks at its end are None.
    rows = [
      {'line': reader.line_num}
      | {name: (row[name] or '').strip() for name in columns}
      for row in reader
    ]
  except (UnicodeDecodeError, csv.Error) as error:
    raise ValueError(
      f'{path} is no table in UTF-8: {error}. Save it as "CSV UTF-8".'
    ) from error
  if missing := [name for name in KEYS if name not in columns]:
    raise ValueError(
      f'{path} lacks the columns {", ".join(missing)}. Put them back, or move '
      'the file away: it is then made anew, without what was filled in.'
    )
  rows = [row for row in rows if any(row[name] for name in KEYS)]
  return TrackTable(columns, rows, separator)


def assignments(
  root: pathlib.Path, table: TrackTable, videos: Mapping[str, Mapping]
) -> dict[str, dict[str, list[tuple[int, int, int]]]]:
  """Returns who is seen where, by the rows that name a person.

  Args:
    root: the ingest folder, for messages.
    table: its tracks.csv.
    videos: video.json by video_id; rows of other videos are left out.

  Returns:
    From video_id and person_id to (track, first frame, last frame), in order of
    frames; videos in which nobody is named are empty.

  Raises:
    ValueError: If a row names a track or frames that the video has not, an
      unsafe person_id or one that differs from another by case alone, or one
      person is twice in one frame, or two people are in one track at once.
  """
  path = root / layout.TRACKS
  found, spelled = [], {}
  for row in table.rows:
    if row['person_id'] and row['video_id'] in videos:
      where = f'{path}, line {row["line"]}'
      described = layout.video_folder(root, row['video_id']) / 'video.json'
      row = row | _span(row, videos[row['video_id']], where, described)
      twin = spelled.setdefault(row['person_id'].lower(), row)
      if twin['person_id'] != row['person_id']:
        raise ValueError(
          f'{where}: person_id {row["person_id"]!r} differs only in case from '
          f'{twin["person_id"]!r} in line {twin["line"]}. Spell both alike.'
        )
      found.append(row)
  found.sort(key=lambda r: (r['video_id'], r['first_frame'], r['track']))
  _check_overlaps(found, path)
  seen: dict[str, dict] = {video_id: {} for video_id in videos}
  for row in found:
    parts = seen[row['video_id']].setdefault(row['person_id'], [])
    parts.append((row['track'], row['first_frame'], row['last_frame']))
  return seen


def _span(row, content, where, described):
  """The row's track, first_frame and last_frame as numbers, checked."""
  numbers = {}
  for name in ('track', 'first_frame', 'last_frame'):
    try:
      number = float(row[name].replace(',', '.'))
      numbers[name] = int(number)
    except (ValueError, OverflowError):
      number = None
    if number is None or number != numbers[name]:
      raise ValueError(
        f'{where}: {name} {row[name]!r} is no whole number. Put back what '
        f'{described} says.'
      )
  known = {track['track']: track for track in content['tracks']}
  track = known.get(numbers['track'])
  if track is None:
    raise ValueError(
      f'{where}: {row["video_id"]} has no track {numbers["track"]}; '
      f'{described} says that it has {", ".join(map(str, known)) or "none"}.'
    )
  first, last = numbers['first_frame'], numbers['last_frame']
  if not track['first_frame'] <= first <= last <= track['last_frame']:
    raise ValueError(
      f'{where}: frames {first} to {last} are not within those of '
      f'{row["video_id"]} track {numbers["track"]}, {track["first_frame"]} to '
      f'{track["last_frame"]} ({described}).'
    )
  paths.check_id(row['person_id'], what=f'{where}: person_id')
  return numbers


def _check_overlaps(found, path):
  """Raises an error if a person or a track is claimed twice in one frame."""
  for what in ('person_id', 'track'):
    latest = {}
    for row in found:
      key = (row['video_id'], row[what])
      before = latest.get(key)
      if before and row['first_frame'] <= before['last_frame']:
        raise ValueError(
          f'{path}, lines {before["line"]} and {row["line"]}: '
          f'{row["video_id"]} has {what} {row[what]} twice in frame '
          f'{row["first_frame"]}. Leave one person_id empty, or change the '
          'frames.'
        )
      latest[key] = row


def is_edited(table: TrackTable, content: Mapping) -> bool:
  """Tells whether somebody filled in or changed a video's rows."""
  rows = table.of_video(content['video_id'])
  return bool(rows) and _keys(rows) not in (
    _keys(_rows(content, True)),
    _keys(_rows(content, False)),
  )


def shows_one_face(content: Mapping) -> bool:
  """Tells whether a video shows one face, and the same from start to end."""
  tracks = content['tracks']
  return (
    len(tracks) == 1
    and not content['counts']['faces_dropped']
    and tracks[0]['changes_at'] is None
  )


def merge(
  table: TrackTable,
  videos: Mapping[str, Mapping],
  *,
  remade: Mapping[str, Mapping],
  asks: bool,
) -> tuple[TrackTable, int]:
  """Brings the table up to the videos.

  Rows that somebody filled in or changed stay as they are, and so do people who
  were confirmed.

  Args:
    table: tracks.csv as it stands.
    videos: video.json of all videos, by video_id.
    remade: what video.json said before, of videos made anew; by video_id.
    asks: whether several videos without a given person_id wait for somebody who
      knows whether they show one person or several.

  Returns:
    The table, and how many videos wait.
  """
  columns = list(dict.fromkeys([*table.columns, *COLUMNS]))
  num_shown = sum(bool(content['tracks']) for content in videos.values())
  num_waiting, written = 0, {}
  for video_id, content in videos.items():
    there = table.of_video(video_id)
    before = remade.get(video_id, content)
    is_confirmed = any(row['person_id'] for row in there)
    if is_edited(table, before) or (before is content and is_confirmed):
      continue
    waits = asks and not content['suggestion'] and num_shown > 1
    num_waiting += waits and shows_one_face(content)
    rows = _rows(content, not waits)
    if _keys(rows) != _keys(there):
      written[video_id] = rows
  kept = [row for row in table.rows if row['video_id'] not in written]
  rows = sum(written.values(), kept)
  return TrackTable(columns, rows, table.separator), num_waiting


def _keys(rows):
  """What tells whether somebody changed rows."""
  return [
    [layout.cell(row.get(name, '')) for name in (*KEYS, 'confirmed')]
    for row in rows
  ]


def _rows(content, is_known):
  """The rows of one video as they are first written."""
  is_named = is_known and shows_one_face(content)
  person_id = content['person_id'] if is_named else ''
  rows = []
  for track in content['tracks']:
    row = {
      'video_id': content['video_id'],
      'track': track['track'],
      'first_frame': track['first_frame'],
      'last_frame': track['last_frame'],
      'person_id': person_id,
      'confirmed': AUTO if person_id else '',
      'suggestion': content['suggestion'],
      'first_s': track['first_s'],
      'last_s': track['last_s'],
      'crops': track['crops'],
      'face_px': track['face_px'],
      'sheet': content['sheets'][0] if content['sheets'] else '',
    }
    change = track['changes_at']
    if change is None:
      rows.append(row)
    else:
      rows += [row | {'last_frame': change - 1}, row | {'first_frame': change}]
  return rows
