"""The shape of a face: curves in space and how action units move them.

A face is a set of curves of 3-D points. Each action unit adds a displacement in
proportion to its intensity, after which the head is turned and projected.
Units and axes are those of `person`: y down, z towards the camera.
"""

import functools

import numpy as np
from scipy.spatial import transform

from psm_jax.data.synthetic import person as person_lib

UNITS = person_lib.ACTION_UNITS
PIVOT = np.array([0.0, 0.35, -0.05])
SIDES = (-1.0, 1.0)


def unit_index(name: str) -> int:
  """Returns the column of an action unit such as 'AU12'."""
  return UNITS.index(name)


def rotation(pose_deg: np.ndarray) -> np.ndarray:
  """Returns the [3, 3] head rotation of (yaw, pitch, roll) in degrees.

  Yaw turns towards +x, pitch towards +y, roll from +x to +y.
  """
  angles = pose_deg * [1, -1, 1]
  return transform.Rotation.from_euler('yxz', angles, degrees=True).as_matrix()


def bump(x, y, centre, size):
  """Returns a Gaussian bump of height 1 at a centre, of a (x, y) size."""
  return np.exp(
    -(((x - centre[0]) / size[0]) ** 2) - ((y - centre[1]) / size[1]) ** 2
  )


def depth(person: person_lib.Person, x, y):
  """Returns how far the skin stands out (z) at positions of the neutral face.

  Args:
    person: whose face.
    x: array of any shape.
    y: array of x's shape.
  """
  radius2 = (x / (0.66 * person.face_width)) ** 2 + ((y + 0.05) / 1.28) ** 2
  z = 0.60 * np.clip(1.0 - radius2, 0.0, 1.0)
  tip_y = nose_tip_y(person)
  along = np.clip((y + 0.02) / (tip_y + 0.02), 0.0, 1.0)
  below = 1.0 / (1.0 + np.exp((y - tip_y - 0.045) / 0.018))
  width = (0.055 + 0.05 * along**2) * person.nose_width
  ridge = (0.03 + 0.17 * along) * along**0.3 * below
  z += person.nose_height * ridge * np.exp(-((x / width) ** 2))
  wing = 0.095 * person.nose_width
  for height, centre, size in (
    (0.03, (0, -0.16), (0.42, 0.09)),
    (0.05, (0, 0.66), (0.24, 0.15)),
    (0.05, (0, 0.92), (0.17, 0.10)),
    (-0.03, (0, 0.79), (0.15, 0.05)),
    *(
      bump_of_side
      for side in SIDES
      for bump_of_side in (
        (-0.07, (side * person.eye_distance, -0.02), (0.15, 0.11)),
        (0.05 + person.cheek, (side * 0.34, 0.26), (0.17, 0.15)),
        (0.07, (side * wing, tip_y + 0.01), (0.05, 0.05)),
      )
    ),
  ):
    z += height * bump(x, y, centre, size)
  return z


def nose_tip_y(person: person_lib.Person) -> float:
  """Returns the height of the tip of the nose."""
  return 0.415 + person.nose_length


def mouth_y(person: person_lib.Person) -> float:
  """Returns the height of the closed mouth."""
  return 0.672 + person.mouth_height + 0.3 * person.nose_length


def skin_displacement(person: person_lib.Person, x, y) -> np.ndarray:
  """Returns the skin's [12, ..., 2] movement (dx, dy) at full intensity.

  Args:
    person: whose face; the person's asymmetry scales each half.
    x: array of any shape, position on the neutral face.
    y: array of x's shape.
  """
  moved = np.zeros((len(UNITS), *np.shape(x), 2))
  corner = (person.mouth_width, mouth_y(person))
  brow = -0.20 + person.brow_height
  tip_y = nose_tip_y(person)
  pushes = (
    ('AU01', (0.13, brow), (0.15, 0.22), 0.0, -0.13),
    ('AU02', (0.42, brow + 0.02), (0.19, 0.22), 0.0, -0.13),
    ('AU04', (0.15, brow + 0.02), (0.24, 0.18), -0.045, 0.085),
    ('AU06', (0.36, 0.25), (0.20, 0.15), 0.015, -0.06),
    ('AU09', (0.12, tip_y), (0.12, 0.11), 0.015, -0.06),
    ('AU09', (0.12, brow), (0.18, 0.14), -0.02, 0.045),
    ('AU09', (0.17, tip_y + 0.14), (0.14, 0.10), 0.0, -0.04),
    ('AU12', corner, (0.17, 0.15), 0.08, -0.09),
    ('AU12', (0.37, 0.34), (0.17, 0.15), 0.025, -0.06),
    ('AU15', corner, (0.13, 0.13), 0.0, 0.09),
    ('AU20', corner, (0.18, 0.18), 0.10, 0.01),
  )
  for side in SIDES:
    for name, centre, size, dx, dy in pushes:
      weight = side_gain(person, name, side) * bump(
        x, y, (side * centre[0], centre[1]), size
      )
      moved[unit_index(name), ..., 0] += side * dx * weight
      moved[unit_index(name), ..., 1] += dy * weight
  middle = np.where(np.abs(x) < 0.5, 1.0, 0.6)
  moved[unit_index('AU17'), ..., 1] -= 0.07 * bump(
    x, y, (0, 0.88), (0.22, 0.12)
  )
  jaw = np.clip((y - 0.50) / 0.36, 0.0, 1.0)
  jaw = jaw * jaw * (3 - 2 * jaw)
  moved[unit_index('AU26'), ..., 1] += 0.17 * jaw * middle
  return moved


def side_gain(person: person_lib.Person, name: str, side: float) -> float:
  """Returns how strongly one half of the face does an action unit."""
  return 1.0 + side * float(
    np.clip(person.asymmetry[unit_index(name)], -0.3, 0.3)
  )


@functools.lru_cache(maxsize=32)
def build_curves(
  person: person_lib.Person,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Returns all curves of a face except the eyelids, of the last 32 people.

  Returns:
    By name, [P, 3] points in the neutral face, and their [12, P, 3]
    displacement at full intensity (5) of each action unit.
  """
  parts = {'outline': _outline(person), **_lips(person)}
  for side, suffix in zip(SIDES, ('_left', '_right'), strict=True):
    parts['brow' + suffix] = _brow(person, side)
    parts.update(_nose(person, side, suffix))
  return parts


def smooth_closed(points: np.ndarray, per_segment: int) -> np.ndarray:
  """Returns a closed Catmull-Rom curve through [K, D] points."""
  before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
  second = np.roll(points, -2, axis=0)
  t = np.linspace(0.0, 1.0, per_segment, endpoint=False)[None, :, None]
  p0, p1, p2, p3 = (p[:, None] for p in (before, points, after, second))
  curve = 0.5 * (
    2 * p1
    + (p2 - p0) * t
    + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
    + (3 * p1 - p0 - 3 * p2 + p3) * t**3
  )
  return curve.reshape(-1, points.shape[1])


def _on_skin(person, x, y, lift=0.0):
  """A part made of points on the skin, which moves as the skin does."""
  base = np.stack([x, y, depth(person, x, y) + lift], axis=-1)
  moved = skin_displacement(person, x, y)
  zeros = np.zeros((*moved.shape[:-1], 1))
  return base, np.concatenate([moved, zeros], axis=-1)


def _outline(person):
  """The head's silhouette: skull, temples, cheekbones, jaw and chin."""
  wide, jaw, chin = person.face_width, person.jaw_width, person.chin_width
  half = np.array(
    [
      (0.30, -1.02, -0.05),
      (0.53, -0.76, -0.05),
      (0.605, -0.40, 0.0),
      (0.605 + 0.3 * person.cheek, 0.02, 0.0),
      (0.575 + 0.5 * person.cheek, 0.34, 0.02),
      (0.485 * jaw, 0.66, 0.08),
      (0.32 * (0.5 * jaw + 0.5 * chin), 0.885, 0.22),
      (0.145 * chin, 0.985, 0.30),
    ]
  )
  half[:, 0] *= wide
  half[5:, 1] += person.chin_length * np.array([0.4, 0.8, 1.0])
  mirrored = half[::-1] * np.array([-1.0, 1.0, 1.0])
  top = np.array([[0.0, -1.10, -0.05]])
  bottom = np.array([[0.0, 1.0 + person.chin_length, 0.31]])
  base = smooth_closed(np.concatenate([top, half, bottom, mirrored]), 6)
  x, y = base[:, 0], base[:, 1]
  basis = np.zeros((len(UNITS), *base.shape))
  basis[unit_index('AU26'), :, 1] = 0.17 * np.clip((y - 0.40) / 0.5, 0.0, 1.0)
  basis[unit_index('AU26'), :, 0] = (
    -0.05 * x * bump(0.0, y, (0, 0.6), (1, 0.25))
  )
  basis[unit_index('AU17'), :, 1] = -0.025 * np.clip((y - 0.8) / 0.2, 0, 1)
  cheeks = bump(0.0, y, (0, 0.36), (1, 0.2)) * np.sign(x)
  basis[unit_index('AU12'), :, 0] = 0.025 * cheeks
  basis[unit_index('AU06'), :, 0] = 0.012 * cheeks
  return base, basis


def _brow(person, side):
  """A closed brow, thick near the nose and thin at the temple."""
  t = np.linspace(0.0, 1.0, 15)
  x = side * (0.105 + 0.40 * t * (person.eye_distance + 0.02) / 0.305)
  line = (
    -0.185
    + person.brow_height
    - person.brow_arch * np.sin(np.pi * np.clip(t, 0, 1) ** 1.4) * 1.6
    + 0.045 * t**3
  )
  thick = person.brow_thickness * (1.0 - 0.85 * t**2.2) * (0.6 + 0.6 * t**0.5)
  x = np.concatenate([x, x[::-1]])
  y = np.concatenate([line - thick, (line + thick)[::-1]])
  return _on_skin(person, x, y)


def _nose(person, side, suffix):
  """Nostril and the crease around the nose's wing."""
  tip_y, wide = nose_tip_y(person), person.nose_width
  angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
  nostril = _on_skin(
    person,
    side * (0.058 * wide + 0.030 * wide * np.cos(angle)),
    tip_y + 0.062 + 0.013 * np.sin(angle) - 0.008 * np.cos(angle),
    -0.03,
  )
  turn = np.linspace(-0.9, 1.25, 10)
  wing = _on_skin(
    person,
    side * (0.085 + 0.045 * np.cos(turn)) * wide,
    tip_y + 0.022 + 0.055 * np.sin(turn),
  )
  return {'nostril' + suffix: nostril, 'wing' + suffix: wing}


def _lips(person):
  """Four curves from the left to the right corner of the mouth."""
  t = np.linspace(-1.0, 1.0, 27)
  away, full = np.abs(t), person.lip_fullness
  bow = np.exp(-(((away - 0.26) / 0.17) ** 2)) - 0.9 * np.exp(
    -((t / 0.13) ** 2)
  )
  arch = 1.0 - t**2
  upper_thick = 0.056 * full * arch**0.8 * (1 + 0.25 * person.cupid_bow * bow)
  lower_thick = 0.082 * full * arch**0.7
  line = 0.008 * np.cos(np.pi * t) - 0.012 * away**2
  level = mouth_y(person)
  curves = {
    'lip_upper_outer': (1.0, line - upper_thick, 'upper', upper_thick),
    'lip_upper_inner': (0.95, line, 'upper', 0.0 * t),
    'lip_lower_inner': (0.95, line + 0.002 * arch, 'lower', 0.0 * t),
    'lip_lower_outer': (1.0, line + lower_thick, 'lower', -lower_thick),
  }
  parts = {}
  for name, (narrow, y, kind, thick) in curves.items():
    x = narrow * person.mouth_width * t
    base = np.stack([x, level + y, depth(person, x, level + y) + 0.01], -1)
    inner = name.endswith('inner')
    parts[name] = base, _lip_basis(person, t, kind, inner, thick)
  return parts


def _lip_basis(person, t, kind, inner, thick):
  """The lips' [12, n, 3] movement; `thick` is what thinning takes away."""
  basis = np.zeros((len(UNITS), len(t), 3))
  away, arch = np.abs(t), 1.0 - t**2
  moves = {
    'AU12': (0.085, -0.115 * away**1.7 + 0.25 * thick + 0.004 * arch),
    'AU15': (0.012, 0.11 * away**2.0 - 0.015 * arch),
    'AU20': (0.10, 0.02 * away**2 + 0.35 * thick),
  }
  if kind == 'lower':
    moves |= {
      'AU17': (-0.02, (-0.035 if inner else -0.062) * arch + 0.025 * away**2),
      'AU25': (0.0, (0.060 if inner else 0.050) * arch**0.7),
      'AU26': (-0.02, 0.05 + 0.13 * arch**0.45),
      'AU09': (0.0, (-0.020 if inner else -0.010) * arch**0.5),
      'AU06': (0.0, (-0.008 if inner else -0.004) * arch),
    }
  else:
    moves |= {
      'AU17': (-0.02, -0.030 * arch + 0.025 * away**2),
      'AU25': (0.0, (-0.026 if inner else -0.018) * arch**0.7),
      'AU26': (-0.02, 0.05 * away**2 - 0.010 * arch),
      'AU09': (0.0, (-0.020 if inner else -0.055) * arch**0.5),
      'AU06': (0.0, (-0.008 if inner else -0.014) * arch),
    }
  for name, (sideways, down) in moves.items():
    gain = np.where(
      t < 0, side_gain(person, name, -1.0), side_gain(person, name, 1.0)
    )
    gain = 1.0 + (gain - 1.0) * np.clip(away * 2, 0, 1)
    basis[unit_index(name), :, 0] = sideways * t * gain
    basis[unit_index(name), :, 1] = down * gain
  return basis
