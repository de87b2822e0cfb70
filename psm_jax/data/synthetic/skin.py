"""The skin of a face as maps: colour, relief and wrinkles of each action unit.

Maps are square arrays over x and y from -EXTENT to EXTENT of the neutral face;
`renderer` looks them up where each pixel's skin was before it moved.
"""

import dataclasses
import functools

import cv2
import numpy as np

from psm_jax.data.synthetic import geometry, person as person_lib

EXTENT = 1.3
MAP_PX = 128
MOTION_PX = 48


@dataclasses.dataclass(frozen=True)
class SkinMaps:
  """One person's skin; T is MAP_PX, M is MOTION_PX.

  Attributes:
    albedo: [T, T, 3] float32, RGB in 0-255 under neutral light.
    normals: [T, T, 3] float32 unit normals, z towards the camera.
    wrinkles: [12, T, T] float32, darkening (negative: brightening) at full
      intensity.
    motion: [12, M, M, 2] float32, movement (dx, dy) at full intensity.
    depth: [M, M] float32.
  """

  albedo: np.ndarray
  normals: np.ndarray
  wrinkles: np.ndarray
  motion: np.ndarray
  depth: np.ndarray


@functools.lru_cache(maxsize=32)
def build_maps(person: person_lib.Person) -> SkinMaps:
  """Returns the maps of one person; the last 32 are kept."""
  x, y = _grid(MAP_PX)
  z = geometry.depth(person, x, y)
  slope_y, slope_x = np.gradient(z, 2 * EXTENT / (MAP_PX - 1))
  normals = np.stack([-slope_x, -slope_y, np.ones_like(z)], axis=-1)
  normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
  coarse_x, coarse_y = _grid(MOTION_PX)
  return SkinMaps(
    albedo=_albedo(person, x, y).astype('f4'),
    normals=normals.astype('f4'),
    wrinkles=_wrinkles(person, x, y).astype('f4'),
    motion=geometry.skin_displacement(person, coarse_x, coarse_y).astype('f4'),
    depth=geometry.depth(person, coarse_x, coarse_y).astype('f4'),
  )


def _grid(size):
  axis = np.linspace(-EXTENT, EXTENT, size)
  return np.meshgrid(axis, axis)


def _soft_noise(generator, blur):
  """[T, T] noise of unit deviation, blurred by a number of map pixels."""
  noise = generator.normal(size=(MAP_PX, MAP_PX)).astype('f4')
  noise = cv2.GaussianBlur(noise, (0, 0), blur)
  return noise / noise.std()


def _albedo(person, x, y):
  generator = np.random.default_rng(person.texture_seed)
  skin = np.array(person.skin)
  colour = np.broadcast_to(skin, (*x.shape, 3)).copy()
  rosy, hollow = ((1.0, 0.80, 0.78), (0.80, 0.74, 0.74))
  eye, tip_y = person.eye_distance, geometry.nose_tip_y(person)
  # A tint, its strength, the centre and size of where it lies.
  of_side = (
    (rosy, 0.55, (0.36, 0.30), (0.17, 0.14)),
    (hollow, 0.45, (eye, -0.06), (0.2, 0.1)),
    (hollow, 0.15 + 0.35 * person.age, (eye, 0.11), (0.14, 0.035)),
    (hollow, 0.5, (0.66, 0.1), (0.14, 0.8)),
  )
  below_lip = geometry.mouth_y(person) + 0.125
  for tint, strength, (across, down), size in (
    *(
      (tint, strength, (side * across, down), size)
      for side in geometry.SIDES
      for tint, strength, (across, down), size in of_side
    ),
    (rosy, 0.5, (0, tip_y), (0.1, 0.08)),
    (hollow, 0.5, (0, tip_y + 0.10), (0.12, 0.04)),
    (hollow, 0.5, (0, below_lip), (0.15, 0.03)),
  ):
    where = strength * geometry.bump(x, y, (across, down), size)
    colour = _blend(colour, skin * np.array(tint), where)
  colour *= 1.0 + 0.012 * _soft_noise(generator, 4.0)[..., None]
  colour = _freckles(generator, person, colour, x, y)
  return np.clip(_body_hair(generator, person, colour, x, y), 0, 255)


def _blend(colour, other, alpha):
  return colour + alpha[..., None] * (other - colour)


def _freckles(generator, person, colour, x, y):
  if not person.freckles:
    return colour
  spots = np.zeros_like(x)
  for _ in range(45):
    centre = (generator.normal(0, 0.24), generator.normal(0.24, 0.08))
    size = generator.uniform(0.010, 0.022)
    spots = np.maximum(spots, geometry.bump(x, y, centre, (size, size)))
  darker = np.array(person.skin) * np.array([0.68, 0.55, 0.48])
  return _blend(colour, darker, person.freckles * spots)


def _body_hair(generator, person, colour, x, y):
  """Adds beard and cropped hair to the skin."""
  strands = np.clip(0.9 + 0.10 * _soft_noise(generator, 0.9), 0, 1.1)
  dark = np.array(person.hair) * 0.9 + np.array(person.skin) * 0.06
  level = geometry.mouth_y(person)
  width = np.abs(x) / person.face_width
  sideburn = 0.30 + 0.55 * np.clip((0.52 - width) / 0.30, 0, 1)
  cheek_line = np.minimum(sideburn, level + 0.02)
  jaw = _step(y - cheek_line, 0.05)
  moustache = np.clip(
    2.4 * geometry.bump(x, y, (0, level - 0.085), (0.22, 0.045)) - 0.4, 0, 1
  )
  chin = np.clip(
    2.2 * geometry.bump(x, y, (0, level + 0.24), (0.19, 0.15)) - 0.4, 0, 1
  )
  mask, strength = {
    'none': (np.zeros_like(x), 0.0),
    'stubble': (np.maximum(jaw, moustache), 0.30),
    'full': (np.maximum(jaw, moustache), 0.88),
    'moustache': (moustache, 0.92),
    'goatee': (np.maximum(moustache, chin), 0.85),
  }[person.beard]
  colour = _blend(colour, dark, np.clip(strength * mask * strands, 0, 1))
  if person.hair_style == 'buzz':
    hairline = -0.66 + 1.15 * width**2.6
    crop = _step(hairline - y, 0.03) * strands
    colour = _blend(colour, dark, np.clip(0.8 * crop, 0, 1))
  return colour


def _step(value, width):
  return 1.0 / (1.0 + np.exp(-value / width * 3.0))


def _wrinkles(person, x, y):
  """[12, T, T] folds that an action unit raises."""
  deep = 0.75 + 0.5 * person.age
  brow, eye_x = -0.20 + person.brow_height, person.eye_distance
  corner_x, corner_y = person.mouth_width, geometry.mouth_y(person)
  tip_y = geometry.nose_tip_y(person)
  # An action unit, the fold's points, its width and depth.
  lines = [
    line
    for level in (brow - 0.17, brow - 0.26, brow - 0.35)
    for line in (
      ('AU01', [(0.0, level), (0.18, level - 0.015)], 0.022, 0.17 * deep),
      ('AU02', [(0.2, level), (0.42, level + 0.03)], 0.022, 0.22 * deep),
    )
  ]
  lines += [
    ('AU04', [(0.045, brow - 0.06), (0.04, brow + 0.13)], 0.02, 0.42 * deep),
    ('AU09', [(0.0, 0.0), (0.07, 0.01)], 0.024, 0.15 * deep),
    ('AU09', [(0.05, 0.08), (0.11, 0.15)], 0.026, 0.28 * deep),
    ('AU09', [(0.06, 0.17), (0.13, 0.23)], 0.026, 0.24 * deep),
    (
      'AU09',
      [(0.14, tip_y - 0.02), (0.22, tip_y + 0.1), (0.26, tip_y + 0.2)],
      *(0.028, 0.30),
    ),
    *(
      (
        'AU06',
        [(eye_x + 0.19, 0.3 * dy), (eye_x + 0.30, dy)],
        *(0.018, 0.30 * deep),
      )
      for dy in (-0.05, 0.02, 0.08)
    ),
    (
      'AU06',
      [(eye_x - 0.11, 0.10), (eye_x, 0.135), (eye_x + 0.14, 0.09)],
      *(0.026, 0.42),
    ),
    (
      'AU12',
      [
        (0.17, tip_y + 0.03),
        (corner_x + 0.04, corner_y - 0.13),
        (corner_x + 0.115, corner_y + 0.01),
      ],
      *(0.034, 0.27),
    ),
    (
      'AU15',
      [(corner_x, corner_y + 0.05), (corner_x + 0.03, 0.87)],
      *(0.028, 0.4),
    ),
    ('AU17', [(0.0, corner_y + 0.13), (0.14, corner_y + 0.17)], 0.03, 0.36),
    ('AU17', [(0.04, 0.89), (0.08, 0.93)], 0.02, 0.22),
    (
      'AU20',
      [(corner_x + 0.09, corner_y - 0.1), (corner_x + 0.11, corner_y + 0.08)],
      *(0.030, 0.42),
    ),
    ('AU26', [(0.2, tip_y + 0.04), (0.31, corner_y + 0.04)], 0.035, 0.2),
  ]
  folds = np.zeros((len(geometry.UNITS), *x.shape))
  for name, points, width, depth in lines:
    fold = _fold(x, y, np.asarray(points), width)
    for side in geometry.SIDES:
      mirrored = fold if side > 0 else fold[:, ::-1]
      gain = geometry.side_gain(person, name, side)
      folds[geometry.unit_index(name)] += depth * gain * mirrored
  # Raised cheeks catch the light.
  for side in geometry.SIDES:
    apple = geometry.bump(x, y, (side * 0.36, 0.27), (0.13, 0.10))
    folds[geometry.unit_index('AU06')] -= 0.14 * apple
    folds[geometry.unit_index('AU12')] -= 0.12 * apple
  return folds


def _fold(x, y, points, width):
  """A dark fold along a polyline with a lit ridge just above it."""

  def near(shift):
    distance = np.full(x.shape, np.inf)
    for start, stop in zip(points[:-1], points[1:], strict=True):
      along = stop - start
      px, py = x - start[0], y + shift - start[1]
      t = np.clip((px * along[0] + py * along[1]) / (along @ along), 0, 1)
      gap = (px - t * along[0]) ** 2 + (py - t * along[1]) ** 2
      distance = np.minimum(distance, gap)
    return np.exp(-distance / width**2)

  return near(0.0) - 0.45 * near(1.6 * width)
