"""Tables of what became of each video, and of how much there is of each person.

summary.csv has a row a video, people.csv a row a person whose tracks are
confirmed.
"""

import itertools
import operator
import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from psm_jax import tasks
from psm_jax.data import sources
from psm_jax.data.ingest import frame_tables, layout, listing

SUMMARY_COLUMNS = (
  'name video_id status reason decoded seconds fps width height with_face '
  'tracks confirmed crops faces_dropped missing cuts face_px blur brightness '
  'warnings'
).split()
PEOPLE_COLUMNS = (
  'person_id videos frames seconds gaps longest_gap_s inside face_px blur '
  'brightness note'
).split()


def video_row(content: dict) -> dict:
  """Returns the summary's row of one ingested video."""
  counts, tracks = content['counts'], content['tracks']
  of_tracks = pd.DataFrame(tracks)

  def mean(name):
    if not tracks:
      return None
    return float(np.average(of_tracks[name], weights=of_tracks['crops']))

  return {
    'name': content['name'],
    'video_id': content['video_id'],
    'status': 'ok' if tracks else 'no_face',
    'reason': '' if tracks else _why_no_track(counts),
    'decoded': counts['decoded'],
    'seconds': content['last_s'] - content['first_s'] + 1 / content['fps'],
    'fps': content['fps'],
    'width': content['width'],
    'height': content['height'],
    'with_face': counts['with_face'],
    'tracks': len(tracks),
    'crops': counts['crops'],
    'faces_dropped': counts['faces_dropped'],
    'missing': sum(track['missing'] for track in tracks),
    'cuts': counts['cuts'],
    'face_px': mean('face_px'),
    'blur': mean('blur'),
    'brightness': mean('brightness'),
    'warnings': '; '.join(content['warnings']),
  }


def failed_row(
  entry: listing.Input, reason: str, *, video_id: str = ''
) -> dict:
  """Returns the summary's row of a video that was not ingested."""
  return {
    'name': layout.shown(entry.name),
    'video_id': video_id,
    'status': 'left_out' if entry.is_left_out else 'failed',
    'reason': layout.shown(reason),
  }


def reason_of(error: Exception) -> str:
  """Returns why a video failed, as users read it."""
  if isinstance(error, OSError) and error.strerror:
    return ': '.join(filter(None, [error.strerror, error.filename]))
  if isinstance(error, tasks.ProcessDied):
    return f'{error}: out of memory, or a file that breaks the decoder'
  if isinstance(error, (ValueError, OSError, RuntimeError)):
    return str(error) or type(error).__name__
  return f'{type(error).__name__}: {error}'


def _why_no_track(counts):
  if not counts['faces']:
    return f'no face in {counts["decoded"]} frames'
  return (
    f'a face in {counts["with_face"]} of {counts["decoded"]} frames, never '
    'long enough for a track (--min_track_frames, --gap_s)'
  )


def people(
  root: pathlib.Path, source: sources.Source, *, min_seconds: float
) -> list[dict]:
  """Returns the rows of people.csv.

  Args:
    root: the ingest folder.
    source: what `folder.scan` found in it.
    min_seconds: with less, a person's note says so.

  Raises:
    ValueError: If a video's frames.parquet is damaged.
  """
  return [
    _person(root, person_id, list(videos), min_seconds)
    for person_id, videos in itertools.groupby(
      source.videos, operator.attrgetter('person_id')
    )
  ]


def people_text(rows: Sequence[dict], *, limit: int = 30) -> str:
  """Returns the rows of people.csv as aligned text, those with notes first.

  Args:
    rows: from `people`.
    limit: of people shown; the rest is counted.
  """
  shown = sorted(rows, key=lambda row: (not row['note'], row['person_id']))
  text = pd.DataFrame(shown[:limit], columns=PEOPLE_COLUMNS).to_string(
    index=False, float_format='{:.1f}'.format, na_rep=''
  )
  more = len(rows) - limit
  return text + (f'\nand {more} more' if more > 0 else '')


def _person(root, person_id, videos, min_seconds):
  tables = [
    table[table['success']]
    for table in (frame_tables.read_frames(root, entry) for entry in videos)
  ]
  # Seconds between the frames used before and after each gap.
  gaps = np.concatenate(
    [np.diff(table['time_s'])[np.diff(table['frame']) > 1] for table in tables]
  )
  seconds = sum(
    len(table) / entry.fps for entry, table in zip(videos, tables, strict=True)
  )
  used = pd.concat(tables)
  return {
    'person_id': person_id,
    'videos': len(videos),
    'frames': len(used),
    'seconds': float(seconds),
    'gaps': len(gaps),
    'longest_gap_s': float(gaps.max(initial=0.0)),
    'inside': float(used['inside'].mean()) if len(used) else None,
    'face_px': float(used['face_px'].median()),
    'blur': float(used['blur'].median()),
    'brightness': float(used['brightness'].median()),
    'note': f'too little: {seconds:.1f} s, fewer than {min_seconds:g} s'
    if seconds < min_seconds
    else '',
  }
