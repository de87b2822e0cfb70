"""Weak labels: what a detector's networks say of a face, nobody coded it.

Blendshapes are the output of a network trained to drive a puppet. They go by
the names that the model gives them behind `weak_`, so that no table can take
them for coded action units, and nothing reads them unless it is asked to.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from psm_jax.data.labels import tools

CODED, BLENDSHAPES = 'coded', 'blendshapes'
LABELS = (CODED, BLENDSHAPES)
PREFIX = 'weak_'
# In the model's order; a tongue is in its makers' list, not in its output.
NAMES = tools.BLENDSHAPES[:52]
BLENDSHAPE_COLUMNS = tuple(PREFIX + name for name in NAMES)
POSE_COLUMNS = tuple(f'{PREFIX}pose_{a}' for a in ('yaw', 'pitch', 'roll'))
COLUMNS = (*POSE_COLUMNS, *BLENDSHAPE_COLUMNS)
# A blendshape is active from here on: half of the way that the puppet can go.
ACTIVE = 0.5
_CODED = re.compile(r'AU\d{2,3}(_[rc])?')


def is_unit(column: str) -> bool:
  """Tells whether a column is a blendshape that stands for a movement."""
  return column in BLENDSHAPE_COLUMNS[1:]


def choose(frames: pd.DataFrame, kind: str) -> pd.DataFrame:
  """Returns frames with labels of one kind alone.

  Args:
    frames: n rows of labels and other columns. Blendshapes of another program's
      table (`mouthSmileLeft`) count where ingest found none.
    kind: 'coded' leaves weak labels out. 'blendshapes' leaves coded action
      units and expressions out, and takes the weak head pose for the head pose.

  Returns:
    n rows, a copy if anything changes.
  """
  if kind == CODED:
    return frames.drop(columns=[c for c in COLUMNS if c in frames])
  theirs = {
    name: PREFIX + name
    for name in NAMES
    if name in frames and PREFIX + name not in frames
  }
  made = frames.rename(columns=theirs)
  coded = [c for c in made if _CODED.fullmatch(c) or c == 'expression']
  pose = {w: w.removeprefix(PREFIX) for w in POSE_COLUMNS if w in made}
  made = made.drop(columns=[*coded, *(n for n in pose.values() if n in made)])
  return made.rename(columns=pose)


def check(frames: Sequence[pd.DataFrame], kind: str) -> None:
  """Raises ValueError if blendshapes are asked for and nowhere.

  Args:
    frames: what `choose` returned, of all features.
    kind: as there.
  """
  if kind == BLENDSHAPES and not any(is_unit(c) for own in frames for c in own):
    raise ValueError(
      f'--labels={BLENDSHAPES}: there are no blendshapes among the labels. '
      'Ingest the videos with --detector=landmarker, then train and embed from '
      'that folder.'
    )


def table(
  track: int,
  frames: np.ndarray,
  pose_deg: np.ndarray,
  blendshapes: np.ndarray,
) -> pd.DataFrame:
  """Returns rows of weak_labels.parquet.

  Args:
    track: number of the track.
    frames: [n] int64.
    pose_deg: [n, 3] float32 yaw, pitch, roll.
    blendshapes: [n, 52] float32.
  """
  values = np.concatenate([pose_deg, blendshapes], axis=1)
  made = pd.DataFrame(values.astype(np.float32), columns=list(COLUMNS))
  return pd.DataFrame({'track': np.int32(track), 'frame': frames}).join(made)
