"""What probes make of one person's frames: rows of the table of results.

n frames.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import threadpoolctl

from psm_jax.evaluation import (
  asking,
  controls,
  features,
  few_labels,
  intervals,
  probes,
  results,
  scores,
  splits,
  targets,
)

POSE = 'pose'  # All angles of the head together.
EMBEDDING = 'embedding'
_FIXED = (features.HEAD_POSE, features.NEAREST_IN_TIME)


def evaluate(
  tables: Sequence[features.FeatureTable], *, config: probes.ProbeConfig
) -> tuple[list[dict], list[dict]]:
  """Probes every table of one person on the same splits.

  Args:
    tables: Of several sources and models, with the same frames and labels.
    config: How probes are split, fitted and scored.

  Returns:
    Rows of results, and of skipped.

  Raises:
    ValueError: If two tables differ in their frames or labels.
  """
  tables = [table.in_order() for table in tables]
  for table in tables:
    _check_same_frames(tables[0], table)
  made, reasons = [], []
  learned = [table for table in tables if table.source not in _FIXED]
  # The matrices are small: more threads take twice the processor's time.
  with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
    for table in learned:
      spread = {
        'effective_rank': scores.effective_rank(table.features),
        'unit_std': scores.unit_std(table.features),
      }
      made += results.rows(
        table.ids, EMBEDDING, spread, n_test=len(table.frames)
      )
    for name in config.splits:
      questions = list(_questions(name, tables, config, reasons))
      if name == splits.CROSS_VIDEO:
        parts = [
          split
          for split, asked in questions
          if any(target.kind == targets.UNIT for target in asked)
        ]
        for table in learned:
          made += few_labels.score(table, parts, config=config)
      for split, asked in questions:
        for table in tables:
          place = table.ids | {'split': name, 'direction': split.direction}
          answers, impossible = asking.ask(table, split, asked, config=config)
          made += score(place, answers, table.frames, config=config)
          reasons += [
            (
              name,
              target,
              f'{target} has one class in the training part or no test frame '
              f'({split.direction})',
            )
            for target in impossible
            if table.source != features.NEAREST_IN_TIME
          ]
  return made, [
    {
      'person_id': tables[0].person_id,
      **dict(zip(('split', 'target', 'reason'), reason, strict=True)),
    }
    for reason in dict.fromkeys(reasons)
  ]


def score(
  place: dict[str, str],
  answers: Sequence[asking.Answer],
  frames: pd.DataFrame,
  *,
  config: probes.ProbeConfig,
) -> list[dict]:
  """Returns the rows of results of one source's answers on one split.

  Args:
    place: Columns source to direction.
    answers: What probes say of frames of one person.
    frames: That person's n frames.
    config: How they are scored.
  """
  sure = intervals.within_person(
    [answer for answer in answers if answer.kind == targets.UNIT],
    frames,
    mean=results.ACTION_UNITS,
    config=config,
  )
  made = []
  for answer in answers:
    made += results.rows(
      place,
      answer.target,
      answer.score(config),
      n_train=len(answer.train),
      n_test=len(answer.rows),
      intervals=sure if answer.kind == targets.UNIT else None,
    )
  means = {
    m: interval['value'] for (t, m), interval in sure.items() if t[:2] != 'AU'
  }
  made += results.rows(place, results.ACTION_UNITS, means, intervals=sure)
  angles = [a for a in answers if a.target in controls.POSES]
  if angles and all(len(a.rows) == len(angles[0].rows) for a in angles):
    # Over all of a person's angles: one that hardly moves has no R2 of its own.
    whole = (
      np.concatenate([getattr(a, part) for a in angles], axis=1)
      for part in ('train', 'truth', 'told')
    )
    made += results.rows(
      place,
      POSE,
      scores.of_angles(*whole),
      n_train=len(angles[0].train),
      n_test=len(angles[0].rows),
    )
  return made


def _questions(name, tables, config, reasons):
  """Yields (split, targets) of what can be asked of a person on a split.

  Head pose and landmarks are asked on the action units' frames or, where there
  are none, on frames split by the targets themselves. Adds to reasons why
  action units, or expressions, are missing.
  """
  frames = _with_held_out(tables)
  labels = splits.action_unit_labels(frames, threshold=config.threshold)
  numbers, classes = targets.numbers(frames), targets.expression(frames)
  options = {'guard_s': config.guard_s, 'seed': config.seed}
  made = []
  try:
    made = splits.make_splits(
      name, frames, labels, min_base_rate=config.min_base_rate, **options
    )
  except splits.Impossible as reason:
    reasons.append((name, results.ACTION_UNITS, str(reason)))
  for split in made:
    units = split.action_units
    yield (
      split,
      [
        *targets.units(labels, units),
        *targets.intensities(frames, units),
        *numbers,
      ],
    )
  others = []
  if numbers and not made:
    firsts = {target.name: target.values[:, 0] for target in numbers[:3]}
    others.append((numbers, splits.halves(pd.DataFrame(firsts))))
  if classes.known.any():
    others.append(([classes], targets.as_labels(classes.values)))
  for asked, parts in others:
    try:
      for split in splits.make_splits(
        name, frames, parts, min_base_rate=0.0, **options
      ):
        yield split, asked
    except splits.Impossible as reason:
      if asked == [classes]:
        text = str(reason).replace('action-unit labels', 'labels')
        reasons.append((name, classes.name, f'expressions: {text}'))


def _check_same_frames(first, second) -> None:
  """Raises an error if two tables of a person differ in frames or labels."""
  one, other = first.frames, second.frames
  units = splits.action_unit_columns(one)
  what = None
  if len(one) != len(other):
    what = f'{len(one)} and {len(other)} frames'
  elif units != splits.action_unit_columns(other):
    what = 'different action-unit columns'
  else:
    shared = {c for c in one if c in other} - {'held_out', 'fold'}
    labelled = {
      *features.FRAME_COLUMNS,
      *units,
      targets.EXPRESSION,
      *(c for c in shared if c.startswith(('pose_', 'x', 'y'))),
    }
    for column in sorted(shared & labelled):
      is_same = (one[column] == other[column]) | (
        one[column].isna() & other[column].isna()
      )
      if not is_same.all():
        what = f'different values of {column}'
  if what:
    raise ValueError(
      f'The tables of person {first.person_id} from {first.source} '
      f'({first.model_id}) and {second.source} ({second.model_id}) have {what}.'
      ' Make all from the same frames, or their scores cannot be compared.'
    )


def _with_held_out(tables) -> pd.DataFrame:
  """Returns the frames of a person; held out are those that no model saw."""
  frames = tables[0].frames
  never = pd.Series(0, frames.index)
  held_out = [table.frames.get(splits.HELD_OUT, never) == 1 for table in tables]
  return frames.assign(held_out=np.all(held_out, axis=0) * 1.0)
