"""From a TFDS data set of videos to a frame store.

Videos are read in order, one person's behind another's. The frames of each are
decoded, cropped and resized by threads and keep their order; a picture that
cannot be decoded is left out and named among the store's problems. People whom
a killed run had done are not decoded again.
"""

import functools
import itertools
import operator
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from absl import logging
from tqdm import auto as tqdm

from psm_jax import tasks
from psm_jax.data import alignment, builder, labels, sources, upkeep
from psm_jax.data.ingest import crops as crops_lib
from psm_jax.data.tf import tf, tfds

_SIZE = ['width', 'height']  # Of a picture, in its row until they are compared.
_LANDMARKS = list(labels.LANDMARK_COLUMNS)


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
  with upkeep.writing(
    path,
    size_px=size_px,
    num_frames=metadata['num_frames'],
    problems=metadata['problems'],
    source=source,
  ) as writer:
    if writer is None:
      return
    try:
      _write_people(folder, writer, metadata, size_px)
    except tf.errors.OpError as error:
      reason = error.message.split('\n', 1)[0]
      raise ValueError(
        f'{folder} is damaged: {reason}. Delete it and prepare again.'
      ) from error


def _write_people(folder, writer, metadata, size_px):
  """Decodes and writes the people who are not done."""
  num_frames, done = metadata['num_frames'], writer.person_ids
  unreadable = []
  with tqdm.tqdm(
    total=num_frames,
    initial=sum(entry['num_frames'] for entry in writer.people),
    desc='decoding frames',
    unit='frame',
  ) as bar:
    for person_id, videos in itertools.groupby(
      read_videos(folder, num_frames), operator.itemgetter('person_id')
    ):
      if person_id not in done:
        unreadable += _write_person(
          writer, videos, metadata['label_columns'], size_px, bar
        )
  if not writer.people:
    raise ValueError(
      f'None of the {num_frames} pictures can be decoded; the first: '
      f'{unreadable[0]["path"]}: {unreadable[0]["reason"]}'
    )


def read_videos(folder: pathlib.Path, num_frames: int) -> Iterator[dict]:
  """Yields the videos of a data set in order, their pictures still encoded.

  Args:
    folder: of the data set.
    num_frames: how many it has in all.

  Raises:
    tf.errors.DataLossError: If it has another number of frames, or is damaged.
  """
  with builder.naming_damage(folder):
    made = tfds.builder_from_directory(folder)
  videos = made.as_dataset(
    split=builder.SPLIT,
    shuffle_files=False,
    decoders={'frames': {'image': tfds.decode.SkipDecoding()}},
    read_config=tfds.ReadConfig(interleave_cycle_length=1),
  )
  num_read = 0
  for video in videos.as_numpy_iterator():
    num_read += len(video['frames']['frame'])
    ids = {key: video[key].decode() for key in ('person_id', 'video_id')}
    yield video | ids
  if num_read != num_frames:
    raise tf.errors.DataLossError(None, None, 'frames are missing')


def _write_person(writer, videos, label_columns, size_px, bar):
  """Writes a person who has frames; returns what cannot be decoded of all."""
  tables, fps, unreadable = [], {}, []
  report = sources.reporter(unreadable)
  decode = functools.partial(decode_frame, size_px=size_px)

  def decoded():
    for video in videos:
      fps[video['video_id']] = float(video['fps'])
      frames, rows, sizes = video['frames'], [], []
      made = tasks.in_threads(decode, frames['image'], frames['crop'])
      for row, (pixels, told) in enumerate(made):
        bar.update()
        if pixels is None:
          name = frames['name'][row].decode('utf-8', 'backslashreplace')
          where = f'{video["person_id"]}/{video["video_id"]}/{name}'
          logging.warning('%s: unreadable picture, left out', where)
          report(where, f'unreadable picture: {told}')
        else:
          rows.append(row)
          sizes.append(told)
          yield pixels
      if rows:
        tables.append(_index(video, rows, sizes, label_columns, size_px))

  pixels = writer.spool(decoded())
  writer.note(unreadable)
  if tables:
    index = pd.concat(tables, ignore_index=True)
    writer.note(_mixed_sizes(index))
    has_landmarks = index.filter(_LANDMARKS).notna().any(axis=None)
    unused = _SIZE if has_landmarks else [*_SIZE, *_LANDMARKS]
    writer.add(pixels, index.drop(columns=unused, errors='ignore'), fps=fps)
  return unreadable


def _index(video, rows, sizes, label_columns, size_px):
  """The index of a video's rows, with the sizes of their pictures."""
  frames = {name: values[rows] for name, values in video['frames'].items()}
  keys = {name: video[name] for name in ('person_id', 'video_id')}
  keys |= {name: frames[name] for name in ('frame', 'time_s')}
  parts = [pd.DataFrame(keys), pd.DataFrame(sizes, columns=_SIZE)]
  if 'labels' in frames:
    parts.append(pd.DataFrame(frames['labels'], columns=label_columns))
  if 'landmarks' in frames:
    crops = frames['crop']
    whole = np.isnan(crops).any(axis=(1, 2), keepdims=True)
    crops = np.where(whole, alignment.centre_crop(*np.transpose(sizes)), crops)
    points = alignment.to_frame(frames['landmarks'], crops, size_px=size_px)
    flat = points.reshape(len(points), -1).astype(np.float32)
    parts.append(pd.DataFrame(flat, columns=_LANDMARKS))
  return pd.concat(parts, axis=1)


def _mixed_sizes(index):
  """Problems of a person's videos whose pictures differ in size."""
  problems = []
  report = sources.reporter(problems)
  for keys, table in index.groupby(['person_id', 'video_id']):
    counts = table.value_counts(_SIZE)
    if len(counts) > 1:
      shown = ', '.join(
        f'{width}x{height} ({count})'
        for (width, height), count in counts.items()
      )
      report(
        '/'.join(keys), f'pictures of several sizes, each resized: {shown}'
      )
  return problems


def decode_frame(
  encoded: bytes, crop: np.ndarray, *, size_px: int
) -> tuple[np.ndarray | None, tuple[int, int] | str]:
  """Returns the frame that is cut out of an encoded picture by `crops.cut`.

  Args:
    encoded: JPEG or PNG.
    crop: [2, 3] float32, see `alignment`; NaN for the centre square.
    size_px: side of the frame.

  Returns:
    [size_px, size_px, 3] uint8, RGB, the picture itself where the crop is the
    whole picture and the sizes agree, and (width, height) of the picture; None
    and the reason if it cannot be decoded.
  """
  try:
    picture = tf.io.decode_image(
      encoded, channels=3, expand_animations=False
    ).numpy()
  except tf.errors.InvalidArgumentError as error:
    return None, str(error.message).splitlines()[0]
  size = picture.shape[1::-1]
  if np.isnan(crop).any():
    crop = alignment.centre_crop(*size)
  return crops_lib.cut(picture, crop.astype(np.float64), size_px=size_px), size
