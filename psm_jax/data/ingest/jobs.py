"""What is to be done with one video: which it is, and how it is ingested."""

import dataclasses
import pathlib
from collections.abc import Mapping

from psm_jax.data import sources
from psm_jax.data.ingest import detection, layout, listing
from psm_jax.data.labels import joining

FORMATS = ('jpg', 'png')


@dataclasses.dataclass(frozen=True)
class Options:
  """How videos are ingested; another value of any makes other crops.

  Attributes:
    detector: which, and how it looks.
    detect_every: faces are sought in every so manyth frame and put on straight
      lines between.
    gap_s: for how long a face may be lost and still be the same track.
    min_track_frames: in how many frames a track's face must be found.
    size_px: side of a crop.
    format: 'jpg' or 'png'.
    quality: of JPEG files.
    eye_distance: share of a crop's side between the eyes.
    first_row: number of a video's first frame in tables of boxes; None for the
      tool's habit.
    boxes: how tables of boxes are read that could be read in two ways.
  """

  detector: detection.DetectorOptions = detection.DetectorOptions()
  detect_every: int = 1
  gap_s: float = 1.0
  min_track_frames: int = 10
  size_px: int = 128
  format: str = 'jpg'
  quality: int = 95
  eye_distance: float = 0.40
  first_row: int | None = None
  boxes: joining.Settings = joining.Settings()

  @classmethod
  def of(cls, content: Mapping) -> 'Options':
    """Returns the options that a video.json or a trained model keeps.

    Raises:
      ValueError: If there are options of another version of this program.
    """
    values = {k: v for k, v in content.items() if k != 'table'}
    try:
      return cls(
        detector=detection.DetectorOptions(**values.pop('detector')),
        boxes=joining.Settings(**values.pop('boxes')),
        **values,
      )
    except (KeyError, TypeError) as error:
      raise ValueError(
        f'The options of an ingest are of another version: {error}. Ingest the '
        'videos again.'
      ) from error

  def check(self) -> None:
    """Raises ValueError if an option is out of range."""
    self.detector.check()
    for name, value, least, most in (
      ('detect_every', self.detect_every, 1, 1000),
      ('gap_s', self.gap_s, 0, 3600),
      ('min_track_frames', self.min_track_frames, 1, 10**6),
      ('size_px', self.size_px, 16, 2048),
      ('quality', self.quality, 95, 100),
      ('eye_distance', self.eye_distance, 0.1, 0.9),
    ):
      if not least <= value <= most:
        raise ValueError(f'--{name} {value} is not from {least} to {most}.')
    if self.format not in FORMATS:
      raise ValueError(f'--format {self.format!r} is none of {FORMATS}.')


@dataclasses.dataclass(frozen=True)
class Job:
  """One video to be ingested.

  Attributes:
    entry: the file, with its content; `entry.person_id` was given for it.
    video_id: what its folder is called.
    person_id: who it shows if it has a single track.
    table: boxes to be used instead of a detector; None for a detector.
    digest: of the options, and of the table.
  """

  entry: listing.Input
  video_id: str
  person_id: str
  table: pathlib.Path | None
  digest: str


def digest(options: Options, table: pathlib.Path | None) -> str:
  """Returns 16 hex digits that change with any option or the table's content.

  Raises:
    OSError: If the table cannot be read.
  """
  values = dataclasses.asdict(options)
  if table is not None:
    values['detector'] = table.read_bytes().hex()
  else:
    del values['first_row'], values['boxes']
    if options.detector.name == detection.LANDMARKER:
      # There is but one file, wherever it lies.
      del values['detector']['model']
  return sources.digest([layout.SCHEMA_VERSION, values])
