"""Eyes, brows, nose, mouth and glasses, drawn on top of the skin."""

import cv2
import numpy as np

from psm_jax.data.synthetic import geometry, scene as scene_lib


def draw_nose(scene, parts):
  """Draws nostrils and the creases of the wings."""
  skin = scene.person.skin
  for suffix in ('_left', '_right'):
    scene.line(parts['wing' + suffix], scene_lib.scaled(skin, 0.70), 0.013)
    scene.fill(parts['nostril' + suffix], scene_lib.scaled(skin, 0.34))


def brow_colour(person):
  """Returns the colour of the brows, a little darker than the hair."""
  return scene_lib.mixed(scene_lib.scaled(person.hair, 0.72), person.skin, 0.12)


def _lids(scene, side):
  """Upper and lower lid curves [n, 3] from the inner to the outer corner."""
  person = scene.person
  t = np.linspace(-1.0, 1.0, 19)
  arch = np.clip(1.0 - t**2, 0, 1)
  raised = scene.weight('AU05') * geometry.side_gain(person, 'AU05', side)
  cheek = scene.weight('AU06') * geometry.side_gain(person, 'AU06', side)
  squint = (
    0.30 * cheek + 0.25 * scene.weight('AU09') + 0.18 * scene.weight('AU04')
  )
  open_ = (1.0 + 0.60 * raised - 0.5 * squint) * (1.0 - scene.blink)
  gaze_lid = 0.35 * scene.gaze[1]
  upper = -0.104 * person.eye_height * arch**0.58 * (1.0 - 0.12 * t)
  lower = 0.056 * person.eye_height * arch**0.8
  lift = np.clip(1.4 * squint, 0.0, 0.9)
  lower = lower * (1.0 - lift) - 0.018 * lift * arch
  upper = lower + (upper - lower) * max(open_ * (1.0 - gaze_lid), 0.0)
  tilt = -person.eye_tilt * t
  x = side * (person.eye_distance + person.eye_width * t)
  z = geometry.depth(person, x, 0.0 * x) + 0.03 * arch
  return (
    np.stack([x, upper + tilt, z], axis=-1),
    np.stack([x, lower + tilt, z], axis=-1),
  )


def draw_eye(scene, side):
  """Draws one eye; side is -1 for the left of the picture, 1 for the right."""
  person = scene.person
  upper_3d, lower_3d = _lids(scene, side)
  upper, lower = scene.project(upper_3d), scene.project(lower_3d)
  closed = np.concatenate([upper, lower[::-1]])
  fold = upper_3d - [0.0, 0.030 + 0.012 * (1 - scene.blink), 0.0]
  crease = scene_lib.scaled(person.skin, 0.70 - 0.1 * person.lid_heaviness)
  scene.line(scene.project(fold[2:]), crease, 0.012)
  corner, ball = scene.window(closed)
  if ball.size:
    _draw_eyeball(scene, side, ball, corner, upper)
    scene.paste(ball, closed, corner)
  lash = scene_lib.mixed((38, 26, 24), person.skin, 0.35 * (1 - person.lashes))
  scene.line(upper, lash, 0.016 + 0.014 * person.lashes)
  scene.line(lower[3:], scene_lib.scaled(person.skin, 0.62), 0.010)


def _draw_eyeball(scene, side, ball, corner, upper):
  person = scene.person
  ball[:] = (240, 236, 232)
  centre = np.array([side * person.eye_distance, -0.012, 0.0])
  centre[2] = geometry.depth(person, centre[0], centre[1]) + 0.04
  centre[:2] += 0.15 * np.sin(scene.gaze)
  middle = scene.project(centre) - corner

  def disc(radius, colour, at=(0.0, 0.0)):
    point = scene_lib.fixed(middle + np.array(at) * scene.px)
    cv2.circle(
      ball,
      (int(point[0]), int(point[1])),
      int(radius * scene.px * (1 << scene_lib.SUBPIXEL_BITS)),
      colour,
      -1,
      8,
      scene_lib.SUBPIXEL_BITS,
    )

  radius = person.iris_size
  disc(radius, scene_lib.scaled(person.iris, 0.55))
  disc(radius * 0.84, person.iris)
  disc(radius * 0.46, (18, 14, 14))
  # The lid's shadow on the eyeball, then the reflected light over all.
  scene.line(
    upper + [0, 0.012 * scene.px],
    (150, 140, 138),
    0.02,
    canvas=ball,
    offset=corner,
  )
  disc(radius * 0.24, (252, 252, 252), (-0.4 * radius, -0.42 * radius))


def draw_mouth(scene, parts):
  """Draws lips and, where they part, the inside of the mouth."""
  person = scene.person
  top, bottom = parts['lip_upper_inner'], parts['lip_lower_inner']
  bottom = np.stack([bottom[:, 0], np.maximum(bottom, top)[:, 1]], axis=-1)
  opening = np.concatenate([top, bottom[::-1]])
  scene.fill(
    np.concatenate([parts['lip_upper_outer'], top[::-1]]),
    scene_lib.scaled(person.lip, 0.86),
  )
  scene.fill(
    np.concatenate([bottom, parts['lip_lower_outer'][::-1]]), person.lip
  )
  shine = 0.45 * bottom[8:19] + 0.55 * parts['lip_lower_outer'][8:19]
  scene.line(shine, scene_lib.mixed(person.lip, (255, 240, 235), 0.22), 0.022)
  if (bottom - top)[:, 1].max() / scene.px > 0.012:
    _draw_inside(scene, opening, top, bottom)
  scene.line(top, scene_lib.scaled(person.lip, 0.45), 0.011)


def _draw_inside(scene, opening, top, bottom):
  """Teeth and tongue behind the parted lips."""
  corner, inside = scene.window(opening)
  if not inside.size:
    return
  inside[:] = (74, 26, 28)
  px = scene.px
  tongue = np.concatenate(
    [bottom + [0, 0.02 * px], (bottom - [0, 0.055 * px])[::-1]]
  )
  scene.fill(_narrow(tongue, 0.62), (178, 84, 86), canvas=inside, offset=corner)
  arch = np.sqrt(np.linspace(0, 1, len(top)) * np.linspace(1, 0, len(top)))
  edge = top + np.stack([0 * arch, 0.13 * px * arch], axis=-1)
  teeth = np.concatenate([top - [0, 0.05 * px], edge[::-1]])
  scene.fill(
    _narrow(teeth, 0.86), (238, 232, 222), canvas=inside, offset=corner
  )
  scene.paste(inside, opening, corner)


def _narrow(points, share):
  """Shrinks a curve sideways about its middle."""
  middle = points[:, 0].mean()
  return np.stack(
    [middle + share * (points[:, 0] - middle), points[:, 1]], axis=-1
  )


def draw_glasses(scene):
  """Draws a pair of glasses in front of the eyes."""
  person = scene.person
  angle = np.linspace(0, 2 * np.pi, 33)
  z = float(geometry.depth(person, 0.0, 0.0)) + 0.06
  frame = (46, 40, 44)
  for side in geometry.SIDES:
    cos, sin = np.cos(angle), np.sin(angle)
    # A rounded rectangle: a superellipse of power 3.
    x = np.sign(cos) * np.abs(cos) ** (2 / 3) * 0.215
    y = np.sign(sin) * np.abs(sin) ** (2 / 3) * 0.155
    rim = np.stack(
      [side * (person.eye_distance + 0.01) + x, 0.03 + y, 0 * x + z], axis=-1
    )
    scene.line(scene.project(rim), frame, 0.022)
    arm = [
      (side * (person.eye_distance + 0.22), 0.0, z),
      (side * 0.62 * person.face_width, -0.02, 0.0),
    ]
    scene.line(scene.project(np.array(arm)), frame, 0.022)
  inner = person.eye_distance - 0.20
  bridge = np.array([(-inner, 0.0, z), (0.0, -0.03, z + 0.02), (inner, 0.0, z)])
  scene.line(scene.project(bridge), frame, 0.022)
