"""Every source as a TFDS data set: an example is one video of one person.

launch.train describes a source and hands it to `Faces.of`. TFDS's own program
hands over options, which are fields of the configuration's `data`:

  tfds build faces --imports=psm_jax.data.builder --config='{"name": "lab",
      "options": {"source": "frame_folder", "path": "/data/frames"}}'

The pictures' bytes are kept as they are.
"""

import contextlib
import dataclasses
import errno
import io
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from tqdm import auto as tqdm

from psm_jax import json_files
from psm_jax.data import labels, prepare, sources
from psm_jax.data.tf import tfds
from psm_jax.presets import base

SPLIT = 'train'
# A record must stay below 2 GiB; a longer video becomes several, one behind the
# other, which the frame store joins again.
_RECORD_FRAMES = 10_000
_LARGEST_RECORD_BYTES = 1_900_000_000


@dataclasses.dataclass(eq=False, kw_only=True)
class SourceConfig(tfds.core.BuilderConfig):
  """What is read, and how.

  Attributes:
    source: as described by launch.train; None to go by the options.
    options: what TFDS's user gives.
  """

  # TFDS prints configs, and this may list every file.
  source: Any = dataclasses.field(default=None, repr=False)
  options: dict = dataclasses.field(default_factory=dict)


class Faces(tfds.core.GeneratorBasedBuilder):
  """Videos of people's faces, with labels where the source has them."""

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS: ClassVar = [
    SourceConfig(name='options', description='What TFDS is told to read.')
  ]
  builder_config_cls = SourceConfig

  @classmethod
  def of(cls, source: Any, *, data_dir: str | os.PathLike) -> 'Faces':
    """Returns the builder of a source, under its fingerprint.

    Args:
      source: a `sources.Source`.
      data_dir: TFDS's folder.
    """
    config = SourceConfig(name=source.fingerprint, source=source)
    with naming_damage(pathlib.Path(data_dir) / 'faces' / config.name):
      return cls(config=config, data_dir=data_dir)

  def _info(self) -> tfds.core.DatasetInfo:
    self.source = self.builder_config.source
    if self.source is None:
      config_data = base.get_config().data
      config_data.update(self.builder_config.options)
      self.source = prepare.describe(config_data)
    return self.dataset_info_from_configs(
      features=features(
        len(self.source.label_columns),
        has_landmarks=self.source.has_landmarks,
      ),
      metadata=tfds.core.MetadataDict(
        label_columns=list(self.source.label_columns), num_frames=0, problems=[]
      ),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager
    return {SPLIT: self._generate_examples()}

  def _generate_examples(self):
    problems = list(self.source.problems)
    report = sources.reporter(problems)
    num_frames = key = 0
    for video in tqdm.tqdm(self.source.videos, desc='reading', unit='video'):
      for frames in self._records(video, report):
        yield (
          key,
          {
            'person_id': video.person_id,
            'video_id': video.video_id,
            'fps': video.fps,
            'frames': frames,
          },
        )
        key, num_frames = key + 1, num_frames + len(frames)
    if not num_frames:
      raise ValueError(
        f'No frame of {self.source.root} can be used: '
        + '; '.join(f'{p["path"]}: {p["reason"]}' for p in problems[:3])
      )
    self.info.metadata.update(num_frames=num_frames, problems=problems)

  def _records(self, video, report):
    """Yields the frames of one video, as many as a record may hold."""
    shots = self.source.shots(video, report)
    if shots is None:
      return
    columns = list(self.source.label_columns)
    values = shots.labels.reindex(columns=columns).to_numpy(np.float32)
    missing = np.full((len(values), 1, 1), np.nan, np.float32)
    crops, points = (
      np.broadcast_to(missing, shape)
      if given is None
      else given.astype(np.float32)
      for given, shape in (
        (shots.crops, (len(values), 2, 3)),
        (shots.landmarks, (len(values), labels.NUM_LANDMARKS, 2)),
      )
    )
    frames, num_bytes = [], 0
    for row, name in enumerate(shots.names):
      try:
        image = shots.read(row)
      except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        report(f'{video.name}/{name}', f'unreadable file: {reason}')
        continue
      num_bytes += len(image)
      is_full = len(frames) == _RECORD_FRAMES
      if frames and (is_full or num_bytes > _LARGEST_RECORD_BYTES):
        yield frames
        frames, num_bytes = [], len(image)
      frame = {
        'image': image,
        'name': os.fsencode(name),
        'frame': shots.frames[row],
        'time_s': shots.time_s[row],
        'crop': crops[row],
      }
      # TensorFlow crashes (division by zero) on a vector of no elements.
      if columns:
        frame['labels'] = values[row]
      if self.source.has_landmarks:
        frame['landmarks'] = points[row]
      frames.append(frame)
    if frames:
      yield frames


def features(
  num_labels: int, *, has_landmarks: bool
) -> tfds.features.FeaturesDict:
  """Returns the features of one video.

  Per video person_id, video_id and fps; per frame of the video:
  image: the encoded picture, decoded as uint8 RGB;
  name: the picture's file name;
  frame: int64, the source's own number;
  time_s: float64, 0 at the video's smallest frame number;
  crop: [2, 3] float32, see `alignment`; NaN for the centre square;
  labels: [num_labels] float32, NaN where missing, named in the metadata; absent
  without labels;
  landmarks: [68, 2] float32, (x, y) pixels of the picture, NaN where missing;
  absent without landmarks.
  """
  tensor = tfds.features.Tensor
  # Records hold floats in 32 bits, unless as bytes.
  double = tensor(
    shape=(), dtype=np.float64, encoding=tfds.features.Encoding.BYTES
  )
  frame = {
    'image': tfds.features.Image(shape=(None, None, 3)),
    'name': tfds.features.Text(),
    'frame': tfds.features.Scalar(np.int64),
    'time_s': double,
    'crop': tensor(shape=(2, 3), dtype=np.float32),
  }
  if num_labels:
    frame['labels'] = tensor(shape=(num_labels,), dtype=np.float32)
  if has_landmarks:
    frame['landmarks'] = tensor(
      shape=(labels.NUM_LANDMARKS, 2), dtype=np.float32
    )
  return tfds.features.FeaturesDict(
    {
      'person_id': tfds.features.Text(),
      'video_id': tfds.features.Text(),
      'fps': double,
      'frames': tfds.features.Sequence(frame),
    }
  )


@contextlib.contextmanager
def naming_damage(folder: pathlib.Path) -> Iterator[None]:
  """Has TFDS's errors about a damaged data set name its folder."""
  try:
    yield
  except OSError:
    raise
  except Exception as error:  # TFDS has no one type for what is damaged.
    reason = str(error).split('\n', 1)[0]
    raise ValueError(
      f'{folder} is damaged: {type(error).__name__}: {reason}. Delete it and '
      'prepare again.'
    ) from error


def write(builder: tfds.core.DatasetBuilder) -> pathlib.Path:
  """Writes a data set unless it is there, and returns its folder.

  It appears under its name only when complete.
  """
  # TFDS prints that it downloads, which it does not here, and would alarm
  # people who keep their videos to themselves.
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
      )
  except (OSError, RuntimeError) as error:
    # TFDS and TensorFlow say so by errors of several types.
    if re.search('No space left|Not enough disk space', str(error)):
      raise OSError(
        errno.ENOSPC, os.strerror(errno.ENOSPC), str(builder.data_dir)
      ) from error
    raise
  return pathlib.Path(builder.data_dir)


def read_metadata(folder: pathlib.Path) -> dict:
  """Returns label_columns, num_frames and problems of a written data set."""
  return json_files.read(
    pathlib.Path(folder) / 'metadata.json',
    {
      'label_columns': [str],
      'num_frames': int,
      'problems': [{'path': str, 'reason': str}],
    },
  )
