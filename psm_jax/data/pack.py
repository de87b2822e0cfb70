"""Frame packs: a frame store in one compressed file, to carry elsewhere.

A pack is a tar file of

  PERSON.arrow  as in a store, but instead of frames the column `picture`: JPEG
                or PNG files, RGB
  store.json    as in a store; a person's entry is person_id, num_frames and
                the CRC-32 of the member; `source.packed` says encoding, quality
                and the mean and least PSNR

Opening one needs NumPy, pandas, PyArrow and OpenCV, but no TensorFlow. Checks
find damage, not malice: open packs only from people you trust.
"""

import contextlib
import hashlib
import io
import os
import pathlib
import tarfile
import zlib

import numpy as np
import pyarrow as pa
from absl import logging
from tqdm import auto as tqdm

from psm_jax import paths, tasks
from psm_jax.data import picture_files, store as store_lib, store_files, upkeep

ENCODINGS = ('jpeg', 'png')
# 44 dB and 2.4 kB a frame on rendered faces of 64 px; 92: 42 dB and 1.9 kB.
QUALITY = 95
_AT_ONCE = 512  # Frames that are read.


def write(
  store: store_lib.FrameStore,
  path: str | os.PathLike,
  *,
  encoding: str = 'jpeg',
  quality: int = QUALITY,
) -> tuple[float, float]:
  """Packs a frame store into a new file, readable by its owner alone.

  Args:
    store: what to pack.
    path: the pack; must not exist.
    encoding: 'jpeg', or 'png', which loses nothing.
    quality: 1 to 100, of JPEG.

  Returns:
    The mean of the frames' PSNR in dB, inf where lossless, and that of the
    frame that lost most.

  Raises:
    ValueError: If the file exists or frames are damaged.
    OSError: If it cannot be written.
  """
  path = pathlib.Path(path)
  if path.exists():
    raise ValueError(f'{path} exists. Choose another file, or delete it.')
  encode = _encoder(encoding, quality, store.size_px)
  psnr, entries = [], []
  with (
    paths.writing_atomic(path, mode=0o600) as file,
    tarfile.open(fileobj=file, mode='w') as archive,
    tqdm.tqdm(total=len(store.frames), desc='packing', unit='frame') as bar,
  ):
    for person_id in store.person_ids:
      videos, pictures = store.videos(person_id), []
      rows = range(videos[0].start, videos[-1].stop)
      for start in rows[::_AT_ONCE]:
        frames = store.frames[start : min(start + _AT_ONCE, rows.stop)]
        for picture, lost in tasks.in_threads(encode, frames):
          pictures.append(picture)
          psnr.append(lost)
          bar.update()
      content = _member(store, person_id, rows, pictures)
      _add(archive, person_id + store_files.SUFFIX, content)
      entries.append(
        {
          'person_id': person_id,
          'num_frames': len(rows),
          'crc32': zlib.crc32(content),
        }
      )
    mean, least = float(np.mean(psnr)), float(np.min(psnr))
    packed = {
      'encoding': encoding,
      'quality': quality if encoding == 'jpeg' else None,
      'psnr_db': [mean, least] if np.isfinite(mean) else None,
    }
    manifest = store_files.make_manifest(
      size_px=store.size_px,
      people=entries,
      problems=store.problems,
      source=store.source | {'packed': packed},
    )
    _add(archive, store_files.MANIFEST, manifest)
  return mean, least


def _add(archive, name, content):
  member = tarfile.TarInfo(name)
  member.size, member.mode = len(content), 0o600
  archive.addfile(member, io.BytesIO(content))


def _member(store, person_id, rows, pictures):
  """Returns a person's rows and pictures as an Arrow file."""
  batch = store_files.make_batch(
    store.index.iloc[rows],
    'picture',
    pa.array(pictures, pa.binary()),
    fps={video.video_id: video.fps for video in store.videos(person_id)},
  )
  sink = pa.BufferOutputStream()
  # Pictures do not shrink, but landmarks and labels do.
  options = pa.ipc.IpcWriteOptions(compression='zstd')
  with pa.ipc.new_file(sink, batch.schema, options=options) as writer:
    writer.write_batch(batch)
  return sink.getvalue().to_pybytes()


def unpack(
  path: str | os.PathLike, *, directory: str | os.PathLike
) -> pathlib.Path:
  """Returns the frame store of a pack below a folder, decoded if need be.

  The store's name holds a fingerprint of the pack's content, so that what is
  there already is used as it is.

  Args:
    path: the pack.
    directory: where stores lie; made if need be, for its owner alone.

  Raises:
    ValueError: If the file is no pack or damaged (whose part is named), or
      OpenCV is missing.
    OSError: If the store cannot be written.
  """
  remedy = 'Copy it again, or pack the store again.'
  if not pathlib.Path(path).is_file():
    raise ValueError(f'{path} is no file. Give a pack made by launch.pack.')
  try:
    with _opened(path) as archive:
      content = _read(archive, store_files.MANIFEST)
      manifest = store_files.parse_manifest(content, path, remedy=remedy)
      name = f'store-{hashlib.sha256(content).hexdigest()[:16]}'
      folder = pathlib.Path(directory) / name
      _unpack(archive, manifest, folder)
  except (tarfile.TarError, KeyError, _Damage) as error:
    raise ValueError(
      f'{path} is no frame pack, cut short or damaged: {error}. {remedy}'
    ) from error
  return folder


def _unpack(archive, manifest, folder):
  """Makes the store of a pack, unless it is there."""
  paths.make_private_dir(folder.parent)
  with upkeep.writing(
    folder,
    size_px=manifest['size_px'],
    num_frames=sum(entry['num_frames'] for entry in manifest['people']),
    problems=manifest['problems'],
    source=manifest['source'],
  ) as writer:
    if writer is None:
      logging.info('Using the frame store %s.', folder)
      return
    logging.info('Unpacking %s into %s.', archive.name, folder)
    decode = _decoder(manifest['size_px'])
    for entry in manifest['people']:
      if entry['person_id'] not in writer.person_ids:
        _unpack_person(archive, entry, decode, writer)


def _unpack_person(archive, entry, decode, writer):
  """Decodes a person's pictures into a store."""
  name = entry['person_id'] + store_files.SUFFIX
  content = _read(archive, name)
  if zlib.crc32(content) != entry['crc32']:
    raise _Damage(f'{name}: its checksum is wrong')
  try:
    batch = pa.ipc.open_file(pa.py_buffer(content)).get_batch(0)
    index, videos = store_files.read_batch(batch)
    pictures = batch.column('picture').to_pylist()
  except (pa.ArrowException, OSError, ValueError) as error:
    raise _Damage(f'{name}: {error}') from error
  writer.add(
    writer.spool(tasks.in_threads(decode, pictures)),
    index.to_pandas(),
    fps={video_id: fps for video_id, _, fps in videos},
  )


@contextlib.contextmanager
def _opened(path):
  """Gives a pack whose headers were read."""
  with contextlib.ExitStack() as stack:
    try:
      archive = stack.enter_context(tarfile.open(path, 'r:'))
      archive.getmembers()
    except (IndexError, OverflowError, TypeError, ValueError) as error:
      raise _Damage(f'a header of it: {error}') from error
    yield archive


def _read(archive, name):
  """Returns the content of a member, as much as is there."""
  member = archive.getmember(name)
  num_bytes = pathlib.Path(archive.name).stat().st_size
  if not member.isreg() or member.sparse or member.size > num_bytes:
    raise _Damage(f'{name} is no file of at most {num_bytes} bytes')
  return archive.extractfile(member).read()


class _Damage(RuntimeError):
  """Names the damaged part of a pack."""


def _encoder(encoding, quality, size_px):
  """Returns a function from a frame to its picture and its PSNR in dB."""
  cv2 = _opencv()
  suffix, options = '.png', [cv2.IMWRITE_PNG_COMPRESSION, 9]
  if encoding == 'jpeg':
    suffix, options = (
      '.jpg',
      [
        *(cv2.IMWRITE_JPEG_QUALITY, quality),
        *(cv2.IMWRITE_JPEG_OPTIMIZE, 1),
        # Colour at full resolution: lips are a few pixels high.
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
      ],
    )
  decode = _decoder(size_px)

  def encode(frame):
    picture = np.ascontiguousarray(
      frame.reshape(size_px, size_px, 3)[..., ::-1]
    )
    blob = cv2.imencode(suffix, picture, options)[1].tobytes()
    error = np.mean((decode(blob).astype(np.float32) - frame) ** 2)
    return blob, 10 * np.log10(255**2 / error) if error else np.inf

  return encode


def _decoder(size_px):
  """Returns a function from a picture to [S * S * 3] uint8."""
  cv2 = _opencv()

  def decode(blob):
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    picture = None
    if picture_files.size_px(blob) == (size_px, size_px):
      picture = cv2.imdecode(np.frombuffer(blob, np.uint8), flags)
    if picture is None or picture.shape != (size_px, size_px, 3):
      raise _Damage(f'a picture of it is not one of {size_px} px')
    return picture[:, :, ::-1].reshape(-1)

  return decode


def _opencv():
  """Returns OpenCV, which only packs need."""
  try:
    import cv2
  except ModuleNotFoundError as error:
    raise ValueError(
      'Frame packs need OpenCV, which is not installed: '
      'pip install opencv-python-headless'
    ) from error
  return cv2
