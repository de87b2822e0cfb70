"""Claims about headers of pictures: they are read as OpenCV writes them."""

import pathlib
import struct
import zlib

import cv2
import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data import picture_files


def png_of_zeros(width, height):
  """Returns a PNG of kilobytes with any number of black pixels."""

  def chunk(name, data):
    checksum = struct.pack('>I', zlib.crc32(name + data))
    return struct.pack('>I', len(data)) + name + data + checksum

  packer = zlib.compressobj(9)
  row = bytes(1 + width * 3)
  data = b''.join(packer.compress(row) for _ in range(height)) + packer.flush()
  header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
  chunks = (b'IHDR', header), (b'IDAT', data), (b'IEND', b'')
  return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*part) for part in chunks)


class PictureFilesTest(parameterized.TestCase):
  @parameterized.parameters(
    ('.png', ()),
    ('.bmp', ()),
    ('.jpg', ()),
    ('.jpg', (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    ('.jpg', (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)),
  )
  def test_the_size_is_in_the_header(self, suffix, options):
    picture = np.random.default_rng(0).integers(0, 255, (37, 51, 3), np.uint8)
    content = cv2.imencode(suffix, picture, options)[1].tobytes()
    self.assertEqual(picture_files.size_px(content), (51, 37))
    self.assertIsNone(picture_files.size_px(content[:12]))

  def test_what_lies_between_a_jpegs_markers_is_passed_over(self):
    content = cv2.imencode('.jpg', np.zeros((9, 5, 3), np.uint8))[1].tobytes()
    # A comment that holds what looks like a frame of one pixel.
    frame = b'\xff\xc0\x00\x11\x08\x00\x01\x00\x01'
    comment = b'\xff\xfe' + struct.pack('>H', 2 + len(frame)) + frame
    for extra in (comment, b'abc\xff\xff', b'\x00\xff\x00'):
      made = content[:2] + extra + content[2:]
      self.assertEqual(picture_files.size_px(made), (5, 9))

  def test_a_picture_of_too_many_pixels_is_refused_by_name(self):
    path = pathlib.Path(self.create_tempdir().full_path) / 'a.png'
    path.write_bytes(png_of_zeros(8192, 4097))
    self.assertLess(path.stat().st_size, 200_000)
    with self.assertRaisesRegex(ValueError, 'a.png has 8192 x 4097 pixels'):
      picture_files.read(path)
    path.write_bytes(b'no picture')
    self.assertEqual(picture_files.read(path), b'no picture')


if __name__ == '__main__':
  absltest.main()
