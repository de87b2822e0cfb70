"""How well a code drives another canonical face than its frame's own.

A code says how a face moved only if it moves the face of another video of the
person in the same way. launch.embed --driven draws the codes of one video on
the neutral face of another; here that is scored, as rows of results:

driven            of the targets face, mouth and eyes the r2 of the picture,
                  1 - SS(driven - frames) / SS(still face - frames), after the
                  colours of the one canonical face are matched to the other's;
                  of action units the auc of a probe of real pixels of the
                  video whose face it is
driven_shuffled   the same action units, half a video later: chance is right
neutral_face      the auc of a probe of neutral faces that networks made of
                  frames, across videos: chance is right, more has leaked

n frames, S pixels a side; images are float in any one scale.
"""

import os

import numpy as np

from psm_jax.data import driven_squares, embedded
from psm_jax.evaluation import features, few_labels, probes, results, splits

SPLIT = 'driven'
SHUFFLED = 'driven_shuffled'
NEUTRAL = 'neutral_face'


def score(
  workdir: str | os.PathLike,
  table: features.FeatureTable,
  pixels: features.FeatureTable | None,
  *,
  config: probes.ProbeConfig,
  model_id: str | None = None,
) -> list[dict]:
  """Returns rows of results of what launch.embed --driven drew of a person.

  Args:
    workdir: The run.
    table: The embeddings of one of its models.
    pixels: The grey pixels of the same frames; without them action units are
      not read.
    config: Threshold, guard and least base rate.
    model_id: What the run calls the model, if the table calls it otherwise.
  """
  frames = table.frames
  labels = splits.action_unit_labels(frames, threshold=config.threshold)
  try:
    parts = splits.make_splits(
      splits.CROSS_VIDEO,
      frames,
      labels,
      min_base_rate=config.min_base_rate,
      guard_s=config.guard_s,
      seed=config.seed,
    )
  except splits.Impossible:
    parts = []
  made = []
  for folder, names in (
    (embedded.DRIVEN, (SPLIT, SHUFFLED)),
    (embedded.NEUTRAL_FACES, (NEUTRAL,)),
  ):
    for drawn in features.read_person(
      workdir, table.person_id, source=table.source, folder=folder
    ):
      if drawn.model_id != (model_id or table.model_id):
        continue
      if SPLIT in names:
        made += _pictures({**table.ids, 'split': SPLIT}, drawn.frames)
      known = pixels if SPLIT in names else drawn
      if parts and known is not None:
        made += _units(names, table, known, drawn, labels, parts, config)
  return made


def _pictures(place, frames):
  """Returns the rows of R2, of each direction."""
  made = []
  videos = frames.groupby(frames['video_id'].astype(str))
  for direction, (_, shown) in zip(
    (splits.BACKWARD, splits.FORWARD), videos, strict=True
  ):
    for region in driven_squares.REGIONS:
      rest, still = (shown[f'{n}_{region}'].sum() for n in ('rest', 'still'))
      made += results.rows(
        {**place, 'direction': direction},
        region,
        {'r2': 1 - rest / still},
        n_test=len(shown),
      )
  return made


def _units(names, table, known, drawn, labels, parts, config):
  """Returns the rows of action units read from drawn faces.

  Args:
    names: The split; and that of the frames of half a video later, if wanted.
    table: The embeddings of n frames.
    known: Pixels that a probe learns from.
    drawn: Pixels of the faces that it reads.
    labels: [n, A] of the frames.
    parts: The directions across videos.
    config: See `score`.
  """
  units = list(parts[0].action_units)
  truth = labels[units].to_numpy()
  usable = ~np.isnan(truth).any(axis=1) & (parts[0].train | parts[0].test)
  rows = np.flatnonzero(usable)
  pixels = np.concatenate(
    [
      features.at(side, table.frames.iloc[rows]).features
      for side in (known, drawn)
    ]
  )
  values, sizes = few_labels.components(pixels, fit=pixels[: len(rows)])
  made = []
  for part in parts:
    train, test = (np.flatnonzero(s[rows]) for s in (part.train, part.test))
    folds = splits.inner_folds(
      table.frames,
      part.train & usable,
      num_folds=probes.NUM_INNER_FOLDS,
      guard_s=config.guard_s,
    )
    for name, late in zip(names, (0, len(test) // 2), strict=False):
      both = np.tile(truth[rows] == 1, (2, 1))
      both[len(rows) + test] = np.roll(both[test], late, axis=0)
      told = few_labels.probe_auc(
        values,
        both,
        train,
        len(rows) + test,
        folds=folds,
        sizes=sizes,
      )
      for unit, value in zip(units, told, strict=True):
        made += results.rows(
          {**table.ids, 'split': name, 'direction': part.direction},
          unit,
          {'auc': value},
          n_train=len(train),
          n_test=len(test),
        )
  return made
