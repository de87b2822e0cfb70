"""What features say besides the movement: whose face it is.

n frames, D features, K persons.

  rows, skipped = leakage.identity(tables)

Rows of results: metrics accuracy, the share of a person's test frames that are
given to that person, and chance, 1 / K, of the targets identity (a linear
probe), identity_nearest (nearest frames) and identity_centred (the same with
each person's mean taken out of each part before). A linear probe cannot tell
centred persons apart: with equal class means its best weights are 0. Nearest
frames also see the shape of a person's cloud.
"""

import functools
from collections.abc import Sequence

import numpy as np
from sklearn import neighbors

from psm_jax.evaluation import (
  coordinates,
  features,
  probes,
  results,
  splits,
  targets,
)

LINEAR = 'identity'
NEAREST = 'identity_nearest'
CENTRED = 'identity_centred'


NUM_NEIGHBOURS = 5  # Of the probe by nearest neighbours.
# Frames of all persons together in a training part, and in a test part, taken
# at equal steps. Bounds time and memory.
MAX_FRAMES = 12_000
MIN_FRAMES = 20  # Persons with fewer frames in a part take no part.


def identity(
  tables: Sequence[features.FeatureTable],
  *,
  config: probes.ProbeConfig = probes.DEFAULT,
) -> tuple[list[dict], list[dict]]:
  """Measures how well a frame's features tell whose they are.

  Probes are fitted on one part of every person's frames and tested on another,
  and the reverse: two videos if each person has two, else the halves of each
  person's first video with a guard between them. Training parts hold equally
  many frames of everybody. Features are standardised on the training part.

  Args:
    tables: Features of any number of sources, models and persons.
    config: inverse_penalties (the first) and guard_s count.

  Returns:
    Rows of results, and of skipped: sources without shared coordinates, and
    persons of too few frames.
  """
  return coordinates.score_models(
    [table.in_order() for table in tables],
    functools.partial(_score_model, config=config),
    target=LINEAR,
  )


def _score_model(tables, config) -> tuple[list[dict], list[str]]:
  """Returns the rows of one model, and a note on persons who are left out."""
  has_two = all(table.frames['video_id'].nunique() > 1 for table in tables)
  split = splits.CROSS_VIDEO if has_two else splits.BLOCKED
  parts, left_out = [], []
  for table in tables:
    usable = np.ones(len(table.frames), bool)
    if split == splits.BLOCKED:
      video = table.frames['video_id'].astype(str)
      usable = (video == video.min()).to_numpy()
    try:
      _, directions = coordinates.two_parts(
        table.frames, usable, guard_s=config.guard_s
      )
    except splits.Impossible:
      directions = []
    smallest = min((part.train.sum() for part in directions), default=0)
    if smallest < MIN_FRAMES:
      left_out.append(table.person_id)
    else:
      parts.append((table, directions))
  notes = []
  if left_out:
    notes.append(
      f'without {", ".join(left_out)}, of whom a part of the {split} split has '
      f'fewer than {MIN_FRAMES} frames'
    )
  return _probe(split, parts, config) if len(parts) > 1 else [], notes


def _probe(split, parts, config) -> list[dict]:
  """Returns the rows of one model.

  Args:
    split: Name of the split.
    parts: (table, directions) of each person.
    config: See `identity`.
  """
  made = []
  source = parts[0][0].source
  data = [table.scaled() for table, _ in parts]
  each = max(MIN_FRAMES, MAX_FRAMES // len(parts))
  for index, direction in enumerate((splits.FORWARD, splits.BACKWARD)):
    theirs = [directions[index] for _, directions in parts]
    size = min(each, *(int(part.train.sum()) for part in theirs))
    train, test = (
      [
        units[coordinates.spread_rows(np.flatnonzero(side), num_rows=num)]
        for units, side in zip(data, sides, strict=True)
      ]
      for sides, num in (
        ([part.train for part in theirs], size),
        ([part.test for part in theirs], each),
      )
    )
    for probe in (LINEAR, NEAREST, CENTRED):
      accuracy = _accuracies(train, test, source, probe, config)
      for (table, _), tested, share in zip(parts, test, accuracy, strict=True):
        made += results.rows(
          {
            'split': split,
            'person_id': table.person_id,
            'direction': direction,
          },
          probe,
          {'accuracy': share, 'chance': 1 / len(parts)},
          n_train=size,
          n_test=len(tested),
        )
  return made


def _accuracies(train, test, source, probe, config) -> list[float]:
  """Returns the share of every person's test frames that is given to them."""
  who = np.repeat(np.arange(len(train)), [len(part) for part in train])
  ends = np.cumsum([len(part) for part in test])[:-1]
  if probe == CENTRED:
    train, test = (
      [part - part.mean(axis=0) for part in side] for side in (train, test)
    )
  train, test = np.concatenate(train), np.concatenate(test)
  options = {'source': source, 'config': config}
  if probe == LINEAR:
    names = who.astype(str).astype(object)
    asked = [targets.Target(probe, targets.CLASSES, names)]
    told = probes.fit(train, asked, [], **options).tell(test)
    told = told[targets.CLASSES, probe][0].astype(int)
  else:
    prepare = probes.preparation(train, **options)
    model = neighbors.KNeighborsClassifier(
      min(NUM_NEIGHBOURS, len(who)), algorithm='brute'
    )
    told = model.fit(prepare.transform(train), who).predict(
      prepare.transform(test)
    )
  return [
    float((part == person).mean())
    for person, part in enumerate(np.split(told, ends))
  ]
