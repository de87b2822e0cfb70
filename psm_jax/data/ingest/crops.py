"""Cuts the aligned square face out of each frame of a track.

The eyes come to lie level at a fixed place. The scale must not follow what the
face does: the eyes' distance shrinks when the head turns and the height of the
eyes above the mouth when it nods. The larger of the two, the second in units of
the first by this track's own frontal proportion, keeps its length in both; its
running median over seconds leaves expressions and outliers out.
"""

import math

import cv2
import numpy as np
import pandas as pd

from psm_jax.data import alignment, frame_times
from psm_jax.data.ingest import faces as faces_lib

# Detectors jitter by about a pixel from frame to frame; heads do not.
_POSITION_S = 0.08  # Standard deviation of the smoothing of position and roll.
_SCALE_MEDIAN_S = 2.0  # Longer than a word or a smile takes to begin.
_SCALE_S = 0.25
_GAP_S = 0.5  # Over a longer gap nothing is smoothed.
# Nose this close to the middle of the eyes, in eye distances: not turned.
_FRONTAL = 0.12
# Eye distance over eye-to-mouth distance of an average frontal face; used with
# fewer than this many frontal frames. What is measured is kept near it.
_PROPORTION, _MIN_FRONTAL_FRAMES = 0.90, 5
_PROPORTION_RANGE = (0.70, 1.15)
# Of a box from the forehead to the chin: eyes, in widths and heights.
_EYES_IN_BOX = ((0.29, 0.40), (0.71, 0.40))
_LARGEST_OVERSAMPLING = 32


def align(
  times_s: np.ndarray, found: faces_lib.Faces, *, eye_distance: float
) -> np.ndarray:
  """Returns the crops of a track.

  Args:
    times_s: [n] float64 seconds, increasing.
    found: n faces; without points the eyes are taken to be at the usual place
      in the box.
    eye_distance: distance of the eyes as a share of the crop's side, when the
      head is not turned.

  Returns:
    [n, 2, 3] float64, see `psm_jax.data.alignment`.

  Raises:
    ValueError: If there is no face.
  """
  if not len(times_s):
    raise ValueError('There is no face to align.')
  eyes, scale = _eyes_and_scale(found)
  middle = eyes.mean(axis=1)
  across = eyes[:, 1] - eyes[:, 0]
  across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
  return steady(times_s, middle, across, scale, eye_distance=eye_distance)


def steady(
  times_s: np.ndarray,
  middle: np.ndarray,
  across: np.ndarray,
  scale: np.ndarray,
  *,
  eye_distance: float,
) -> np.ndarray:
  """Returns crops that neither shake nor zoom, from those of single frames.

  Args:
    times_s: [n] float64 seconds, increasing.
    middle: [n, 2] float64 (x, y) pixels, between the eyes.
    across: [n, 2] float64, from the left eye to the right, of length 1.
    scale: [n] float64, the eyes' distance in pixels, were the head not turned.
    eye_distance: distance of the eyes as a share of the crop's side.

  Returns:
    [n, 2, 3] float64, see `psm_jax.data.alignment`.
  """
  place = np.concatenate([middle, across], axis=1)
  place = _smooth(times_s, _median(place, 3), _POSITION_S)
  rate = 1 / max(frame_times.usual_step(times_s), 1e-3)
  window = 2 * round(_SCALE_MEDIAN_S * rate / 2) + 1
  scale = _smooth(times_s, _median(scale[:, None], window), _SCALE_S)
  across = place[:, 2:]
  across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
  half = 0.5 * scale * across
  level = np.stack([place[:, :2] - half, place[:, :2] + half], axis=1)
  return alignment.eye_crop(level, eye_distance=eye_distance)


def _eyes_and_scale(found):
  """([n, 2, 2] eyes, [n] eye distance of the head if it were not turned)."""
  boxes, points = found.boxes, found.points
  guessed = boxes[:, None, :2] + boxes[:, None, 2:] * np.array(_EYES_IN_BOX)
  eyes = np.where(np.isfinite(points[:, :2]), points[:, :2], guessed)
  distance = np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=1)
  drop = np.linalg.norm(points[:, 3:].mean(axis=1) - eyes.mean(axis=1), axis=1)
  drop *= _proportion(eyes, points[:, 2], distance, drop)
  return eyes, np.fmax(distance, drop)


def _proportion(eyes, nose, distance, drop):
  """Eye distance over eye-to-mouth distance when the head is not turned."""
  across = (eyes[:, 1] - eyes[:, 0]) / np.maximum(distance, 1e-9)[:, None]
  aside = ((nose - eyes.mean(axis=1)) * across).sum(axis=1)
  frontal = np.isfinite(drop) & (drop > 0)
  frontal &= np.abs(aside) < _FRONTAL * distance
  if frontal.sum() < _MIN_FRONTAL_FRAMES:
    return _PROPORTION
  # A nod makes the drop shorter, hence the longer ones.
  measured = np.percentile(distance[frontal] / drop[frontal], 25)
  return float(np.clip(measured, *_PROPORTION_RANGE))


def _median(values, window):
  """[n, c] running median over an odd number of frames."""
  near = pd.DataFrame(values).rolling(window, center=True, min_periods=1)
  return near.median().to_numpy()


def _smooth(times_s, values, deviation_s):
  """[n, c] weighted means with a Gaussian of time, not across gaps."""
  scene = np.concatenate([[0], np.cumsum(np.diff(times_s) > _GAP_S)])
  step_s = frame_times.usual_step(times_s)
  reach = min(math.ceil(3 * deviation_s / step_s), len(times_s) - 1)
  total, weight = values.copy(), np.ones((len(values), 1))
  for shift in range(1, reach + 1):
    near = (scene[shift:] == scene[:-shift])[:, None]
    apart = (times_s[shift:] - times_s[:-shift])[:, None]
    share = near * np.exp(-0.5 * (apart / deviation_s) ** 2)
    total[shift:] += share * values[:-shift]
    total[:-shift] += share * values[shift:]
    weight[shift:] += share
    weight[:-shift] += share
  return total / weight


def cut(picture: np.ndarray, crop: np.ndarray, *, size_px: int) -> np.ndarray:
  """Resamples one crop without aliasing; outside, the edge repeats.

  Args:
    picture: [H, W, 3] uint8.
    crop: [2, 3] float64 from `align`.
    size_px: side of the result.

  Returns:
    [size_px, size_px, 3] uint8.
  """
  pitch = float(np.linalg.norm(crop[:, 0])) / size_px
  finer = min(max(1, math.ceil(pitch - 1e-3)), _LARGEST_OVERSAMPLING)
  pixels = sample(picture, crop, size_px=size_px * finer)
  if finer == 1:
    return pixels
  return cv2.resize(pixels, (size_px, size_px), interpolation=cv2.INTER_AREA)


def sample(
  picture: np.ndarray, crop: np.ndarray, *, size_px: int
) -> np.ndarray:
  """Looks up one crop pixel by pixel, as `cut` where it is not shrunk."""
  step = crop[:, :2] / size_px
  # OpenCV counts pixels from their centres, a crop from corners.
  start = crop[:, 2] + 0.5 * step.sum(axis=1) - 0.5
  return cv2.warpAffine(
    picture,
    np.column_stack([step, start]),
    (size_px, size_px),
    flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    borderMode=cv2.BORDER_REPLICATE,
  )


def is_inside(crop: np.ndarray, size: tuple[int, int]) -> bool:
  """Tells whether a crop lies within a picture of (width, height) pixels."""
  corners = crop @ np.array([[0, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]])
  return bool((corners >= 0).all() and (corners.T - size <= 0).all())


def blur(crop: np.ndarray) -> float:
  """Returns the variance of the Laplacian of a crop's grey levels.

  Lower is blurrier; comparable between crops of one size only (Pertuz, Puig and
  Garcia, 2013, LAP4).
  """
  return float(
    cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()
  )


def brightness(crop: np.ndarray) -> float:
  """Returns a crop's mean grey level, 0 to 255."""
  return float(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).mean())
