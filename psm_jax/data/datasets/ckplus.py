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

from psm_jax import paths, tabular
from psm_jax.data import folds, labels
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
_FOLDERS = {
  'emotion': ('Emotion_labels/Emotion', 'Emotion'),
  'facs': ('FACS_labels/FACS', 'FACS'),
  'landmarks': ('Landmarks/Landmarks', 'Landmarks'),
}


def _read_labels(root, options, videos, report):
  place = root / options.labels
  folders = {kind: _find_folder(place, kind, report) for kind in _FOLDERS}
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
      unit
      for content in contents
      for codes in content.get('facs', {}).values()
      for unit in codes
    }
  )
  return {
    video.key: _make_table(video, content, units)
    for video, content in zip(videos, contents, strict=True)
  }


def _find_folder(place, kind, report):
  """The folder of one kind of labels, None if it is not there."""
  for name in _FOLDERS[kind]:
    if (place / name).is_dir():
      return place / name
  report(_FOLDERS[kind][-1], f'no such folder in {place}; labels missing')
  return None


def _read_files(folder, kind, video, report):
  """From frame numbers to the content of one sequence's files of one kind."""
  content_of = {}
  sequence = paths.child(folder, video.person_id, video.video_id)
  for path in sorted(sequence.glob(f'*_{kind}.txt')):
    frame = _FRAME.search(path.stem)
    try:
      if frame is None:
        raise ValueError('its name has no frame number')
      lines = tabular.read_bytes(path, _MAX_BYTES).decode().splitlines()
      rows = [
        [float(x) for x in line.split()] for line in lines if line.strip()
      ]
      content_of[int(frame[1])] = _CHECKS[kind](rows)
    except (OSError, ValueError) as error:
      report(path, f'not used: {error}')
  return content_of


def _check_emotion(rows):
  if len(rows) != 1 or len(rows[0]) != 1 or rows[0][0] not in _CODES:
    raise ValueError(f'expected one code 0 to 7, got {rows}')
  return rows[0][0]


def _check_facs(rows):
  if len(rows) == 1 and len(rows[0]) == 1:
    raise ValueError(
      'it holds one number, as the pain scores of UNBC-McMaster do; expected '
      'lines of action unit and intensity'
    )
  if any(len(row) != 2 or row[0] % 1 or not 0 <= row[1] <= 5 for row in rows):
    raise ValueError(f'expected lines of action unit and intensity, got {rows}')
  return {int(unit): intensity for unit, intensity in rows}


def _check_landmarks(rows):
  if len(rows) != labels.NUM_LANDMARKS or any(len(row) != 2 for row in rows):
    raise ValueError(f'expected 68 lines of x and y, got {len(rows)} lines')
  return np.array(rows)


_CHECKS = {
  'emotion': _check_emotion,
  'facs': _check_facs,
  'landmarks': _check_landmarks,
}


def _make_table(video, contents, units):
  """One sequence's labels: a row a picture, most of them empty."""
  rows = {frame: {} for frame in video.frames}
  for frame, code in contents.get('emotion', {}).items():
    rows.setdefault(frame, {})['expression'] = code
  for frame, codes in contents.get('facs', {}).items():
    row = rows.setdefault(frame, {})
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
