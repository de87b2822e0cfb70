"""The approaches of a comparison: their features, seeds and what they cost.

  psm = approaches.read_run('psm', 'runs/psm')
  gm = approaches.read_run('gm', 'runs/gm')
  both, omitted = approaches.take_common([psm, gm], labels_of='psm')
  controls = approaches.controls_of(both[0])

costs, a row per model:
  approach,model_id,num_people,seed,init_from,starts_from,status,steps,examples,
  images,num_frames,seconds
  What the model itself was trained for; starts_from names the run of its first
  weights, whose costs come on top. examples are steps times the batch size
  (pairs for FaceCycle), images steps times the images of a step. seconds are
  the model's share of the time that the program logged.

omitted, a row per person of an approach who, or frames of whom, are left out
of what all approaches have:
  approach,person_id,num_frames,reason
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from psm_jax import paths
from psm_jax.evaluation import controls, features, splits
from psm_jax.runs import metrics, run

COST_COLUMNS = tuple(
  (
    'approach model_id num_people seed init_from starts_from status steps '
    'examples images num_frames seconds'
  ).split()
)
OMITTED_COLUMNS = ('approach', 'person_id', 'num_frames', 'reason')
_TIME_TOLERANCE_S = 0.01  # Tables of other programs round their times.
_LABEL_TOLERANCE = 1e-4
_LOGGED = {
  'step': int,
  'steps_per_s': float,
  'frames_per_s': float,
  'model_id': str,
}


@dataclasses.dataclass(frozen=True)
class Approach:
  """One way to make features of frames.

  Attributes:
    name: What it is called: the source of its tables.
    tables: A table for each model and person.
    costs: A row for each model of its runs, see the module's description.
    seeds: model_id to the seed it was trained with, as text; models that it
      lacks count as of one seed.
    origins: model_id to the run and the model_id there; {} for tables of other
      programs.
  """

  name: str
  tables: tuple[features.FeatureTable, ...]
  costs: pd.DataFrame
  seeds: Mapping[str, str]
  origins: Mapping[str, tuple[pathlib.Path, str]]

  def __post_init__(self):
    paths.check_id(self.name, what='The name of an approach')
    if self.name in features.CONTROLS:
      raise ValueError(
        f'{self.name!r} is the name of a control. Call this approach otherwise.'
      )


def read_run(name: str, workdir: str | os.PathLike) -> Approach:
  """Reads the embeddings of a run and what its models cost.

  Raises:
    ValueError: If it is no run or was not embedded. Names the approach.
  """
  try:
    opened = run.open_run(workdir)
    tables = features.read_run(workdir, source=name)
  except ValueError as error:
    raise ValueError(f'Run {name}: {error}') from error
  return Approach(
    name=name,
    tables=tuple(tables),
    costs=_costs(name, opened),
    seeds={model.model_id: str(model.seed) for model in opened.models},
    origins={m.model_id: (opened.workdir, m.model_id) for m in opened.models},
  )


def read_tables(name: str, files: Sequence[str | os.PathLike]) -> Approach:
  """Reads embeddings of another program, see features.read_files.

  Raises:
    ValueError: If a file is unreadable. Names the approach.
  """
  try:
    tables = features.read_files(files, source=name)
  except ValueError as error:
    raise ValueError(f'Table {name}: {error}') from error
  return Approach(name, tuple(tables), all_costs([]), {}, {})


def join_seeds(given: Sequence[Approach]) -> list[Approach]:
  """Joins approaches NAME-s0, NAME-s1, ... to one approach NAME.

  Their models are told apart by the ending -r0, -r1, ...; each run is a seed.

  Raises:
    ValueError: If there is an approach NAME as well.
  """
  groups: dict[str, list[tuple[str, Approach]]] = {}
  for approach in given:
    name, seed = re.fullmatch(r'(.+?)(?:-s(\d+))?', approach.name).groups('')
    groups.setdefault(name, []).append((seed, approach))
  joined = []
  for name, members in groups.items():
    if members[0][0] == '' and len(members) == 1:
      joined.append(members[0][1])
    elif any(seed == '' for seed, _ in members):
      raise ValueError(
        f'{name} is the name of a run and of the seeds '
        f'{[a.name for seed, a in members if seed]}. Rename one.'
      )
    else:
      joined.append(_join(name, members))
  return joined


def take_common(
  compared: Sequence[Approach], *, labels_of: str
) -> tuple[list[Approach], pd.DataFrame]:
  """Takes the persons and frames that all approaches have.

  Times and labels of the frames become those of one approach.

  Args:
    compared: Two or more approaches, or one, which stays.
    labels_of: Approach whose labels are taken; if it has no action units, those
      of the first that has.

  Returns:
    The approaches, and what was left out, see the module's description.

  Raises:
    ValueError: If nothing is left, two approaches have one name, or they differ
      in a frame's time or in a label that both have.
  """
  names = [approach.name for approach in compared]
  twice = sorted({name for name in names if names.count(name) > 1})
  if twice:
    raise ValueError(f'More than one approach is called {", ".join(twice)}.')
  first = min(compared, key=lambda a: (not _has_units(a), a.name != labels_of))
  kept, omitted = {name: [] for name in names}, []
  for person_id in sorted({t.person_id for a in compared for t in a.tables}):
    held = {
      a.name: [t for t in a.tables if t.person_id == person_id]
      for a in compared
    }
    frames, reason = (), 'frames not in all'
    if lacking := [name for name, tables in held.items() if not tables]:
      reason = f'not in {", ".join(lacking)}'
    else:
      frames = _common_frames([t for tables in held.values() for t in tables])
    for name, tables in held.items():
      left_out = len(tables[0].frames) - len(frames) if tables else 0
      if left_out:
        omitted.append(
          {
            'approach': name,
            'person_id': person_id,
            'num_frames': left_out,
            'reason': reason,
          }
        )
    if len(frames):
      reference = _restrict(held[first.name][0], frames)
      for name, tables in held.items():
        kept[name] += [_described(t, frames, reference) for t in tables]
  if not any(kept.values()):
    raise ValueError(
      'No frame of any person is in all approaches. They hold '
      + '; '.join(map(_content, compared))
      + '. Compare runs of the same data.'
    )
  return [
    dataclasses.replace(a, tables=tuple(kept[a.name])) for a in compared
  ], pd.DataFrame(omitted, columns=OMITTED_COLUMNS)


def controls_of(approach: Approach) -> list[features.FeatureTable]:
  """Returns the controls of an approach's frames.

  Of an approach of several runs those of the first are taken.

  Args:
    approach: Of a run that launch.embed has embedded with its controls.

  Raises:
    ValueError: If the approach is of no run, or the run has no controls or
      others.
  """
  if not approach.origins:
    raise ValueError(f'{approach.name} is no run, so it has no frames to show.')
  workdir = next(iter(approach.origins.values()))[0]
  made = features.controls(workdir, approach.tables)
  if not made:
    raise ValueError(
      f'{workdir} has no controls. Write them: python -m launch.embed'
    )
  for _, table in sorted(features.one_a_person(approach.tables).items()):
    made += controls.from_labels(table)
  return made


def all_costs(costs: Sequence[pd.DataFrame]) -> pd.DataFrame:
  """Returns several tables of costs as one."""
  filled = [table for table in costs if len(table)]
  if not filled:
    return pd.DataFrame(columns=COST_COLUMNS)
  return pd.concat(filled, ignore_index=True)


def _costs(name, opened) -> pd.DataFrame:
  """Returns the costs of a run's models."""
  images, seconds = _logged(opened.workdir)
  config = opened.config
  return pd.DataFrame(
    [
      {
        'approach': name,
        'model_id': model.model_id,
        'num_people': len(model.cohort),
        'seed': model.seed,
        'init_from': model.init_from,
        'starts_from': config.init.path or None,
        'status': model.status,
        'steps': model.steps_done,
        'examples': model.steps_done * config.train.batch_size,
        'images': model.steps_done * images.get(model.model_id, np.nan),
        'num_frames': model.num_frames,
        'seconds': seconds.get(model.model_id, np.nan),
      }
      for model in opened.models
    ],
    columns=COST_COLUMNS,
  )


def _logged(workdir) -> tuple[dict[str, int], dict[str, float]]:
  """Returns each model's images a step and share of the time, as logged."""
  table = metrics.read(workdir, _LOGGED).dropna()
  table = table.drop_duplicates(['step', 'model_id'], keep='last')
  table = table[table['steps_per_s'] > 0]
  images = table['frames_per_s'] / table['steps_per_s']
  images = images.groupby(table['model_id']).median().round().astype(int)
  # The models of a wave are logged together: neighbours of one step and speed.
  at = table[['step', 'steps_per_s']]
  together = (at != at.shift()).any(axis=1).cumsum()
  taken = table.groupby('model_id')['step'].diff().fillna(table['step'])
  seconds = taken / table['steps_per_s']
  seconds = seconds / together.groupby(together).transform('size')
  return images.to_dict(), seconds.groupby(table['model_id']).sum().to_dict()


def _join(name, members) -> Approach:
  """Returns the approach of several runs."""
  tables, costs, seeds, origins = [], [], {}, {}
  for number, approach in members:
    renamed = {
      model_id: paths.check_id(f'{model_id}-r{number}', what='model_id')
      for model_id in {
        *approach.origins,
        *(table.model_id for table in approach.tables),
      }
    }
    tables += [
      dataclasses.replace(t, source=name, model_id=renamed[t.model_id])
      for t in approach.tables
    ]
    costs.append(
      approach.costs.assign(
        approach=name, model_id=approach.costs['model_id'].map(renamed)
      )
    )
    for old, new in renamed.items():
      seeds[new] = f'{number}:{approach.seeds.get(old, "")}'
    origins |= {renamed[old]: at for old, at in approach.origins.items()}
  return Approach(name, tuple(tables), all_costs(costs), seeds, origins)


def _has_units(approach) -> bool:
  """Tells whether an approach's frames have action units."""
  return any(splits.action_unit_columns(t.frames) for t in approach.tables)


def _common_frames(tables) -> pd.MultiIndex:
  """Returns the frames that all tables of a person have, in order."""
  common = features.keys_of(tables[0].frames)
  for table in tables[1:]:
    other = features.keys_of(table.frames)
    if not common.equals(other):
      common = common.intersection(other)
  return common.sort_values()


def _restrict(table, frames) -> pd.DataFrame:
  """Returns the rows of a table's frames."""
  rows = features.keys_of(table.frames).get_indexer(frames)
  held = table.frames.iloc[rows].reset_index(drop=True)
  # Which frames a model did not see is not the same for all approaches.
  held = held.drop(columns='held_out', errors='ignore')
  return held.astype({'video_id': str, 'frame': np.int64})


def _described(table, frames, reference) -> features.FeatureTable:
  """Returns a table of the common frames, with the reference's labels."""
  held = _restrict(table, frames)
  for column in ['time_s', *splits.action_unit_columns(held)]:
    if column not in reference:
      continue
    one, other = (
      side[column].to_numpy(np.float64) for side in (held, reference)
    )
    limit = _TIME_TOLERANCE_S if column == 'time_s' else _LABEL_TOLERANCE
    bad = ~np.isclose(one, other, rtol=0, atol=limit, equal_nan=True)
    if bad.any():
      row = int(bad.argmax())
      raise ValueError(
        f'{table.source} ({table.model_id}) has {column} {one[row]:g} at frame '
        f'{held["frame"][row]} of video {held["video_id"][row]} of person '
        f'{table.person_id}, another approach {other[row]:g} '
        f'({int(bad.sum())} frames differ). Embed both from the same data.'
      )
  return features.at(table, reference)


def _content(approach) -> str:
  """Returns whom an approach holds, for an error."""
  held = sorted({table.person_id for table in approach.tables})
  videos = sorted(
    {str(v) for t in approach.tables[:1] for v in t.frames['video_id'].unique()}
  )
  more = f' and {len(held) - 3} more' if len(held) > 3 else ''
  return (
    f'{approach.name}: persons {", ".join(held[:3])}{more}, the first with '
    f'videos {", ".join(videos[:3])}'
  )
