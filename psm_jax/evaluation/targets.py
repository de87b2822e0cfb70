"""What probes are asked: action units, numbers and classes of expression.

n frames, T columns, K classes.
"""

import dataclasses

import numpy as np
import pandas as pd

from psm_jax.evaluation import controls

UNIT = 'unit'
NUMBERS = 'numbers'
CLASSES = 'classes'
LANDMARKS = 'landmarks'
EXPRESSION = 'expression'
_NUM_POINTS = 68
_POINTS = [f'{axis}{k}' for k in range(_NUM_POINTS) for axis in 'xy']


@dataclasses.dataclass(frozen=True)
class Target:
  """What a probe is asked of every frame.

  Attributes:
    name: An action unit, yaw, pitch, roll, landmarks or expression.
    kind: UNIT, NUMBERS or CLASSES.
    values: UNIT: [n] float, 1 active, 0 not, NaN unknown. NUMBERS: [n, T]
      float64, NaN unknown. CLASSES: [n] str, '' unknown.
  """

  name: str
  kind: str
  values: np.ndarray

  @property
  def known(self) -> np.ndarray:
    """[n] bool: the frames on which it is known."""
    if self.kind == CLASSES:
      return self.values != ''
    return ~np.isnan(self.values.reshape(len(self.values), -1)).any(axis=1)

  def take(self, rows: np.ndarray) -> 'Target':
    """Returns the target on some frames."""
    return dataclasses.replace(self, values=self.values[rows])


def units(labels: pd.DataFrame, names: tuple[str, ...]) -> list[Target]:
  """Returns some columns of splits.action_unit_labels as targets."""
  return [Target(name, UNIT, labels[name].to_numpy()) for name in names]


def intensities(frames: pd.DataFrame, names: tuple[str, ...]) -> list[Target]:
  """Returns the action units whose labels have more than two values.

  Args:
    frames: n rows with columns of action units.
    names: Such columns; presence, AU01_c, is never graded.
  """
  return [
    _numbers(frames, name, [name])
    for name in names
    if not name.endswith('_c') and frames[name].dropna().nunique() > 2
  ]


def numbers(frames: pd.DataFrame) -> list[Target]:
  """Returns head pose and landmarks, where they are labelled on any frame.

  Landmarks are x0, y0, ... x67, y67, in any unit of length; all or none.
  """
  made = [
    _numbers(frames, name.removeprefix('pose_'), [name])
    for name in controls.pose_angles(frames)
  ]
  if all(c in frames for c in _POINTS):
    made.append(_numbers(frames, LANDMARKS, _POINTS))
  return [target for target in made if target.known.any()]


def expression(frames: pd.DataFrame) -> Target:
  """Returns the classes of expression; without such a column all unknown.

  Whole numbers lose their decimals, so that 3 and 3.0 are one class.
  """
  values = frames.get(EXPRESSION, pd.Series('', frames.index))
  return Target(EXPRESSION, CLASSES, names(values))


def names(values: pd.Series) -> np.ndarray:
  """Returns values as text, '' for a missing one and 3 for 3.0.

  Args:
    values: [n] text or numbers.

  Returns:
    [n] str.
  """
  return np.array([_name(value) for value in values], object)


def as_labels(classes: np.ndarray) -> pd.DataFrame:
  """Returns classes as labels for splits.make_splits, a column a class.

  Args:
    classes: [n] str, '' unknown.

  Returns:
    [n, K] float64: 1 of the class, 0 of another, NaN unknown.
  """
  labels = pd.get_dummies(pd.Series(classes), dtype=float)
  is_known = pd.Series(classes != '')
  return labels.drop(columns='', errors='ignore').where(is_known)


def _numbers(frames, name, columns) -> Target:
  """Returns columns of numbers as a target."""
  return Target(name, NUMBERS, frames[columns].to_numpy(np.float64))


def _name(value) -> str:
  """Returns a class as text, '' for a missing one."""
  if value is None or value is pd.NA or value != value:
    return ''
  if isinstance(value, str):
    return value.strip()
  return str(int(value)) if float(value).is_integer() else str(float(value))
