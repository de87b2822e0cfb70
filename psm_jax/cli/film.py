r"""Makes a film of a recording: input, neutral face, reconstruction, movement.

  python -m launch.film --model=runs/lab --person=P01 --out=film.mp4
  python -m launch.film --model=zoo/facecycle-P01-s0 --source=today.mp4 \
      --out=today_film.mp4
  python -m launch.film --model=runs/lab --person=P01 --drive=P02 --out=film.mp4

Side by side, with a ribbon of labels under them. --source is a video, an ingest
folder or a frame store; by default a video of the person that the run was
trained on (--video names it). --drive moves the face of another person, a
person of the run or a source of faces. A film shows faces.

Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

from absl import flags, logging

import psm_jax
from psm_jax import embedding, film
from psm_jax.cli import program

_MODEL = flags.DEFINE(
  program.PLACE, 'model', None, 'A run, or an exported model.'
)
_PERSON = flags.DEFINE_string(
  'person', None, 'Whose model, where there are several.'
)
_SOURCE = flags.DEFINE(program.PLACE, 'source', None, 'The recording.')
_VIDEO = flags.DEFINE_string(
  'video', None, "Which of the person's videos, without --source."
)
_DRIVE = flags.DEFINE_string('drive', None, 'Whose face is moved.')
_OUT = flags.DEFINE(program.PLACE, 'out', None, 'The film, .mp4.')
program.allow(
  (), ['source'], ['video'], message='--video is for films without --source.'
)
REQUIRED = ('model', 'out')


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  model = psm_jax.load(_MODEL.value, person_id=_PERSON.value)
  source, labels, fps, store = _SOURCE.value, None, 25.0, None
  if source is None:
    store = embedding.open_frames(_MODEL.value)
    source, labels, fps = film.video_of(store, model.person_id, _VIDEO.value)
  face = _DRIVE.value
  if store is not None and face in store.person_ids:
    face = film.video_of(store, face, None)[0]
  path = film.write(
    model, source, _OUT.value, face=face, labels=labels, fps=fps
  )
  logging.info('Wrote %s', path)
