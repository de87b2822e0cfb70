"""Invented people: how each looks and moves, drawn from a seed.

Lengths are face units: the eye line is y = 0, the chin y = 1, x runs to the
right of the picture and z towards the camera. Nobody real is depicted.
"""

import dataclasses

import numpy as np

ACTION_UNITS = (
  'AU01',
  'AU02',
  'AU04',
  'AU05',
  'AU06',
  'AU09',
  'AU12',
  'AU15',
  'AU17',
  'AU20',
  'AU25',
  'AU26',
)
MAX_INTENSITY = 5.0

HAIR_STYLES = ('short', 'long', 'curly', 'part', 'bob', 'buzz', 'tied', 'bald')
BEARDS = ('none', 'stubble', 'full', 'moustache', 'goatee')

# Light to dark, each a base colour of the skin under neutral light.
_SKINS = (
  (250, 220, 200),
  (240, 200, 170),
  (222, 175, 138),
  (198, 145, 105),
  (158, 106, 72),
  (116, 74, 50),
  (84, 54, 40),
)
_HAIRS = (
  (34, 28, 26),
  (62, 42, 30),
  (98, 66, 40),
  (140, 78, 40),
  (196, 152, 88),
  (226, 198, 140),
  (150, 148, 146),
)
_EYES = (
  (70, 46, 30),
  (96, 66, 38),
  (118, 112, 60),
  (80, 122, 92),
  (82, 126, 168),
  (118, 136, 148),
)
_LIPS = ((196, 112, 104), (176, 88, 88), (204, 96, 108), (160, 90, 80))
_CLOTHES = (
  (54, 78, 120),
  (150, 60, 60),
  (70, 110, 84),
  (120, 96, 140),
  (60, 62, 70),
  (196, 160, 80),
)
_GOLDEN = 0.6180339887498949

# Mean and deviation of proportions around 1 (or 0), wide enough apart to tell
# people by.
_SHAPE = {
  'face_width': (1.0, 0.065),
  'jaw_width': (1.0, 0.08),
  'chin_width': (1.0, 0.16),
  'chin_length': (0.0, 0.035),
  'cheek': (0.0, 0.02),
  'eye_distance': (0.290, 0.016),
  'eye_width': (0.172, 0.012),
  'eye_height': (1.0, 0.12),
  'eye_tilt': (0.02, 0.02),
  'lid_heaviness': (0.3, 0.2),
  'iris_size': (0.086, 0.005),
  'brow_height': (-0.035, 0.020),
  'brow_thickness': (0.036, 0.010),
  'brow_arch': (0.026, 0.012),
  'nose_width': (1.0, 0.15),
  'nose_length': (0.0, 0.03),
  'nose_height': (1.0, 0.15),
  'mouth_width': (0.262, 0.024),
  'mouth_height': (0.0, 0.015),
  'lip_fullness': (1.0, 0.22),
  'cupid_bow': (1.0, 0.3),
}
_Shape = dataclasses.make_dataclass(
  '_Shape', [(name, float) for name in _SHAPE], frozen=True, kw_only=True
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Person(_Shape):
  """One invented person; colours are RGB in 0-255, lengths face units.

  The proportions of the face are the fields of `_SHAPE`; ratios such as
  `jaw_width` are relative to the average face. The habits say how the person
  moves: `rates` are events a minute of each action unit, `strengths` the
  typical peak (0-5), `asymmetry` how much stronger the right half of the
  picture moves (-1 to 1), `combinations` the person's own co-activations
  (weights of the action units, 0-1), `speech` the share of the time spent
  talking.
  """

  person_id: str
  age: float
  skin: tuple[float, float, float]
  hair: tuple[float, float, float]
  iris: tuple[float, float, float]
  lip: tuple[float, float, float]
  clothes: tuple[float, float, float]
  hair_style: str
  beard: str
  glasses: bool
  lashes: float
  freckles: float
  texture_seed: int
  rates: tuple[float, ...]
  strengths: tuple[float, ...]
  asymmetry: tuple[float, ...]
  combinations: tuple[tuple[float, ...], ...]
  speech: float
  blink_rate: float
  head_motion: float


def sample_person(seed: int, person_index: int) -> Person:
  """Returns the invented person number `person_index` of a seed.

  Skin, hair and style are spread evenly over consecutive indices, so that a
  small group already looks varied. The same arguments give the same person.
  """
  shared = np.random.default_rng([seed, 71])
  generator = np.random.default_rng([seed, person_index, 72])
  offsets = shared.uniform(size=4)
  styles = shared.permutation(len(HAIR_STYLES))
  darkness = (offsets[0] + person_index * _GOLDEN) % 1.0
  shade = (offsets[1] + person_index * _GOLDEN**2) % 1.0
  style = HAIR_STYLES[styles[person_index % len(HAIR_STYLES)]]
  may_have_beard = style in ('short', 'part', 'buzz', 'bald', 'curly')
  age = float(generator.uniform())
  grey = style != 'long' and age > 0.8
  # Fair hair is rare on dark skin, as is a very dark shade on the fairest.
  hair = _mix(_HAIRS[:-1], shade * (1.0 - 0.85 * darkness))
  return Person(
    person_id=f'P{person_index + 1:03d}',
    **{
      name: float(mean + deviation * np.clip(generator.normal(), -1.8, 1.8))
      for name, (mean, deviation) in _SHAPE.items()
    },
    age=age,
    skin=_jitter(generator, _mix(_SKINS, darkness), 5.0),
    hair=_jitter(generator, _HAIRS[-1] if grey else hair, 2.5),
    iris=_jitter(
      generator,
      _mix(_EYES, generator.uniform() * (1.0 - 0.8 * max(darkness, 0.3))),
      6.0,
    ),
    lip=_lip_colour(generator, darkness, 0.45 if may_have_beard else 0.15),
    clothes=_CLOTHES[int(offsets[3] * 6 + person_index) % len(_CLOTHES)],
    hair_style=style,
    beard=(
      str(generator.choice(BEARDS, p=(0.3, 0.25, 0.2, 0.1, 0.15)))
      if may_have_beard
      else 'none'
    ),
    glasses=(person_index + int(offsets[2] * 4)) % 4 == 3,
    lashes=float(
      generator.uniform(0.2, 0.5)
      if may_have_beard
      else generator.uniform(0.5, 1.0)
    ),
    freckles=float(generator.uniform(0.4, 1.0) * (generator.uniform() < 0.3)),
    texture_seed=int(generator.integers(2**31)),
    **_sample_habits(generator),
  )


# Co-activations that people share more or less: smile, surprise, frown,
# sadness, doubt, fear, disgust, stretched smile.
_COMBINATIONS = (
  {'AU06': 0.8, 'AU12': 1.0, 'AU25': 0.6},
  {'AU01': 0.9, 'AU02': 1.0, 'AU05': 0.8, 'AU25': 0.6, 'AU26': 0.8},
  {'AU04': 1.0, 'AU09': 0.5, 'AU17': 0.4},
  {'AU01': 0.9, 'AU04': 0.6, 'AU15': 1.0},
  {'AU15': 0.8, 'AU17': 1.0, 'AU02': 0.4},
  {'AU01': 0.9, 'AU02': 0.7, 'AU04': 0.6, 'AU05': 0.9, 'AU20': 0.9},
  {'AU09': 1.0, 'AU04': 0.7, 'AU17': 0.5},
  {'AU12': 0.7, 'AU20': 0.7, 'AU25': 0.9},
)


def _sample_habits(generator):
  """How often, how strongly and with what company each action unit moves."""
  num_units = len(ACTION_UNITS)
  rates = generator.gamma(2.0, 1.1, num_units)
  rates *= generator.uniform(size=num_units) > 0.2
  chosen = generator.choice(len(_COMBINATIONS), size=4, replace=False)
  combinations = []
  for index in chosen:
    weights = np.zeros(num_units)
    for name, weight in _COMBINATIONS[index].items():
      weights[ACTION_UNITS.index(name)] = weight * generator.uniform(0.7, 1.0)
    extra = generator.integers(num_units)
    weights[extra] = max(weights[extra], generator.uniform(0.3, 0.7))
    combinations.append(tuple(weights.tolist()))
  return {
    'rates': tuple(rates.tolist()),
    'strengths': tuple(generator.uniform(1.8, 4.2, num_units).tolist()),
    'asymmetry': tuple(generator.normal(0.0, 0.18, num_units).tolist()),
    'combinations': tuple(combinations),
    'speech': float(generator.uniform(0.05, 0.35)),
    'blink_rate': float(generator.uniform(8.0, 22.0)),
    'head_motion': float(generator.uniform(0.6, 1.3)),
  }


def _mix(colours, position):
  """The colour at a position in [0, 1] along a list of colours."""
  colours = np.asarray(colours, np.float64)
  steps = np.linspace(0.0, 1.0, len(colours))
  return [np.interp(position, steps, channel) for channel in colours.T]


def _jitter(generator, colour, deviation):
  values = np.asarray(colour) + generator.normal(0.0, deviation, 3)
  return tuple(float(value) for value in np.clip(values, 12.0, 250.0))


def _lip_colour(generator, darkness, paleness):
  lip = np.array(_LIPS[generator.integers(len(_LIPS))]) * (1 - 0.38 * darkness)
  skin = np.asarray(_mix(_SKINS, darkness))
  return _jitter(generator, lip + paleness * (skin * 0.85 - lip), 5.0)
