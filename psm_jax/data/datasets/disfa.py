"""DISFA (Mavadati et al., 2013): intensities of 12 action units, every frame.

Pictures anywhere below the root with `SN001` in their path; 'left' or 'right'
in it names the camera, and so the video. Labels are text files of one action
unit each, ActionUnit_Labels/SN001/SN001_au1.txt, with lines `frame,intensity`.
"""

import re

import numpy as np
import pandas as pd

from psm_jax import paths
from psm_jax.data import labels
from psm_jax.data.datasets import label_files, trees

ACTION_UNITS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
_PERSON = re.compile(r'SN\d{3}', re.IGNORECASE)
_CAMERA = re.compile(r'(left|right)[^/]*', re.IGNORECASE)
_LABEL_FOLDERS = ('ActionUnit_Labels', 'AU_Labels')
_LARGEST = 5


def _make_identify(root, options, report):
  del root, options, report

  def identify(where, stem):
    persons = _PERSON.findall(f'{where}/{stem}')
    if not persons:
      return None
    cameras = _CAMERA.findall(f'{where}/{stem}')
    return persons[-1].upper(), cameras[-1].lower() if cameras else 'video'

  return identify


def _read_labels(root, options, videos, report):
  folder = label_files.label_folder(root, options, _LABEL_FOLDERS, report)
  if folder is None:
    return {}
  by_person = {
    person_id: _read_person(folder, person_id, options, report)
    for person_id in sorted({video.person_id for video in videos})
  }
  # Both cameras filmed the same face at once.
  return {
    (video.person_id, video.video_id): by_person[video.person_id]
    for video in videos
    if by_person[video.person_id] is not None
  }


def _read_person(folder, person_id, options, report):
  """All action units of one person, None if there are none."""
  columns, missing = {}, []
  for unit in ACTION_UNITS:
    path = paths.child(folder, person_id, f'{person_id}_au{unit}.txt')
    if not path.is_file():
      missing.append(unit)
      continue
    try:
      columns[f'AU{unit:02d}'] = _read_unit(path, options, report)
    except ValueError as error:
      report(path, f'not used: {error}')
  if missing:
    report(
      f'{folder.name}/{person_id}',
      f'no file for the action units {", ".join(map(str, missing))}; labels '
      'missing',
    )
  if not columns:
    return None
  _compare_lengths(columns, f'{folder.name}/{person_id}', report)
  values = pd.DataFrame(columns).astype(np.float32)
  values.index = values.index.astype(np.int64).rename('frame')
  return labels.LabelTable(values, None, ())


def _read_unit(path, options, report):
  """One file as a series by its own frame numbers."""
  frames, values = label_files.read_pairs(path)
  values, wrong = label_files.masked(values, options, low=0, high=_LARGEST)
  if wrong:
    report(path, f'{wrong} intensities are not 0 to {_LARGEST}; missing')
  counted = frames[0] + np.arange(len(frames))
  if not np.array_equal(frames, counted):
    first = int(np.flatnonzero(frames != counted)[0])
    report(
      path,
      f'line {first + 1} is of frame {frames[first]}, not {counted[first]}: '
      'the frame numbers of the file were used, not the order of its lines',
    )
  series = pd.Series(values, pd.Index(frames))
  if series.index.has_duplicates:
    repeated = series.index.duplicated()
    report(path, f'{repeated.sum()} lines repeat a frame number; not used')
    series = series[~repeated]
  return series


def _compare_lengths(columns, where, report):
  """Reports files that label other frames than the person's longest one."""
  longest = max(columns, key=lambda unit: len(columns[unit]))
  for unit, series in columns.items():
    lacking = len(columns[longest].index.difference(series.index))
    if lacking:
      report(
        where, f'{unit} has no label on {lacking} frames that {longest} has'
      )


DATASET = trees.Dataset(
  kind='disfa',
  columns=tuple(f'AU{unit:02d}' for unit in ACTION_UNITS),
  fps=20.0,
  is_fps_known=True,
  expected=(
    'pictures with SN001, SN002, ... in their path, as SN001/0001.png or '
    'LeftVideoSN001/0001.png'
  ),
  make_identify=_make_identify,
  read_labels=_read_labels,
  is_shift_possible=True,
  has_dense_labels=True,
)
