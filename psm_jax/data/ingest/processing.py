"""One video: reads it twice, first to find and follow faces, then to cut them.

Nothing but the faces is kept in between, so memory does not grow with the
pictures: 250 bytes a face found and some 300 a row of the table, and 4 kB a
face where the detector gives landmarks.
"""

import dataclasses
import hashlib
import pathlib
import secrets
import shutil

import cv2
import numpy as np
import pandas as pd

from psm_jax import paths, tasks
from psm_jax.data import frame_times, sources
from psm_jax.data.ingest import (
  appearance,
  box_tables,
  crops,
  cuts,
  detection,
  faces as faces_lib,
  jobs,
  layout,
  sheets,
  tracking,
  video,
  video_tables,
)

_REPORT_EVERY = 20


def ingest_video(
  job: jobs.Job,
  report: tasks.Report,
  *,
  options: jobs.Options,
  root: pathlib.Path,
  num_threads: int = 1,
) -> dict:
  """Makes the folder of one video and returns what its video.json says.

  The folder appears under its name when complete.

  Args:
    job: which video.
    report: is called now and then with the number of frames searched since, and
      the seconds of video that they are.
    options: how.
    root: the ingest folder, with its subfolders.
    num_threads: of the decoder, and of OpenCV.

  Raises:
    ValueError: If it is no video, or not one that can be read.
    OSError: If it cannot be read or the folder not be written.
  """
  cv2.setNumThreads(num_threads)
  counts = video.Counts()
  search, warnings = _search(job, options, counts, report, num_threads)
  warnings += counts.warnings(search.time_s)
  temporary = root / layout.VIDEOS / f'.new-{secrets.token_hex(6)}'
  paths.make_private_dir(temporary)
  try:
    pages = _write_tracks(job, options, search, temporary, num_threads)
    frames = video_tables.frames_table(job.video_id, search)
    frames.to_parquet(
      temporary / 'frames.parquet', index=False, write_page_checksum=True
    )
    _write_details(search, options, temporary)
    content = _describe(job, options, search, counts, warnings, frames)
    content['made'] = _digest_of(temporary)
    content['sheets'] = _write_sheets(root, job.video_id, pages)
    paths.write_json(temporary / 'video.json', content)
    final = layout.video_folder(root, job.video_id)
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
  return content


def _digest_of(folder):
  """16 hex digits of the content of all files in a folder and below."""
  return sources.digest(
    [
      (
        str(path.relative_to(folder)),
        hashlib.sha256(path.read_bytes()).hexdigest(),
      )
      for path in sorted(folder.rglob('*'))
      if path.is_file()
    ]
  )


def _search(job, options, counts, report, num_threads):
  """Finds and follows the faces of all frames; (search, warnings)."""
  table, every, warnings = None, options.detect_every, []
  if job.table is not None:
    table, every = box_tables.read(job.table, first_row=options.first_row), 1
  else:
    detector = detection.make(options.detector)
  finder = cuts.CutFinder()
  found, sound = [], []
  for frame in video.read(job.entry.path, counts, num_threads=num_threads):
    if not frame.is_damaged:
      finder.add(frame)
      sound.append(frame.index)
      if table is None and frame.index % every == 0:
        faces = _detect(detector, frame)
        if len(faces):
          found.append((frame.index, faces))
    if counts.decoded % _REPORT_EVERY == 0:
      report(_REPORT_EVERY, _REPORT_EVERY / counts.rate)
  rest = counts.decoded % _REPORT_EVERY
  report(rest, rest / counts.rate)
  if not counts.decoded:
    raise ValueError('no frame in it can be decoded')
  time_s = counts.time_s()
  begins = np.array(sound, int)[finder.cuts()]
  if table is None:
    frames = np.array([i for i, faces in found for _ in faces.boxes], int)
    faces = faces_lib.joined(
      [faces for _, faces in found] or [faces_lib.NO_FACES]
    )
  else:
    frames, faces, warnings = box_tables.place(
      table, time_s, counts, options.boxes
    )
  tracks = tracking.follow(
    frames,
    faces.boxes,
    time_s,
    begins,
    gap_s=options.gap_s,
    step_s=every * frame_times.usual_step(time_s),
  )
  kept = [r for r in tracks if len(r) * every >= options.min_track_frames]
  return video_tables.Search(
    time_s=time_s,
    tracks=[
      _track_rows(frames[rows], faces.chosen(rows), time_s, options, every)
      for rows in kept
    ],
    counts={
      'cuts': len(begins),
      'with_face': len(np.unique(frames)),
      'faces': len(frames),
      'faces_dropped': len(frames) - sum(map(len, kept)),
    },
  ), warnings


def _detect(detector, frame):
  try:
    return detector.detect(frame)
  except cv2.error as error:
    raise ValueError(
      f'the detector failed at frame {frame.index}, '
      f'{frame.size[0]}x{frame.size[1]}: {error.err or error}'
    ) from error


def _track_rows(frames, faces, time_s, options, every):
  frames, faces, is_made_up = tracking.fill(frames, faces, every=every)
  return video_tables.TrackRows(
    frames=frames,
    faces=faces,
    is_made_up=is_made_up,
    crops=crops.align(time_s[frames], faces, eye_distance=options.eye_distance),
    measured=np.full((len(frames), 3), np.nan, np.float32),
  )


def _write_tracks(job, options, search, folder, num_threads):
  """Reads the video again and writes all crops; returns what sheets show."""
  pages = [{} for _ in search.tracks]
  if not search.tracks:
    return pages
  due = _due(search.tracks)
  frames_due = due[:, 0].copy()
  shown = [set(sheets.chosen_frames(t.frames).tolist()) for t in search.tracks]
  watches = [appearance.Watch(len(t.frames)) for t in search.tracks]
  folders = [folder / layout.track_name(n) for n in range(len(search.tracks))]
  for path in folders:
    path.mkdir(mode=0o700)
  counts, start = video.Counts(), 0
  for frame in video.read(job.entry.path, counts, num_threads=num_threads):
    stop = np.searchsorted(frames_due, frame.index, side='right')
    picture = frame.picture() if start < stop else None
    for _, track, row in due[start:stop]:
      crop = _cut(search.tracks[track], row, picture, options)
      watches[track].add(crop)
      _write_crop(folders[track], frame.index, crop, options)
      if frame.index in shown[track]:
        pages[track][frame.index] = crop
    start = stop
  if counts.decoded != len(search.time_s):
    raise ValueError(
      f'the first reading gave {len(search.time_s)} frames, the second '
      f'{counts.decoded}; was the file changed meanwhile?'
    )
  for track, watch in zip(search.tracks, watches, strict=True):
    if watch.changed_at is not None:
      track.changes_at = int(track.frames[watch.changed_at])
  return pages


def _write_details(search, options, folder):
  """Writes landmarks and weak labels of the faces, if the detector gave any."""
  tables = [
    video_tables.details_tables(number, track, size_px=options.size_px)
    for number, track in enumerate(search.tracks)
    if track.faces.details is not None
  ]
  names = layout.LANDMARKS, layout.WEAK_LABELS
  for name, parts in zip(names, zip(*tables, strict=True), strict=False):
    pd.concat(parts).to_parquet(folder / name, index=False)


def _due(tracks):
  """[R, 3] int64 (frame, track, row) of all crops, in order of frames."""
  parts = [
    np.stack(
      [t.frames, np.full(len(t.frames), i), np.arange(len(t.frames))], axis=1
    )
    for i, t in enumerate(tracks)
  ]
  due = np.concatenate(parts)
  return due[np.lexsort((due[:, 1], due[:, 0]))]


def _cut(track, row, picture, options):
  """One crop; what is measured of it goes into the track."""
  where = track.crops[row]
  crop = crops.cut(picture, where, size_px=options.size_px)
  height, width = picture.shape[:2]
  is_inside = crops.is_inside(where, (width, height))
  track.measured[row] = is_inside, crops.blur(crop), crops.brightness(crop)
  return crop


def _write_crop(folder, frame, crop, options):
  if options.format == 'jpg':
    settings = [
      cv2.IMWRITE_JPEG_QUALITY,
      options.quality,
      cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
      cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
  else:
    settings = [cv2.IMWRITE_PNG_COMPRESSION, 3]
  encoded = cv2.imencode(f'.{options.format}', crop[..., ::-1], settings)[1]
  path = folder / layout.crop_name(frame, options.format)
  path.write_bytes(encoded)  # OpenCV's own does not say why it failed.


def _write_sheets(root, video_id, pages):
  """Writes the contact sheets and returns their paths in the folder."""
  rows = [
    (f'{video_id}  track {track}:  frames {min(page)} to {max(page)}', page)
    for track, page in enumerate(pages)
  ]
  folder = paths.child(root, layout.SHEETS)
  written = sheets.write(folder, video_id, rows)
  return [f'{layout.SHEETS}/{path.name}' for path in written]


def _describe(job, options, search, counts, warnings, frames):
  """What video.json says, without the sheets and what was made."""
  if num_dropped := search.counts['faces_dropped']:
    warnings.append(
      f'{num_dropped} faces found for fewer than '
      f'{options.min_track_frames} frames; not used'
    )
  warnings += [
    f'the face of track {number} seems to be another from frame '
    f'{track.changes_at} ({search.time_s[track.changes_at]:.2f} s) on'
    for number, track in enumerate(search.tracks)
    if track.changes_at is not None
  ]
  return {
    'schema_version': layout.SCHEMA_VERSION,
    'video_id': job.video_id,
    'name': layout.shown(job.entry.name),
    'key': job.entry.key,
    'content': job.entry.content,
    'digest': job.digest,
    'suggestion': job.entry.person_id,
    'person_id': job.person_id,
    'options': dataclasses.asdict(options)
    | {'table': job.table.name if job.table else None},
    'warnings': warnings,
  } | video_tables.describe(search, counts, frames)
