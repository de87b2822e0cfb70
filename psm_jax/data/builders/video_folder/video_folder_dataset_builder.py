"""Ingested videos as a TFDS data set; the crops' bytes are kept as they are.

  tfds build psm_jax/data/builders/video_folder \
      --config='{"name": "lab", "options": {"path": "/data/ingested"}}'

Options are those of `folder.scan`.
"""

import numpy as np
from tqdm import auto as tqdm

from psm_jax.data import alignment, labels
from psm_jax.data.builders import source_builder, videos
from psm_jax.data.ingest import folder, layout
from psm_jax.data.labels import weak

# A record must stay below 2 GiB; a longer video becomes several, one behind the
# other, which the frame store joins again.
_RECORD_FRAMES = 10_000
_LARGEST_RECORD_BYTES = 1_900_000_000


class Builder(source_builder.SourceBuilder):
  """The confirmed tracks of ingested videos, with labels.csv if any.

  Labels of every frame are confidence, face_px, blur and brightness, and the
  weak labels of `labels.weak` where the detector made any. time_s is the time
  by the video's own clock.
  """

  def describe(self, options):
    """See `SourceBuilder`."""
    options = {'path': ''} | options
    return folder.scan(options.pop('path'), **options)

  def label_columns(self, source):
    """See `SourceBuilder`."""
    self._tables, self._broken = _read_labels(source)
    columns = dict.fromkeys(folder.QUALITY_COLUMNS)
    if any(
      (
        layout.video_folder(source.root, v.video_id) / layout.WEAK_LABELS
      ).is_file()
      for v in source.videos
    ):
      columns |= dict.fromkeys(weak.COLUMNS)
    for table in self._tables.values():
      columns.update(dict.fromkeys(table.values.columns))
    return columns

  def has_landmarks(self, source):
    """See `SourceBuilder`."""
    return any(video.has_landmarks for video in source.videos)

  def examples(self, source, columns, report):
    """See `SourceBuilder`."""
    for name, reason in self._broken.items():
      report(name, reason)
    has_landmarks = self.has_landmarks(source)
    for video in tqdm.tqdm(source.videos, desc='reading videos', unit='video'):
      table = self._tables.get(video.name)
      yield from read_video(
        source, video, columns, table, report, has_landmarks=has_landmarks
      )


def _read_labels(source):
  """(label tables by PERSON/VIDEO, what is wrong with the others)."""
  tables, broken = {}, {}
  for video in source.videos:
    if video.labels_name:
      path = layout.video_folder(source.root, video.video_id)
      path = path / video.labels_name
      try:
        tables[video.name] = labels.read_labels(path)
      except ValueError as error:
        broken[video.name] = f'labels not used: {error}'
  return tables, broken


def read_video(source, video, columns, table, report, *, has_landmarks=False):
  """Yields the TFDS examples of one person's part of a video.

  Args:
    source: the ingest folder's `IngestSource`.
    video: one of its videos.
    columns: names of the label columns wanted; those that are absent are NaN.
    table: the video's `labels.LabelTable`, None if it has none.
    report: takes (path, reason) of what is left out or missing.
    has_landmarks: whether the data set's frames have landmarks.

  Yields:
    Examples of up to 10,000 frames, in order.
  """
  frames = folder.read_frames(source.root, video)
  frames = frames[frames['success']].reset_index(drop=True)
  values = frames.reindex(columns=columns).to_numpy(np.float32)
  if table is not None:
    _add_labels(values, table, frames, columns, video, report)
  points = _crop_landmarks(table, frames, video.size_px)
  crops = np.full((len(frames), 2, 3), np.nan, np.float32)
  if source.align == 'landmarks':
    crops = folder.landmark_crops(
      source.root, video, frames, eye_distance=source.eye_distance
    ).astype(np.float32)
  example, size = None, 0
  files = folder.crop_files(source.root, video, frames)
  for row, path in enumerate(files):
    try:
      image = path.read_bytes()
    except OSError as error:
      report(
        f'{video.name}/{path.parent.name}/{path.name}',
        f'unreadable file: {error.strerror}',
      )
      continue
    size += len(image)
    if example and (
      len(example['frames']) == _RECORD_FRAMES or size > _LARGEST_RECORD_BYTES
    ):
      yield example
      example = None
    if example is None:
      size = len(image)
      example = {
        'person_id': video.person_id,
        'video_id': video.video_id,
        'fps': video.fps,
        'frames': [],
      }
    example['frames'].append(
      {
        'image': image,
        'name': path.name,
        'frame': int(frames['frame'][row]),
        'time_s': float(frames['time_s'][row]),
        'crop': crops[row],
        'labels': values[row],
      }
      | ({'landmarks': points[row]} if has_landmarks else {})
    )
  if example is not None:
    yield example


def _crop_landmarks(table, frames, size_px):
  """[T, 68, 2] float32 landmarks in pixels of the crops' files."""
  if table is None or table.landmarks is None:
    shape = (len(frames), labels.NUM_LANDMARKS, 2)
    return np.full(shape, np.nan, np.float32)
  points = videos.match_landmarks(table, frames['frame'].to_numpy())
  points = alignment.to_frame(
    points, folder.read_crops(frames), size_px=size_px
  )
  return points.astype(np.float32)


def _add_labels(values, table, frames, columns, video, report):
  """Writes a label table's values into the frames' [T, L] values."""
  matched = table.values.reindex(index=frames['frame'].to_numpy())
  for name in table.values.columns:
    values[:, columns.index(name)] = matched[name].to_numpy(np.float32)
  missing = len(np.setdiff1d(frames['frame'], table.values.index))
  found = list(table.problems)
  if missing:
    found.append(f'{missing} of {len(frames)} frames have no row')
  for reason in found:
    report(f'{video.name}/{video.labels_name}', reason)
