"""Writes films: pictures to MP4, by PyAV.

movies.write('film.mp4', pictures, fps=25)
"""

import fractions
import io
import os
import pathlib
from collections.abc import Iterable

import av
import cv2
import numpy as np

from psm_jax import paths

# H.264 at a quality where no block is seen, readable by every browser.
_CODEC, _PIXELS = 'libx264', 'yuv420p'
_QUALITY = '23'


def encode(pictures: Iterable[np.ndarray], *, fps: float) -> bytes:
  """Returns an MP4 film.

  Args:
    pictures: Each [H, W, 3] uint8, R, G, B; of one size, H and W even.
    fps: Pictures a second.

  Raises:
    ValueError: If there is no picture, or a side is odd.
  """
  file, stream = io.BytesIO(), None
  rate = fractions.Fraction(fps).limit_denominator(1000)
  with av.open(file, 'w', format='mp4') as container:
    for picture in pictures:
      if stream is None:
        stream = _stream(container, rate, picture.shape)
      container.mux(
        stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24'))
      )
    if stream is None:
      raise ValueError('A film needs a picture.')
    container.mux(stream.encode())
  return file.getvalue()


def _stream(container, rate, shape):
  height, width = shape[:2]
  if height % 2 or width % 2:
    raise ValueError(f'A film of {width} x {height} needs even sides.')
  stream = container.add_stream(
    _CODEC, rate=rate, options={'crf': _QUALITY, 'preset': 'medium'}
  )
  stream.width, stream.height, stream.pix_fmt = width, height, _PIXELS
  return stream


def write(
  path: str | os.PathLike, pictures: Iterable[np.ndarray], *, fps: float
) -> pathlib.Path:
  """Writes an MP4 film, whole or not at all; see `encode`."""
  return paths.write_atomic(pathlib.Path(path), encode(pictures, fps=fps))


def enlarged(pictures: np.ndarray, size_px: int) -> np.ndarray:
  """Returns pictures of another size.

  Args:
    pictures: [n, S, S, 3] uint8.
    size_px: Their new side.

  Returns:
    [n, size_px, size_px, 3] uint8.
  """
  return np.stack(
    [
      cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
      for picture in pictures
    ]
  )


def flow_colours(flow: np.ndarray, *, most: float) -> np.ndarray:
  """Returns flows as pictures: the hue is the direction, white is no movement.

  Args:
    flow: [n, h, w, 2] float, (x, y).
    most: Length of full colour; longer ones are drawn alike.

  Returns:
    [n, h, w, 3] uint8, R, G, B.
  """
  length = np.minimum(np.linalg.norm(flow, axis=-1) / max(most, 1e-9), 1)
  turn = (np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi)) % 1
  hsv = np.stack([360 * turn, length, np.ones_like(turn)], axis=-1)
  return np.stack(
    [
      np.rint(
        255 * cv2.cvtColor(part.astype(np.float32), cv2.COLOR_HSV2RGB)
      ).astype(np.uint8)
      for part in hsv
    ]
  )


def shown(images: np.ndarray) -> np.ndarray:
  """Returns pictures [n, S, S, 3] uint8 as they are, flows in colours."""
  if images.shape[-1] != 2:
    return images
  most = np.quantile(np.linalg.norm(images, axis=-1), 0.995)
  return flow_colours(images, most=float(most))


def jpeg(picture: np.ndarray, *, quality: int = 80) -> bytes:
  """Returns a picture [H, W, 3] uint8 as a JPEG file."""
  settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
  return cv2.imencode('.jpg', picture[..., ::-1], settings)[1].tobytes()
