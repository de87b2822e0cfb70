r"""Finds, follows, aligns and cuts out the faces of videos, ready for training.

  python -m launch.ingest --input=/data/videos --output=/data/ingested

The input is a video, a folder of videos with its subfolders, or a CSV table
with the columns path and, if known, person_id. What is done already is not done
again. Look at OUTPUT/contact_sheets and fill in person_id in OUTPUT/tracks.csv;
videos that show one person are filled in already. docs/ingest.md describes the
output.

Exit codes: 0 done (summary.csv says what became of each video), 1 no video
could be used, 2 wrong usage, 75 stopped by a signal: the same command goes on.
"""

from absl import flags, logging

from psm_jax.cli import program
from psm_jax.data.ingest import batch, detection, layout, processing

_INPUT = flags.DEFINE_string(
  'input', None, 'A video, a folder of videos, or a manifest (.csv).'
)
_OUTPUT = flags.DEFINE_string(
  'output', None, 'The ingest folder; holds faces, so it is made mode 0700.'
)
_PERSON_FROM = flags.DEFINE_enum(
  'person_from',
  'file',
  ['file', 'folder'],
  'Who is seen where no manifest says so: somebody else in each file, or one '
  'person in all files of a folder (PERSON/video.mp4).',
)
_BOXES = flags.DEFINE_string(
  'boxes',
  None,
  'Boxes found by OpenFace, py-feat or another program, instead of a detector: '
  'a CSV table, or a folder with STEM.csv for each video.',
)
_DETECTOR = flags.DEFINE_enum(
  'detector', 'mtcnn', detection.DETECTORS, 'Which detector finds faces.'
)
_MODEL = flags.DEFINE_string('model', '', "YuNet's ONNX file.")
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
  'format', 'jpg', processing.FORMATS, 'Of the crops; png loses nothing.'
)
_QUALITY = flags.DEFINE_integer('quality', 95, 'Of JPEG crops, 95 to 100.')
_EYE_DISTANCE = flags.DEFINE_float(
  'eye_distance', 0.40, "Distance of the eyes as a share of a crop's side."
)
_NUM_WORKERS = flags.DEFINE_integer(
  'num_workers', 0, 'Videos at a time; 0 for as many as there are cores.'
)
_MIN_PERSON_S = flags.DEFINE_float(
  'min_person_s', 30.0, 'People with fewer seconds are flagged in people.csv.'
)


def _options():
  return processing.Options(
    detector=detection.DetectorOptions(
      name=_DETECTOR.value,
      model=_MODEL.value,
      min_score=_MIN_SCORE.value,
      longest_px=_DETECT_PX.value,
      min_face_px=_MIN_FACE_PX.value,
    ),
    detect_every=_DETECT_EVERY.value,
    gap_s=_GAP_S.value,
    min_track_frames=_MIN_TRACK_FRAMES.value,
    size_px=_SIZE_PX.value,
    format=_FORMAT.value,
    quality=_QUALITY.value,
    eye_distance=_EYE_DISTANCE.value,
  )


REQUIRED = ('input', 'output')


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  outcome = batch.ingest(
    _INPUT.value,
    _OUTPUT.value,
    options=_options(),
    person_from=_PERSON_FROM.value,
    boxes=_BOXES.value,
    num_workers=_NUM_WORKERS.value,
    min_person_s=_MIN_PERSON_S.value,
  )
  used = outcome.count('ok') + outcome.count('no_face')
  logging.info(
    '%d videos with faces, %d without, %d failed; %d people confirmed. See '
    '%s/%s.',
    outcome.count('ok'),
    outcome.count('no_face'),
    outcome.count('failed'),
    len(outcome.people),
    _OUTPUT.value,
    layout.SUMMARY,
  )
  if outcome.num_open_tracks:
    logging.info(
      '%d tracks wait to be confirmed: look at %s/%s and fill in person_id in '
      '%s/%s.',
      outcome.num_open_tracks,
      _OUTPUT.value,
      layout.SHEETS,
      _OUTPUT.value,
      layout.TRACKS,
    )
  return None if used else program.FAILED
