"""What is to be done with which videos, and how they are ingested."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

from absl import logging

from psm_jax import paths
from psm_jax.data import sources
from psm_jax.data.ingest import detection, layout, listing, summary, tracks
from psm_jax.data.labels import joining, table_files

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


def digest_of(options: Options, table: pathlib.Path | None) -> str:
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


@dataclasses.dataclass(frozen=True)
class Plan:
  """What there is to do.

  Attributes:
    todo: the videos to be ingested.
    rows: summary.csv's rows of all others, by the video's key.
    remade: what video.json says of those to be ingested again, by video_id.
    copies: of which video another is a copy, by the copy's key.
  """

  todo: list[Job]
  rows: dict[str, dict]
  remade: dict[str, dict]
  copies: dict[str, listing.Input]


def make_plan(
  inputs: Sequence[listing.Input],
  root: pathlib.Path,
  options: Options,
  boxes: str | os.PathLike | None,
) -> Plan:
  """Returns what there is to do for videos.

  Args:
    inputs: the videos asked for.
    root: the ingest folder.
    options: how videos are ingested.
    boxes: see `batch.ingest`.

  Raises:
    ValueError: If tracks.csv is no such table, or there is no folder of boxes.
  """
  table = tracks.read(root)  # Before hours of work, not after.
  known, damaged = layout.list_videos(root)
  for text in damaged:
    logging.warning('%s', text)
  inputs = [_read(entry) for entry in inputs]
  usable = [entry for entry in inputs if not entry.problem]
  rows = {
    # A repeated line must not hide the video itself.
    f'{entry.key} {entry.problem}': summary.failed_row(entry, entry.problem)
    for entry in inputs
    if entry.problem
  }
  plan = Plan([], rows, {}, _copies(usable))
  ids = listing.assign_ids(usable, known.values())
  tables, missing = _boxes_of(boxes, usable, ids)
  given = {
    *(entry.person_id.lower() for entry in usable),
    *(content['suggestion'].lower() for content in known.values()),
  }
  for entry in usable:
    video_id = ids[entry.key]
    try:
      if entry.key in missing:
        raise ValueError(missing[entry.key])
      digest = digest_of(options, tables.get(entry.key))
    except (OSError, ValueError) as error:
      rows[entry.key] = summary.failed_row(
        entry, summary.reason_of(error), video_id=video_id
      )
      continue
    person_id = entry.person_id
    if not person_id and entry.key not in plan.copies:
      # One face in two files is not two people, and somebody else may have been
      # given this video's name as an id.
      is_taken = video_id.lower() in given
      person_id = f'{video_id[:58]}-video' if is_taken else video_id
    job = Job(entry, video_id, person_id, tables.get(entry.key), digest)
    _add(plan, job, known.get(video_id), root, table)
  logging.info(
    '%d videos: %d to do, %d done before, %d cannot be used; %d other files.',
    sum(not entry.is_left_out for entry in inputs),
    len(plan.todo),
    sum(row['status'] in ('ok', 'no_face') for row in rows.values()),
    sum(row['status'] == 'failed' for row in rows.values()),
    sum(row['status'] == 'left_out' for row in rows.values()),
  )
  return plan


def _read(entry):
  """A video asked for, with its content or the reason why it has none."""
  if entry.problem:
    return entry
  try:
    content = listing.fingerprint(entry.path)
  except OSError as error:
    return dataclasses.replace(entry, problem=error.strerror or str(error))
  return dataclasses.replace(entry, path=entry.path.absolute(), content=content)


def _copies(usable):
  """Of which video another is a copy, by the copy's key."""
  first: dict[str, listing.Input] = {}
  twins = {e.key: first.setdefault(e.content, e) for e in usable}
  return {key: twin for key, twin in twins.items() if twin.key != key}


def _boxes_of(boxes, inputs, ids):
  """(tables of boxes, reasons why there is none), by the video's key."""
  if boxes is None:
    return {}, {}
  boxes = pathlib.Path(boxes)
  if not boxes.is_dir():
    return {entry.key: boxes for entry in inputs}, {}
  names = {
    entry.key: [*table_files.names_of(entry.name), ids[entry.key]]
    for entry in inputs
  }
  assigned, problems = table_files.assign(boxes, names)
  return assigned, dict(problems)


def _add(plan, job, before, root, table):
  """Adds a video to a plan: to be ingested, or what is known of it.

  Args:
    plan: where it goes.
    job: the video.
    before: what its video.json says, None if there is none.
    root: the ingest folder.
    table: its tracks.csv.
  """
  made_of = job.entry.content, job.digest
  if before and (before['content'], before['digest']) == made_of:
    _name_person(root, job, before, table)
    plan.rows[job.entry.key] = summary.video_row(before)
  elif before and tracks.is_edited(table, before):
    reason = (
      'the file or the options changed, but its tracks were filled in by hand: '
      'left as it was. Delete its rows in tracks.csv to make it anew'
    )
    logging.warning('%s: %s.', layout.shown(job.entry.name), reason)
    plan.rows[job.entry.key] = summary.video_row(before) | {'reason': reason}
  else:
    plan.todo.append(job)
    if before:
      plan.remade[job.video_id] = before


def _name_person(root, job, before, table):
  """Brings a video's given person up to what is said now, if it is not late."""
  suggestion = job.entry.person_id
  if before['suggestion'] == suggestion:
    return
  if any(row['person_id'] for row in table.of_video(job.video_id)):
    if suggestion:
      logging.warning(
        '%s: the person_id is now %s; tracks.csv keeps what it says. Change '
        'its row there.',
        layout.shown(job.entry.name),
        suggestion,
      )
    return
  before |= {'suggestion': suggestion, 'person_id': job.person_id}
  paths.write_json(
    layout.video_folder(root, job.video_id) / 'video.json', before
  )
