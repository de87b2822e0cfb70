"""Small videos for the tests: synthetic faces on a plain ground."""

import fractions
import functools
import pathlib

import av
import numpy as np

from psm_jax.data import synthetic

FACE_PX = 88
SHARED = pathlib.Path(__file__).resolve().parents[3].parent / 'shared'


@functools.cache
def face(person_index: int, frame: int) -> np.ndarray:
  """[FACE_PX, FACE_PX, 3] uint8, RGB."""
  person = synthetic.sample_person(0, person_index)
  performance = synthetic.sample_performance(person, 0, 0, 32, 25.0)
  return synthetic.render(person, performance, frame, size_px=FACE_PX)


def picture(*faces, size=(160, 120), ground=100) -> np.ndarray:
  """A picture with faces, each (person_index, frame, left, top)."""
  canvas = np.full((size[1], size[0], 3), ground, np.uint8)
  for person_index, frame, left, top in faces:
    canvas[top : top + FACE_PX, left : left + FACE_PX] = face(
      person_index, frame
    )
  return canvas


def write(path, pictures, *, times_ms=None, codec='mpeg4', aspect=None):
  """Writes a video, 25 frames a second unless times are given."""
  unit = fractions.Fraction(1, 1000 if times_ms else 25)
  times = times_ms or range(len(pictures))
  with av.open(str(path), 'w') as container:
    stream = container.add_stream(codec, rate=25)
    stream.height, stream.width = pictures[0].shape[:2]
    stream.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
    if codec == 'mpeg4':
      stream.bit_rate = 2_000_000
    stream.codec_context.time_base = unit
    if aspect:
      stream.codec_context.sample_aspect_ratio = aspect
    for pixels, time in zip(pictures, times, strict=True):
      frame = av.VideoFrame.from_ndarray(pixels, format='rgb24')
      frame.pts, frame.time_base = time, unit
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
  return pathlib.Path(path)


def write_sound(path):
  """Writes a file with sound alone."""
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('aac', rate=8000)
    frame = av.AudioFrame.from_ndarray(
      np.zeros((1, 1024), np.float32), format='fltp', layout='mono'
    )
    frame.sample_rate = 8000
    container.mux(stream.encode(frame))
    container.mux(stream.encode())
  return pathlib.Path(path)


def box_rows(tracks):
  """A table of boxes: for each (frames, left, top) a face as drawn above."""
  lines = ['frame,x,y,width,height,confidence']
  for frames, left, top in tracks:
    lines += [f'{frame},{left + 17},{top + 12},54,74,0.99' for frame in frames]
  return '\n'.join(lines) + '\n'
