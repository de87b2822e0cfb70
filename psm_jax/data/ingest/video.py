"""Reads a video's frames in the order they are shown, with their own times.

Times are the container's, so variable frame rates stay what they are;
`frame_times` puts them in order once all frames are read. Frames that an edit
list hides are not shown; pictures are turned and mirrored as the file says and
have square pixels.
"""

import array
import dataclasses
import math
import os
from collections.abc import Iterator

import av
import numpy as np

from psm_jax.data import frame_times, picture_files

CODECS = ('h264', 'hevc', 'mpeg4', 'mjpeg', 'vp9', 'av1')
# A playlist inside a video file must not open anything on the network.
_OPTIONS = {'protocol_whitelist': 'file'}
# Before 19, PyAV refused titles that are no text unless it was told not to.
_METADATA = (
  {'metadata_errors': 'ignore'}
  if int(av.__version__.split('.')[0]) < 19
  else {}
)


def readable() -> list[str]:
  """Returns those of `CODECS` that this machine can read."""
  return [kind for kind in CODECS if kind in av.codecs_available]


@dataclasses.dataclass
class Counts:
  """What reading a video came across; filled while frames are read.

  Attributes:
    decoded: frames shown.
    damaged: of these, frames that the decoder says are damaged.
    hidden: packets that an edit list hides.
    broken_packets: packets that could not be decoded.
    times: the file's times of the frames shown, in seconds; NaN if it has none.
    rate: frames a second by the header, 25 if it does not say.
    start_s: when the pictures begin by the header; NaN if it does not say.
    num_streams: moving pictures in the file, of which one is read.
    interlaced: interlaced frames.
    promised: frames that the file's header counts, 0 if it does not.
    packets: packets read.
    promised_s: end of the video by its header, in seconds; NaN if unknown.
    has_sound: whether that may be the end of sound.
    stopped: why reading ended early, '' if it did not.
    codec: the codec's name.
    width: of the picture as shown, in pixels.
    height: of the picture as shown, in pixels.
    stored: (width, height) of the picture as stored, turned as shown.
  """

  decoded: int = 0
  damaged: int = 0
  hidden: int = 0
  broken_packets: int = 0
  times: array.array = dataclasses.field(
    default_factory=lambda: array.array('d')
  )
  rate: float = frame_times.DEFAULT_FPS
  start_s: float = math.nan
  num_streams: int = 1
  interlaced: int = 0
  promised: int = 0
  packets: int = 0
  promised_s: float = math.nan
  has_sound: bool = False
  stopped: str = ''
  codec: str = ''
  width: int = 0
  height: int = 0
  stored: tuple[int, int] = (0, 0)

  def time_s(self) -> np.ndarray:
    """Returns [T] float64, when each frame is shown, see `frame_times`."""
    return frame_times.in_order(
      np.array(self.times, np.float64), rate=self.rate, start_s=self.start_s
    )

  def warnings(self, time_s: np.ndarray) -> list[str]:
    """Returns what a user should know about the file, a sentence each.

    Args:
      time_s: [T] float64, when frames are shown.
    """
    last_s = time_s[-1] if len(time_s) else math.nan
    lacks_frames = self.promised > self.packets
    # From where on the end is missing: no frame lasts as long.
    least_lack_s = max(
      1.0 if self.has_sound else 0.25, 2.5 * np.diff(time_s).max(initial=0.0)
    )
    given = np.array(self.times)
    num_untimed = np.isnan(given).sum()
    num_unordered = (np.diff(given) <= 0).sum()
    doubts = (
      (
        self.stopped,
        f'reading stopped after {self.decoded} frames ({self.stopped}); the '
        'file seems cut short',
      ),
      (
        lacks_frames,
        f'the header counts {self.promised} frames, the file holds '
        f'{self.packets}; it seems cut short, or the recorder dropped some',
      ),
      (
        not lacks_frames and self.promised_s - last_s > least_lack_s,
        f'the last of {self.decoded} frames is at {last_s:.2f} s, the '
        f'header says {self.promised_s:.2f} s; the file seems cut short',
      ),
      (
        self.damaged,
        f'{self.damaged} of {self.decoded} frames are damaged and not used; '
        'the file may be cut short or broken',
      ),
      (
        self.broken_packets,
        f'{self.broken_packets} packets cannot be decoded',
      ),
      (
        num_untimed,
        f'{num_untimed} of {self.decoded} frames have no time; taken from '
        f'{self.rate:.4g} frames a second',
      ),
      (
        num_unordered,
        f'{num_unordered} frame times do not increase; put in order',
      ),
      (
        self.num_streams > 1,
        f'{self.num_streams} moving pictures in the file; read was the one '
        'that players show',
      ),
      (
        self.interlaced,
        f'{self.interlaced} frames are interlaced; moving edges show combs',
      ),
    )
    return [sentence for is_so, sentence in doubts if is_so]


@dataclasses.dataclass(frozen=True)
class Frame:
  """One frame, still in the decoder's format.

  Attributes:
    index: counted from 0 in the order shown.
    is_damaged: whether the decoder says so.
    size: (width, height) in pixels of the picture as shown.
    image: PyAV's frame, not turned.
  """

  index: int
  is_damaged: bool
  size: tuple[int, int]
  image: av.VideoFrame

  def picture(self, *, longest_px: int | None = None) -> np.ndarray:
    """Returns the picture as shown: turned, mirrored, with square pixels.

    Args:
      longest_px: longer side that the picture is shrunk to; None for its own
        size. It is never enlarged.

    Returns:
      [H, W, 3] uint8, RGB.
    """
    share = min(1.0, (longest_px or math.inf) / max(self.size))
    width, height = (max(1, round(side * share)) for side in self.size)
    turns, is_mirrored = _orientation(self.image)
    if turns % 2:
      width, height = height, width
    pixels = np.rot90(self._scaled(width, height, 'rgb24'), turns)
    return np.ascontiguousarray(pixels[:, ::-1] if is_mirrored else pixels)

  def enlargement(self, picture: np.ndarray) -> np.ndarray:
    """Returns [2] float64 (x, y), from a shrunk picture to the one shown."""
    return np.array(self.size) / [picture.shape[1], picture.shape[0]]

  def outline(self) -> np.ndarray:
    """Returns [48, 64] uint8, the grey levels in small, not turned."""
    return self._scaled(64, 48, 'gray')

  def _scaled(self, width, height, pixel_format):
    """The image, not turned, of another size and format."""
    # By default threads are started for every picture, which takes longer than
    # the picture does.
    return self.image.reformat(
      width=width,
      height=height,
      format=pixel_format,
      interpolation='AREA',
      threads=1,
    ).to_ndarray()


def read(
  path: str | os.PathLike, counts: Counts, *, num_threads: int = 1
) -> Iterator[Frame]:
  """Yields the frames of a video's moving picture, of several the default one.

  Args:
    path: the file.
    counts: is filled while frames are read.
    num_threads: of the decoder.

  Raises:
    ValueError: If the file is empty, no video, or has no picture stream.
    OSError: If the file cannot be read.
  """
  # Through Python's file, so that a name is never taken for an address or an
  # option, and may be of any bytes.
  with open(path, 'rb') as file:
    if not os.fstat(file.fileno()).st_size:
      raise ValueError('the file is empty (0 bytes)')
    try:
      container = av.open(
        file, options=_OPTIONS, buffer_size=1 << 20, **_METADATA
      )
    except av.error.FFmpegError as error:
      raise ValueError(
        f'not a video that can be opened ({error.strerror}); it may be cut '
        'short or of another kind'
      ) from error
    with container:
      stream = _picture_stream(container, counts)
      _describe(container, stream, counts)
      stream.thread_type = 'AUTO'
      stream.codec_context.thread_count = num_threads
      yield from _frames(container, stream, counts)


def length_s(path: str | os.PathLike) -> float:
  """Returns a video's length by its header, 0 if that cannot be told."""
  try:
    with open(path, 'rb') as file, av.open(file, options=_OPTIONS) as container:
      return max(0.0, (container.duration or 0) / av.time_base)
  except (OSError, ValueError):
    return 0.0


def _picture_stream(container, counts):
  """The moving picture that players show; covers of music are none."""
  flags = av.stream.Disposition
  streams = [
    stream
    for stream in container.streams.video
    if not stream.disposition & flags.attached_pic
  ]
  if not streams:
    raise ValueError(
      'no video in it, '
      + ('only sound' if container.streams.audio else 'it may be cut short')
    )
  counts.num_streams = len(streams)
  stream = next(
    (s for s in streams if s.disposition & flags.default), streams[0]
  )
  codec = stream.codec_context
  if codec is None:
    raise ValueError('the video is in a codec that is not known')
  most = picture_files.MAX_PIXELS
  if codec.width * codec.height > most:
    raise ValueError(
      f'its frames have {codec.width} x {codec.height} pixels; at most {most} '
      'are decoded'
    )
  # Frames may be larger than the header says.
  codec.options = {'max_pixels': str(most)}
  return stream


def _describe(container, stream, counts):
  counts.codec = stream.codec_context.name
  counts.promised = stream.frames or 0
  counts.rate = float(stream.average_rate or 0) or frame_times.DEFAULT_FPS
  if stream.start_time is not None and stream.time_base:
    counts.start_s = float(stream.start_time * stream.time_base)
  if stream.duration and stream.time_base:
    end = (stream.start_time or 0) + stream.duration
    counts.promised_s = float(end * stream.time_base)
  elif container.duration:
    # Of the longest stream, which may be the sound: the best there is.
    counts.promised_s = container.duration / av.time_base
    counts.has_sound = len(container.streams) > 1


def _frames(container, stream, counts):
  """Decodes packet by packet, going on after what cannot be decoded."""
  aspect = float(stream.sample_aspect_ratio or 1) or 1.0
  for packet in _packets(container, stream, counts):
    try:
      images = packet.decode()
    except av.error.FFmpegError as error:
      counts.broken_packets += not isinstance(error, av.error.EOFError)
      continue
    for image in images:
      yield _frame(image, counts, aspect)


def _packets(container, stream, counts):
  try:
    for packet in container.demux(stream):
      if packet.size:
        counts.packets += 1
        counts.hidden += bool(packet.is_discard)
      yield packet
  except av.error.FFmpegError as error:
    counts.stopped = str(error.strerror)


def _frame(image, counts, aspect):
  """One frame with its shown size; counts it."""
  is_timed = image.pts is not None and image.time_base
  # From the fraction: exact, unlike PyAV's own division.
  counts.times.append(
    float(image.pts * image.time_base) if is_timed else math.nan
  )
  width, height = stored = image.width, image.height
  if abs(aspect - 1) > 0.01:
    width = max(1, round(width * aspect))
  if _orientation(image)[0] % 2:
    width, height, stored = height, width, stored[::-1]
  counts.decoded += 1
  counts.damaged += bool(image.is_corrupt)
  counts.interlaced += bool(image.interlaced_frame)
  counts.width, counts.height, counts.stored = width, height, stored
  return Frame(
    counts.decoded - 1, bool(image.is_corrupt), (width, height), image
  )


def _orientation(image):
  """(counterclockwise quarter turns, whether mirrored left to right then).

  From the decoded picture to the one shown, by the frame's display matrix.
  """
  data = image.side_data.get('DISPLAYMATRIX')
  if data is None:
    return 0, False
  a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].astype(np.float64)
  is_mirrored = a * d - b * c < 0
  if is_mirrored:
    a, c = -a, -c  # What is left once the mirror is taken off.
  return round(math.degrees(math.atan2(-b, a)) / 90) % 4, is_mirrored
