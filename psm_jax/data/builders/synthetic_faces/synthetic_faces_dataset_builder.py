"""Invented people's rendered videos as a TFDS data set.

  tfds build psm_jax/data/builders/synthetic_faces \
      --config='{"name": "two", "options": {"num_people": 2}}'

Options are those of `sources.describe_synthetic`.
"""

import cv2
import numpy as np
from tqdm import auto as tqdm

from psm_jax.data import sources, synthetic
from psm_jax.data.builders import source_builder

LABEL_COLUMNS = (
  *synthetic.ACTION_UNITS,
  'pose_yaw',
  'pose_pitch',
  'pose_roll',
  'blink',
  'gaze_yaw',
  'gaze_pitch',
)


_DEFAULTS = {
  'num_people': 8,
  'num_videos': 2,
  'num_frames': 300,
  'seed': 0,
  'fps': 20.0,
  'size_px': 64,
}


class Builder(source_builder.SourceBuilder):
  """Rendered talking heads of invented people with known action units."""

  def describe(self, options):
    """See `SourceBuilder`."""
    return sources.describe_synthetic(**_DEFAULTS | options)

  def label_columns(self, source):
    """See `SourceBuilder`."""
    del source
    return LABEL_COLUMNS

  def has_landmarks(self, source):
    """See `SourceBuilder`."""
    del source
    return False

  def examples(self, source, columns, report):
    """See `SourceBuilder`; nothing is ever left out."""
    del columns, report
    num_videos = len(source.person_indices) * source.num_videos
    with tqdm.tqdm(
      total=num_videos * source.num_frames, desc='rendering faces', unit='frame'
    ) as bar:
      for person_index in source.person_indices:
        person = synthetic.sample_person(source.seed, person_index)
        for video_index in sorted(range(source.num_videos), key=_video_id):
          yield _render_video(source, person, video_index, bar)


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
