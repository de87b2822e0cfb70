"""What one TFDS example of psm_jax holds, shared by all builders."""

import contextlib
import io
import json
import pathlib
from collections.abc import Sequence

import numpy as np

from psm_jax.data import labels
from psm_jax.data.tf import tfds

SPLIT = 'train'


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
  frame = {
    'image': tfds.features.Image(shape=(None, None, 3)),
    'name': tfds.features.Text(),
    'frame': tfds.features.Scalar(np.int64),
    'time_s': _float64(),
    'crop': tfds.features.Tensor(shape=(2, 3), dtype=np.float32),
  }
  # TensorFlow crashes (division by zero) on reading a vector of no elements.
  if num_labels:
    frame['labels'] = tfds.features.Tensor(
      shape=(num_labels,), dtype=np.float32
    )
  if has_landmarks:
    frame['landmarks'] = tfds.features.Tensor(
      shape=(labels.NUM_LANDMARKS, 2), dtype=np.float32
    )
  return tfds.features.FeaturesDict(
    {
      'person_id': tfds.features.Text(),
      'video_id': tfds.features.Text(),
      'fps': _float64(),
      'frames': tfds.features.Sequence(frame),
    }
  )


def _float64():
  """A float64 kept whole; records hold other floats in 32 bits."""
  return tfds.features.Tensor(
    shape=(), dtype=np.float64, encoding=tfds.features.Encoding.BYTES
  )


def metadata(label_columns: Sequence[str]) -> tfds.core.MetadataDict:
  """Returns the data set's metadata: names of the labels, empty counts."""
  return tfds.core.MetadataDict(
    label_columns=list(label_columns), num_frames=0, problems=[]
  )


def prepare(builder: tfds.core.DatasetBuilder) -> pathlib.Path:
  """Writes a data set unless it is there, and returns its folder.

  It appears under its name only when complete.
  """
  # TFDS prints that it downloads, which it does not here, and would alarm
  # people who keep their videos to themselves.
  with contextlib.redirect_stdout(io.StringIO()):
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )
  return pathlib.Path(builder.data_dir)


def read_metadata(folder: pathlib.Path) -> dict:
  """Returns label_columns, num_frames and problems of a written data set."""
  path = pathlib.Path(folder) / 'metadata.json'
  return json.loads(path.read_text(encoding='utf-8'))
