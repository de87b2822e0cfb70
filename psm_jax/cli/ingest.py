r"""Finds, follows, aligns and cuts out the faces of videos, ready for training.

  python -m launch.ingest --input=/data/videos --output=/data/ingested

The input is a video, a folder of videos with its subfolders, or a CSV table
with the columns path and, if known, person_id. What is done already is not done
again. Look at OUTPUT/contact_sheets and fill in person_id in OUTPUT/tracks.csv;
videos that show one face are filled in already where --person_from or the table
says who it is. docs/ingest.md describes the
output.

Exit codes: 0 done (summary.csv says what became of each video), 1 no video
could be used, 2 wrong usage, 75 stopped by a signal: the same command goes on.
"""

import dataclasses

from absl import flags, logging

from psm_jax.cli import program
from psm_jax.data.ingest import (
  batch,
  detection,
  jobs,
  landmark_models,
  layout,
  listing,
)
from psm_jax.data.labels import joining

_INPUT = flags.DEFINE(
  program.PLACE,
  'input',
  None,
  'A video, a folder of videos, or a manifest (.csv).',
)
_OUTPUT = flags.DEFINE(
  program.PLACE,
  'output',
  None,
  'The ingest folder; holds faces, so it is made mode 0700.',
)
_PERSON_FROM = flags.DEFINE_enum(
  'person_from',
  'ask',
  listing.PERSON_FROM,
  'Who is seen where no manifest says so: somebody else in each file, or one '
  'person in all files of a folder (PERSON/video.mp4); ask: nobody is '
  'confirmed where there are several videos.',
)
_BOXES = flags.DEFINE(
  program.PLACE,
  'boxes',
  None,
  'Boxes found by OpenFace, py-feat or another program, instead of a detector: '
  'a table, or a folder of tables that are called as the videos are.',
)
_FIRST_ROW = flags.DEFINE_integer(
  'first_row',
  None,
  "Number of a video's first frame in --boxes, if not 1 for OpenFace and 0 for "
  'others.',
)
_JOIN = flags.DEFINE_enum(
  'join',
  'check',
  joining.JOINS,
  'Which rows of --boxes belong to which frames, where numbers and times could '
  'both serve and differ.',
)
_TIMES = flags.DEFINE_enum(
  'times',
  'check',
  joining.TIMES,
  'What time stamps of --boxes without frame numbers are: seconds from the '
  "first frame to the start or the end of each, or the start by the file's "
  'clock.',
)
_DETECTOR = flags.DEFINE_enum(
  'detector',
  detection.AUTO,
  detection.DETECTORS,
  'Which detector finds faces. auto: the landmarker where its model file is '
  'there, which also gives landmarks, head pose and weak labels of expression; '
  'MTCNN elsewhere.',
)
_MODEL = flags.DEFINE(
  program.PLACE,
  'model',
  None,
  f"The landmarker's file {landmark_models.FILE}, if it is not at "
  "~/.config/psm_jax, or YuNet's ONNX file.",
)
_MIN_SCORE = flags.DEFINE_float(
  'min_score', 0.9, 'Least score of a face; the score is kept in the tables.'
)
_DETECT_PX = flags.DEFINE_integer(
  'detect_px',
  640,
  'Larger pictures are searched shrunk to this longer side; crops are cut from '
  'the full picture.',
)
_MIN_FACE_PX = flags.DEFINE_integer(
  'min_face_px',
  32,
  'Smallest face that is found, in the picture that is searched; smaller is '
  'slower.',
)
_DETECT_EVERY = flags.DEFINE_integer(
  'detect_every',
  1,
  'Search every so manyth frame and put the faces between on straight lines, '
  'marked as interpolated. Faster, but fast movements of the head shake.',
)
_GAP_S = flags.DEFINE_float(
  'gap_s', 1.0, 'Seconds a face may be lost and still be the same track.'
)
_MIN_TRACK_FRAMES = flags.DEFINE_integer(
  'min_track_frames', 10, 'Shorter tracks are left out and counted.'
)
_SIZE_PX = flags.DEFINE_integer('size_px', 128, 'Side of a crop in pixels.')
_FORMAT = flags.DEFINE_enum(
  'format', 'jpg', jobs.FORMATS, 'Of the crops; png loses nothing.'
)
_QUALITY = flags.DEFINE_integer('quality', 95, 'Of JPEG crops, 95 to 100.')
_EYE_DISTANCE = flags.DEFINE_float(
  'eye_distance', 0.40, "Distance of the eyes as a share of a crop's side."
)
_NUM_WORKERS = flags.DEFINE_integer(
  'num_workers', 0, 'Videos at a time; 0 for as many as there are cores.'
)
_SCHEDULER = flags.DEFINE_string(
  'scheduler',
  '',
  'Address or file of a Dask scheduler, whose workers do it instead of this '
  "machine's processes; they must see the same files by the same names.",
)
_MIN_PERSON_S = flags.DEFINE_float(
  'min_person_s', 30.0, 'People with fewer seconds are flagged in people.csv.'
)


def _options():
  detector = detection.DetectorOptions(
    name=_DETECTOR.value,
    model=_MODEL.value or '',
    min_score=_MIN_SCORE.value,
    longest_px=_DETECT_PX.value,
    min_face_px=_MIN_FACE_PX.value,
  )
  if _BOXES.value is not None and detector.name == detection.AUTO:
    detector = dataclasses.replace(detector, name=detection.MTCNN)
  return jobs.Options(
    detector=detector.resolved(),
    detect_every=_DETECT_EVERY.value,
    gap_s=_GAP_S.value,
    min_track_frames=_MIN_TRACK_FRAMES.value,
    size_px=_SIZE_PX.value,
    format=_FORMAT.value,
    quality=_QUALITY.value,
    eye_distance=_EYE_DISTANCE.value,
    first_row=_FIRST_ROW.value,
    boxes=joining.Settings(join=_JOIN.value, times=_TIMES.value),
  )


REQUIRED = ('input', 'output')


def _next(outcome):
  """What there is to do now."""
  train = (
    'python -m launch.train --config=configs/psm_ctl.py --workdir=runs/first '
    '--config.data.source=video_folder --config.data.path=' + _OUTPUT.value
  )
  if outcome.num_waiting:
    return (
      f'{outcome.num_waiting} videos show one face each, and nothing says '
      'whether they are one person or several. Give this command again with '
      '--person_from=file if each shows somebody else, or with '
      '--person_from=folder if the videos of a folder show one person; or fill '
      f'in person_id in {_OUTPUT.value}/{layout.TRACKS}'
    )
  if outcome.num_open_tracks:
    return (
      f'{outcome.num_open_tracks} tracks wait to be confirmed: look at '
      f'{_OUTPUT.value}/{layout.SHEETS} and fill in person_id in '
      f'{_OUTPUT.value}/{layout.TRACKS}, then {train}'
    )
  return train


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  outcome = batch.ingest(
    _INPUT.value,
    _OUTPUT.value,
    options=_options(),
    person_from=_PERSON_FROM.value,
    boxes=_BOXES.value,
    num_workers=_NUM_WORKERS.value,
    scheduler=_SCHEDULER.value,
    min_person_s=_MIN_PERSON_S.value,
  )
  used = outcome.count('ok') + outcome.count('no_face')
  logging.info(
    '%d videos with faces, %d without, %d failed, %d other files left out; %d '
    'people confirmed. See %s/%s.',
    outcome.count('ok'),
    outcome.count('no_face'),
    outcome.count('failed'),
    outcome.count('left_out'),
    len(outcome.people),
    _OUTPUT.value,
    layout.SUMMARY,
  )
  if used:
    logging.info('Next: %s', _next(outcome))
  return None if used else program.FAILED
