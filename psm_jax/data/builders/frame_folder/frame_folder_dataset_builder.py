"""Folders of frames as a TFDS data set; the pictures' bytes are kept as is."""

import dataclasses
import os

import numpy as np
from tqdm import auto as tqdm

from psm_jax.data import alignment, folders, labels
from psm_jax.data.builders import records
from psm_jax.data.tf import tfds


@dataclasses.dataclass(eq=False, kw_only=True)
class FrameFolderConfig(tfds.core.BuilderConfig):
  """Which folder, and how to read it.

  Attributes:
    source: what `folders.scan` returned.
  """

  # TFDS prints configs, and this one lists every file.
  source: folders.FolderSource = dataclasses.field(repr=False)


def make_builder(source: folders.FolderSource, *, data_dir) -> 'Builder':
  """Returns the builder of a folder of frames, under the source's fingerprint.

  Args:
    source: what `folders.scan` returned.
    data_dir: TFDS's folder.
  """
  config = FrameFolderConfig(name=source.fingerprint, source=source)
  return Builder(config=config, data_dir=data_dir)


class Builder(tfds.core.GeneratorBasedBuilder):
  """People's videos kept as PERSON/VIDEO/*.jpg, with labels.csv if any."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self) -> tfds.core.DatasetInfo:
    columns, self._broken = _label_columns(self.builder_config.source)
    self._columns = columns
    return self.dataset_info_from_configs(
      features=records.features(len(columns)),
      metadata=records.metadata(columns),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager
    return {records.SPLIT: self._generate_examples()}

  def _generate_examples(self):
    source = self.builder_config.source
    problems = list(source.problems)
    num_frames = 0
    for key, video in enumerate(
      tqdm.tqdm(source.videos, desc='reading folders', unit='video')
    ):
      example, found = read_video(
        source, video, self._columns, broken=self._broken.get(video.name)
      )
      problems += found
      if example is not None:
        num_frames += len(example['frames'])
        yield key, example
    if not num_frames:
      raise ValueError(
        f'No frame of {source.root} can be used: '
        + '; '.join(f'{p["path"]}: {p["reason"]}' for p in problems[:3])
      )
    self.info.metadata.update(num_frames=num_frames, problems=problems)


def _label_columns(source):
  """Names of all videos' labels in order of appearance, and broken tables."""
  columns, broken = {}, {}
  for video in source.videos:
    if video.has_labels:
      try:
        path = source.root / video.name / 'labels.csv'
        columns.update(dict.fromkeys(labels.read_columns(path)))
      except ValueError as error:
        broken[video.name] = str(error)
  return list(columns), broken


def read_video(source, video, columns, *, broken=None):
  """Returns (TFDS example or None, problems) of one video.

  Args:
    source: the folder's `FolderSource`.
    video: one of its videos.
    columns: names of the label columns wanted; those that are absent are NaN.
    broken: why the video's labels.csv cannot be read, if known.

  Returns:
    The example, None if no frame can be used; and what is wrong, each
    {'path', 'reason'}.
  """
  problems = []
  folder = source.root / video.name
  frames = np.array(video.frames)
  values = np.full((len(frames), len(columns)), np.nan, np.float32)
  crops = np.full((len(frames), 2, 3), np.nan, np.float32)
  usable = np.full(len(frames), source.align == 'none')

  def report(reason, name='labels.csv'):
    path = f'{video.name}/{name}' if name else video.name
    problems.append({'path': path, 'reason': reason})

  table = None
  if video.has_labels and broken is None:
    try:
      table = labels.read_labels(folder / 'labels.csv')
    except ValueError as error:
      broken = str(error)
  if broken is not None:
    report(f'labels not used: {broken}')
  if table is not None:
    _report_mismatch(table, frames, report)
    values = _match_values(table, frames, columns)
    if source.align == 'eyes' and table.landmarks is not None:
      crops, usable = _match_crops(table, frames, source.eye_distance)
  if source.align == 'eyes' and not usable.all():
    if usable.any():
      report(f'{(~usable).sum()} frames have no eye landmarks; left out')
    else:
      report(
        "no eye landmarks (x36..x47, y36..y47) for data.align='eyes'; video "
        'left out',
        name=None,
      )
      return None, problems
  example = {
    'person_id': video.person_id,
    'video_id': video.video_id,
    'fps': source.fps,
    'frames': [],
  }
  for i in np.flatnonzero(usable):
    name = video.files[i]
    try:
      image = (folder / name).read_bytes()
    except OSError as error:
      report(f'unreadable file: {error.strerror}', name=name)
      continue
    example['frames'].append(
      {
        'image': image,
        'name': os.fsencode(name),
        'frame': video.frames[i],
        'time_s': (video.frames[i] - video.frames[0]) / source.fps,
        'crop': crops[i],
      }
      | ({'labels': values[i]} if columns else {})
    )
  return (example if example['frames'] else None), problems


def _report_mismatch(table, frames, report):
  for problem in table.problems:
    report(problem)
  labelled = table.values.index.to_numpy()
  missing = len(np.setdiff1d(frames, labelled))
  extra = len(np.setdiff1d(labelled, frames))
  if missing:
    report(f'{missing} of {len(frames)} frames have no row; labels missing')
  if extra:
    report(f'{extra} rows belong to no picture; not used')


def _match_values(table, frames, columns):
  """[T, L] float32 labels of the frames."""
  matched = table.values.reindex(index=frames, columns=columns)
  return matched.to_numpy(np.float32)


def _match_crops(table, frames, eye_distance):
  """[T, 2, 3] float32 crops of the frames, and which are known."""
  position = table.values.index.get_indexer(frames)
  crops = alignment.eye_crop(
    alignment.eye_centres(table.landmarks), eye_distance=eye_distance
  )
  known = np.isfinite(crops).all(axis=(1, 2))
  usable = (position >= 0) & known[position]
  return crops[position].astype(np.float32), usable
