"""Reads a video's frames in the order they are shown, with their own times.

Times are the container's, so variable frame rates stay what they are. Frames
that an edit list hides are not shown; pictures are turned as the file says and
have square pixels.
"""

import collections
import dataclasses
import math
import os
import pathlib
from collections.abc import Iterator

import av
import numpy as np

# A playlist inside a video file must not open anything on the network.
_OPTIONS = {'protocol_whitelist': 'file'}
_DEFAULT_FPS = 25.0


@dataclasses.dataclass
class Counts:
  """What reading a video came across; filled while frames are read.

  Attributes:
    decoded: frames shown.
    damaged: of these, frames that the decoder says are damaged.
    hidden: packets that an edit list hides.
    broken_packets: packets that could not be decoded.
    estimated_times: frames without a time of their own.
    repeated_times: frames whose time is not later than the one before.
    interlaced: interlaced frames.
    promised: frames that the file's header counts, 0 if it does not.
    packets: packets read.
    promised_s: end of the video by its header, in seconds; NaN if unknown.
    last_s: time of the last frame in seconds; NaN before the first.
    stopped: why reading ended early, '' if it did not.
    codec: the codec's name.
    width: of the picture as shown, in pixels.
    height: of the picture as shown, in pixels.
  """

  decoded: int = 0
  damaged: int = 0
  hidden: int = 0
  broken_packets: int = 0
  estimated_times: int = 0
  repeated_times: int = 0
  interlaced: int = 0
  promised: int = 0
  packets: int = 0
  promised_s: float = math.nan
  last_s: float = math.nan
  stopped: str = ''
  codec: str = ''
  width: int = 0
  height: int = 0

  def warnings(self) -> list[str]:
    """Returns what a user should know about the file, a sentence each."""
    found = []
    if self.stopped:
      found.append(
        f'reading stopped after {self.decoded} frames ({self.stopped}); the '
        'file seems cut short'
      )
    if self.promised > self.packets:
      found.append(
        f'the header counts {self.promised} frames, the file holds '
        f'{self.packets}; it seems cut short, or the recorder dropped some'
      )
    elif self.promised_s - self.last_s > 1.0:
      found.append(
        f'the last of {self.decoded} frames is at {self.last_s:.2f} s, the '
        f'header says {self.promised_s:.2f} s; the file seems cut short'
      )
    if self.damaged:
      found.append(
        f'{self.damaged} of {self.decoded} frames are damaged and not used; '
        'the file may be cut short or broken'
      )
    if self.broken_packets:
      found.append(f'{self.broken_packets} packets cannot be decoded')
    if self.estimated_times:
      found.append(
        f'{self.estimated_times} frames have no time; estimated from the rate'
      )
    if self.repeated_times:
      found.append(f'{self.repeated_times} frame times do not increase')
    if self.interlaced:
      found.append(
        f'{self.interlaced} frames are interlaced; moving edges show combs'
      )
    return found


@dataclasses.dataclass(frozen=True)
class Frame:
  """One frame, still in the decoder's format.

  Attributes:
    index: counted from 0 in the order shown.
    time_s: float64 seconds by the container's clock.
    is_damaged: whether the decoder says so.
    size: (width, height) in pixels of the picture as shown.
    image: PyAV's frame, not turned.
  """

  index: int
  time_s: float
  is_damaged: bool
  size: tuple[int, int]
  image: av.VideoFrame

  def picture(self, *, longest_px: int | None = None) -> np.ndarray:
    """Returns the picture as shown: turned, with square pixels.

    Args:
      longest_px: longer side that the picture is shrunk to; None for its own
        size. It is never enlarged.

    Returns:
      [H, W, 3] uint8, RGB.
    """
    width, height = self.size
    if longest_px is not None and longest_px < max(width, height):
      share = longest_px / max(width, height)
      width = max(1, round(width * share))
      height = max(1, round(height * share))
    turns = _quarter_turns(self.image)
    if turns % 2:
      width, height = height, width
    pixels = self.image.reformat(
      width=width, height=height, format='rgb24', interpolation='AREA'
    ).to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, turns))


def read(
  path: str | os.PathLike, counts: Counts, *, num_threads: int = 1
) -> Iterator[Frame]:
  """Yields the frames of a video's first picture stream.

  Args:
    path: the file.
    counts: is filled while frames are read.
    num_threads: of the decoder.

  Raises:
    ValueError: If the file is empty, no video, or has no picture stream.
    OSError: If the file cannot be read.
  """
  path = pathlib.Path(path)
  # Through Python's file, so that a name is never taken for an address or an
  # option, and may be of any bytes.
  with open(path, 'rb') as file:
    if not os.fstat(file.fileno()).st_size:
      raise ValueError('the file is empty (0 bytes)')
    try:
      container = av.open(
        file, options=_OPTIONS, metadata_errors='ignore', buffer_size=1 << 20
      )
    except av.error.FFmpegError as error:
      raise ValueError(
        f'not a video that can be opened ({error.strerror}); it may be cut '
        'short or of another kind'
      ) from error
    with container:
      stream = _picture_stream(container)
      _describe(container, stream, counts)
      stream.thread_type = 'AUTO'
      stream.codec_context.thread_count = num_threads
      yield from _frames(container, stream, counts)


def frame_rate(times_s: np.ndarray) -> float:
  """Returns frames a second from the usual step of a video's times.

  Args:
    times_s: [T] float64 seconds.

  Returns:
    1 / the mean of the steps near the middle one, which undoes rounded times
    and leaves gaps out; 25 if there are no two different times.
  """
  steps = np.diff(times_s)
  steps = steps[steps > 0]
  if not len(steps):
    return _DEFAULT_FPS
  usual = np.abs(steps / np.median(steps) - 1) < 0.5
  return float(1 / steps[usual].mean())


def _picture_stream(container):
  """The first stream of moving pictures; covers of music are none."""
  for stream in container.streams.video:
    if not stream.disposition & av.stream.Disposition.attached_pic:
      if stream.codec_context is None:
        raise ValueError('the video is in a codec that is not known')
      return stream
  has_sound = bool(container.streams.audio)
  raise ValueError(
    'no video in it, ' + ('only sound' if has_sound else 'it may be cut short')
  )


def _describe(container, stream, counts):
  counts.codec = stream.codec_context.name
  counts.promised = stream.frames or 0
  if stream.duration and stream.time_base:
    start = stream.start_time or 0
    counts.promised_s = float((start + stream.duration) * stream.time_base)
  elif container.duration:
    # Of the longest stream, which may be the sound: the best there is.
    counts.promised_s = container.duration / av.time_base


def _frames(container, stream, counts):
  """Decodes packet by packet, going on after what cannot be decoded."""
  aspect = float(stream.sample_aspect_ratio or 1) or 1.0
  rate = float(stream.average_rate or 0) or _DEFAULT_FPS
  for packet in _packets(container, stream, counts):
    try:
      images = packet.decode()
    except av.error.EOFError:
      continue
    except av.error.FFmpegError:
      counts.broken_packets += 1
      continue
    for image in images:
      yield _frame(image, counts, aspect, rate)


def _packets(container, stream, counts):
  packets = container.demux(stream)
  while True:
    try:
      packet = next(packets)
    except StopIteration:
      return
    except av.error.FFmpegError as error:
      counts.stopped = str(error.strerror)
      return
    if packet.size:
      counts.packets += 1
      counts.hidden += bool(packet.is_discard)
    yield packet


def _frame(image, counts, aspect, rate):
  """One frame with its time and shown size; counts it."""
  if image.time is None:
    counts.estimated_times += 1
    first = math.isnan(counts.last_s)
    time_s = 0.0 if first else counts.last_s + 1 / rate
  else:
    # From the fraction: PyAV's own division is the same, but this is exact.
    time_s = float(image.pts * image.time_base)
  if time_s <= counts.last_s:
    counts.repeated_times += 1
  width, height = image.width, image.height
  if abs(aspect - 1) > 0.01:
    width = max(1, round(width * aspect))
  if _quarter_turns(image) % 2:
    width, height = height, width
  index = counts.decoded
  counts.decoded += 1
  counts.damaged += bool(image.is_corrupt)
  counts.interlaced += bool(image.interlaced_frame)
  counts.last_s = time_s
  counts.width, counts.height = width, height
  return Frame(index, time_s, bool(image.is_corrupt), (width, height), image)


def _quarter_turns(image):
  """Counterclockwise quarter turns from the decoded picture to the shown."""
  return round(image.rotation / 90) % 4


@dataclasses.dataclass
class CutFinder:
  """Tells where a film goes over to another scene.

  The mean difference of a small picture from the one before must be large, at
  least twice as large as any of the last frames', and the colours must change:
  movement before a still camera leaves the colours as they are. Fades and
  dissolves are not found.
  """

  recent: collections.deque = dataclasses.field(
    default_factory=lambda: collections.deque(maxlen=8)
  )
  last: np.ndarray | None = None
  size: tuple[int, int] | None = None

  def is_cut(self, frame: Frame) -> bool:
    """Tells whether a frame begins another scene; call it frame by frame."""
    small = frame.image.reformat(
      width=64, height=48, format='rgb24', interpolation='AREA'
    ).to_ndarray()
    last, self.last = self.last, small
    same_size = self.size in (None, frame.size)
    self.size = frame.size
    if last is None:
      return False
    change = float(np.abs(small.astype(np.int16) - last).mean())
    found = not same_size or (
      change >= _CUT_CHANGE
      and change >= 2 * max(self.recent, default=0.0)
      and _colour_distance(small, last) >= _CUT_COLOURS
    )
    if found:
      self.recent.clear()
    else:
      self.recent.append(change)
    return found


# Between frames of 15 films of talking and signing people the change stayed
# below 7.7 grey levels and the colour distance below 0.016; from one of these
# films to another they are above 10.5 and 0.016. Two tracks of one person cost
# a look at the sheet, one of two people spoils a model: when in doubt, cut.
_CUT_CHANGE = 9.0
_CUT_COLOURS = 0.01


def _colour_distance(one, other):
  """1 - Bhattacharyya coefficient of two pictures' colours, 512 bins."""
  histograms = []
  for picture in (one, other):
    bins = (picture >> 5).astype(np.int64) @ np.array([64, 8, 1])
    histograms.append(np.bincount(bins.ravel(), minlength=512) / bins.size)
  return float(1 - np.sqrt(histograms[0] * histograms[1]).sum())
