"""From a TFDS data set of videos to a frame store, through tf.data.

A first reading takes everything but the pictures, which makes the index; the
second reads, in this order: videos, their frames, decode, crop and resize,
batch. Frames keep their order; a picture that cannot be decoded is left out and
named among the store's problems. People whom a killed run had done are not
decoded again.
"""

import itertools
import operator
import os
import pathlib
from collections.abc import Mapping

import numpy as np
import pandas as pd
from absl import logging
from tqdm import auto as tqdm

from psm_jax.data import alignment, builder, labels, upkeep
from psm_jax.data.ingest import crops as crops_lib
from psm_jax.data.tf import tf, tfds

_BATCH = 128


def fill_store(
  folder: pathlib.Path,
  path: pathlib.Path,
  *,
  size_px: int,
  source: Mapping,
) -> None:
  """Decodes a TFDS data set into a frame store, unless another process did.

  Args:
    folder: of the data set, from `builder.write`.
    path: of the store; its name must stand for this data set and size, as the
      people whom a killed run left under it are not decoded again.
    size_px: side of a frame.
    source: what the store says it was made from.

  Raises:
    ValueError: If no picture can be decoded, or the data set is damaged.
    OSError: If the store cannot be written.
  """
  metadata = builder.read_metadata(folder)
  num_frames = metadata['num_frames']
  try:
    read = _read_index(folder, metadata['label_columns'])
    index, *_ = read
    if len(index) != num_frames:
      raise tf.errors.DataLossError(None, None, 'frames are missing')
    with upkeep.writing(
      path,
      size_px=size_px,
      num_frames=num_frames,
      problems=metadata['problems'],
      source=source,
    ) as writer:
      if writer is not None:
        _write_people(folder, writer, read, size_px)
        _add_missing(folder, writer, index, size_px)
  except tf.errors.OpError as error:
    reason = error.message.split('\n', 1)[0]
    raise ValueError(
      f'{folder} is damaged: {reason}. Delete it and prepare again.'
    ) from error


def _write_people(folder, writer, read, size_px):
  """Decodes and writes the people who are not done; see `_read_index`."""
  every, fps, crops, landmarks = read
  done = writer.person_ids
  is_done = every['person_id'].isin(done).to_numpy()
  if is_done.all():
    return
  first_row = int(is_done.argmin())
  with tqdm.tqdm(
    total=len(is_done), initial=first_row, desc='decoding frames', unit='frame'
  ) as bar:
    batches = frames_dataset(folder, size_px, first_row=first_row)
    pieces = _split(batches.as_numpy_iterator(), every['person_id'], bar)
    for person_id, theirs in itertools.groupby(pieces, operator.itemgetter(0)):
      if person_id in done:
        continue
      rows, sizes = [], []
      pixels = writer.spool(_noting(theirs, rows, sizes))
      rows, sizes = np.concatenate(rows), np.concatenate(sizes)
      index = every.iloc[rows].reset_index(drop=True)
      if landmarks is not None:
        index = _with_landmarks(
          index, landmarks[rows], crops[rows], sizes, size_px
        )
      writer.add(
        pixels,
        index,
        fps={v: fps[person_id, v] for v in index['video_id'].unique()},
        problems=_mixed_sizes(index, sizes),
      )


def _split(batches, person_ids, bar):
  """Yields the parts of batches that show one person: (person_id, part)."""
  for batch in batches:
    people = person_ids.iloc[batch['row']].to_numpy()
    borders = np.flatnonzero(people[1:] != people[:-1]) + 1
    for part in np.split(np.arange(len(people)), borders):
      yield people[part[0]], {name: batch[name][part] for name in batch}
    bar.update(len(people))


def _noting(pieces, rows, sizes):
  """Yields the pixels of pieces, and appends their rows and sizes to lists."""
  for _, piece in pieces:
    rows.append(piece['row'])
    sizes.append(piece['size'])
    yield piece['pixels']


def _add_missing(folder, writer, index, size_px):
  """Names the pictures that were not read among the problems."""
  is_read = np.zeros(len(index), bool)
  if writer.people:
    keys = ['person_id', 'video_id', 'frame']
    is_read = pd.MultiIndex.from_frame(index[keys]).isin(
      pd.MultiIndex.from_frame(writer.index[keys])
    )
  missing = _explain_missing(folder, is_read, index, size_px)
  if not is_read.any():
    raise ValueError(
      f'None of the {len(index)} pictures can be decoded; the first: '
      f'{missing[0]["path"]}: {missing[0]["reason"]}'
    )
  writer.problems += missing


def _with_landmarks(index, landmarks, crops, sizes, size_px):
  """A person's index with landmarks in the frames, if there are any."""
  height, width = sizes.T
  whole = np.isnan(crops).any(axis=(1, 2), keepdims=True)
  crops = np.where(whole, alignment.centre_crop(width, height), crops)
  points = alignment.to_frame(landmarks, crops, size_px=size_px)
  flat = points.reshape(len(points), -1).astype(np.float32)
  if np.isnan(flat).all():
    return index
  return index.join(pd.DataFrame(flat, columns=list(labels.LANDMARK_COLUMNS)))


def _read_index(folder, label_columns):
  """All of a data set but its pictures.

  Returns:
    A row a frame: person_id, video_id, frame, time_s and labels; frames a
    second by (person_id, video_id); [n, 2, 3] float32 crops, NaN for the centre
    square; [n, 68, 2] float32 landmarks in pixels of the pictures, or None.
  """
  tables, crops, landmarks, fps = [], [], [], {}
  for video in _videos(folder).map(_without_pictures).as_numpy_iterator():
    person_id = video['person_id'].decode()
    video_id = video['video_id'].decode()
    fps[person_id, video_id] = float(video['fps'])
    frames = video['frames']
    keys = pd.DataFrame(
      {
        'person_id': person_id,
        'video_id': video_id,
        'frame': frames['frame'],
        'time_s': frames['time_s'],
      }
    )
    values = frames.get('labels', np.zeros((len(keys), 0), np.float32))
    tables.append(keys.join(pd.DataFrame(values, columns=label_columns)))
    crops.append(frames['crop'])
    landmarks.append(frames.get('landmarks'))
  return (
    pd.concat(tables, ignore_index=True),
    fps,
    np.concatenate(crops),
    # All videos of a data set have the same features.
    None if landmarks[0] is None else np.concatenate(landmarks),
  )


def _without_pictures(video):
  frames = {k: v for k, v in video['frames'].items() if k != 'image'}
  return video | {'frames': frames}


def _videos(folder):
  """A data set of videos, in order, their pictures still encoded."""
  with builder.naming_damage(folder):
    made = tfds.builder_from_directory(folder)
  return made.as_dataset(
    split=builder.SPLIT,
    shuffle_files=False,
    decoders={'frames': {'image': tfds.decode.SkipDecoding()}},
    read_config=tfds.ReadConfig(interleave_cycle_length=1),
  )


def frames_dataset(
  folder: pathlib.Path, size_px: int, *, first_row: int = 0
) -> tf.data.Dataset:
  """Returns batches of decoded frames: row, pixels and size of the picture.

  Frames that cannot be decoded are absent; their rows show it.

  Args:
    folder: of the data set.
    size_px: side of a frame.
    first_row: the frames before it are not decoded.
  """

  def decode_video(video):
    images, crops = video['frames']['image'], video['frames']['crop']
    stop = video['first_row'] + tf.shape(images, tf.int64)[0]
    rows = tf.data.Dataset.range(
      tf.maximum(video['first_row'], first_row), stop
    )

    def decode(row):
      position = row - video['first_row']
      picture = decode_picture(images[position])
      pixels = tf.numpy_function(
        lambda picture, crop: cut_crop(picture, crop, size_px),
        [picture, crops[position]],
        tf.uint8,
        stateful=False,
      )
      return {
        'row': row,
        'pixels': tf.ensure_shape(tf.reshape(pixels, [-1]), [size_px**2 * 3]),
        'size': tf.shape(picture)[:2],
      }

    frames = rows.map(
      decode, num_parallel_calls=os.cpu_count(), deterministic=True
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
  """A data set of videos with the row of their first frame."""
  return _videos(folder).scan(tf.constant(0, tf.int64), _add_first_row)


def _add_first_row(row, video):
  num_frames = tf.shape(video['frames']['frame'], tf.int64)[0]
  return row + num_frames, video | {'first_row': row}


def decode_picture(encoded: tf.Tensor) -> tf.Tensor:
  """Returns an encoded picture (JPEG, PNG) as [H, W, 3] uint8, RGB."""
  picture = tf.io.decode_image(encoded, channels=3, expand_animations=False)
  return tf.ensure_shape(picture, [None, None, 3])


def cut_crop(picture: np.ndarray, crop: np.ndarray, size_px: int) -> np.ndarray:
  """Resamples a crop of a picture as `crops.cut` does.

  Args:
    picture: [H, W, 3] uint8.
    crop: [2, 3] float32, see `alignment`; NaN for the centre square.
    size_px: side of the frame.

  Returns:
    [size_px, size_px, 3] uint8; the picture itself where the crop is the whole
    picture and the sizes agree.
  """
  if np.isnan(crop).any():
    height, width = picture.shape[:2]
    crop = alignment.centre_crop(width, height)
  return crops_lib.cut(picture, crop.astype(np.float64), size_px=size_px)


def _mixed_sizes(index, sizes):
  """Problems of a person's videos whose pictures differ in size."""
  table = index[['person_id', 'video_id']].assign(
    width=sizes[:, 1], height=sizes[:, 0]
  )
  problems = []
  for keys, counts in table.value_counts().groupby(['person_id', 'video_id']):
    if len(counts) > 1:
      shown = ', '.join(
        f'{width}x{height} ({count})'
        for (_, _, width, height), count in counts.items()
      )
      problems.append(
        {
          'path': '/'.join(keys),
          'reason': f'pictures of several sizes, each resized: {shown}',
        }
      )
  return problems


def _explain_missing(folder, is_read, index, size_px):
  """Decodes the missing frames once more, alone, to say what is wrong."""
  problems = []
  if is_read.all():
    return problems
  for video in _numbered_videos(folder).as_numpy_iterator():
    frames, first = video['frames'], int(video['first_row'])
    is_read_here = is_read[first : first + len(frames['frame'])]
    for position in np.flatnonzero(~is_read_here).tolist():
      keys = index.iloc[first + position]
      name = frames['name'][position].decode('utf-8', 'backslashreplace')
      path = f'{keys["person_id"]}/{keys["video_id"]}/{name}'
      try:
        picture = decode_picture(frames['image'][position])
      except tf.errors.InvalidArgumentError as error:
        reason = f'unreadable picture: {str(error.message).splitlines()[0]}'
        problems.append({'path': path, 'reason': reason})
        logging.warning('%s: unreadable picture, left out', path)
        continue
      # It decodes, so the pipeline failed elsewhere: say so, do not hide it.
      cut_crop(picture.numpy(), frames['crop'][position], size_px)
      raise RuntimeError(f'{path} was lost while decoding {folder}.')
  return problems
