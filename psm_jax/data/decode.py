"""From a TFDS data set of videos to a frame store, through tf.data.

The pipeline reads in this order: videos, their frames, decode, crop and resize,
batch. Frames keep their order; a picture that cannot be decoded is left out and
named among the store's problems.
"""

import os
import pathlib
from collections.abc import Mapping

import numpy as np
import pandas as pd
from absl import logging
from tqdm import auto as tqdm

from psm_jax.data import store
from psm_jax.data.builders import records
from psm_jax.data.tf import tf, tfds

_BATCH = 128


def fill_store(
  folder: pathlib.Path,
  path: pathlib.Path,
  *,
  size_px: int,
  source: Mapping,
) -> None:
  """Decodes a TFDS data set into a new frame store.

  Args:
    folder: of the data set, from `records.prepare`.
    path: of the store; must not exist.
    size_px: side of a frame.
    source: what the store says it was made from.

  Raises:
    ValueError: If no picture can be decoded, or the data set is damaged.
    OSError: If the store cannot be written.
  """
  metadata = records.read_metadata(folder)
  num_frames = metadata['num_frames']
  with store.writing(path, num_frames=num_frames, size_px=size_px) as writer:
    read = _Columns(num_frames, len(metadata['label_columns']))
    try:
      _read_frames(folder, size_px, read, writer.frames)
      unreadable = _explain_missing(folder, read.done, size_px)
      if len(unreadable) != (~read.done).sum():
        raise tf.errors.DataLossError(None, None, 'frames are missing')
    except tf.errors.DataLossError as error:
      raise ValueError(
        f'{folder} is damaged: {error.message}. Delete it and prepare again.'
      ) from error
    problems = [*metadata['problems'], *unreadable, *_mixed_sizes(read)]
    if not read.done.any():
      raise ValueError(
        f'None of the {num_frames} pictures can be decoded; the first: '
        f'{problems[-1]["path"]}: {problems[-1]["reason"]}'
      )
    writer.finish(
      read.index(metadata['label_columns']),
      fps=read.fps_by_video(),
      keep=read.done,
      problems=problems,
      source=source,
    )


def _read_frames(folder, size_px, read, pixels):
  """Decodes all frames into an array and the index's columns."""
  with tqdm.tqdm(
    total=len(pixels), desc='decoding frames', unit='frame'
  ) as bar:
    for batch in frames_dataset(folder, size_px).as_numpy_iterator():
      pixels[batch['row']] = batch['pixels']
      read.add(batch)
      bar.update(len(batch['row']))


def frames_dataset(folder: pathlib.Path, size_px: int) -> tf.data.Dataset:
  """Returns batches of decoded frames with their row numbers and labels.

  Frames that cannot be decoded are absent; their rows show it.
  """

  def decode_video(video):
    frames = _split_video(video).map(
      lambda frame: _decode(frame, size_px),
      num_parallel_calls=os.cpu_count(),
      deterministic=True,
    )
    # Inside the video, where only decoding can fail: a broken record outside
    # must stop the run.
    return frames.ignore_errors(log_warning=False)

  frames = _numbered_videos(folder).flat_map(decode_video)
  options = tf.data.Options()
  # Parallelism is fixed above; the tuner's thread would only hold up the end of
  # the data set, for up to many seconds.
  options.autotune.enabled = False
  return frames.batch(_BATCH).prefetch(2).with_options(options)


def _numbered_videos(folder):
  """A data set of videos, still encoded, with the row of their first frame."""
  videos = tfds.builder_from_directory(folder).as_dataset(
    split=records.SPLIT,
    shuffle_files=False,
    decoders={'frames': {'image': tfds.decode.SkipDecoding()}},
    read_config=tfds.ReadConfig(interleave_cycle_length=1),
  )
  return videos.scan(tf.constant(0, tf.int64), _add_first_row)


def _add_first_row(row, video):
  num_frames = tf.shape(video['frames']['frame'], tf.int64)[0]
  return row + num_frames, video | {'first_row': row}


def _split_video(video):
  """A video's frames with their row numbers, each with the video's ids."""
  frames = tf.data.Dataset.from_tensor_slices(video['frames'])

  def add_ids(position, frame):
    ids = {name: video[name] for name in ('person_id', 'video_id', 'fps')}
    return frame | ids | {'row': video['first_row'] + position}

  return frames.enumerate().map(add_ids)


def _decode(frame, size_px):
  """Decodes one frame's picture and cuts its crop out."""
  picture = decode_picture(frame['image'])
  pixels = cut_crop(picture, frame['crop'], size_px)
  kept = {k: v for k, v in frame.items() if k not in ('image', 'crop', 'name')}
  return kept | {
    'pixels': tf.reshape(pixels, [-1]),
    'height': tf.shape(picture)[0],
    'width': tf.shape(picture)[1],
  }


def decode_picture(encoded: tf.Tensor) -> tf.Tensor:
  """Returns an encoded picture (JPEG, PNG) as [H, W, 3] uint8, RGB."""
  picture = tf.io.decode_image(encoded, channels=3, expand_animations=False)
  return tf.ensure_shape(picture, [None, None, 3])


def cut_crop(picture: tf.Tensor, crop: tf.Tensor, size_px: int) -> tf.Tensor:
  """Resamples a crop of a picture, without aliasing.

  Bilinear samples at most one source pixel apart are averaged over each frame
  pixel. Outside the picture the nearest edge pixel repeats.

  Args:
    picture: [H, W, 3] uint8.
    crop: [2, 3] float32, see `alignment`; NaN for the centre square.
    size_px: side of the frame.

  Returns:
    [size_px, size_px, 3] uint8; the picture itself where the crop is the whole
    picture and the sizes agree.
  """
  height, width = tf.unstack(tf.cast(tf.shape(picture)[:2], tf.float32))
  side = tf.minimum(height, width)
  zero = tf.zeros_like(side)
  centre = tf.stack(
    [
      tf.stack([side, zero, tf.floor((width - side) / 2)]),
      tf.stack([zero, side, tf.floor((height - side) / 2)]),
    ]
  )
  crop = tf.where(tf.math.is_nan(crop), centre, crop)
  # Source pixels from one frame pixel to the next.
  pitch = tf.reduce_max(tf.norm(crop[:, :2], axis=0)) / size_px
  # Wrong landmarks may ask for more than the picture has; memory must not.
  pitch = tf.minimum(pitch, tf.maximum(height, width) / size_px)
  oversample = tf.cast(tf.math.ceil(tf.maximum(pitch - 1e-3, 1.0)), tf.int32)
  count = size_px * oversample
  step = crop[:, :2] / tf.cast(count, tf.float32)
  # Both ends count pixels from their centres; a crop counts from corners.
  start = crop[:, 2] + 0.5 * tf.reduce_sum(step, axis=1) - 0.5
  transform = tf.concat(
    [step[0], start[:1], step[1], start[1:], [0.0, 0.0]], axis=0
  )
  samples = tf.raw_ops.ImageProjectiveTransformV3(
    images=tf.cast(picture, tf.float32)[None],
    transforms=transform[None],
    output_shape=tf.stack([count, count]),
    interpolation='BILINEAR',
    fill_mode='NEAREST',
    fill_value=0.0,
  )
  samples = tf.reshape(samples, [size_px, oversample, size_px, oversample, 3])
  return tf.cast(tf.round(tf.reduce_mean(samples, axis=[1, 3])), tf.uint8)


class _Columns:
  """The index's columns, filled batch by batch."""

  def __init__(self, num_frames, num_labels):
    self.done = np.zeros(num_frames, bool)
    self._person = np.empty(num_frames, object)
    self._video = np.empty(num_frames, object)
    self._fps = np.zeros(num_frames)
    self._frame = np.zeros(num_frames, np.int64)
    self._time_s = np.zeros(num_frames)
    self._labels = np.zeros((num_frames, num_labels), np.float32)
    self._size = np.zeros((num_frames, 2), np.int64)

  def add(self, batch):
    row = batch['row']
    self.done[row] = True
    self._person[row] = [name.decode() for name in batch['person_id']]
    self._video[row] = [name.decode() for name in batch['video_id']]
    self._fps[row] = batch['fps']
    self._frame[row] = batch['frame']
    self._time_s[row] = batch['time_s']
    if 'labels' in batch:
      self._labels[row] = batch['labels']
    self._size[row, 0] = batch['width']
    self._size[row, 1] = batch['height']

  def index(self, label_columns):
    """The store's index of the frames that were read."""
    keys = pd.DataFrame(
      {
        'person_id': self._person[self.done],
        'video_id': self._video[self.done],
        'frame': self._frame[self.done],
        'time_s': self._time_s[self.done],
      }
    )
    labels = pd.DataFrame(self._labels[self.done], columns=label_columns)
    return pd.concat([keys, labels], axis=1)

  def fps_by_video(self):
    """Frames a second of each (person_id, video_id)."""
    keys = zip(self._person[self.done], self._video[self.done], strict=True)
    return dict(zip(keys, self._fps[self.done].tolist(), strict=True))

  def sizes_by_video(self):
    """From 'PERSON/VIDEO' to the counts of its pictures' sizes."""
    names = self._person[self.done] + '/' + self._video[self.done]
    sizes = [f'{w}x{h}' for w, h in self._size[self.done].tolist()]
    table = pd.DataFrame({'name': names, 'size': sizes})
    return {
      name: group['size'].value_counts()
      for name, group in table.groupby('name', sort=True)
    }


def _mixed_sizes(read):
  """Problems of videos whose pictures differ in size."""
  return [
    {
      'path': name,
      'reason': 'pictures of several sizes, each resized: '
      + ', '.join(f'{size} ({count})' for size, count in counts.items()),
    }
    for name, counts in read.sizes_by_video().items()
    if len(counts) > 1
  ]


def _explain_missing(folder, done, size_px):
  """Decodes the missing frames once more, alone, to say what is wrong."""
  problems = []
  if done.all():
    return problems
  frames = _numbered_videos(folder).flat_map(_split_video)
  frames = frames.filter(
    lambda frame: tf.logical_not(tf.gather(tf.constant(done), frame['row']))
  )
  for frame in frames:
    path = '/'.join(
      frame[key].numpy().decode('utf-8', 'backslashreplace')
      for key in ('person_id', 'video_id', 'name')
    )
    try:
      picture = decode_picture(frame['image'])
    except tf.errors.InvalidArgumentError as error:
      reason = str(error.message).splitlines()[0]
      problems.append({'path': path, 'reason': f'unreadable picture: {reason}'})
      logging.warning('%s: unreadable picture, left out', path)
      continue
    # It decodes, so the pipeline failed elsewhere: say so instead of hiding it.
    cut_crop(picture, frame['crop'], size_px)
    raise RuntimeError(f'{path} was lost while decoding {folder}.')
  return problems
