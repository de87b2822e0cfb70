r"""Does all, from videos to a page: ingest, train, embed, evaluate, report.

  python -m launch.run videos --out=LAB
  python -m launch.run a.mp4 b.mp4 --out=LAB --show_faces

Stops once for faces to be named (LAB/ingested/tracks.csv), and says how; not if
there is one video of one face, or --person_from says who is seen. The same
command goes on where it was, whatever stopped it. The preset follows from the
machine unless --config names one. The page is LAB/run/report.html.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 name the faces and start again,
75 stopped by a signal: resume.
"""

from absl import flags, logging
from ml_collections import config_flags

from psm_jax import lab
from psm_jax.cli import program
from psm_jax.data.ingest import listing

_OUT = flags.DEFINE(
  program.PLACE,
  'out',
  None,
  "The lab's folder; holds faces, so it is made mode 0700.",
)
_CONFIG = config_flags.DEFINE_config_file(
  'config',
  None,
  'The experiment: a file, or the name of a preset. Default: by the machine.',
  lock_config=True,
)
_PERSON_FROM = flags.DEFINE_enum(
  'person_from',
  'ask',
  listing.PERSON_FROM,
  'Who is seen where a video shows one face: file, somebody else in each; '
  'folder, one person in all of a folder (PERSON/video.mp4); ask, whom you '
  'name.',
)
_GENERAL = flags.DEFINE_bool(
  'general',
  False,
  "Train a general model of everybody first, and each person's own from it: "
  'better than from nothing, and less work from three people on. All models '
  'then learned from everybody, which psm forget asks about.',
)
_SHOW_FACES = flags.DEFINE_bool(
  'show_faces', False, 'Show faces in the page. Without it none is in it.'
)
_CODES = {lab.DONE: None, lab.ASKS: 3, lab.STOPPED: 75}
ARGUMENTS = 'VIDEOS'
REQUIRED = ('out',)


def main(*videos: str) -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  outcome = lab.run(
    videos,
    _OUT.value,
    config=_CONFIG.value,
    person_from=_PERSON_FROM.value,
    general=_GENERAL.value,
    show_faces=_SHOW_FACES.value,
  )
  if outcome.page:
    logging.info('The page: %s', outcome.page)
  return _CODES[outcome.state]
