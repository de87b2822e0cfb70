"""Draws an invented person's face.

Skin is shaded on maps of the neutral face and looked up at each pixel; all else
is drawn as polygons on a larger canvas that is averaged down at the end.
"""

import cv2
import numpy as np

from psm_jax.data.synthetic import (
  features,
  geometry,
  hair as hair_lib,
  performance as performance_lib,
  person as person_lib,
  scene as scene_lib,
  skin as skin_lib,
)


def render(
  person: person_lib.Person,
  performance: performance_lib.Performance,
  frame_index: int,
  *,
  size_px: int,
) -> np.ndarray:
  """Returns one picture of a performance.

  Args:
    person: who is seen.
    performance: what the person does.
    frame_index: which frame, counted from 0.
    size_px: side of the picture in pixels.

  Returns:
    [size_px, size_px, 3] uint8, RGB. The same arguments give the same bytes.

  Raises:
    IndexError: If the performance has no such frame.
  """
  side = size_px * max(2, min(4, 256 // size_px))
  scene = scene_lib.Scene(
    person=person,
    weights=performance.intensity[frame_index] / person_lib.MAX_INTENSITY,
    blink=float(performance.blink[frame_index]),
    gaze=np.radians(performance.gaze[frame_index].astype(np.float64)),
    turn=geometry.rotation(performance.pose[frame_index].astype(np.float64)),
    shift=performance.shift[frame_index].astype(np.float64),
    canvas=np.empty((side, side, 3), np.uint8),
    size_px=size_px,
  )
  azimuth_deg, elevation_deg, brightness = performance.light[frame_index]
  _draw_background(scene, performance.background)
  _draw_behind(scene)
  parts = {
    name: scene.project(base + np.tensordot(scene.weights, basis, axes=1))
    for name, (base, basis) in geometry.build_curves(person).items()
  }
  _draw_skin(scene, parts['outline'], _light(azimuth_deg, elevation_deg))
  features.draw_nose(scene, parts)
  for side_sign, suffix in zip(
    geometry.SIDES, ('_left', '_right'), strict=True
  ):
    features.draw_eye(scene, side_sign)
    scene.fill(parts['brow' + suffix], features.brow_colour(person))
  features.draw_mouth(scene, parts)
  _draw_front_hair(scene)
  if person.glasses:
    features.draw_glasses(scene)
  picture = cv2.resize(
    scene.canvas, (size_px, size_px), interpolation=cv2.INTER_AREA
  )
  return cv2.convertScaleAbs(picture, alpha=float(brightness))


def _light(azimuth_deg, elevation_deg):
  """Unit vector towards the light."""
  azimuth, elevation = np.radians([azimuth_deg, elevation_deg])
  return np.array(
    [
      np.sin(azimuth) * np.cos(elevation),
      -np.sin(elevation),
      np.cos(azimuth) * np.cos(elevation),
    ]
  )


def _draw_background(scene, background):
  left, right = (np.array(colour) for colour in background)
  ramp = np.linspace(0.0, 1.0, 8)[:, None]
  row = left * (1 - ramp) + right * ramp
  fade = np.linspace(1.08, 0.88, 8)[:, None, None]
  small = np.clip(row[None] * fade, 0, 255).astype(np.uint8)
  cv2.resize(small, scene.canvas.shape[:2], dst=scene.canvas)


def _draw_behind(scene):
  """Shoulders, hair behind the head, neck and ears."""
  person, hair = scene.person, hair_lib.build_hair(scene.person)
  if hair.back is not None:
    scene.fill(scene.project(hair.back), scene_lib.scaled(person.hair, 0.72))
  lean = scene.shift * 0.6
  neck = np.array(
    [(0.36, 0.45), (0.34, 0.95), (0.44, 1.10), (0.9, 1.25), (0.9, 1.5)]
  )
  neck[:2, 0] *= person.face_width
  neck = np.concatenate([neck, neck[::-1] * np.array([-1.0, 1.0])])
  scene.fill(scene.to_canvas(neck + lean), scene_lib.scaled(person.skin, 0.72))
  cloth = np.array([(0.30, 1.17), (0.62, 1.07), (1.3, 1.22), (1.3, 1.6)])
  cloth = np.concatenate(
    [cloth, cloth[::-1] * np.array([-1, 1]), np.array([(0.0, 1.27)])]
  )
  scene.fill(scene.to_canvas(cloth + lean), person.clothes)
  if not hair.covers_ears:
    _draw_ears(scene)


def _draw_ears(scene):
  angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
  for side in geometry.SIDES:
    x = side * (0.605 * scene.person.face_width + 0.02)
    ear = np.stack(
      [
        x + 0.075 * np.cos(angle) + side * 0.02 * -np.sin(angle),
        0.08 + 0.175 * np.sin(angle) * (1 - 0.1 * np.cos(angle)),
        np.full_like(angle, -0.08),
      ],
      axis=-1,
    )
    scene.fill(scene.project(ear), scene_lib.scaled(scene.person.skin, 0.86))
    inner = (ear - ear.mean(axis=0)) * 0.55 + ear.mean(axis=0)
    scene.line(
      scene.project(inner[4:22]),
      scene_lib.scaled(scene.person.skin, 0.66),
      0.016,
    )


def _draw_skin(scene, outline, light):
  """The shaded head inside its outline."""
  maps = skin_lib.build_maps(scene.person)
  lambert = maps.normals @ (light @ scene.turn).astype('f4')
  shade = 0.58 + 0.50 * np.maximum(lambert, 0.0)
  folds = np.tensordot(scene.weights.astype('f4'), maps.wrinkles, axes=1)
  shade *= 1.0 - np.minimum(folds, 0.6)
  texture = np.minimum(maps.albedo * shade[..., None], 255.0)
  where = scene.neutral_positions()
  scale = (skin_lib.MAP_PX - 1) / (2 * skin_lib.EXTENT)
  pixels = cv2.remap(
    texture.astype(np.uint8),
    (where + skin_lib.EXTENT) * scale,
    None,
    cv2.INTER_LINEAR,
    borderMode=cv2.BORDER_REPLICATE,
  )
  side = len(scene.canvas)
  mask = np.zeros((side, side), np.uint8)
  scene.fill(outline, 255, canvas=mask)
  cv2.copyTo(cv2.resize(pixels, (side, side)), mask, scene.canvas)


def _draw_front_hair(scene):
  hair = hair_lib.build_hair(scene.person)
  if hair.front is None:
    return
  colour = scene.person.hair
  scene.fill(scene.project(hair.front), colour)
  for index, strand in enumerate(scene.project(hair.strands)):
    factor = 1.22 if index % 2 else 0.78
    scene.line(strand, scene_lib.scaled(colour, factor), 0.022)
