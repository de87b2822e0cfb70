"""Probes of one person, fitted and tested on frames of that person.

n frames. Which rows there are and what their columns mean is in tables.py.
"""

import collections
import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import threadpoolctl

from psm_jax.evaluation import (
  controls,
  expressions,
  features,
  intervals,
  probes,
  regression,
  splits,
  structure,
)


def evaluate(
  tables: Sequence[features.FeatureTable], *, config: probes.ProbeConfig
) -> dict[str, list[dict]]:
  """Probes every table of one person on the same splits.

  Args:
    tables: Of several sources and models, with the same frames and labels.
    config: How probes are split, fitted and scored.

  Returns:
    Rows of the tables scores, structure, intervals, intensity, regression,
    expressions and skipped, by these names; a table without rows may lack.

  Raises:
    ValueError: If two tables are of the same source and model, or differ in
      their frames or labels.
  """
  seen = set()
  for table in tables:
    if (key := tuple(table.ids.values())) in seen:
      raise ValueError(f'There are two feature tables of {key}.')
    seen.add(key)
  tables = _aligned(tables)
  # The matrices are small: more threads take twice the processor's time.
  with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
    return _probe(tables, config)


def score_units(
  tables: Sequence[features.FeatureTable], *, config: probes.ProbeConfig
) -> list[dict]:
  """Returns the rows of the table scores alone, of every table of one person.

  Splits that do not suit the person have none.

  Args:
    tables: See evaluate.
    config: See evaluate.

  Raises:
    ValueError: If two tables differ in their frames or labels.
  """
  tables = _aligned(tables)
  frames = _with_held_out(tables)
  labels = splits.action_unit_labels(frames, threshold=config.threshold)
  rows = []
  with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
    for name in config.splits:
      try:
        parts = _splits(name, frames, labels, config)
      except splits.Impossible:
        continue
      for table, part in itertools.product(tables, parts):
        place = {**table.ids, 'split': name, 'direction': part.direction}
        decisions, _ = probes.decide(table, labels, part, config=config)
        rows += [
          {**place, **probes.score_row(decision, config=config)}
          for decision in decisions
        ]
  return rows


def _probe(tables, config) -> dict[str, list[dict]]:
  """Returns the rows of tables whose frames are in one order."""
  rows = collections.defaultdict(list)
  rows['structure'] = [
    {**table.ids, **structure.describe(table, config=config)}
    for table in tables
    if not controls.is_control(table.source)
  ]
  for name in config.splits:
    reasons = [
      *_probe_units(tables, name, config, rows),
      *_probe_expressions(tables, name, config, rows),
    ]
    rows['skipped'] += [
      {'person_id': tables[0].person_id, 'split': name, 'reason': reason}
      for reason in reasons
    ]
  return dict(rows)


def _aligned(
  tables: list[features.FeatureTable],
) -> list[features.FeatureTable]:
  """Returns tables with their rows in order of video and frame number."""
  aligned = []
  for table in tables:
    frames = table.frames.reset_index(drop=True)
    frames['video_id'] = frames['video_id'].astype(str)
    frames = frames.sort_values(['video_id', 'frame'])
    aligned.append(
      dataclasses.replace(
        table,
        features=table.features[frames.index],
        frames=frames.reset_index(drop=True),
      )
    )
  for table in aligned[1:]:
    _check_same_frames(aligned[0], table)
  return aligned


def _check_same_frames(
  first: features.FeatureTable, second: features.FeatureTable
) -> None:
  """Raises an error if two tables of a person differ in frames or labels."""
  units = splits.action_unit_columns(first.frames)
  columns = ['video_id', 'frame', 'time_s', *units]
  columns += [
    column
    for column in (*regression.target_columns(first.frames), expressions.COLUMN)
    if column in first.frames and column in second.frames
  ]
  what = None
  if len(first.frames) != len(second.frames):
    what = f'{len(first.frames)} and {len(second.frames)} frames'
  elif units != splits.action_unit_columns(second.frames):
    what = 'different action-unit columns'
  else:
    for column in columns:
      one, other = first.frames[column], second.frames[column]
      if not ((one == other) | (one.isna() & other.isna())).all():
        what = f'different values of {column}'
  if what:
    raise ValueError(
      f'The tables of person {first.person_id} from {first.source} '
      f'({first.model_id}) and {second.source} ({second.model_id}) have {what}.'
      ' Make all from the same frames, or their scores cannot be compared.'
    )


def _probe_units(tables, name, config, rows) -> list[str]:
  """Adds a person's action units, head pose and landmarks on one split.

  Head pose and landmarks are asked on the action units' frames or, where there
  are none, on frames split by the targets themselves.

  Returns:
    Why action units are missing.
  """
  frames = _with_held_out(tables)
  labels = splits.action_unit_labels(frames, threshold=config.threshold)
  reasons, parts = {}, []
  try:
    parts = _splits(name, frames, labels, config)
  except splits.Impossible as reason:
    reasons[str(reason)] = None
  targets = regression.target_columns(frames)
  target_parts = parts
  if targets and not parts:
    halves = splits.halves(frames[targets[:3]])
    target_parts = _splits_or_none(name, frames, halves, config)
  for table in tables:
    for part in parts or target_parts:
      place = {**table.ids, 'split': name, 'direction': part.direction}
      options = {'config': config, 'prepared': None}
      if table.source != features.NEAREST_IN_TIME:
        options['prepared'] = probes.prepare_split(table, part, config=config)
      units = part.action_units if parts else ()
      intensity, targeted = regression.score(
        table, part, units=units, **options
      )
      rows['intensity'] += [{**place, **row} for row in intensity]
      rows['regression'] += [{**place, **row} for row in targeted]
      if not parts:
        continue
      decisions, impossible = probes.decide(table, labels, part, **options)
      found = {
        'scores': [probes.score_row(d, config=config) for d in decisions],
        'intervals': intervals.within_person(decisions, frames, config=config),
      }
      for kind, own in found.items():
        rows[kind] += [{**place, **row} for row in own]
      reasons |= {
        f'{au} has one class in the training part or no test frame '
        f'({part.direction})': None
        for au in impossible
      }
  return list(reasons)


def _probe_expressions(tables, name, config, rows) -> list[str]:
  """Adds a person's classes of expression on one split, if there are any.

  Returns:
    Why they are missing.
  """
  frames = _with_held_out(tables)
  classes = expressions.classes(frames)
  if not (classes != '').any():
    return []
  labels = expressions.as_labels(classes)
  try:
    parts = _splits(name, frames, labels, config, min_base_rate=0.0)
  except splits.Impossible as reason:
    return [f'expressions: {reason}'.replace('action-unit labels', 'labels')]
  missing = False
  for table in tables:
    for part in parts:
      row = expressions.probe(table, classes, part, config=config)
      if row is not None:
        place = {**table.ids, 'split': name, 'direction': part.direction}
        rows['expressions'].append({**place, **row})
      missing |= row is None and table.source != features.NEAREST_IN_TIME
  return ['expressions: one class in the training part'] if missing else []


def _splits(name, frames, labels, config, *, min_base_rate=None):
  """Returns splits.make_splits as the configuration has it."""
  if min_base_rate is None:
    min_base_rate = config.min_base_rate
  return splits.make_splits(
    name,
    frames,
    labels,
    min_base_rate=min_base_rate,
    guard_s=config.guard_s,
    seed=config.seed,
  )


def _splits_or_none(name, frames, labels, config):
  """Returns the splits, [] if they are impossible."""
  try:
    return _splits(name, frames, labels, config, min_base_rate=0.0)
  except splits.Impossible:
    return []


def _with_held_out(tables) -> pd.DataFrame:
  """Returns the frames of a person; held out are those that no model saw."""
  frames = tables[0].frames
  held_out = np.ones(len(frames), bool)
  for table in tables:
    if splits.HELD_OUT in table.frames:
      held_out &= (table.frames[splits.HELD_OUT] == 1).to_numpy()
    else:
      held_out[:] = False
  return frames.assign(**{splits.HELD_OUT: held_out.astype(np.float64)})
