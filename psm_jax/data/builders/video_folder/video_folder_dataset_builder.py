"""Ingested videos as a TFDS data set; the crops' bytes are kept as they are."""

import dataclasses

import numpy as np
from tqdm import auto as tqdm

from psm_jax.data import labels
from psm_jax.data.builders import records
from psm_jax.data.ingest import folder, layout
from psm_jax.data.tf import tfds

# A record must stay below 2 GiB; a longer video becomes several, one behind the
# other, which the frame store joins again.
_RECORD_FRAMES = 10_000
_LARGEST_RECORD_BYTES = 1_900_000_000


@dataclasses.dataclass(eq=False, kw_only=True)
class VideoFolderConfig(tfds.core.BuilderConfig):
  """Which ingest folder.

  Attributes:
    source: what `folder.scan` returned.
  """

  # TFDS prints configs, and this one lists every video.
  source: folder.IngestSource = dataclasses.field(repr=False)


def make_builder(source: folder.IngestSource, *, data_dir) -> 'Builder':
  """Returns the builder of an ingest folder, under the source's fingerprint.

  Args:
    source: what `folder.scan` returned.
    data_dir: TFDS's folder.
  """
  config = VideoFolderConfig(name=source.fingerprint, source=source)
  return Builder(config=config, data_dir=data_dir)


class Builder(tfds.core.GeneratorBasedBuilder):
  """The confirmed tracks of ingested videos, with labels.csv if any.

  Labels of every frame are confidence, face_px, blur and brightness. time_s is
  the time by the video's own clock.
  """

  VERSION = tfds.core.Version('1.0.0')

  def _info(self) -> tfds.core.DatasetInfo:
    self._tables, self._problems = _read_labels(self.builder_config.source)
    columns = dict.fromkeys(folder.QUALITY_COLUMNS)
    for table in self._tables.values():
      columns.update(dict.fromkeys(table.values.columns))
    self._columns = list(columns)
    return self.dataset_info_from_configs(
      features=records.features(len(columns)),
      metadata=records.metadata(self._columns),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager
    return {records.SPLIT: self._generate_examples()}

  def _generate_examples(self):
    source = self.builder_config.source
    problems = [*source.problems, *self._problems]
    num_frames = key = 0
    for video in tqdm.tqdm(source.videos, desc='reading videos', unit='video'):
      examples = read_video(
        source, video, self._columns, self._tables.get(video.name), problems
      )
      for example in examples:
        num_frames += len(example['frames'])
        yield key, example
        key += 1
    if not num_frames:
      raise ValueError(
        f'No crop of {source.root} can be used: '
        + '; '.join(f'{p["path"]}: {p["reason"]}' for p in problems[:3])
      )
    self.info.metadata.update(num_frames=num_frames, problems=problems)


def _read_labels(source):
  """(label tables by PERSON/VIDEO, what is wrong with them)."""
  tables, problems = {}, []
  for video in source.videos:
    if video.has_labels:
      path = layout.video_folder(source.root, video.video_id) / 'labels.csv'
      try:
        tables[video.name] = labels.read_labels(path)
      except ValueError as error:
        problems.append(
          {'path': video.name, 'reason': f'labels not used: {error}'}
        )
  return tables, problems


def read_video(source, video, columns, table, problems):
  """Yields the TFDS examples of one person's part of a video.

  Args:
    source: the ingest folder's `IngestSource`.
    video: one of its videos.
    columns: names of the label columns wanted; those that are absent are NaN.
    table: the video's `labels.LabelTable`, None if it has none.
    problems: what is wrong is added to it, each {'path', 'reason'}.

  Yields:
    Examples of up to 10,000 frames, in order.
  """
  frames = folder.read_frames(source.root, video)
  frames = frames[frames['success']].reset_index(drop=True)
  values = frames.reindex(columns=columns).to_numpy(np.float32)
  if table is not None:
    _add_labels(values, table, frames, columns, video, problems)
  example, size = None, 0
  files = folder.crop_files(source.root, video, frames)
  for row, path in enumerate(files):
    try:
      image = path.read_bytes()
    except OSError as error:
      problems.append(
        {
          'path': f'{video.name}/{path.parent.name}/{path.name}',
          'reason': f'unreadable file: {error.strerror}',
        }
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
        'crop': np.full((2, 3), np.nan, np.float32),
        'labels': values[row],
      }
    )
  if example is not None:
    yield example


def _add_labels(values, table, frames, columns, video, problems):
  """Writes a label table's values into the frames' [T, L] values."""
  matched = table.values.reindex(index=frames['frame'].to_numpy())
  for name in table.values.columns:
    values[:, columns.index(name)] = matched[name].to_numpy(np.float32)
  missing = len(np.setdiff1d(frames['frame'], table.values.index))
  found = list(table.problems)
  if missing:
    found.append(f'{missing} of {len(frames)} frames have no row')
  problems += [
    {'path': f'{video.name}/labels.csv', 'reason': reason} for reason in found
  ]
