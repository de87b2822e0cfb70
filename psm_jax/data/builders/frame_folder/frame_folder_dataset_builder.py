"""Folders of frames as a TFDS data set; the pictures' bytes are kept as is."""

import dataclasses

from tqdm import auto as tqdm

from psm_jax.data import folders, labels
from psm_jax.data.builders import records, videos
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
  labels_path = f'{video.name}/labels.csv'

  def report(path, reason):
    problems.append({'path': path, 'reason': reason})

  table = None
  if video.has_labels and broken is None:
    try:
      table = labels.read_labels(source.root / labels_path)
    except ValueError as error:
      broken = str(error)
  if broken is not None:
    report(labels_path, f'labels not used: {broken}')
  example = videos.read_video(
    source,
    video,
    columns,
    folder=source.root / video.name,
    table=table,
    report=report,
    labels_path=labels_path,
  )
  return example, problems
