"""Encoded pictures, whose headers are looked at before anything decodes them.

A picture of a few kilobytes may claim to have any number of pixels, for which
a decoder takes memory at once.
"""

import os
import struct

from psm_jax import paths

# 33 million, as a frame of 8K video has: 100 MB as bytes.
MAX_PIXELS = 1 << 25
_MAX_BYTES = 64 << 20
_JPEG, _PNG = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'
# Markers that begin a frame, and those without a length.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_BARE = {0x01, *range(0xD0, 0xD9)}


def read(path: str | os.PathLike) -> bytes:
  """Returns the content of a file of a picture, still encoded.

  Raises:
    ValueError: If it is larger, or claims to have more pixels, than a picture
      may have.
    OSError: If it cannot be read.
  """
  content = paths.read_bytes(path, _MAX_BYTES)
  width, height = size_px(content) or (0, 0)
  if width * height > MAX_PIXELS:
    raise ValueError(
      f'{path} has {width} x {height} pixels; at most {MAX_PIXELS} are decoded.'
    )
  return content


def size_px(content: bytes) -> tuple[int, int] | None:
  """Returns (width, height) by the header of a JPEG, PNG, GIF or BMP picture.

  None if there is no such header; the picture is then damaged or another.
  """
  try:
    if content.startswith(_PNG):
      return struct.unpack_from('>II', content, 16)
    if content.startswith(b'GIF8'):
      return struct.unpack_from('<HH', content, 6)
    if content.startswith(b'BM'):
      width, height = struct.unpack_from('<ii', content, 18)
      return abs(width), abs(height)
    return _jpeg_size(content) if content.startswith(_JPEG) else None
  except struct.error:
    return None


def _jpeg_size(content):
  """Looks for the marker of a frame; between markers anything may lie."""
  place = len(_JPEG)
  while (place := content.find(b'\xff', place)) >= 0:
    (marker,) = struct.unpack_from('B', content, place + 1)
    if marker in _FRAMES:
      height, width = struct.unpack_from('>HH', content, place + 5)
      return width, height
    if marker in (0x00, 0xFF) or marker in _BARE:
      place += 1 if marker == 0xFF else 2
    else:
      place += 2 + struct.unpack_from('>H', content, place + 2)[0]
  return None
