"""The frame store: every frame once, decoded, aligned, resized and indexed.

A store is a folder that any reader of Arrow and JSON can open:

  PERSON.arrow  a row a frame of one person: person_id, video_id, frame, time_s,
                labels, landmarks, and the frame's bytes
  store.json    size, a checksum a person, problems and source

A person's index is compared with its checksum when the store is opened, and the
frames when the first of them are read, always. `upkeep` makes and changes
stores; docs/frame_store.md describes every field.
"""

import dataclasses
import itertools
import json
import os
import pathlib
import threading
import zlib
from collections.abc import Mapping, Sequence
from concurrent import futures

import numpy as np
import pandas as pd
import pyarrow as pa

from psm_jax import json_files, paths, tabular
from psm_jax.data import labels

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
class Video:
  """Rows [start, stop) of a store, in temporal order; fps is in 1/s."""

  video_id: str
  start: int
  stop: int
  fps: float


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


class Frames:
  """The frames of a store, indexed by row as a NumPy array of uint8 is.

  What indexing returns is a copy. A person's frames are compared with their
  checksum when the first of them is read.

  Attributes:
    shape: (num_frames, size_px * size_px * 3).
  """

  dtype = np.dtype(np.uint8)

  def __init__(self, people: Sequence[Person], size_px: int):
    self._people = people
    lengths = [len(person.frames) for person in people]
    self._starts = np.cumsum([0, *lengths])
    self.shape = (int(self._starts[-1]), size_px * size_px * 3)
    self._verified, self._lock = set(), threading.Lock()

  def __len__(self):
    return self.shape[0]

  def __array__(self, dtype=None, copy=None):
    return np.asarray(self[:], dtype=dtype)

  def __getitem__(self, rows: int | slice | Sequence[int] | np.ndarray):
    """Returns [..., size_px * size_px * 3] uint8, the frames of some rows.

    Raises:
      ValueError: If a person's frames are damaged; names the file.
      IndexError: If there is no such row; an array's count from 0.
    """
    if not isinstance(rows, np.ndarray) or rows.dtype == bool:
      rows = np.arange(len(self))[rows]
    flat = np.ravel(rows)
    if flat.size and not 0 <= flat.min() <= flat.max() < len(self):
      raise IndexError(f'Rows {flat.min()} to {flat.max()} of {len(self)}.')
    person = np.searchsorted(self._starts, flat, side='right') - 1
    borders = np.flatnonzero(np.diff(person, prepend=-1, append=-1))
    self._verify({int(p) for p in person[borders[:-1]]})
    taken = np.empty((flat.size, self.shape[1]), np.uint8)
    for first, stop in itertools.pairwise(borders):
      number = person[first]
      # `clip`, as `raise` would copy once more; rows are checked above. Other
      # threads run meanwhile.
      np.take(
        self._people[number].frames,
        flat[first:stop] - self._starts[number],
        axis=0,
        out=taken[first:stop],
        mode='clip',
      )
    return taken.reshape(*np.shape(rows), self.shape[1])

  def _verify(self, people):
    if people <= self._verified:
      return
    with self._lock, futures.ThreadPoolExecutor(os.cpu_count()) as pool:
      unread = [self._people[number] for number in people - self._verified]
      list(pool.map(Person.check_frames, unread))
      self._verified |= people


@dataclasses.dataclass(frozen=True)
class FrameStore:
  """A finished frame store, opened for reading.

  Attributes:
    path: the store's folder.
    size_px: side of a frame.
    frames: [num_frames, size_px * size_px * 3] uint8, memory-mapped, RGB,
      row-major HWC.
    index: row i describes frames[i]: person_id, video_id (str), frame (int64,
      the source's own number), time_s (float64, 0 at the video's smallest frame
      number), then label columns and, where the source has landmarks, x0, y0,
      ... x67, y67, pixels of the frame from its top left corner, 0 to size_px
      inside it (all float32, NaN where missing).
    person_ids: sorted, as the rows are.
    problems: what was left out or doubtful, each {'path', 'reason'} with the
      path relative to the source.
    source: what the store was made from, with its fingerprint.
    videos_by_person: what `videos` returns.
    checksums: CRC-32 of each person's frames, {} of frames in memory.
  """

  path: pathlib.Path
  size_px: int
  frames: Frames
  index: pd.DataFrame
  person_ids: tuple[str, ...]
  problems: tuple[dict[str, str], ...]
  source: dict
  videos_by_person: Mapping[str, tuple[Video, ...]]
  checksums: Mapping[str, int] = dataclasses.field(default_factory=dict)

  def videos(self, person_id: str) -> tuple[Video, ...]:
    """Returns a person's videos, sorted, one behind the other in the store.

    Raises:
      ValueError: If the store has no such person.
    """
    if person_id not in self.videos_by_person:
      raise ValueError(
        f'{self.path} has no person {person_id!r}. It has '
        f'{list_some(self.person_ids)}.'
      )
    return self.videos_by_person[person_id]

  def images(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """Returns [n, size_px, size_px, 3] uint8, the frames of n rows."""
    return self.frames[rows].reshape(-1, self.size_px, self.size_px, 3)

  @property
  def label_columns(self) -> list[str]:
    """The index's columns that are labels; landmarks are not."""
    others = {*KEY_COLUMNS, *labels.LANDMARK_COLUMNS}
    return [name for name in self.index.columns if name not in others]

  @property
  def has_landmarks(self) -> bool:
    """Whether the index holds 68 landmarks of a frame."""
    return labels.LANDMARK_COLUMNS[0] in self.index


def open_store(path: str | os.PathLike) -> FrameStore:
  """Opens a finished frame store.

  Frames are mapped, not read, so a store may be larger than memory.

  Raises:
    ValueError: If path is no store, a file is missing or damaged, or it has
      another schema version; names the file.
  """
  path = pathlib.Path(path)
  manifest = read_manifest(path)
  size_px, entries = manifest['size_px'], manifest['people']
  if not entries:
    raise ValueError(f'{path} holds nobody. Prepare it again.')
  people = [open_person(path, entry, size_px) for entry in entries]
  videos, start = {}, 0
  for entry, person in zip(entries, people, strict=True):
    videos[entry['person_id']] = ()
    for video_id, num_frames, fps in person.videos:
      video = Video(video_id, start, start + num_frames, fps)
      videos[entry['person_id']] += (video,)
      start = video.stop
  return FrameStore(
    path=path,
    size_px=size_px,
    frames=Frames(people, size_px),
    index=join([person.index for person in people]),
    person_ids=tuple(videos),
    problems=tuple(manifest['problems']),
    source=manifest['source'],
    videos_by_person=videos,
    checksums={entry['person_id']: entry['frames_crc32'] for entry in entries},
  )


def join(tables: Sequence[pa.Table]) -> pd.DataFrame:
  """Returns indices one behind another; what one of them lacks is NaN."""
  return pa.concat_tables(tables, promote_options='default').to_pandas()


def list_some(names: Sequence[str], *, limit: int = 8) -> str:
  """Returns names joined by commas, for messages; the rest is counted."""
  text = ', '.join(names[:limit])
  more = len(names) - limit
  return f'{text} and {more} more' if more > 0 else text or 'none'


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
  remedy = f'Copy it again, or delete {path} and prepare it again.'
  content = tabular.read_bytes(file, json_files.MAX_BYTES)
  return parse_manifest(content, file, remedy=remedy)


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
  what = f'{path}: person_id'
  return path / (paths.check_id(person_id, what=what) + SUFFIX)


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
    batch = pa.ipc.open_file(content).get_batch(0)
    index, videos = read_batch(batch)
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
  missing = [name for name in KEY_COLUMNS if name not in index.columns]
  if missing:
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
