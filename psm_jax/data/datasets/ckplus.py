"""CK+ (Lucey et al., 2010): sequences from a neutral face to a peak.

cohn-kanade-images/S011/001/S011_001_00000001.png, and per sequence, named by
the picture they belong to: Emotion/.../*_emotion.txt (one code, 0 neutral to 7
surprise; many sequences have none), FACS/.../*_facs.txt (lines of unit and
intensity, of which 0 means present, not graded) and
Landmarks/.../*_landmarks.txt (68 points of each picture).

Labels lie on the pictures that carry them, in general the peak alone:
`expression`, AU06_c (1 if listed, else 0) and AU06 (0 if not listed, missing if
not graded).
"""

import re

import numpy as np
import pandas as pd

from psm_jax import paths
from psm_jax.data import folds, labels, sources
from psm_jax.data.datasets import trees

EXPRESSIONS = (
  'neutral',
  'anger',
  'contempt',
  'disgust',
  'fear',
  'happy',
  'sadness',
  'surprise',
)
NUM_FOLDS = 10
_MAX_BYTES = 1 << 20  # Of a file of numbers.
_CODES = range(len(EXPRESSIONS))
_SEQUENCE = re.compile(r'(?:^|[/_])(S\d{3})[/_](\d{3})(?=$|[/_])')
_FRAME = re.compile(r'_(\d+)_(?:emotion|facs|landmarks)')
_IMAGES = 'cohn-kanade-images'
# Of each kind: usual folders, what a file holds, and whether its rows are such.
_KINDS = {
  'emotion': (
    ('Emotion_labels/Emotion', 'Emotion'),
    'one code 0 to 7',
    lambda rows: [len(row) for row in rows] == [1] and rows[0][0] in _CODES,
  ),
  'facs': (
    ('FACS_labels/FACS', 'FACS'),
    'lines of action unit and intensity, not the pain scores of UNBC-McMaster',
    lambda rows: all(
      len(row) == 2 and row[0] % 1 == 0 and 0 <= row[1] <= 5 for row in rows
    ),
  ),
  'landmarks': (
    ('Landmarks/Landmarks', 'Landmarks'),
    '68 lines of x and y',
    lambda rows: [len(row) for row in rows] == [2] * labels.NUM_LANDMARKS,
  ),
}


def _read_labels(root, options, videos, report):
  place = root / options.labels
  folders = {kind: _find_folder(place, kind, report) for kind in _KINDS}
  contents = [
    {
      kind: _read_files(folder, kind, video, report)
      for kind, folder in folders.items()
      if folder is not None
    }
    for video in videos
  ]
  units = sorted(
    {
      int(unit)
      for content in contents
      for listed in content.get('facs', {}).values()
      for unit, _ in listed
    }
  )
  return {
    video.key: _make_table(video, content, units)
    for video, content in zip(videos, contents, strict=True)
  }


def _find_folder(place, kind, report):
  """The folder of one kind of labels, None if it is not there."""
  names = _KINDS[kind][0]
  for name in names:
    if (place / name).is_dir():
      return place / name
  report(names[-1], f'no such folder in {place}; labels missing')
  return None


def _read_files(folder, kind, video, report):
  """From frame numbers to the content of one sequence's files of one kind."""
  (_, expected, fits), content_of = _KINDS[kind], {}
  sequence = paths.child(folder, video.person_id, video.video_id)
  for path in sorted(sequence.glob(f'*_{kind}.txt')):
    frame = _FRAME.search(path.stem)
    with sources.reporting(path, report):
      if frame is None:
        raise ValueError('its name has no frame number')
      lines = paths.read_bytes(path, _MAX_BYTES).decode().splitlines()
      rows = [
        [float(x) for x in line.split()] for line in lines if line.strip()
      ]
      if not fits(rows):
        raise ValueError(
          f'expected {expected}; got {len(rows)} lines, first {rows[:1]}'
        )
      content_of[int(frame[1])] = rows
  return content_of


def _make_table(video, contents, units):
  """One sequence's labels: a row a picture, most of them empty."""
  rows = {frame: {} for frame in video.frames}
  for frame, ((code,),) in contents.get('emotion', {}).items():
    rows.setdefault(frame, {})['expression'] = code
  for frame, listed in contents.get('facs', {}).items():
    row, codes = rows.setdefault(frame, {}), dict(listed)
    for unit in units:
      row[f'AU{unit:02d}_c'] = float(unit in codes)
      # An intensity of 0 is listed for units that are present, not graded.
      row[f'AU{unit:02d}'] = (codes[unit] or np.nan) if unit in codes else 0.0
  columns = [
    'expression',
    *(f'AU{unit:02d}{kind}' for kind in ('', '_c') for unit in units),
  ]
  values = pd.DataFrame(
    list(rows.values()),
    pd.Index(rows, name='frame', dtype=np.int64),
    columns,
    np.float32,
  )
  landmarks = None
  if points := contents.get('landmarks'):
    unknown = np.full((labels.NUM_LANDMARKS, 2), np.nan)
    landmarks = np.stack([points.get(frame, unknown) for frame in rows])
  return labels.LabelTable(values, landmarks, ())


def _find_folds(root, options, videos):
  """Ten folds of people in order of their ids, as is usual for CK+."""
  del root, options
  people = list({video.person_id for video in videos})
  are_many = len(people) >= NUM_FOLDS
  return folds.by_order(people, num_folds=NUM_FOLDS) if are_many else {}


DATASET = trees.Dataset(
  kind='ckplus',
  columns=('expression',),
  fps=30.0,
  is_fps_known=False,
  expected=f'{_IMAGES}/S011/001/S011_001_00000001.png',
  identify=lambda where, stem: (_SEQUENCE.findall(f'{where}/{stem}') or [None])[
    -1
  ],
  read_labels=_read_labels,
  has_landmarks=True,
  find_folds=_find_folds,
)
