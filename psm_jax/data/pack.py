"""Frame packs: a frame store in one compressed file, to carry elsewhere.

A pack is a zip file of four members, none of them compressed by zip:

  pack.json      schema version, encoding, size_px, num_frames, mean and least
                 PSNR; frame rates, problems and source as in store.json; the
                 SHA-256 of the two tables
  index.parquet  the store's index, see `store`
  blobs.npy      [num_frames, 2] uint32: bytes and CRC-32 of each picture
  frames.bin     the pictures (JPEG or PNG files, RGB), one behind another in
                 the index's order

Opening one needs NumPy, pandas, PyArrow and OpenCV, but no TensorFlow. Checks
find damage, not malice: open packs only from people you trust.
"""

import contextlib
import dataclasses
import errno
import hashlib
import io
import json
import os
import pathlib
import secrets
import struct
import zipfile
import zlib
from collections.abc import Iterator
from concurrent import futures

import numpy as np
import pandas as pd
from absl import logging
from tqdm import auto as tqdm

from psm_jax import paths
from psm_jax.data import store as store_lib
from psm_jax.data import store_files

SCHEMA_VERSION = 1
ENCODINGS = ('jpeg', 'png')
# 44 dB and 2.4 kB a frame on rendered faces of 64 px; 92: 42 dB and 1.9 kB.
QUALITY = 95
_MEMBERS = ('pack.json', 'index.parquet', 'blobs.npy', 'frames.bin')
# What a store says of the pack it came from.
_LOSS = ('encoding', 'quality', 'psnr_db')
_BATCH = 512


@dataclasses.dataclass(frozen=True)
class Packed:
  """What `write` made.

  Attributes:
    path: the pack.
    num_bytes: its size.
    num_frames: frames in it.
    mean_psnr: mean of the frames' PSNR in dB, inf where lossless.
    least_psnr: the PSNR of the frame that lost most.
  """

  path: pathlib.Path
  num_bytes: int
  num_frames: int
  mean_psnr: float
  least_psnr: float


def write(
  store: store_lib.FrameStore,
  path: str | os.PathLike,
  *,
  encoding: str = 'jpeg',
  quality: int = QUALITY,
) -> Packed:
  """Packs a frame store into a new file, readable by its owner alone.

  Args:
    store: what to pack.
    path: the pack; must not exist.
    encoding: 'jpeg', or 'png', which loses nothing.
    quality: 1 to 100, of JPEG.

  Raises:
    ValueError: If an option is wrong or the file exists.
    OSError: If it cannot be written.
  """
  path = pathlib.Path(path)
  if encoding not in ENCODINGS:
    raise ValueError(f'encoding {encoding!r} is none of {list(ENCODINGS)}.')
  if not 1 <= quality <= 100:
    raise ValueError(f'quality is {quality}; expected 1 to 100.')
  if path.exists():
    raise ValueError(f'{path} exists. Choose another file, or delete it.')
  temporary = path.with_name(f'.{path.name}.{secrets.token_hex(4)}.tmp')
  try:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, 'wb') as file:
      psnr = _write_members(file, store, encoding, quality)
      file.flush()
      os.fsync(file.fileno())
    temporary.rename(path)
  finally:
    temporary.unlink(missing_ok=True)
  return Packed(
    path, path.stat().st_size, len(psnr), float(psnr.mean()), float(psnr.min())
  )


def _write_members(file, store, encoding, quality):
  """Writes the zip file; returns the PSNR of each frame in dB."""
  encode = _encoder(encoding, quality, store.size_px)
  blobs, psnr = [], []
  with (
    zipfile.ZipFile(file, 'w', zipfile.ZIP_STORED) as archive,
    futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    tqdm.tqdm(total=len(store.frames), desc='packing', unit='frame') as bar,
  ):
    with archive.open('frames.bin', 'w', force_zip64=True) as member:
      for start in range(0, len(store.frames), _BATCH):
        frames = np.asarray(store.frames[start : start + _BATCH])
        for blob, lost in pool.map(encode, frames):
          member.write(blob)
          blobs.append((len(blob), zlib.crc32(blob)))
          psnr.append(lost)
        bar.update(len(frames))
    psnr = np.array(psnr)
    tables = {
      'index.parquet': store_files.encode_index(store.index),
      'blobs.npy': _npy_bytes(np.array(blobs, np.uint32)),
    }
    for name, content in tables.items():
      archive.writestr(name, content)
    meta = {
      'format': 'psm_jax frame pack',
      'schema_version': SCHEMA_VERSION,
      'encoding': encoding,
      'quality': quality if encoding == 'jpeg' else None,
      'psnr_db': [float(psnr.mean()), float(psnr.min())]
      if np.isfinite(psnr).all()
      else None,
      'size_px': store.size_px,
      'num_frames': len(store.frames),
      'sha256': {
        name: hashlib.sha256(content).hexdigest()
        for name, content in tables.items()
      },
      'videos': [
        {'person_id': person, 'video_id': video.video_id, 'fps': video.fps}
        for person in store.person_ids
        for video in store.videos(person)
      ],
      'problems': list(store.problems),
      'source': store.source,
    }
    archive.writestr('pack.json', json.dumps(meta, indent=1) + '\n')
  return psnr


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
    ValueError: If the file is no pack or damaged (which frame or part is
      named), or OpenCV is missing.
    OSError: If the store cannot be written.
  """
  with _opened(path) as archive:
    meta, index, blobs = _read_tables(archive)
    fingerprint = hashlib.sha256(archive.read('pack.json')).hexdigest()[:16]
    folder = pathlib.Path(directory) / f'store-{fingerprint}'
    if folder.exists():
      logging.info('Using the frame store %s.', folder)
      return folder
    paths.make_private_dir(directory)
    logging.info('Unpacking %s into %s.', path, folder)
    with store_lib.writing(
      folder, num_frames=meta['num_frames'], size_px=meta['size_px']
    ) as writer:
      start = 0
      for pictures in _decoded(archive, meta, index, blobs):
        writer.frames[start : start + len(pictures)] = pictures
        start += len(pictures)
      writer.finish(
        index,
        fps={(v['person_id'], v['video_id']): v['fps'] for v in meta['videos']},
        problems=meta['problems'],
        source=meta['source']
        | {'packed': {name: meta[name] for name in _LOSS}},
      )
  return folder


@contextlib.contextmanager
def _opened(path):
  """Gives the zip file of a pack; its errors become ours."""
  remedy = 'Copy it again, or pack the store again.'
  if not pathlib.Path(path).is_file():
    raise ValueError(f'{path} is no file. Give a pack made by launch.pack.')
  with open(path, 'rb') as file:
    if file.read(4) != b'PK\x03\x04':
      raise ValueError(f'{path} is no frame pack, or its beginning is damaged.')
  try:
    with zipfile.ZipFile(path) as archive:
      names = archive.namelist()
      if sorted(names) != sorted(_MEMBERS):
        raise ValueError(
          f'{path} is no frame pack: it holds {store_lib.list_some(names)}; '
          f'expected {", ".join(_MEMBERS)}. {remedy}'
        )
      if {i.compress_type for i in archive.infolist()} != {zipfile.ZIP_STORED}:
        raise _Damage('its members are compressed')
      yield archive
  except zipfile.BadZipFile as error:
    raise ValueError(
      f'{path} is cut short or damaged: {error}. {remedy}'
    ) from error
  except (_Damage, NotImplementedError, RuntimeError, struct.error) as error:
    # zipfile takes flipped flags for encryption or unknown features.
    raise ValueError(f'{path} is damaged: {error}. {remedy}') from error
  except OSError as error:
    if error.errno != errno.EINVAL:
      raise
    # A flipped offset points before the beginning of the file.
    raise ValueError(f'{path} is damaged: a wrong offset. {remedy}') from error


class _Damage(Exception):
  """Names the damaged part of a pack."""


def _read_tables(archive):
  """Returns pack.json, the index and the blobs of a pack, checked."""
  content = {name: archive.read(name) for name in _MEMBERS[:-1]}
  try:
    meta = json.loads(content['pack.json'])
    version = meta['schema_version']
  except (ValueError, KeyError, TypeError) as error:
    raise _Damage(f'pack.json: {error}') from error
  if version != SCHEMA_VERSION:
    raise ValueError(
      f'{archive.filename} has schema version {version!r}, this program reads '
      f'{SCHEMA_VERSION}. Pack the store again, or update psm_jax.'
    )
  for name, expected in meta['sha256'].items():
    if hashlib.sha256(content[name]).hexdigest() != expected:
      raise _Damage(f'{name}: its SHA-256 is another')
  index = pd.read_parquet(io.BytesIO(content['index.parquet']))
  blobs = np.load(io.BytesIO(content['blobs.npy']), allow_pickle=False)
  if blobs.shape != (meta['num_frames'], 2) or len(index) != len(blobs):
    raise _Damage(
      f'{len(blobs)} pictures and {len(index)} rows for {meta["num_frames"]} '
      'frames'
    )
  return meta, index, blobs


def _decoded(archive, meta, index, blobs) -> Iterator[np.ndarray]:
  """Yields [n, S * S * 3] uint8 arrays of decoded frames, in order."""
  decode = _decoder(meta['size_px'])

  def damage(row, reason):
    frame = index.iloc[row]
    return _Damage(
      f'frame {frame.frame} of {frame.person_id}/{frame.video_id}: {reason}'
    )

  def read(file, row):
    size, checksum = map(int, blobs[row])
    blob = file.read(size)
    if len(blob) != size:
      raise damage(row, f'{len(blob)} of {size} bytes are there')
    if zlib.crc32(blob) != checksum:
      raise damage(row, 'its checksum is wrong')
    return blob

  with (
    open(archive.filename, 'rb') as file,
    futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    tqdm.tqdm(total=len(blobs), desc='unpacking', unit='frame') as bar,
  ):
    # Past zipfile, whose one checksum of all frames would not say which.
    file.seek(_offset(archive, 'frames.bin'))
    for start in range(0, len(blobs), _BATCH):
      rows = range(start, min(start + _BATCH, len(blobs)))
      encoded = [read(file, row) for row in rows]
      pictures = list(pool.map(decode, encoded))
      for row, picture in zip(rows, pictures, strict=True):
        if picture is None:
          side = meta['size_px']
          raise damage(row, f'no {meta["encoding"]} picture of {side} px')
      yield np.stack(pictures)
      bar.update(len(pictures))


def _offset(archive, name):
  """Returns where in its file a stored member's content begins."""
  start = archive.getinfo(name).header_offset
  with open(archive.filename, 'rb') as file:
    file.seek(start)
    header = file.read(30)
  name_size, extra_size = struct.unpack('<26xHH', header)
  return start + len(header) + name_size + extra_size


def _encoder(encoding, quality, size_px):
  """Returns a function from a frame to its picture and its PSNR in dB."""
  cv2 = _opencv()
  suffix, options = (
    '.png',
    [cv2.IMWRITE_PNG_COMPRESSION, 9],
  )
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
    picture = frame.reshape(size_px, size_px, 3)[:, :, ::-1]
    done, blob = cv2.imencode(suffix, np.ascontiguousarray(picture), options)
    assert done
    blob = blob.tobytes()
    error = np.mean((decode(blob).astype(np.float32) - frame) ** 2)
    return blob, 10 * np.log10(255**2 / error) if error else np.inf

  return encode


def _decoder(size_px):
  """Returns a function from a picture to [S * S * 3] uint8, None if bad."""
  cv2 = _opencv()

  def decode(blob):
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    picture = cv2.imdecode(np.frombuffer(blob, np.uint8), flags)
    if picture is None or picture.shape != (size_px, size_px, 3):
      return None
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


def _npy_bytes(array):
  content = io.BytesIO()
  np.save(content, array, allow_pickle=False)
  return content.getvalue()
