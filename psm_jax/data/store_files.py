"""What lies in the folder of a frame store: store.json and a file a person.

PERSON.arrow holds the person's index and then the frames; its checksums stand
in store.json. docs/frame_store.md describes every field.
"""

import dataclasses
import json
import os
import pathlib
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from psm_jax import json_files, paths

SCHEMA_VERSION = 3
KEY_COLUMNS = ('person_id', 'video_id', 'frame', 'time_s')
MANIFEST, SUFFIX = 'store.json', '.arrow'
_FRAMES = 'frames'
_ENTRY_SHAPE = dict.fromkeys(
  ('num_frames', 'num_bytes', 'frames_at', 'index_crc32', 'frames_crc32'), int
)
_MANIFEST_SHAPE = {
  'size_px': int,
  'source': dict,
  'people': [{'person_id': str, 'num_frames': int}],
  'problems': [{'path': str, 'reason': str}],
}


@dataclasses.dataclass(frozen=True)
class Person:
  """One person's file, mapped; the index is known to be undamaged.

  Attributes:
    path: the file.
    index: n rows, columns as in `FrameStore.index`.
    frames: [n, size_px * size_px * 3] uint8, not yet compared with `crc32`.
    videos: (video_id, frames, frames a second) of each video, in order.
    crc32: of the bytes of the frames.
  """

  path: pathlib.Path
  index: pa.Table
  frames: np.ndarray
  videos: Sequence[tuple[str, int, float]]
  crc32: int

  def check_frames(self) -> None:
    """Reads the frames; raises a ValueError if they were changed."""
    if zlib.crc32(self.frames) != self.crc32:
      raise ValueError(
        _damage(self.path, 'the frames are not those that were written')
      )


def join(tables: Sequence[pa.Table]) -> pd.DataFrame:
  """Returns indices one behind another; what one of them lacks is NaN."""
  return pa.concat_tables(tables, promote_options='default').to_pandas()


def read_manifest(path: pathlib.Path) -> dict:
  """Returns what a store's store.json says, its people sorted.

  Raises:
    ValueError: If path is no store, is damaged or of another schema version.
  """
  file = path / MANIFEST
  if not file.is_file():
    raise ValueError(
      f'{path} is not a finished frame store: it has no {MANIFEST}. Give the '
      f'folder that holds {MANIFEST} and a PERSON{SUFFIX} for each person.'
    )
  return parse_manifest(
    paths.read_bytes(file, json_files.MAX_BYTES),
    file,
    remedy=f'Copy it again, or delete {path} and prepare it again.',
  )


def parse_manifest(
  content: bytes, file: str | os.PathLike, *, remedy: str
) -> dict:
  """Returns what `make_manifest` was given, and the schema version.

  Args:
    content: what it returned.
    file: for messages.
    remedy: likewise, if it is damaged.

  Raises:
    ValueError: If it is damaged or of another schema version.
  """
  try:
    manifest = json_files.parse(content, {'schema_version': int}, file)
  except ValueError as error:
    raise ValueError(f'{error} {remedy}') from error
  version, crc32 = manifest['schema_version'], manifest.pop('crc32', None)
  if version != SCHEMA_VERSION:
    raise ValueError(
      f'{file} has schema version {version!r}, this program reads '
      f'{SCHEMA_VERSION}. Prepare it again, or update psm_jax.'
    )
  if crc32 != _manifest_crc32(manifest):
    raise ValueError(f'{file} is damaged: its checksum is wrong. {remedy}')
  return json_files.check(manifest, _MANIFEST_SHAPE, file)


def make_manifest(
  *,
  size_px: int,
  people: Sequence[dict],
  problems: Sequence[Mapping[str, str]],
  source: Mapping,
) -> bytes:
  """Returns the content of store.json.

  Args:
    size_px: side of a frame.
    people: what `write_person` returned of each.
    problems: see `FrameStore`.
    source: see `FrameStore`.
  """
  manifest = {
    'schema_version': SCHEMA_VERSION,
    'size_px': size_px,
    'source': dict(source),
    'people': sorted(people, key=lambda entry: entry['person_id']),
    'problems': [dict(problem) for problem in problems],
  }
  manifest['crc32'] = _manifest_crc32(manifest)
  return json.dumps(manifest, indent=1).encode() + b'\n'


def _manifest_crc32(manifest):
  return zlib.crc32(json.dumps(manifest, sort_keys=True).encode())


def person_path(path: pathlib.Path, person_id: str) -> pathlib.Path:
  """Returns where a person's file lies in a store.

  Raises:
    ValueError: If the id is unsafe.
  """
  return path / (paths.check_id(person_id, what=f'{path}: person_id') + SUFFIX)


def open_person(path: pathlib.Path, entry: Mapping, size_px: int) -> Person:
  """Maps a person's file and compares all but the frames with its checksum.

  Args:
    path: the store's folder.
    entry: of the manifest's people.
    size_px: side of a frame.

  Raises:
    ValueError: If the file is missing, cut, changed or another; names it.
  """
  file = person_path(path, entry['person_id'])
  json_files.check(entry, _ENTRY_SHAPE, path / MANIFEST)
  start, num_frames = entry['frames_at'], entry['num_frames']
  row_bytes = size_px * size_px * 3
  stop = start + num_frames * row_bytes
  try:
    # The buffer stays when the file is closed: no descriptor a person.
    with pa.memory_map(str(file)) as mapped:
      content = mapped.read_buffer()
    view = np.frombuffer(content, np.uint8)
    if len(view) != entry['num_bytes']:
      raise ValueError(f'{len(view)} bytes of {entry["num_bytes"]}')
    # Before Arrow sees them: it takes what it reads for whole.
    if (
      zlib.crc32(view[stop:], zlib.crc32(view[:start])) != entry['index_crc32']
    ):
      raise ValueError('the index is not the one that was written')
    index, videos = read_batch(pa.ipc.open_file(content).get_batch(0))
    frames = view[start:stop].reshape(num_frames, row_bytes)
  except (OSError, ValueError) as error:
    raise ValueError(_damage(file, error)) from error
  return Person(file, index, frames, videos, entry['frames_crc32'])


def _damage(file, reason):
  return (
    f'{file}, the frames of person {file.stem}, is missing or damaged: '
    f'{reason}. Copy it again, or prepare the store again, or go on without '
    f'this person: python -m launch.store --path={file.parent} '
    f'--remove={file.stem}'
  )


def write_person(
  path: pathlib.Path,
  frames: np.ndarray,
  index: pd.DataFrame,
  *,
  fps: Mapping[str, float],
) -> dict:
  """Writes a person's file, whole or not at all.

  Args:
    path: the store's folder.
    frames: [n, size_px * size_px * 3] uint8, memory-mapped or not.
    index: n rows, columns as in `FrameStore.index`, of one person, each video
      in one piece and in a video the frames in order.
    fps: frames a second of each video.

  Returns:
    The person's entry of the manifest.

  Raises:
    ValueError: If there is no frame, or the index is unsorted, repeats a frame
      or has another number of rows than there are frames.
    OSError: If the file cannot be written.
  """
  num_frames, row_bytes = frames.shape
  if not num_frames or num_frames != len(index):
    raise ValueError(f'{len(index)} index rows for {num_frames} frames.')
  frames = np.ascontiguousarray(frames)
  column = pa.FixedSizeBinaryArray.from_buffers(
    pa.binary(row_bytes), num_frames, [None, pa.py_buffer(frames)]
  )
  batch = make_batch(index, _FRAMES, column, fps=fps)
  person_id = index['person_id'].iloc[0]
  file = person_path(path, person_id)
  with (
    paths.writing_atomic(file) as sink,
    pa.ipc.new_file(sink, batch.schema) as writer,
  ):
    writer.write_batch(batch)
  with pa.memory_map(str(file)) as mapped:
    content = mapped.read_buffer()
  written = pa.ipc.open_file(content).get_batch(0).column(_FRAMES)
  start = written.buffers()[1].address - content.address
  stop = start + frames.nbytes
  view = np.frombuffer(content, np.uint8)
  return {
    'person_id': person_id,
    'num_frames': num_frames,
    'num_bytes': len(view),
    'frames_at': start,
    'index_crc32': zlib.crc32(view[stop:], zlib.crc32(view[:start])),
    'frames_crc32': zlib.crc32(frames),
  }


def make_batch(
  index: pd.DataFrame, name: str, column: pa.Array, *, fps: Mapping[str, float]
) -> pa.RecordBatch:
  """Returns a person's index and pictures as Arrow writes them.

  Args:
    index: see `write_person`.
    name: of the column of pictures, the last.
    column: the pictures; their bytes lie behind those of the index.
    fps: frames a second of each video.

  Raises:
    ValueError: If the index is not of one person, is unsorted, lacks a column
      or holds an unsafe id.
  """
  if missing := [name for name in KEY_COLUMNS if name not in index.columns]:
    raise ValueError(f'The index lacks the columns {missing}.')
  starts = index['video_id'].ne(index['video_id'].shift()).to_numpy()
  video_ids = index['video_id'][starts].tolist()
  is_next = np.diff(index['frame'].to_numpy(), prepend=0) > 0
  if (
    index['person_id'].nunique() != 1
    or len(set(video_ids)) != len(video_ids)
    or not (starts | is_next).all()
  ):
    raise ValueError(
      'The index must be of one person and sorted: each video in one piece, '
      'and in a video each frame once and in order.'
    )
  lengths = np.diff(np.flatnonzero(starts), append=len(index)).tolist()
  videos = [
    (paths.check_id(video_id, what='video_id'), length, float(fps[video_id]))
    for video_id, length in zip(video_ids, lengths, strict=True)
  ]
  others = [name for name in index.columns if name not in KEY_COLUMNS]
  types = dict.fromkeys(others, pa.float32()) | {
    'person_id': pa.string(),
    'video_id': pa.string(),
    'frame': pa.int64(),
    'time_s': pa.float64(),
  }
  # Through NumPy, as pandas would turn NaN into null.
  arrays = {
    key: pa.array(index[key].to_numpy(), types[key])
    for key in (*KEY_COLUMNS, *others)
  }
  return pa.RecordBatch.from_pydict(
    arrays | {name: column}, metadata={'videos': json.dumps(videos)}
  )


def read_batch(
  batch: pa.RecordBatch,
) -> tuple[pa.Table, list[tuple[str, int, float]]]:
  """Returns the index of what `make_batch` made, and its videos.

  Raises:
    ValueError: If it is none of those.
  """
  try:
    videos = json_files.parse(
      batch.schema.metadata[b'videos'], [[(str, int, float)]], 'its videos'
    )
    index = pa.Table.from_batches([batch.select(batch.schema.names[:-1])])
  except (KeyError, TypeError) as error:
    raise ValueError(f'it is of another program, without {error}') from error
  return index, [tuple(video) for video in videos]
