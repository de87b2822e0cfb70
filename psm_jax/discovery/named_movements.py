"""Movements that somebody named, and how groups of frames agree with them.

n frames.

  movements = named_movements.read('movements.csv')
  # or, from labels:
  rules = named_movements.read_rules('rules.json')
  movements = named_movements.derive(frames, rules)
  rows, skipped = named_movements.agreement(tables, movements)

A table of movements has a row a frame: person_id,video_id,frame,movement.
Frames that it does not list, and an empty movement, show none.

Rules are a JSON list, each a name and the least values of label columns; a
frame shows the rule with the most columns of those that hold, else the first:

  [{"movement": "smile", "at_least": {"AU06": 2, "AU12": 2}},
   {"movement": "sneer", "at_least": {"AU09": 3}, "persons": ["P7"]}]

Agreement gives rows of results, of the target movements. Metrics: ami is the
adjusted mutual information (Vinh et al., 2010) between clusters, noise being
one, and movements, none being one: 0 is chance, 1 the same grouping; ami_moving
is of the frames with a movement alone; num_clusters, noise_share, num_movements
and num_movement_frames; and the setting: min_samples, quantile, eps. All
sources of a person are grouped at one setting.
"""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
import pandas as pd
import threadpoolctl
from sklearn import metrics

from psm_jax import json_files, tabular
from psm_jax.discovery import clusters
from psm_jax.evaluation import features, results, splits

KEYS = ['person_id', 'video_id', 'frame']
COLUMNS = (*KEYS, 'movement')
_TOO_LARGE = 1e9  # For a label.
NONE = ''  # The movement of a frame that shows none.
TARGET = 'movements'


@dataclasses.dataclass(frozen=True)
class Rule:
  """When a frame shows a movement.

  Attributes:
    movement: Its name, not empty.
    at_least: Label column to the least value it needs.
    persons: Whose frames may show it; () is everybody.
  """

  movement: str
  at_least: dict[str, float]
  persons: tuple[str, ...] = ()


def read(path: str | os.PathLike) -> pd.DataFrame:
  """Reads a CSV table of movements.

  Args:
    path: With the columns person_id, video_id, frame and movement.

  Raises:
    ValueError: If it is unreadable, lacks a column, holds a frame that is no
      whole number, or a frame twice. Names the file.
  """
  shape = dict.fromkeys(COLUMNS, str) | {'frame': int}
  table = tabular.read(path, shape, only=True)
  twice = table.duplicated(KEYS)
  if twice.any():
    raise ValueError(
      f'{path} lists frame {tuple(table.loc[twice, KEYS].iloc[0])} more than '
      'once. A frame has one movement; name combinations as movements of their '
      'own.'
    )
  return table


def read_rules(path: str | os.PathLike) -> list[Rule]:
  """Reads rules from a JSON file, see the module's description.

  Raises:
    ValueError: If it is no list of rules. Names the file and the rule.
  """
  content = json_files.read(path, [{'movement': str, 'at_least': dict}])
  if not content:
    raise ValueError(f'{path} should hold a list of one or more rules.')
  return [_rule(entry, f'{path}, rule {i}') for i, entry in enumerate(content)]


def derive(frames: pd.DataFrame, rules: Sequence[Rule]) -> pd.DataFrame:
  """Returns which movement the labels of every frame amount to.

  Args:
    frames: n rows with person_id, video_id, frame and label columns; a label
      that is missing holds no rule.
    rules: See the module's description.

  Returns:
    n rows of person_id, video_id, frame and movement.

  Raises:
    ValueError: If a rule needs a column that is not there. Names the rule.
  """
  movement = np.full(len(frames), NONE, object)
  person = frames['person_id'].astype(str).to_numpy()
  for rule in sorted(rules, key=lambda rule: -len(rule.at_least)):
    missing = sorted(set(rule.at_least) - set(frames))
    if missing:
      raise ValueError(
        f'The movement {rule.movement!r} needs the label columns {missing}; '
        f'there are {[c for c in frames if c not in features.FRAME_COLUMNS]}.'
      )
    holds = movement == NONE
    for column, least in rule.at_least.items():
      holds &= frames[column].to_numpy(np.float64) >= least
    if rule.persons:
      holds &= np.isin(person, rule.persons)
    movement[holds] = rule.movement
  return frames[KEYS].reset_index(drop=True).assign(movement=movement)


def _rule(entry, where) -> Rule:
  """Returns one rule of a file."""
  if set(entry) - {'movement', 'at_least', 'persons'}:
    raise ValueError(
      f'{where}, is {entry!r}; expected movement, at_least and, if it is of '
      'some persons only, persons.'
    )
  movement, at_least = entry['movement'], entry['at_least']
  if not movement:
    raise ValueError(f'{where}, has the movement {movement!r}; name it.')
  if not at_least or not all(
    type(v) in (int, float) and abs(v) < _TOO_LARGE for v in at_least.values()
  ):
    raise ValueError(
      f'{where}, {movement!r}, has at_least {at_least!r}; expected label '
      'columns and their least values.'
    )
  persons = entry.get('persons', [])
  if not isinstance(persons, list) or not all(
    isinstance(p, str) for p in persons
  ):
    raise ValueError(
      f'{where}, {movement!r}, has persons {persons!r}; expected a list of ids.'
    )
  return Rule(movement, at_least, tuple(persons))


def agreement(
  tables: Sequence[features.FeatureTable],
  movements: pd.DataFrame,
  *,
  config: clusters.ClusterConfig = clusters.DEFAULT,
) -> tuple[list[dict], list[dict]]:
  """Groups every person's frames and compares the groups with movements.

  Grid and working setting are those of clusters.py, one setting for all tables
  of a person.

  Args:
    tables: Features of several sources; those of a person with equal frames.
      Tables without a feature are left out.
    movements: Rows of person_id, video_id, frame, movement.
    config: How frames are grouped.

  Returns:
    Rows of results, and of skipped: persons of whom that is impossible.
  """
  by_person = features.by_person([t for t in tables if t.features.shape[1]])
  movements = movements.astype({'video_id': str, 'person_id': str})
  named = movements.set_index(KEYS)['movement']
  made, skipped = [], []
  with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
    for person_id in sorted(by_person):
      chosen = [
        clusters.select(table, config=config) for table in by_person[person_id]
      ]
      try:
        values_of = _compare(chosen, named, config)
      except splits.Impossible as reason:
        place = {'person_id': person_id, 'target': TARGET}
        skipped.append({**place, 'reason': str(reason)})
        continue
      for table, values in zip(chosen, values_of, strict=True):
        made += results.rows(
          table.ids, TARGET, values, n_test=len(table.frames)
        )
  return made, skipped


def _compare(tables, named, config) -> list[dict]:
  """Returns what agreement says of each table of one person."""
  frames = tables[0].frames[KEYS].astype({'video_id': str})
  for table in tables[1:]:
    if not table.frames[KEYS].astype({'video_id': str}).equals(frames):
      raise splits.Impossible(
        f'{tables[0].source} and {table.source} have different frames'
      )
  truth = named.reindex(pd.MultiIndex.from_frame(frames))
  truth = truth.fillna(NONE).to_numpy(str)
  moves = truth != NONE
  if not moves.any():
    raise splits.Impossible('none of the frames grouped shows a movement')
  neighbours = [
    clusters.measure(table.features, config=config)[1] for table in tables
  ]
  settings = clusters.make_settings(neighbours, config=config)
  # Distances are computed again: those of all models at once may not fit.
  grids = [
    clusters.label_frames(
      clusters.frame_distances(table.features, scale=config.scale),
      near,
      settings,
      config=config,
    )
    for table, near in zip(tables, neighbours, strict=True)
  ]
  working = clusters.working_setting(grids, min_size=config.min_size)
  rows = []
  for grid in grids:
    counted = clusters.count(grid[working])
    rows.append(
      {
        'ami': _ami(truth, grid[working]),
        'ami_moving': _ami(truth[moves], grid[working][moves]),
        'num_clusters': counted['num_clusters'],
        'noise_share': counted['noise_share'],
        'num_movements': len(np.unique(truth[moves])),
        'num_movement_frames': int(moves.sum()),
        **dataclasses.asdict(settings[working]),
      }
    )
  return rows


def _ami(truth, labels) -> float:
  """Returns adjusted mutual information; NaN if there is one movement only."""
  if len(np.unique(truth)) < 2:
    return float('nan')
  return float(metrics.adjusted_mutual_info_score(truth, labels))
