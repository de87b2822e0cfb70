"""Action-unit labels and the training and test frames of their probes.

n frames, A action units.
"""

import dataclasses
import itertools
import math
import re

import numpy as np
import pandas as pd

from psm_jax.data.labels import weak

# What targets that are movements are called: coded action units, and the
# blendshapes of labels.weak.
UNIT = rf'AU\d|{weak.PREFIX}'

# What any labelled videos allow.
SPLITS = RANDOM, BLOCKED, CROSS_VIDEO = 'random', 'blocked', 'cross_video'
HELD_OUT = 'held_out'
ALL_SPLITS = (*SPLITS, HELD_OUT)

WITHIN = 'within'  # Direction of a split that does not cross videos.
FORWARD = 'forward'  # Trained on the first video, tested on the second.
BACKWARD = 'backward'

_TEST_SHARE = 0.2  # Inferred from the published results: 969 of 4,845 frames.
_NUM_BLOCKS = 20
_NUM_TEST_BLOCKS = 4
_CHOICES_AT_ONCE = 64
TIME_TOLERANCE_S = 1e-6  # 40 / 20 fps counts as 2 s whatever the rounding.


class Impossible(Exception):  # noqa: N818 - not an error, a named reason.
  """A person cannot be evaluated on a split; the message is the reason."""


@dataclasses.dataclass(frozen=True)
class Split:
  """Training and test frames of one person.

  Attributes:
    direction: 'within', or 'forward' and 'backward' of a cross-video split.
    train: [n] bool.
    test: [n] bool, disjoint from train; some frames may be in neither.
    action_units: The action units kept, in the labels' order.
  """

  direction: str
  train: np.ndarray
  test: np.ndarray
  action_units: tuple[str, ...]


def action_unit_labels(
  frames: pd.DataFrame, *, threshold: float
) -> pd.DataFrame:
  """Returns which action units are active on every frame.

  Args:
    frames: n rows; the columns AU01, AU02, ... are intensities, AU01_c, ...
      presence, 0 or 1 (NaN is missing); or weak_mouthSmileLeft, ..., the
      blendshapes of `labels.weak`, which has its own threshold.
    threshold: An action unit is active at this intensity or above.

  Returns:
    [n, A] float64, a column an action unit: 1 active, 0 not, NaN not labelled.

  Raises:
    ValueError: If the threshold is not positive: all frames would be active.
  """
  if not 0 < threshold < math.inf:
    raise ValueError(f'threshold {threshold} is not a positive number.')
  columns = action_unit_columns(frames)
  intensity = frames[columns].astype(np.float64).reset_index(drop=True)
  limits = [
    weak.ACTIVE if weak.is_unit(c) else 0.5 if c.endswith('_c') else threshold
    for c in columns
  ]
  active = intensity.ge(np.array(limits, np.float64), axis='columns')
  return active.astype(np.float64).where(intensity.notna())


def action_unit_columns(frames: pd.DataFrame) -> list[str]:
  """Returns the columns that hold action units: AU01, AU02, ...

  Presence, AU01_c, stands in where an action unit has no intensity. Where
  `labels.weak.choose` chose them, blendshapes take the action units' place.
  """
  return [
    c
    for c in frames
    if weak.is_unit(c)
    or re.fullmatch(r'AU\d{2,3}', c)
    or (re.fullmatch(r'AU\d{2,3}_c', c) and c.removesuffix('_c') not in frames)
  ]


def make_splits(
  name: str,
  frames: pd.DataFrame,
  labels: pd.DataFrame,
  *,
  min_base_rate: float,
  guard_s: float,
  seed: int,
) -> list[Split]:
  """Splits one person's frames into training and test parts.

  A frame without any action-unit label is in neither part.

  'random': round(n / 5) test frames at random, as published (size inferred).
    Test frames lie next to training frames, so this measures interpolation.
  'blocked': the frames in order of video and time are cut into 20 blocks of
    equal size, of which 4 are the test part. Training frames within guard_s of
    a test frame of the same video are dropped; all test frames stay. Of the
    choices of 4 blocks in random order it takes the first in which the most
    kept action units are active and inactive in both parts.
  'cross_video': the first two labelled videos in order of video_id; trained on
    the first and tested on the second ('forward'), and the reverse
    ('backward'). Further videos are not used.
  'held_out': the test part are the labelled frames whose column held_out is 1:
    frames that the model itself, not the probe alone, never saw. Training
    frames are the others but those within guard_s of a test frame of the same
    video.

  An action unit is kept if it is active in strictly more than min_base_rate of
  all its labelled frames of the person; for 'cross_video', of each of the two
  videos.

  Args:
    name: One of ALL_SPLITS.
    frames: n rows with person_id, video_id, time_s and, for 'held_out', a
      column held_out of 0 and 1.
    labels: [n, A] from action_unit_labels.
    min_base_rate: See above; the published value is 0.02.
    guard_s: Seconds between training and test frames of 'blocked' and
      'held_out'.
    seed: Draws depend on it and on the person's id alone.

  Returns:
    One split, or the two directions of 'cross_video'.

  Raises:
    Impossible: If the person lacks what the split needs.
  """
  labelled = labels.notna().any(axis=1).to_numpy()
  if not labelled.any():
    raise Impossible('no action-unit labels')
  if name == CROSS_VIDEO:
    return _cross_video(frames, labels, labelled, min_base_rate)
  kept = kept_action_units(labels, min_base_rate=min_base_rate)
  if not kept:
    raise Impossible('no action unit is active often enough')
  if name == HELD_OUT:
    return [_held_out(frames, labelled, kept, guard_s)]
  order = _in_time(frames, labelled)
  person_id = str(frames['person_id'].iloc[0])
  generator = np.random.default_rng([seed, *person_id.encode()])
  if name == RANDOM:
    return [_random(order, labelled, kept, generator)]
  if name == BLOCKED:
    return [
      _blocked(frames, labels[list(kept)], order, labelled, guard_s, generator)
    ]
  raise ValueError(f'Split {name!r} is unknown; expected one of {ALL_SPLITS}.')


def halves(targets: pd.DataFrame) -> pd.DataFrame:
  """Returns 1 where a target is above its median, 0 where not, NaN unknown.

  Stands in for action units where there are none: make_splits then lets both
  parts hold small and large values of every target.

  Args:
    targets: [n, T] float.
  """
  above = targets.gt(targets.median(), axis='columns').astype(np.float64)
  return above.where(targets.notna()).reset_index(drop=True)


def inner_folds(
  frames: pd.DataFrame, train: np.ndarray, *, num_folds: int, guard_s: float
) -> list[tuple[np.ndarray, np.ndarray]]:
  """Cuts a training part into blocks of time, to choose something by.

  Args:
    frames: n rows with video_id and time_s.
    train: [n] bool, the training part.
    num_folds: Blocks, equal in frames, each the validation part once.
    guard_s: Seconds between the two parts of a fold.

  Returns:
    (fit, validate) for each fold, [n_train] bool of the training frames in
    their order, neither empty. A fold that the guard leaves nothing to fit on
    is left out.
  """
  folds = []
  for block in np.array_split(_in_time(frames, train), num_folds):
    validate = np.zeros(len(train), bool)
    validate[block] = True
    fit = train & ~_near(frames, validate, guard_s)
    if validate.any() and fit.any():
      folds.append((fit[train], validate[train]))
  return folds


def kept_action_units(
  labels: pd.DataFrame, *, min_base_rate: float
) -> tuple[str, ...]:
  """Returns the action units active in strictly more than a share of frames.

  The share is of the frames on which that action unit is labelled.
  """
  return tuple(labels.columns[labels.mean() > min_base_rate])


def _random(order, labelled, kept, generator) -> Split:
  """Returns the published split: a fifth of the frames at random."""
  num_test = round(_TEST_SHARE * len(order))
  if num_test == 0:
    raise Impossible('fewer than 3 labelled frames')
  test = np.zeros(len(labelled), bool)
  test[generator.permutation(order)[:num_test]] = True
  return Split(WITHIN, labelled & ~test, test, kept)


def _cross_video(frames, labels, labelled, min_base_rate) -> list[Split]:
  """Returns the two directions between a person's first two videos."""
  videos = first_videos(frames, labelled)
  if len(videos) < 2:
    raise Impossible('only one labelled video')
  first, second = (
    kept_action_units(labels[video], min_base_rate=min_base_rate)
    for video in videos
  )
  kept = tuple(unit for unit in first if unit in second)
  if not kept:
    raise Impossible('no action unit is active often enough in both videos')
  return both_ways(*videos, kept)


def first_videos(frames: pd.DataFrame, chosen: np.ndarray) -> list[np.ndarray]:
  """Returns which frames are of the first two videos in order of video_id.

  Args:
    frames: n rows with video_id.
    chosen: [n] bool, the frames to take.

  Returns:
    Up to two, [n] bool each.
  """
  video = frames['video_id'].astype(str).to_numpy()
  return [chosen & (video == v) for v in np.unique(video[chosen])[:2]]


def both_ways(
  first: np.ndarray, second: np.ndarray, action_units: tuple[str, ...]
) -> list[Split]:
  """Returns the two directions between two parts, [n] bool each."""
  return [
    Split(FORWARD, first, second, action_units),
    Split(BACKWARD, second, first, action_units),
  ]


def _held_out(frames, labelled, kept, guard_s) -> Split:
  """Returns the split whose test frames the model never saw."""
  if HELD_OUT not in frames or not (frames[HELD_OUT] == 1).any():
    raise Impossible('no frame was held out from every model of this person')
  test = labelled & (frames[HELD_OUT] == 1).to_numpy()
  train = labelled & ~_near(frames, test, guard_s)
  if not test.any() or not train.any():
    raise Impossible(
      'no labelled frame was held out'
      if train.any()
      else 'no labelled frame is left for training outside the held-out ones'
    )
  return Split(WITHIN, train, test, kept)


def _blocked(frames, labels, order, labelled, guard_s, generator) -> Split:
  """Returns the split by blocks of time with a guard between its parts."""
  if len(order) < _NUM_BLOCKS:
    raise Impossible(f'fewer than {_NUM_BLOCKS} labelled frames')
  inside = np.zeros((_NUM_BLOCKS, len(labelled)), bool)
  for block_index, block in enumerate(np.array_split(order, _NUM_BLOCKS)):
    inside[block_index, block] = True
  near = np.stack([_near(frames, block, guard_s) for block in inside])
  classes = np.hstack([labels == 1, labels == 0]).astype(np.float32)
  best_score, best = 0, None
  for choices in _choices(generator):
    test = inside[choices].any(axis=1)
    train = labelled & ~near[choices].any(axis=1)
    in_both = (test @ classes > 0) & (train @ classes > 0)
    score = in_both.reshape(len(choices), 2, -1).all(axis=1).sum(axis=1)
    if score.max() > best_score:
      best_score, row = score.max(), score.argmax()
      best = Split(WITHIN, train[row], test[row], tuple(labels.columns))
    if best_score == labels.shape[1]:
      break
  if best is None:
    raise Impossible('no action unit varies in both parts around the guard')
  return best


def _in_time(frames, chosen) -> np.ndarray:
  """Returns the chosen rows in order of video and time."""
  order = np.lexsort((frames['time_s'], frames['video_id'].astype(str)))
  return order[chosen[order]]


def _near(frames, chosen, guard_s) -> np.ndarray:
  """Returns [n] bool: chosen, or within guard_s of a chosen frame."""
  keys = frames[['video_id', 'time_s']].astype(
    {'video_id': str, 'time_s': float}
  )
  keys = keys.assign(row=np.arange(len(frames))).sort_values('time_s')
  found = pd.merge_asof(
    keys,
    keys[chosen[keys['row']]],
    on='time_s',
    by='video_id',
    suffixes=('', '_chosen'),
    tolerance=guard_s + TIME_TOLERANCE_S,
    direction='nearest',
  )
  return found.sort_values('row')['row_chosen'].notna().to_numpy()


def _choices(generator):
  """Yields [choices, 4] test blocks, every choice once, in random order."""
  choices = generator.permutation(
    list(itertools.combinations(range(_NUM_BLOCKS), _NUM_TEST_BLOCKS))
  )
  for start in range(0, len(choices), _CHOICES_AT_ONCE):
    yield choices[start : start + _CHOICES_AT_ONCE]
