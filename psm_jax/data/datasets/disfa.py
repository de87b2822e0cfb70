"""DISFA (Mavadati et al., 2013): intensities of 12 action units, every frame.

Pictures anywhere below the root with `SN001` in their path; 'left' or 'right'
in it names the camera, and so the video. Labels are text files of one action
unit each, ActionUnit_Labels/SN001/SN001_au1.txt, with lines `frame,intensity`.
"""

import re

import numpy as np
import pandas as pd

from psm_jax import paths
from psm_jax.data import sources
from psm_jax.data.datasets import trees

ACTION_UNITS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
_PERSON = re.compile(r'SN\d{3}', re.IGNORECASE)
_CAMERA = re.compile(r'(left|right)[^/]*', re.IGNORECASE)
_LABEL_FOLDERS = ('ActionUnit_Labels', 'AU_Labels')


def _identify(where, stem):
  persons = _PERSON.findall(f'{where}/{stem}')
  if not persons:
    return None
  cameras = _CAMERA.findall(f'{where}/{stem}')
  return persons[-1].upper(), cameras[-1].lower() if cameras else 'video'


def _read_labels(root, options, videos, report):
  folder = trees.label_folder(root, options, _LABEL_FOLDERS, report)
  if folder is None:
    return {}
  by_person = {
    person_id: _read_person(folder, person_id, options, report)
    for person_id in sorted({video.person_id for video in videos})
  }
  # Both cameras filmed the same face at once.
  return {
    video.key: by_person[video.person_id]
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
    with sources.reporting(path, report):
      columns[f'AU{unit:02d}'] = _read_unit(path, options, report)
  if missing:
    report(
      f'{folder.name}/{person_id}',
      f'no file for the action units {", ".join(map(str, missing))}; labels '
      'missing',
    )
  if not columns:
    return None
  _compare_lengths(columns, f'{folder.name}/{person_id}', report)
  return trees.as_labels(pd.DataFrame(columns))


def _read_unit(path, options, report):
  """One file as a series by its own frame numbers."""
  frames, values = trees.read_pairs(path)
  values = trees.checked_labels(
    values, path, options, report, high=5, what='intensities'
  )
  counted = frames[0] + np.arange(len(frames))
  if not np.array_equal(frames, counted):
    first = int(np.flatnonzero(frames != counted)[0])
    report(
      path,
      f'line {first + 1} is of frame {frames[first]}, not {counted[first]}: '
      'the frame numbers of the file were used, not the order of its lines',
    )
  return trees.once(pd.Series(values, frames), path, report)


def _compare_lengths(columns, where, report):
  """Reports files that label other frames than the person's longest one."""
  longest = max(columns, key=lambda unit: len(columns[unit]))
  for unit, series in columns.items():
    if lacking := len(columns[longest].index.difference(series.index)):
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
  identify=_identify,
  read_labels=_read_labels,
  is_shift_possible=True,
  has_dense_labels=True,
)
