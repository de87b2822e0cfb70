"""When frames are shown: the times that a file stores, and what they tell."""

import math

import numpy as np

DEFAULT_FPS = 25.0
_MOST_REORDERED = 16  # Frames, of all codecs in use.


def usual_step(
  time_s: np.ndarray, *, default_s: float = 1 / DEFAULT_FPS
) -> float:
  """Returns the seconds from one moment to the next, in the middle of all.

  Args:
    time_s: [T] float64; NaN, and steps that do not go forward, are left out.
    default_s: what is returned if there are no two moments.
  """
  steps = np.diff(time_s[np.isfinite(time_s)])
  steps = steps[steps > 0]
  return float(np.median(steps)) if len(steps) else default_s


def frame_rate(time_s: np.ndarray) -> float:
  """Returns frames a second, by which gaps in seconds are counted in frames.

  Args:
    time_s: [T] float64 seconds.

  Returns:
    1 / the mean of the steps up to 2.5 times the middle one, which leaves
    pauses out, but not single frames that a camera dropped; 25 if there are no
    two different times.
  """
  steps = np.diff(time_s)
  steps = steps[steps > 0]
  if not len(steps):
    return DEFAULT_FPS
  middle = np.percentile(steps, 50, method='lower')
  return float(1 / steps[steps < 2.5 * middle].mean())


def in_order(times: np.ndarray, *, rate: float, start_s: float) -> np.ndarray:
  """Returns when each frame is shown, by the file's clock.

  A few times that lie out of line are put between their neighbours. Times that
  are those of other frames near by, as AVI files with B-frames have them, are
  sorted. After a jump back, as where recordings were put one behind the other,
  time goes on with the usual step.

  Args:
    times: [T] float64 seconds, as the file stores them; NaN where it has none.
    rate: frames a second by the file's header.
    start_s: when the pictures begin by the header; NaN if it does not say.

  Returns:
    [T] float64 seconds, increasing.
  """
  times, count, step = times.copy(), len(times), 1 / rate
  known = np.flatnonzero(np.isfinite(times))
  if not len(known):
    return np.arange(count) * step
  for index in np.flatnonzero(np.isnan(times)):
    before = times[index - 1] if index else times[known[0]] - known[0] * step
    times[index] = before + step if index else before
  if (np.diff(times) > 0).all():
    return times
  order = np.argsort(times, kind='stable')
  is_near = np.abs(order - np.arange(count)).max() <= _MOST_REORDERED
  if is_near and (np.diff(times[order]) > 0).all():
    times = times[order]
    # Those of packets as stored may begin late by as many frames.
    return times - times[0] + (start_s if math.isfinite(start_s) else times[0])
  usual_s = usual_step(times, default_s=step)
  inner = np.arange(1, count - 1)
  is_alone = times[:-2] < times[2:]
  is_alone &= (times[1:-1] <= times[:-2]) | (times[1:-1] >= times[2:])
  inner = inner[is_alone]
  times[inner] = (times[inner - 1] + times[inner + 1]) / 2
  steps = np.diff(times)
  return times[0] + np.append(0, np.cumsum(np.where(steps > 0, steps, usual_s)))
