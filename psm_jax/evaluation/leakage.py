"""What features say besides the movement: whose face it is, how it is held.

n frames, D features, K persons.

  who = leakage.identity(tables)
  how = leakage.pose(tables)

identity().summary, a row per source, probe and centring:
  source,probe,centring,split,accuracy,ci_low,ci_high,chance,num_persons,
  num_models,reason
  accuracy is the mean over persons of the share of that person's test frames
  that are given to them; chance is 1 / K. A source without shared coordinates
  has one row, with a reason instead of values; beside values, reason says who
  is left out.
identity().persons, a row per model, person, direction, probe and centring:
  source,model_id,person_id,split,direction,probe,centring,num_train,num_test,
  accuracy,chance
pose(), a row per model, person, direction and angle:
  source,model_id,person_id,split,direction,angle,num_train,num_test,r2,
  rmse_deg,sd_deg,mae_deg,mae_mean_deg,reason
  sd_deg is the angle's standard deviation in the test part; r2 = 1 - rmse_deg^2
  / sd_deg^2. mae_mean_deg is the error of the training part's mean angle, which
  knows nothing of the frame. A person without what it needs has one row with a
  reason.
"""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
import threadpoolctl
from sklearn import linear_model, neighbors

from psm_jax.evaluation import (
  controls,
  coordinates,
  features,
  probes,
  ridge,
  splits,
  summary,
)

LINEAR = 'linear'
NEAREST = 'nearest'
# A linear probe cannot tell centred persons apart: with equal class means its
# best weights are 0. Nearest neighbours also see the shape of a person's cloud.
PROBES = (
  (LINEAR, coordinates.UNCENTRED),
  (NEAREST, coordinates.UNCENTRED),
  (NEAREST, coordinates.CENTRED),
)
PENALTIES = tuple(10.0**power for power in range(6))
_NUM_FOLDS = 5
SUMMARY_COLUMNS = tuple(
  (
    'source probe centring split accuracy ci_low ci_high chance num_persons '
    'num_models reason'
  ).split()
)
PERSON_COLUMNS = tuple(
  (
    'source model_id person_id split direction probe centring num_train '
    'num_test accuracy chance'
  ).split()
)
POSE_COLUMNS = tuple(
  (
    'source model_id person_id split direction angle num_train num_test r2 '
    'rmse_deg sd_deg mae_deg mae_mean_deg reason'
  ).split()
)


@dataclasses.dataclass(frozen=True)
class LeakageConfig:
  """How identity and head pose are probed.

  Attributes:
    probe: l2_normalise, inverse_penalty, guard_s and seed count; see
      probes.ProbeConfig.
    num_neighbours: Of the probe by nearest neighbours.
    max_frames: Frames of all persons together in a training part, and in a
      test part, taken at equal steps. Bounds time and memory.
    min_frames: Persons with fewer frames in a part take no part.

  Raises:
    ValueError: If a value is out of its range.
  """

  probe: probes.ProbeConfig = probes.DEFAULT
  num_neighbours: int = 5
  max_frames: int = 12_000
  min_frames: int = 20

  def __post_init__(self):
    for field, least in (
      ('num_neighbours', 1),
      ('max_frames', 1),
      ('min_frames', _NUM_FOLDS),
    ):
      if getattr(self, field) < least:
        raise ValueError(
          f'{field} {getattr(self, field)} is less than {least}.'
        )


DEFAULT = LeakageConfig()


@dataclasses.dataclass(frozen=True)
class Identity:
  """Both tables of `identity`; columns as in the module's description."""

  summary: pd.DataFrame
  persons: pd.DataFrame


def identity(
  tables: Sequence[features.FeatureTable],
  *,
  config: LeakageConfig = DEFAULT,
  num_person_resamples: int = 2000,
) -> Identity:
  """Measures how well a frame's features tell whose they are.

  Probes are fitted on one part of every person's frames and tested on another,
  and the reverse: two videos if each person has two, else the halves of each
  person's first video with a guard between them. Training parts hold equally
  many frames of everybody. Features are standardised on the training part;
  centred ones have each person's mean taken out of each part before.

  Args:
    tables: Features of any number of sources, models and persons.
    config: See LeakageConfig.
    num_person_resamples: Draws of persons behind the intervals.

  Returns:
    See the module's description.
  """
  persons, notes = [], collections.defaultdict(list)
  tables = [coordinates.in_order(table) for table in tables]
  with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
    for source, models in coordinates.shared_models(tables).items():
      notes[source] = [] if models else [coordinates.OWN_MODELS]
      for model_id, own in models.items():
        split, parts, note = _parts_of(own, config)
        notes[source] += [f'{model_id}: {note}'] if note else []
        ids = {'source': source, 'model_id': model_id, 'split': split}
        if len(parts) > 1:
          persons += [{**ids, **row} for row in _probe_model(parts, config)]
  persons = pd.DataFrame(persons, columns=PERSON_COLUMNS)
  summarised = summary.summarise_by_source(
    persons,
    notes,
    columns=SUMMARY_COLUMNS,
    keys=['probe', 'centring'],
    values=['accuracy', 'chance'],
    joined=['split'],
    num_person_resamples=num_person_resamples,
    seed=config.probe.seed,
  )
  return Identity(summary=summarised, persons=persons)


def pose(
  tables: Sequence[features.FeatureTable], *, config: LeakageConfig = DEFAULT
) -> pd.DataFrame:
  """Measures how well a ridge regression tells the head pose of new frames.

  Fitted person by person on one video and tested on another and the reverse, or
  on halves of one video; its penalty is the best of six in a cross-validation
  over stretches of the training part.

  Args:
    tables: Features of any sources, those without a feature are left out;
      frames with pose_yaw, pose_pitch or pose_roll in degrees.
    config: See LeakageConfig.

  Returns:
    See the module's description.
  """
  rows = []
  with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
    for table in tables:
      if not table.features.shape[1]:
        continue
      try:
        rows += [
          {**table.ids, **row}
          for row in _probe_pose(coordinates.in_order(table), config)
        ]
      except splits.Impossible as reason:
        rows.append({**table.ids, 'reason': str(reason)})
  return pd.DataFrame(rows, columns=POSE_COLUMNS)


def _parts_of(tables, config):
  """Returns a split that suits all persons, their parts, and who is left out.

  Parts are (table, directions).
  """
  num_videos = [table.frames['video_id'].nunique() for table in tables]
  split = splits.CROSS_VIDEO if min(num_videos) > 1 else splits.BLOCKED
  parts, left_out = [], []
  for table in tables:
    usable = np.ones(len(table.frames), bool)
    if split == splits.BLOCKED:
      video = table.frames['video_id'].astype(str)
      usable = (video == video.min()).to_numpy()
    try:
      _, directions = coordinates.two_parts(
        table.frames, usable, guard_s=config.probe.guard_s
      )
    except splits.Impossible:
      directions = []
    sizes = [part.train.sum() for part in directions]
    if min(sizes, default=0) < config.min_frames:
      left_out.append(table.person_id)
    else:
      parts.append((table, directions))
  note = (
    f'without {", ".join(left_out)}, of whom a part of the {split} split has '
    f'fewer than {config.min_frames} frames'
    if left_out
    else ''
  )
  return split, parts, note


def _probe_model(parts, config) -> list[dict]:
  """Returns a row per direction, probe and person of one model."""
  rows = []
  tables = [table for table, _ in parts]
  data = [coordinates.unit_length(table) for table in tables]
  each = max(config.min_frames, config.max_frames // len(tables))
  for index, direction in enumerate((splits.FORWARD, splits.BACKWARD)):
    own = [directions[index] for _, directions in parts]
    size = min(each, *(int(part.train.sum()) for part in own))
    train, test = (
      [
        units[coordinates.spread_rows(np.flatnonzero(side), num_rows=num)]
        for units, side in zip(data, sides, strict=True)
      ]
      for sides, num in (
        ([part.train for part in own], size),
        ([part.test for part in own], each),
      )
    )
    for probe, centring in PROBES:
      accuracy = _accuracies(
        train, test, tables[0].source, probe, centring, config
      )
      rows += [
        {
          'person_id': table.person_id,
          'direction': direction,
          'probe': probe,
          'centring': centring,
          'num_train': size,
          'num_test': len(tested),
          'accuracy': share,
          'chance': 1 / len(tables),
        }
        for table, tested, share in zip(tables, test, accuracy, strict=True)
      ]
  return rows


def _accuracies(train, test, source, probe, centring, config) -> list[float]:
  """Returns the share of every person's test frames that is given to them."""
  who = np.repeat(np.arange(len(train)), [len(part) for part in train])
  ends = np.cumsum([len(part) for part in test])[:-1]
  if centring == coordinates.CENTRED:
    train, test = (
      [part - part.mean(axis=0) for part in side] for side in (train, test)
    )
  train, test = probes.prepare(
    np.concatenate(train),
    np.concatenate(test),
    source=source,
    # Of length 1 already; centred ones must not be scaled again.
    config=dataclasses.replace(config.probe, l2_normalise=False),
  )
  if probe == LINEAR:
    model = linear_model.LogisticRegression(
      C=config.probe.inverse_penalty, max_iter=2000
    )
  else:
    model = neighbors.KNeighborsClassifier(
      min(config.num_neighbours, len(who)), algorithm='brute'
    )
  told = model.fit(train, who).predict(test)
  return [
    float((part == person).mean())
    for person, part in enumerate(np.split(told, ends))
  ]


def _probe_pose(table, config) -> list[dict]:
  """Returns a row per direction and angle of one person."""
  if table.source == features.HEAD_POSE:
    raise splits.Impossible('these features are the head pose')
  angles = controls.pose_angles(table.frames)
  if angles.empty:
    raise splits.Impossible('no head pose')
  split, parts = coordinates.two_parts(
    table.frames,
    angles.notna().all(axis=1).to_numpy(),
    guard_s=config.probe.guard_s,
  )
  if min(part.train.sum() for part in parts) < config.min_frames:
    raise splits.Impossible(
      f'fewer than {config.min_frames} frames with head pose in a part of the '
      f'{split} split'
    )
  rows = []
  for part in parts:
    train, test = probes.prepare(
      table.features[part.train],
      table.features[part.test],
      source=table.source,
      config=config.probe,
    )
    angle = angles.to_numpy()
    known, truth = angle[part.train], angle[part.test]
    told, _ = ridge.predict(
      train,
      known,
      test,
      penalties=PENALTIES,
      folds=ridge.stretches(len(train), num_folds=_NUM_FOLDS),
    )
    error = truth - told
    for column, name in enumerate(angles):
      rows.append(
        {
          'split': split,
          'direction': part.direction,
          'angle': name.removeprefix('pose_'),
          'num_train': len(train),
          'num_test': len(test),
          **_quality(error[:, column], truth[:, column], known[:, column]),
        }
      )
  return rows


def _quality(error, truth, known) -> dict[str, float]:
  """Returns how well an angle was told."""
  rmse, spread = float(np.sqrt((error**2).mean())), float(truth.std())
  return {
    'r2': 1 - rmse**2 / spread**2 if spread else float('nan'),
    'rmse_deg': rmse,
    'sd_deg': spread,
    'mae_deg': float(np.abs(error).mean()),
    'mae_mean_deg': float(np.abs(truth - known.mean()).mean()),
  }
