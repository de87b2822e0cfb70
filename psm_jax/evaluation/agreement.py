"""Agreement of the groups that models find with movements somebody named.

n frames.

  movements = agreement.read_movements('movements.csv')
  # or, from labels: agreement.derive_movements(frames, agreement.read_rules(p))
  found = agreement.agreement(tables, movements)

A table of movements has a row a frame: person_id,video_id,frame,movement.
Frames that it does not list, and an empty movement, show none.

Rules are a JSON list, each a name and the least values of label columns; a
frame shows the rule with the most columns of those that hold, else the first:

  [{"movement": "smile", "at_least": {"AU06": 2, "AU12": 2}},
   {"movement": "sneer", "at_least": {"AU09": 3}, "persons": ["P7"]}]

agreement(), a row per source, model and person:
  source,model_id,person_id,ami,ami_moving,num_clusters,noise_share,num_frames,
  num_movements,num_movement_frames,min_samples,quantile,eps,reason
  ami is the adjusted mutual information (Vinh et al., 2010) between clusters,
  noise being one, and movements, none being one: 0 is chance, 1 the same
  grouping. ami_moving is of the frames with a movement alone. All sources of a
  person are grouped at one setting.
summarise(), a row per source, and per pair of sources for the difference:
  source,metric,mean,ci_low,ci_high,num_persons,wins,losses
"""

import collections
import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
import threadpoolctl
from sklearn import metrics

from psm_jax.evaluation import (
  bootstrap,
  clusters,
  coordinates,
  features,
  splits,
)

MOVEMENT_COLUMNS = ('person_id', 'video_id', 'frame', 'movement')
COLUMNS = tuple(
  (
    'source model_id person_id ami ami_moving num_clusters noise_share '
    'num_frames num_movements num_movement_frames min_samples quantile eps '
    'reason'
  ).split()
)
SUMMARY_COLUMNS = tuple(
  'source metric mean ci_low ci_high num_persons wins losses'.split()
)
METRICS = ('ami', 'ami_moving')
NONE = ''  # The movement of a frame that shows none.
_KEYS = ['person_id', 'video_id', 'frame']


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


def read_movements(path: str | os.PathLike) -> pd.DataFrame:
  """Reads a CSV table of movements.

  Args:
    path: With the columns person_id, video_id, frame and movement.

  Raises:
    ValueError: If it is unreadable, lacks a column, holds a frame that is no
      whole number, or a frame twice. Names the file.
  """
  try:
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
  except (OSError, ValueError) as error:
    raise ValueError(f'{path} is not a readable table: {error}') from error
  missing = [c for c in MOVEMENT_COLUMNS if c not in table]
  if missing:
    raise ValueError(
      f'{path} lacks the columns {missing}; it needs '
      f'{", ".join(MOVEMENT_COLUMNS)}.'
    )
  table = table[list(MOVEMENT_COLUMNS)]
  number = pd.to_numeric(table['frame'], errors='coerce')
  bad = ~(np.isfinite(number) & (number % 1 == 0))
  if bad.any():
    raise ValueError(
      f'{path} has the frame {table["frame"][bad].iloc[0]!r}, which is no '
      f'whole number ({int(bad.sum())} of {len(table)} rows).'
    )
  table = table.assign(frame=number.astype(np.int64))
  twice = table.duplicated(_KEYS)
  if twice.any():
    raise ValueError(
      f'{path} lists frame {tuple(table.loc[twice, _KEYS].iloc[0])} more than '
      'once. A frame has one movement; name combinations as movements of their '
      'own.'
    )
  return table


def read_rules(path: str | os.PathLike) -> list[Rule]:
  """Reads rules from a JSON file, see the module's description.

  Raises:
    ValueError: If it is no list of rules. Names the file and the rule.
  """
  try:
    content = json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
  except ValueError as error:
    raise ValueError(f'{path} is no JSON: {error}') from error
  if not isinstance(content, list) or not content:
    raise ValueError(f'{path} should hold a list of one or more rules.')
  return [_rule(entry, f'{path}, rule {i}') for i, entry in enumerate(content)]


def derive_movements(
  frames: pd.DataFrame, rules: Sequence[Rule]
) -> pd.DataFrame:
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
  return frames[_KEYS].reset_index(drop=True).assign(movement=movement)


def agreement(
  tables: Sequence[features.FeatureTable],
  movements: pd.DataFrame,
  *,
  config: clusters.ClusterConfig = clusters.DEFAULT,
) -> pd.DataFrame:
  """Groups every person's frames and compares the groups with movements.

  Grid and working setting are those of clusters.py, one setting for all tables
  of a person. A person of whom that is impossible has a reason instead of
  values.

  Args:
    tables: Features of several sources; those of a person with equal frames.
      Tables without a feature are left out.
    movements: Rows of person_id, video_id, frame, movement.
    config: How frames are grouped.

  Returns:
    See the module's description.
  """
  by_person = collections.defaultdict(list)
  for table in tables:
    if table.features.shape[1]:
      by_person[table.person_id].append(table)
  movements = movements.astype({'video_id': str, 'person_id': str})
  named = movements.set_index(_KEYS)['movement']
  rows = []
  with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
    for person_id in sorted(by_person):
      own = [
        _chosen(table, config.frame_stride) for table in by_person[person_id]
      ]
      try:
        found = _compare(own, named, config)
      except splits.Impossible as reason:
        found = [{'reason': str(reason)} for _ in own]
      rows += [
        {
          'source': table.source,
          'model_id': table.model_id,
          'person_id': person_id,
          **row,
        }
        for table, row in zip(own, found, strict=True)
      ]
  table = pd.DataFrame(rows, columns=COLUMNS)
  whole = [c for c in table if c.startswith('num_')] + ['min_samples']
  return table.astype(dict.fromkeys(whole, 'Int64'))


def summarise(
  table: pd.DataFrame,
  *,
  pairs: Sequence[tuple[str, str]] = (),
  num_person_resamples: int = 2000,
  seed: int = 0,
) -> pd.DataFrame:
  """Returns means over persons of `agreement`, and paired differences.

  Args:
    table: What agreement returned; a person's models are averaged first.
    pairs: (A, B) sources whose difference A - B is asked for.
    num_person_resamples: Draws of persons behind the intervals.
    seed: Of the draws.
  """
  options = {'num_resamples': num_person_resamples, 'seed': seed}
  rows = []
  for metric in METRICS:
    value = table.groupby(['source', 'person_id'], sort=False)[metric].mean()
    value = value.unstack('source').dropna(axis=1, how='all')
    for source in value:
      found = bootstrap.mean_interval(value[source].to_numpy(), **options)
      rows.append(_row(source, metric, found))
    for first, second in pairs:
      both = value.reindex(columns=[first, second]).dropna()
      if len(both):
        found = bootstrap.paired_interval(
          both[first].to_numpy(), both[second].to_numpy(), **options
        )
        rows.append(_row(f'{first} - {second}', metric, found))
  found = pd.DataFrame(rows, columns=SUMMARY_COLUMNS)
  return found.astype({'wins': 'Int64', 'losses': 'Int64'})


def _rule(entry, where) -> Rule:
  """Returns one rule of a file."""
  if not isinstance(entry, dict) or set(entry) - {
    'movement',
    'at_least',
    'persons',
  }:
    raise ValueError(
      f'{where}, is {entry!r}; expected movement, at_least and, if it is of '
      'some persons only, persons.'
    )
  movement, at_least = entry.get('movement'), entry.get('at_least')
  if not isinstance(movement, str) or not movement:
    raise ValueError(f'{where}, has the movement {movement!r}; name it.')
  if (
    not isinstance(at_least, dict)
    or not at_least
    or not all(type(v) in (int, float) for v in at_least.values())
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


def _chosen(table, stride) -> features.FeatureTable:
  """Returns the frames of a table that are grouped, in order of time."""
  table = coordinates.in_order(table)
  kept = clusters.select_frames(table.frames, stride=stride)
  return dataclasses.replace(
    table,
    features=table.features[kept],
    frames=table.frames[kept].reset_index(drop=True),
  )


def _compare(tables, named, config) -> list[dict]:
  """Returns what agreement says of each table of one person."""
  frames = tables[0].frames[_KEYS].astype({'video_id': str})
  for table in tables[1:]:
    if not table.frames[_KEYS].astype({'video_id': str}).equals(frames):
      raise splits.Impossible(
        f'{tables[0].source} and {table.source} have different frames'
      )
  truth = named.reindex(pd.MultiIndex.from_frame(frames)).fillna(NONE)
  truth = truth.to_numpy(str)
  moves = truth != NONE
  if not moves.any():
    raise splits.Impossible('none of the frames grouped shows a movement')
  neighbours = [
    clusters.neighbour_distances(
      clusters.frame_distances(table.features, scale=config.scale),
      num_neighbours=max(config.min_samples),
    )
    for table in tables
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
    num_clusters, _, noise_share = clusters.count(grid[working])
    rows.append(
      {
        'ami': _ami(truth, grid[working]),
        'ami_moving': _ami(truth[moves], grid[working][moves]),
        'num_clusters': num_clusters,
        'noise_share': noise_share,
        'num_frames': len(truth),
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


def _row(source, metric, interval) -> dict:
  """Returns one row of the summary."""
  return {
    'source': source,
    'metric': metric,
    'mean': interval.mean,
    'ci_low': interval.low,
    'ci_high': interval.high,
    'num_persons': interval.num_persons,
    'wins': getattr(interval, 'wins', pd.NA),
    'losses': getattr(interval, 'losses', pd.NA),
  }
