"""Invented people's rendered videos as a TFDS data set."""

import dataclasses

import cv2
import numpy as np
from tqdm import auto as tqdm

from psm_jax.data import sources, synthetic
from psm_jax.data.builders import records
from psm_jax.data.tf import tfds

LABEL_COLUMNS = (
  *synthetic.ACTION_UNITS,
  'pose_yaw',
  'pose_pitch',
  'pose_roll',
  'blink',
  'gaze_yaw',
  'gaze_pitch',
)


@dataclasses.dataclass(eq=False, kw_only=True)
class SyntheticFacesConfig(tfds.core.BuilderConfig):
  """How many people, videos and frames; `source` says all."""

  source: sources.SyntheticSource


def make_builder(source: sources.SyntheticSource, *, data_dir) -> 'Builder':
  """Returns the builder of rendered videos, under the source's fingerprint.

  Args:
    source: what `sources.describe_synthetic` returned.
    data_dir: TFDS's folder.
  """
  config = SyntheticFacesConfig(name=source.fingerprint, source=source)
  return Builder(config=config, data_dir=data_dir)


class Builder(tfds.core.GeneratorBasedBuilder):
  """Rendered talking heads of invented people with known action units."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      features=records.features(len(LABEL_COLUMNS)),
      metadata=records.metadata(LABEL_COLUMNS),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager
    return {records.SPLIT: self._generate_examples()}

  def _generate_examples(self):
    source = self.builder_config.source
    num_videos = len(source.person_indices) * source.num_videos
    num_frames = num_videos * source.num_frames
    self.info.metadata.update(num_frames=num_frames)
    with tqdm.tqdm(
      total=num_frames, desc='rendering faces', unit='frame'
    ) as bar:
      key = 0
      for person_index in source.person_indices:
        person = synthetic.sample_person(source.seed, person_index)
        for video_index in sorted(range(source.num_videos), key=_video_id):
          yield key, _render_video(source, person, video_index, bar)
          key += 1


def _video_id(video_index):
  return f'video{video_index + 1:02d}'


def _render_video(source, person, video_index, bar):
  """The TFDS example of one video; advances the progress bar."""
  performance = synthetic.sample_performance(
    person, source.seed, video_index, source.num_frames, source.fps
  )
  labels = np.concatenate(
    [
      performance.intensity,
      performance.pose,
      performance.blink[:, None],
      performance.gaze,
    ],
    axis=1,
  ).astype(np.float32)
  frames = []
  for frame in range(source.num_frames):
    picture = synthetic.render(
      person, performance, frame, size_px=source.size_px
    )
    # Losslessly, and lightly compressed: speed matters more than size here.
    encoded = cv2.imencode(
      '.png', picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1]
    )[1]
    frames.append(
      {
        'image': encoded.tobytes(),
        'name': f'frame{frame:06d}.png',
        'frame': frame,
        'time_s': frame / source.fps,
        'labels': labels[frame],
        'crop': np.full((2, 3), np.nan, np.float32),
      }
    )
    bar.update()
  return {
    'person_id': person.person_id,
    'video_id': _video_id(video_index),
    'fps': source.fps,
    'frames': frames,
  }
