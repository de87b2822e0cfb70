"""Hair as curves: what hangs behind the head and what covers the skull.

Every style is one or two closed curves and strands to draw on them; `renderer`
turns and projects them with the head.
"""

import dataclasses
import functools

import numpy as np

from psm_jax.data.synthetic import geometry, person as person_lib


@dataclasses.dataclass(frozen=True)
class Hair:
  """Curves of one person's hair; None where the style has none.

  Attributes:
    back: [n, 3] closed curve behind head and ears.
    front: [n, 3] closed curve over the skull.
    strands: [k, m, 3] open curves on the front, root to tip.
    covers_ears: whether the ears are hidden.
  """

  back: np.ndarray | None
  front: np.ndarray | None
  strands: np.ndarray | None
  covers_ears: bool


# Of the skull outline: how far the hair stands off at the crown and sides, how
# low the sides reach, how far the hair behind falls (None: no further).
_STYLES = {
  'short': {'crown': 0.10, 'side': 0.035, 'low': -0.05, 'fall': None},
  'part': {'crown': 0.15, 'side': 0.05, 'low': 0.0, 'fall': None},
  'tied': {'crown': 0.07, 'side': 0.02, 'low': -0.02, 'fall': None},
  'curly': {'crown': 0.24, 'side': 0.17, 'low': 0.27, 'fall': None},
  'long': {'crown': 0.12, 'side': 0.10, 'low': 1.25, 'fall': 1.6},
  'bob': {'crown': 0.13, 'side': 0.12, 'low': 0.42, 'fall': 0.80},
}


@functools.lru_cache(maxsize=32)
def build_hair(person: person_lib.Person) -> Hair:
  """Returns the hair of one person; the last 32 are kept."""
  style = _STYLES.get(person.hair_style)
  if style is None:
    return Hair(None, None, None, covers_ears=False)
  generator = np.random.default_rng([person.texture_seed, 1])
  outer = _outer(person, style, generator)
  inner = _inner(person, style, generator)
  return Hair(
    back=_back(person, style),
    front=np.concatenate([outer, inner[::-1]]),
    strands=_strands(outer, inner, generator),
    covers_ears=person.hair_style in ('long', 'bob', 'curly'),
  )


def _outer(person, style, generator):
  """The edge of the hair against the background, left side over the crown."""
  wide = 0.605 * person.face_width
  turn = np.linspace(-1.0, 1.0, 41) * np.pi / 2
  x = (wide + style['side']) * np.sin(turn)
  crown = -1.08 - style['crown']
  y = -0.36 + (crown + 0.36) * np.cos(turn) ** 0.85
  if person.hair_style == 'part':
    y = y - 0.05 * np.sin(turn)
  sides = np.linspace(style['low'], -0.36, 8)[:-1]
  # The sides come in towards the ear.
  bulge = wide + style['side'] * np.linspace(0.2, 1.0, 7) ** 0.5
  left = np.stack([-bulge, sides], axis=-1)
  right = left[::-1] * np.array([-1.0, 1.0])
  edge = np.concatenate([left, np.stack([x, y], axis=-1), right])
  if person.hair_style == 'curly':
    edge = _curls(edge, generator)
  return np.concatenate([edge, np.full((len(edge), 1), -0.05)], axis=1)


def _curls(edge, generator):
  """Turns an edge into round curls, denser than its points."""
  t = np.linspace(0, len(edge) - 1, 4 * len(edge))
  edge = np.stack([np.interp(t, np.arange(len(edge)), c) for c in edge.T], -1)
  walked = np.cumsum(np.linalg.norm(np.gradient(edge, axis=0), axis=1))
  lift = np.abs(np.sin(walked / 0.17 * np.pi + generator.uniform(0, 3)))
  away = edge - np.array([0.0, -0.3])
  away /= np.linalg.norm(away, axis=1, keepdims=True)
  return edge + 0.055 * lift[:, None] * away


def _inner(person, style, generator):
  """The hairline, from the lower left over the forehead to the right."""
  wide = 0.605 * person.face_width
  s = np.linspace(-1.0, 1.0, 55)
  x = wide * np.sin(s * np.pi / 2) * 0.985
  y = np.asarray(_hairline(person, style, s, x))
  if person.hair_style == 'curly':
    y = y + 0.022 * np.sin(s * 30 + generator.uniform(0, 6))
  z = np.maximum(geometry.depth(person, x, np.minimum(y, 0.0)), 0.0) + 0.02
  return np.stack([x, y, z * np.clip(1.2 - np.abs(s), 0.0, 1.0)], axis=-1)


def _hairline(person, style, s, x):
  away = np.abs(s)
  low = style['low']
  if person.hair_style == 'bob':
    fringe = -0.36 + 0.03 * np.cos(s * 9)
    side = np.clip((away - 0.66) / 0.34, 0, 1) ** 0.6
    return np.where(away < 0.66, fringe, -0.36 + (low + 0.36) * side)
  if person.hair_style == 'part':
    part = -0.35
    sweep = np.where(s > part, (s - part) / (1 - part), (part - s) / (1 + part))
    return -0.74 + (low + 0.74) * np.clip(sweep, 0, 1) ** 1.9
  top, power = (-0.76, 2.7) if person.hair_style == 'long' else (-0.66, 3.2)
  return top + (low - top) * away**power


def _back(person, style):
  """The hair behind the head."""
  wide = 0.605 * person.face_width + style['side']
  fall = style['fall']
  if fall is None:
    return None
  side = np.array(
    [
      (wide * 0.75, -0.95),
      (wide * 1.02, -0.45),
      (wide * 1.06, 0.10),
      (wide * 1.10, min(fall * 0.7, 0.8)),
      (wide * 1.02, fall),
    ]
  )
  closed = np.concatenate([side, side[::-1] * np.array([-1.0, 1.0])])
  curve = geometry.smooth_closed(closed, 6)
  return np.concatenate([curve, np.full((len(curve), 1), -0.30)], axis=1)


def _strands(outer, inner, generator):
  """Strands from the hairline to the edge of the hair."""
  count = 16
  position = np.sort(generator.uniform(0.22, 0.78, count))
  roots = inner[(position * (len(inner) - 1)).astype(int)]
  tips = outer[(position * (len(outer) - 1)).astype(int)]
  t = np.linspace(0.04, 0.92, 7)[None, :, None]
  strands = roots[:, None] * (1 - t) + tips[:, None] * t
  sway = generator.normal(0, 0.025, (count, 1))
  strands[:, :, 0] += sway * np.sin(np.pi * t[..., 0])
  return strands
