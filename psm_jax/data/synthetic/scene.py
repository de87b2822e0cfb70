"""One frame being drawn: the head's state, its projection and the canvas."""

import dataclasses

import cv2
import numpy as np

from psm_jax.data.synthetic import (
  geometry,
  person as person_lib,
  skin as skin_lib,
)

# Where the picture lies in face units: its side is 1 / ZOOM.
ZOOM = 0.455
CENTRE = np.array([0.0, 0.06])
SUBPIXEL_BITS = 4


@dataclasses.dataclass
class Scene:
  """One frame being drawn.

  Attributes:
    person: who is drawn.
    weights: [12] intensities divided by 5.
    blink: 0 open to 1 closed.
    gaze: (yaw, pitch) in radians.
    turn: [3, 3] rotation of the head.
    shift: (x, y) of the head in face units.
    canvas: [S, S, 3] uint8 RGB, the enlarged picture.
    size_px: side of the picture that the canvas is averaged down to.
  """

  person: person_lib.Person
  weights: np.ndarray
  blink: float
  gaze: np.ndarray
  turn: np.ndarray
  shift: np.ndarray
  canvas: np.ndarray
  size_px: int

  @property
  def px(self) -> float:
    """Canvas pixels of one face unit."""
    return len(self.canvas) * ZOOM

  def weight(self, name: str) -> float:
    """The intensity of one action unit, 0 to 1."""
    return float(self.weights[geometry.unit_index(name)])

  def project(self, points):
    """[..., 3] points of the head to [..., 2] canvas pixels."""
    turned = (points - geometry.PIVOT) @ self.turn[:2].T
    return self.to_canvas(turned + geometry.PIVOT[:2] + self.shift)

  def to_canvas(self, flat):
    """[..., 2] face units to canvas pixels; a pixel's centre is an integer."""
    return (flat - CENTRE) * self.px + len(self.canvas) / 2 - 0.5

  def neutral_positions(self) -> np.ndarray:
    """Returns where the skin seen at each pixel is in the neutral face.

    Solves motion, turn and projection backwards by fixed-point steps; they are
    smooth and small, so three steps leave less than a pixel.

    Returns:
      [size_px, size_px, 2] float32 (x, y) in face units.
    """
    maps = skin_lib.build_maps(self.person)
    motion = np.tensordot(self.weights.astype('f4'), maps.motion, axes=1)
    field = np.concatenate([motion, maps.depth[..., None]], axis=-1)
    axis = (np.arange(self.size_px) + 0.5) / self.size_px - 0.5
    seen = np.stack(np.meshgrid(axis, axis), axis=-1) / ZOOM + CENTRE
    pivot = geometry.PIVOT
    target = (seen - pivot[:2] - self.shift).astype('f4')
    back = np.linalg.inv(self.turn[:2, :2]).astype('f4')
    # Of the turned depth, only what shifts the picture matters.
    lean = (back @ self.turn[:2, 2]).astype('f4')
    plain = target @ back.T + pivot[:2].astype('f4')
    scale = np.float32((skin_lib.MOTION_PX - 1) / (2 * skin_lib.EXTENT))
    where = plain - np.float32(0.3) * lean
    for _ in range(3):
      sampled = cv2.remap(
        field,
        (where + np.float32(skin_lib.EXTENT)) * scale,
        None,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
      )
      rise = sampled[..., 2:] - np.float32(pivot[2])
      where = plain - sampled[..., :2] - rise * lean
    return where

  def fill(self, flat, colour, *, canvas=None, offset=(0, 0)):
    """Fills a closed curve of [n, 2] canvas pixels."""
    target = self.canvas if canvas is None else canvas
    cv2.fillPoly(target, [fixed(flat - offset)], colour, 8, SUBPIXEL_BITS)

  def line(self, flat, colour, width, *, canvas=None, offset=(0, 0)):
    """Draws an open curve of [n, 2] canvas pixels, `width` in face units."""
    target = self.canvas if canvas is None else canvas
    cv2.polylines(
      target,
      [fixed(flat - offset)],
      False,
      colour,
      max(1, round(width * self.px)),
      8,
      SUBPIXEL_BITS,
    )

  def window(self, closed):
    """Returns (corner, empty picture) around a closed curve on the canvas.

    The picture has no pixels if the curve lies outside the canvas.
    """
    low = np.maximum(np.floor(closed.min(axis=0)).astype(int) - 2, 0)
    high = np.ceil(closed.max(axis=0)).astype(int) + 3
    size = np.maximum(np.minimum(high, len(self.canvas)) - low, 0)
    return low, np.empty((size[1], size[0], 3), np.uint8)

  def paste(self, picture, closed, corner):
    """Puts a window's picture on the canvas, inside a closed curve."""
    height, width = picture.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    self.fill(closed, 255, canvas=mask, offset=corner)
    rows = slice(corner[1], corner[1] + height)
    columns = slice(corner[0], corner[0] + width)
    cv2.copyTo(picture, mask, self.canvas[rows, columns])


def fixed(flat) -> np.ndarray:
  """Returns positions as the fixed-point integers that OpenCV draws at."""
  return np.round(flat * (1 << SUBPIXEL_BITS)).astype(np.int32)


def scaled(colour, factor) -> tuple[float, ...]:
  """Returns a colour made brighter or darker."""
  return tuple(float(min(value * factor, 255.0)) for value in colour)


def mixed(colour, other, share) -> tuple[float, ...]:
  """Returns a colour with a share (0-1) of another mixed in."""
  return tuple(
    float(a + share * (b - a)) for a, b in zip(colour, other, strict=True)
  )
