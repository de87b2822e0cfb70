"""Folders as the programs write them, of made-up numbers.

Tables are those of evaluation/results.py, summed up by it.
"""

import dataclasses
import itertools
import json
import pathlib

import numpy as np
import pandas as pd

from psm_jax.data import labels
from psm_jax.evaluation import approach_table, results
from psm_jax.runs import run as run_lib

SPLIT = 'cross_video'
TRAINED = {'trained': 0.75, 'random_encoder': 0.6, 'pixel_pca': 0.74}
APPROACHES = {'psm': 0.7, 'gm': 0.76, 'gm_to_psm': 0.701, 'ctl': 0.6}
CONTROLS = {'pixel_pca': 0.74, 'random_encoder': 0.6, 'head_pose': 0.701}
SHARED = ('gm', *CONTROLS)
UNITS = ('AU01', 'AU06', 'AU12')
PEOPLE = tuple(f'P{number}' for number in range(1, 7))
_METRICS = ('auc', 'f1_bootstrap', 'f1', 'ap', 'balanced_accuracy', 'mcc')


def model(person_id, **changes):
  """Returns a model of one person that finished."""
  made = run_lib.Model(
    model_id=f'm-{person_id}',
    cohort=(person_id,),
    seed=0,
    total_steps=100,
    num_epochs=4,
    num_frames=80,
    num_videos=2,
    gap_cap=None,
    status='done',
    steps_done=100,
  )
  return dataclasses.replace(made, **changes)


def rows(means, *, people=PEOPLE, units=UNITS, splits=(SPLIT,), noise=0.005):
  """Returns results of sources that lie around their means."""
  generator = np.random.default_rng(0)
  made = []
  for source, mean in means.items():
    for person in people:
      model_id = 'all' if source in SHARED else f'm-{person}'
      place = {'source': source, 'model_id': model_id, 'person_id': person}
      for target, metric, value in (
        ('embedding', 'effective_rank', 3.0),
        ('embedding', 'unit_std', 0.05),
      ):
        made.append(
          {**place, 'split': '', 'target': target, 'metric': metric}
          | {'value': value}
        )
      for split, direction in itertools.product(splits, ('within', 'back')):
        at = {**place, 'split': split, 'direction': direction}
        made.append({**at, 'target': 'yaw', 'metric': 'pearson', 'value': 0.5})
        for unit in units:
          value = mean + generator.normal(0, noise)
          values = dict.fromkeys(_METRICS, value) | {'base_rate': 0.2}
          made += [
            {**at, 'target': unit, 'metric': metric, 'value': number}
            for metric, number in values.items()
          ]
  return [{'draw': 0, 'direction': '', **row} for row in made]


def run(
  folder,
  *,
  people=PEOPLE,
  models=None,
  means=None,
  more=(),
  skipped=(),
  **options,
):
  """Writes a run that was trained and evaluated, and returns its directory.

  Args:
    folder: Where to.
    people: Ids of persons.
    models: Its models; None: one a person.
    means: {source: mean AUC}.
    more: Further rows of results.
    skipped: (person_id, split, reason).
    **options: Of `rows`.
  """
  folder = pathlib.Path(folder)
  models = models or [model(person) for person in people]
  trained(folder, models)
  steps = np.arange(10, 101, 10)
  losses = [
    pd.DataFrame(
      {
        'step': steps,
        'model_id': one.model_id,
        'gap': steps // 10,
        'loss': 50.0 / steps + 0.01 * number,
        'pixel': 5.0 / steps,
        'perceptual': 0.0,
      }
    )
    for number, one in enumerate(models)
  ]
  pd.concat(losses).to_csv(folder / 'metrics.csv', index=False)
  means = means or TRAINED
  table = results.table([*rows(means, people=people, **options), *more])
  first, *others = means
  reasons = [
    dict(zip(('person_id', 'split', 'reason'), row, strict=True))
    for row in skipped
  ]
  results.write(
    {
      'results': table,
      'summary': results.summarise(table, pairs=[(first, o) for o in others]),
      'skipped': results.skipped(reasons),
    },
    folder / 'evaluation',
  )
  return folder


def trained(folder, models):
  """Writes what there is of a run before anything else."""
  content = {
    'schema_version': run_lib.SCHEMA_VERSION,
    'method': 'facecycle',
    'data_dir': '/secret',
    'num_shards': 1,
    'models': [dataclasses.asdict(one) for one in models],
  }
  config = {'seed': 0, 'data': {'path': '/secret', 'size_px': 32}}
  (folder / 'models.json').write_text(json.dumps(content))
  (folder / 'config.json').write_text(json.dumps(config))


def comparison(folder, *, people=PEOPLE, changes=None, means=None, **options):
  """Writes a comparison whose baseline is psm, and returns its folder.

  Args:
    folder: Where to.
    people: Ids of persons.
    changes: {approach: {column: value}} in approaches.csv.
    means: {source: mean AUC} that are others.
    **options: Of `rows`.
  """
  folder = pathlib.Path(folder)
  both = {**APPROACHES, **CONTROLS, **(means or {})}
  made = rows(both, people=people, **options)
  for source, person in itertools.product(SHARED, people):
    at = {'source': source, 'model_id': 'all', 'person_id': person}
    values = {('identity', 'accuracy'): 0.9, ('retrieval', 'normalised'): 0.3}
    values[('identity', 'chance')] = 1 / len(people)
    made += [
      {**at, 'split': '', 'direction': '', 'draw': 0}
      | {'target': t, 'metric': m, 'value': v}
      for (t, m), v in values.items()
    ]
  table = results.table(made)
  pairs = [(name, 'psm') for name in APPROACHES if name != 'psm']
  pairs += itertools.product(APPROACHES, CONTROLS)
  tables = {
    'results': table,
    'summary': results.summarise(table, pairs=pairs),
    'skipped': results.skipped([]),
    'approaches': _approaches(people, changes or {}),
    'costs': _costs(people),
    'omitted': pd.DataFrame(
      [('gm', people[0], 7, 'not in psm')],
      columns=['approach', 'person_id', 'num_frames', 'reason'],
    ),
  }
  results.write(tables, folder)
  return folder


def _approaches(people, changes) -> pd.DataFrame:
  """Returns the columns of the table of approaches that the page reads."""
  made = []
  for name in (*APPROACHES, *CONTROLS):
    is_control, is_shared = name in CONTROLS, name in SHARED
    number = 1 if is_shared else len(people)
    row = {
      'approach': name,
      'kind': 'control' if is_control else 'run',
      'is_baseline': name == 'psm',
      'num_persons': len(people),
      'has_shared_coordinates': is_shared,
      'note': '' if is_shared else 'each person has a model of their own',
    }
    if not is_control:
      row |= {'num_models': number, 'num_seeds': 1, 'steps_per_model': 1000}
      row |= {'steps': 1000 * number, 'examples': 8000 * number}
      row |= {'images': 16000 * number, 'seconds': 300.0 * number}
    made.append(row | changes.get(name, {}))
  return pd.DataFrame(made, columns=approach_table.COLUMNS)


def _costs(people) -> pd.DataFrame:
  """Returns a row a model."""
  return pd.DataFrame(
    [
      {
        'approach': name,
        'model_id': f'{name}-{person}',
        'starts_from': '/secret/runs/gm' if name == 'gm_to_psm' else None,
        'status': 'done',
        'steps': 1000,
        'images': 16000,
        'seconds': 300.0,
      }
      for name in APPROACHES
      for person in (people if name not in SHARED else ['all'])
    ]
  )


def frames(person_id, *, length=40, landmarks=False, **columns):
  """Returns embeddings of two videos, in which two movements alternate."""
  generator = np.random.default_rng(list(person_id.encode()))
  num = 2 * length
  kind = np.arange(num) // 8 % 2
  values = 3 * kind[:, None] + generator.normal(size=(num, 8))
  table = pd.DataFrame(
    {
      'model_id': f'm-{person_id}',
      'person_id': person_id,
      'video_id': np.repeat(['a', 'b'], length),
      'frame': np.tile(np.arange(length), 2),
      'time_s': np.tile(np.arange(length), 2) / 10,
      'confidence': np.float32(0.9),
      **columns,
    }
  )
  names = [f'e{i:03d}' for i in range(8)]
  parts = [table, pd.DataFrame(values.astype(np.float32), columns=names)]
  if landmarks:
    shape = generator.uniform(5, 27, (1, 68, 2))
    moved = (shape + kind[:, None, None]).reshape(num, -1)
    parts.append(pd.DataFrame(moved, columns=list(labels.LANDMARK_COLUMNS)))
  return pd.concat(parts, axis=1)


def embedded(folder, people, **options):
  """Writes embeddings of people's models into a run."""
  for person in people:
    theirs = folder / 'embeddings' / f'm-{person}' / person
    theirs.mkdir(parents=True)
    for video, table in frames(person, **options).groupby('video_id'):
      table.attrs = {'schema_version': 1, 'step': 1, 'state': person}
      table.attrs['config'] = 'c'
      table.to_parquet(theirs / f'{video}.parquet', index=False)
  return folder
