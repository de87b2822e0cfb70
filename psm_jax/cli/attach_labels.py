r"""Joins action units that another tool found with frames or embeddings.

  python -m launch.attach_labels --labels=/data/openface --tool=openface \
      --frames=/data/frames
  python -m launch.attach_labels --labels=/data/pyfeat --tool=pyfeat \
      --workdir=runs/first --score=probability

--labels holds a table a video, which lies and is called as the video is:
PERSON/VIDEO.csv, PERSON_VIDEO.csv, or, where no other video has that name,
VIDEO.csv. With --frames they are added to labels.csv beside the pictures or
ingested videos, before training; with --workdir to the tables of launch.embed,
after it. Rows belong to the frame of their number where the numbers fit the
video, and else to the frame whose own time is nearest, within half a frame.
Where two readings are possible, nothing is written: both are shown, and the
flag that settles it. What does not fit is listed and counted.

Columns are AU06_r (intensity, 0 to 5), AU06_c (presence), AU06_p (probability)
and AU06_raw (unknown scale); launch.evaluate scores AU06 alone, so --score says
which of them to write as that too. Of several faces in a frame the person's is
the one where the person was found; without boxes in the table, --faces must say
which it is.

Exit codes: 0 done, 1 failed, 2 wrong usage, 75 stopped by a signal.
"""

import pathlib

from absl import flags, logging

from psm_jax.cli import program
from psm_jax.data.ingest import layout
from psm_jax.data.labels import (
  attach,
  collection,
  joining,
  numbering,
  tools,
)

_LABELS = flags.DEFINE(
  program.PLACE, 'labels', None, "Folder of the tool's tables."
)
_TOOL = flags.DEFINE_enum(
  'tool',
  None,
  list(tools.TOOLS),
  'Who wrote them. openface: OpenFace 1 and 2, frames from 1; openface3: a '
  'column action_units; pyfeat, libreface: frames from 0; mediapipe: a column '
  'a blendshape, frames from 0; generic: columns AU<k>, AU<k>_r, AU<k>_c, '
  'frames from 0.',
)
_FRAMES = flags.DEFINE(
  program.PLACE,
  'frames',
  None,
  'Folder of PERSON/VIDEO/*.jpg, or one that launch.ingest made.',
)
_WORKDIR = flags.DEFINE(
  program.PLACE, 'workdir', None, 'A run of launch.embed.'
)
_SCORE = flags.DEFINE_enum(
  'score',
  'none',
  list(collection.SCORES),
  'Which columns to write as AU01, AU02, ... too, for launch.evaluate. Its '
  '--threshold is 2 for intensity, 1 for presence, 0.5 for probability.',
)
_FIRST_FRAME = flags.DEFINE_enum(
  'first_frame',
  'check',
  list(numbering.FIRST_FRAMES),
  "Number of a video's first picture; check: as the numbers of all videos and "
  'tables say, or an error if they do not.',
)
_FIRST_ROW = flags.DEFINE_integer(
  'first_row',
  None,
  "Number of a video's first frame in the tables, also in names of pictures "
  'cut from it, if not 1 for openface and 0 for the others.',
)
_JOIN = flags.DEFINE_enum(
  'join',
  'check',
  list(joining.JOINS),
  'Which rows belong to which frames, where numbers and times could both serve '
  'and differ.',
)
_TIMES = flags.DEFINE_enum(
  'times',
  'check',
  list(joining.TIMES),
  'What time stamps of tables without frame numbers are: seconds from the '
  "video's first frame to the start or the end of each, or the start by the "
  "file's own clock.",
)
_FPS = flags.DEFINE_float(
  'fps', 0.0, "Frames a second of --frames; 0: dataset.json's."
)
_FACES = flags.DEFINE_string(
  'faces', None, "CSV of person_id,video_id,face: the tool's face_id of whom."
)
_PREFIX = flags.DEFINE_string(
  'prefix', '', "Put before the tool's columns, to keep two tools apart."
)
_LANDMARKS = flags.DEFINE_bool(
  'landmarks',
  False,
  'Also write the 68 landmarks, which --config.data.align=eyes aligns by and '
  'launch.evaluate predicts; only if the tool saw the very pictures of '
  '--frames, or the videos that were ingested.',
)
_OVERWRITE = flags.DEFINE_bool(
  'overwrite', False, 'Replace columns that are there already.'
)
_UNITS = flags.DEFINE_list(
  'units',
  list(map(str, tools.OPENFACE3_UNITS)),
  "Action units of OpenFace 3's list, in order; the default is not documented "
  'by it.',
)
program.allow(
  ['frames'], ['workdir'], message='Give one of --frames and --workdir.'
)


def _next():
  """The command that uses the labels."""
  if _WORKDIR.value:
    return f'python -m launch.evaluate --workdir={_WORKDIR.value}'
  path = pathlib.Path(_FRAMES.value)
  source = 'video' if (path / layout.TRACKS).is_file() else 'frame'
  return (
    'python -m launch.train --config=configs/psm_ctl.py --workdir=runs/first '
    f'--config.data.source={source}_folder --config.data.path={path}'
  )


REQUIRED = ('labels', 'tool')


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  if not all(unit.isdecimal() for unit in _UNITS.value):
    raise ValueError(f'--units={",".join(_UNITS.value)}; expected numbers.')
  options = collection.Options(
    tool=_TOOL.value,
    first_row=_FIRST_ROW.value,
    first_frame=_FIRST_FRAME.value,
    settings=joining.Settings(join=_JOIN.value, times=_TIMES.value),
    units=tuple(map(int, _UNITS.value)),
    score=_SCORE.value,
    prefix=_PREFIX.value,
    overwrite=_OVERWRITE.value,
    faces=collection.read_faces(_FACES.value) if _FACES.value else {},
    landmarks=_LANDMARKS.value,
  )
  if _FRAMES.value:
    summary = attach.to_frames(
      _LABELS.value, _FRAMES.value, options, fps=_FPS.value
    )
  else:
    summary = attach.to_embeddings(_LABELS.value, _WORKDIR.value, options)
  logging.info('Wrote %d files.', len(summary.written))
  logging.info('Next: %s', _next())
