"""Invented videos: what a person's face does over time.

Action units rise, hold and fall as coded expressions do (onset, apex, offset);
some come alone, some in the person's own combinations, some from talking.
"""

import dataclasses

import numpy as np

from psm_jax.data.synthetic import person as person_lib

NUM_UNITS = len(person_lib.ACTION_UNITS)
_SPEECH = tuple(
  person_lib.ACTION_UNITS.index(name) for name in ('AU25', 'AU26', 'AU20')
)


@dataclasses.dataclass(frozen=True)
class Performance:
  """One video's movements, a row a frame; T frames.

  Attributes:
    fps: frames a second.
    intensity: [T, 12] float32, action units in the order of `ACTION_UNITS`, on
      DISFA's scale from 0 (absent) to 5 (maximum).
    blink: [T] float32, 0 open to 1 closed.
    gaze: [T, 2] float32, degrees (yaw, pitch) relative to the head.
    pose: [T, 3] float32, degrees (yaw, pitch, roll); yaw is positive towards
      the right of the picture, pitch downwards, roll clockwise.
    shift: [T, 2] float32, (x, y) movement of the head in face units.
    light: [T, 3] float32: azimuth in degrees, elevation in degrees, brightness
      as a factor around 1.
    background: (2, 3) colours, RGB in 0-255, at the left and right.
  """

  fps: float
  intensity: np.ndarray
  blink: np.ndarray
  gaze: np.ndarray
  pose: np.ndarray
  shift: np.ndarray
  light: np.ndarray
  background: tuple[tuple[float, ...], ...]

  @property
  def num_frames(self) -> int:
    """The number of frames."""
    return len(self.blink)


def sample_performance(
  person: person_lib.Person,
  seed: int,
  video_index: int,
  num_frames: int,
  fps: float,
) -> Performance:
  """Returns what a person does in one of their videos.

  The same arguments give the same performance; videos of one person differ.
  """
  generator = np.random.default_rng(
    [seed, person.texture_seed, video_index, 73]
  )
  time_s = np.arange(num_frames) / fps
  intensity = _expressions(generator, person, time_s)
  intensity = np.maximum(intensity, _speech(generator, person, time_s))
  # An open jaw shows: lips part with it, in this face and mostly in ours.
  lips, jaw = _SPEECH[:2]
  intensity[:, lips] = np.maximum(intensity[:, lips], 0.7 * intensity[:, jaw])
  motion = person.head_motion

  def drift(deviation, seconds, columns):
    return deviation * _smooth_noise(
      generator, num_frames, columns, seconds * fps
    )

  pose = drift(motion, 1.4, 3) * np.array([4.5, 3.0, 1.8])
  light = drift(1.0, 6.0, 3) * np.array([14.0, 6.0, 0.035]) + np.array(
    [generator.uniform(-30, 30), generator.uniform(25, 45), 1.0]
  )
  return Performance(
    fps=float(fps),
    intensity=np.clip(intensity, 0, person_lib.MAX_INTENSITY).astype('f4'),
    blink=_blinks(generator, person, time_s).astype('f4'),
    gaze=_gaze(generator, num_frames, fps).astype('f4'),
    pose=pose.astype('f4'),
    shift=drift(0.018 * motion, 2.0, 2).astype('f4'),
    light=light.astype('f4'),
    background=_background(generator),
  )


def _expressions(generator, person, time_s):
  """[T, 12]: events of single action units and of combinations."""
  duration_s = time_s[-1] + 4.0
  intensity = np.zeros((len(time_s), NUM_UNITS))

  def add(weights, start_s):
    onset, apex, offset = generator.uniform((0.2, 0.1, 0.3), (0.7, 1.6, 1.2), 3)
    course = envelope(time_s - start_s, onset, apex, offset)
    np.maximum(intensity, course[:, None] * weights, out=intensity)

  for unit in range(NUM_UNITS):
    count = generator.poisson(person.rates[unit] * duration_s / 60)
    for start_s in generator.uniform(-2.0, time_s[-1], count):
      weights = np.zeros(NUM_UNITS)
      weights[unit] = person.strengths[unit] * generator.uniform(0.5, 1.25)
      add(weights, start_s)
  for combination in person.combinations:
    # At least one in a video, so that a short one still shows the habit.
    count = max(1, generator.poisson(3.5 * duration_s / 60))
    for start_s in generator.uniform(-0.5, time_s[-1], count):
      add(generator.uniform(2.5, 5.0) * np.asarray(combination), start_s)
  return intensity


def envelope(
  time_s: np.ndarray, onset_s: float, apex_s: float, offset_s: float
) -> np.ndarray:
  """Returns the course of one event: rise, hold at 1, fall, 0 elsewhere."""
  return np.minimum(
    _smoothstep(time_s / onset_s),
    _smoothstep((onset_s + apex_s + offset_s - time_s) / offset_s),
  )


def _speech(generator, person, time_s):
  """[T, 12]: bouts of talking move lips and jaw at the rate of syllables."""
  intensity = np.zeros((len(time_s), NUM_UNITS))
  count = generator.poisson(person.speech * (time_s[-1] + 3.0) / 3.0)
  for start_s in generator.uniform(-1.5, time_s[-1], count):
    bout = envelope(time_s - start_s, 0.25, generator.uniform(1.5, 4.0), 0.25)
    rate, phase = generator.uniform(2.5, 4.0), generator.uniform(0, 6.28)
    syllables = 0.5 + 0.5 * np.sin(6.28 * rate * time_s + phase)
    words = 0.5 + 0.5 * np.sin(6.28 * 0.31 * rate * time_s + 2 * phase)
    course = bout[:, None] * np.stack(
      [
        1.0 + 2.2 * syllables,
        2.4 * syllables * words,
        1.6 * (1 - syllables) * words,
      ],
      axis=1,
    )
    intensity[:, _SPEECH] = np.maximum(intensity[:, _SPEECH], course)
  return intensity


def _blinks(generator, person, time_s):
  blink = np.zeros(len(time_s))
  count = generator.poisson(person.blink_rate * (time_s[-1] + 1.0) / 60)
  for start_s in generator.uniform(-0.2, time_s[-1], count):
    blink = np.maximum(blink, envelope(time_s - start_s, 0.08, 0.05, 0.16))
  return blink


def _gaze(generator, num_frames, fps):
  """[T, 2]: fixations of a second or so, with quick moves between them."""
  gaze = np.zeros((num_frames, 2))
  start, target = 0, np.zeros(2)
  while start < num_frames:
    stop = start + max(1, round(fps * generator.uniform(0.5, 2.5)))
    gaze[start:stop] = target
    start, target = stop, generator.normal(0, 1, 2) * np.array([9.0, 5.0])
  kernel = np.array([0.25, 0.5, 0.25])
  padded = np.pad(gaze, ((1, 1), (0, 0)), mode='edge')
  return np.clip(
    sum(weight * padded[i : i + num_frames] for i, weight in enumerate(kernel)),
    -22,
    22,
  )


def _smooth_noise(generator, num_frames, columns, scale_frames):
  """[T, columns] of unit variance that changes over `scale_frames` frames."""
  radius = int(np.ceil(3 * scale_frames))
  offsets = np.arange(-radius, radius + 1) / max(scale_frames, 1e-6)
  kernel = np.exp(-0.5 * offsets**2)
  kernel /= np.sqrt((kernel**2).sum())
  noise = generator.normal(size=(num_frames + 2 * radius, columns))
  smooth = np.stack(
    [np.convolve(column, kernel, mode='valid') for column in noise.T], axis=1
  )
  return np.clip(smooth, -2.5, 2.5)


def _background(generator):
  hue = generator.uniform(0, 6.28)
  base = 150 + 45 * np.cos(hue + np.array([0.0, 2.1, 4.2])) * 0.6
  base = base * generator.uniform(0.7, 1.15)
  side = base * generator.uniform(0.72, 0.92)
  return tuple(tuple(np.clip(c, 20, 235).tolist()) for c in (base, side))


def _smoothstep(value):
  value = np.clip(value, 0.0, 1.0)
  return value * value * (3.0 - 2.0 * value)
