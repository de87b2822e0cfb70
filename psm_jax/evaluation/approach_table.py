"""One row an approach: what the tables of a comparison say of it together.

compare.py describes the columns.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from psm_jax.evaluation import (
  approaches,
  bootstrap,
  coordinates,
  features,
  leakage,
  procrustes,
  splits,
)

SPLITS = (splits.CROSS_VIDEO, splits.BLOCKED, splits.RANDOM)
_METRICS = {'auc': 'auc', 'f1': 'f1_bootstrap'}  # Summary's name to scores'.
_SCORE_ENDINGS = (
  '',
  '_ci_low',
  '_ci_high',
  '_person_sd',
  '_seed_sd',
  '_difference',
  '_difference_ci_low',
  '_difference_ci_high',
  '_wins',
  '_losses',
)
COLUMNS = (
  *(
    'approach kind is_baseline num_persons num_models num_seeds '
    'has_shared_coordinates'
  ).split(),
  *(
    f'{metric}_{split}{ending}'
    for split in SPLITS
    for metric in _METRICS
    for ending in _SCORE_ENDINGS
  ),
  *(
    'identity identity_ci_low identity_ci_high identity_chance '
    'identity_nearest identity_centred pose_r2 pose_r2_ci_low pose_r2_ci_high '
    'pose_mae_deg pose_mae_mean_deg retrieval retrieval_ci_low '
    'retrieval_ci_high retrieval_centred aligned_r2 aligned_r2_identity '
    'aligned_r2_random aligned_retrieval ami ami_ci_low ami_ci_high '
    'ami_difference ami_difference_ci_low ami_difference_ci_high steps '
    'steps_per_model examples images seconds note'
  ).split(),
)
_SHOWN = {
  'AUC cross-video': 'auc_cross_video',
  'AUC blocked': 'auc_blocked',
  'AUC random': 'auc_random',
  'F1 cross-video': 'f1_cross_video',
  'F1 blocked': 'f1_blocked',
  'F1 random': 'f1_random',
}

_LEGEND = (
  '* baseline; [95 % interval over persons]; wins:losses against it, of '
  'persons. docs/comparison.md says more.'
)


def make(
  found: Sequence[approaches.Approach],
  controls: Sequence[features.FeatureTable],
  named: Mapping[str, pd.DataFrame],
  *,
  baseline: str,
  align_to: str | None,
  num_person_resamples: int,
  seed: int,
) -> pd.DataFrame:
  """Returns a row per approach, then per control.

  Args:
    found: The approaches.
    controls: Features of the controls.
    named: The tables scores, summary, identity, pose, retrieval, alignment,
      agreement_summary and costs.
    baseline: Name of the approach that others are compared with.
    align_to: Name of the approach onto which others were rotated, if any.
    num_person_resamples: Draws of persons behind the intervals of the pose.
    seed: Of these draws.
  """
  learned = [table for approach in found for table in approach.tables]
  shared = coordinates.shared_models([*learned, *controls])
  rows = [
    {
      'approach': approach.name,
      'kind': 'run' if approach.origins else 'table',
      'num_persons': len({t.person_id for t in approach.tables}),
      'num_models': len({t.model_id for t in approach.tables}),
      'num_seeds': len(
        {approach.seeds.get(t.model_id, '') for t in approach.tables}
      ),
      'seeds': approach.seeds,
    }
    for approach in found
  ]
  for source in dict.fromkeys(table.source for table in controls):
    own = {t.person_id for t in controls if t.source == source}
    rows.append(
      {'approach': source, 'kind': 'control', 'num_persons': len(own)}
    )
  for row in rows:
    name = row['approach']
    row |= {
      'is_baseline': name == baseline,
      'has_shared_coordinates': bool(shared.get(name)),
      **_scores(named, name, baseline, row.pop('seeds', {})),
      **_identity(named['identity'], name),
      **_pose(named['pose'], name, num_person_resamples, seed),
      **_retrieval(named['retrieval'], name, align_to),
      **_alignment(named['alignment'], name),
      **_agreement(named['agreement_summary'], name, baseline),
      **_costs(named['costs'], name),
    }
  table = pd.DataFrame(rows, columns=COLUMNS)
  whole = ['num_persons', 'num_models', 'num_seeds', 'steps', 'examples']
  whole += [c for c in COLUMNS if c.endswith(('_wins', '_losses'))]
  return table.astype(dict.fromkeys([*whole, 'images'], 'Int64'))


def text(table: pd.DataFrame) -> str:
  """Returns the most important columns of `make` for a terminal.

  Args:
    table: What make returned.
  """
  rows = []
  for row in table.to_dict('records'):
    shown = {'approach': row['approach'] + ' *' * bool(row['is_baseline'])}
    for title, column in _SHOWN.items():
      shown[title] = _interval(row, column)
      if f'{column}_difference' in row:
        shown[f'{title} - *'] = _difference(row, column)
    shown |= {
      'identity (chance)': _beside(row, 'identity', 'identity_chance'),
      'pose R2': _number(row['pose_r2']),
      'pose error (mean angle), deg': _beside(
        row, 'pose_mae_deg', 'pose_mae_mean_deg'
      ),
      'retrieval': _interval(row, 'retrieval'),
      'R2 rotated (not rotated)': _beside(
        row, 'aligned_r2', 'aligned_r2_identity'
      ),
      'retrieval, rotated': _number(row['aligned_retrieval']),
      'AMI': _interval(row, 'ami'),
      'steps': '' if pd.isna(row['steps']) else f'{row["steps"]:,}',
      'hours': ''
      if pd.isna(row['seconds'])
      else f'{row["seconds"] / 3600:.2g}',
    }
    rows.append(shown)
  shown = pd.DataFrame(rows).set_index('approach')
  shown = shown.loc[:, (shown != '').any()].T
  shown.columns.name = None
  return f'{shown.to_string()}\n{_LEGEND}'


def _number(value, form='.3f') -> str:
  """Returns a number for a terminal, nothing for none."""
  return '' if pd.isna(value) else format(value, form)


def _interval(row, column) -> str:
  """Returns a value and its interval."""
  if pd.isna(row[f'{column}_ci_low']):
    return _number(row[column])
  low, high = (_number(row[f'{column}_ci_{end}']) for end in ('low', 'high'))
  return f'{row[column]:.3f} [{low}, {high}]'


def _difference(row, column) -> str:
  """Returns a difference to the baseline, its interval, wins and losses."""
  value = row[f'{column}_difference']
  if pd.isna(value):
    return ''
  ends = [row[f'{column}_difference_ci_{end}'] for end in ('low', 'high')]
  between = '' if pd.isna(ends[0]) else f' [{ends[0]:+.3f}, {ends[1]:+.3f}]'
  return f'{value:+.3f}{between} {row[column + "_wins"]}:' + str(
    row[column + '_losses']
  )


def _beside(row, column, other) -> str:
  """Returns a value and in brackets what to hold it against."""
  value = _number(row[column])
  return value and f'{value} ({_number(row[other])})'


def _scores(named, name, baseline, seeds) -> dict:
  """Returns the cells of the action units."""
  scores = named['scores']
  own = scores[scores['source'] == name]
  summary = named['summary'].set_index(['source', 'split', 'metric'])
  cells = {}
  for split in SPLITS:
    for metric, column in _METRICS.items():
      to, at = f'{metric}_{split}', (split, metric)
      if (name, *at) not in summary.index:
        continue
      row = summary.loc[(name, *at)]
      cells |= {to: row['mean']} | _ends(to, row)
      part = own[own['split'] == split]
      of_seed = part['model_id'].map(lambda model: seeds.get(model, ''))
      mean = part.groupby(['person_id', of_seed])[column].mean().unstack()
      by_person = part.groupby('person_id')[column].mean()
      cells[f'{to}_person_sd'] = by_person.std()
      # Over persons whom every seed has, or persons would be told as seeds.
      cells[f'{to}_seed_sd'] = mean.dropna().mean().std()
      if (f'{name} - {baseline}', *at) in summary.index:
        row = summary.loc[(f'{name} - {baseline}', *at)]
        cells |= {f'{to}_difference': row['mean']}
        cells |= _ends(f'{to}_difference', row)
        cells |= {f'{to}_{end}': row[end] for end in ('wins', 'losses')}
  return cells


def _ends(name, row) -> dict:
  """Returns both ends of an interval."""
  return {f'{name}_ci_low': row['ci_low'], f'{name}_ci_high': row['ci_high']}


def _identity(table, name) -> dict:
  """Returns the cells of the identity."""
  own = table[table['source'] == name]
  cells = {'note': '; '.join(dict.fromkeys(own['reason'].dropna())) or None}
  own = own.set_index(['probe', 'centring'])
  for to, key in (
    ('identity', (leakage.LINEAR, coordinates.UNCENTRED)),
    ('identity_nearest', (leakage.NEAREST, coordinates.UNCENTRED)),
    ('identity_centred', (leakage.NEAREST, coordinates.CENTRED)),
  ):
    if key in own.index:
      cells[to] = own.loc[key, 'accuracy']
      if to == 'identity':
        cells |= _ends(to, own.loc[key])
        cells['identity_chance'] = own.loc[key, 'chance']
  return cells


def _pose(table, name, num_resamples, seed) -> dict:
  """Returns the cells of the head pose."""
  own = table[(table['source'] == name) & table['reason'].isna()]
  if own.empty:
    return {}
  own = own.assign(error=own['rmse_deg'] ** 2, spread=own['sd_deg'] ** 2)
  values = ['error', 'spread', 'mae_deg', 'mae_mean_deg']
  own = own.groupby('person_id')[values].mean()
  # Over all of a person's angles: one that hardly moves has no R2 of its own.
  own['r2'] = 1 - own['error'] / own['spread']
  interval = bootstrap.mean_interval(
    own['r2'].to_numpy(), num_resamples=num_resamples, seed=seed
  )
  return {
    'pose_r2': interval.mean,
    **_ends('pose_r2', interval.row('pose_r2')),
    'pose_mae_deg': own['mae_deg'].mean(),
    'pose_mae_mean_deg': own['mae_mean_deg'].mean(),
  }


def _retrieval(table, name, align_to) -> dict:
  """Returns the cells of the retrieval."""
  cells = {}
  table = table.set_index(['source', 'centring'])
  for to, key in (
    ('retrieval', (name, coordinates.UNCENTRED)),
    ('retrieval_centred', (name, coordinates.CENTRED)),
    ('aligned_retrieval', (f'{name}_in_{align_to}', coordinates.UNCENTRED)),
  ):
    if key in table.index:
      cells[to] = table.loc[key, 'normalised']
      if to == 'retrieval':
        cells |= _ends(to, table.loc[key])
  held_out = (f'{align_to}_held_out', coordinates.UNCENTRED)
  if name == align_to and held_out in table.index:
    cells['aligned_retrieval'] = table.loc[held_out, 'normalised']
  return cells


def _alignment(table, name) -> dict:
  """Returns the cells of the alignment: means over persons of held-out R2."""
  own = table[(table['source'] == name) & table['r2'].notna()]
  means = own.groupby(['map', 'person_id'])['r2'].mean().groupby('map').mean()
  names = {
    procrustes.PROCRUSTES: 'aligned_r2',
    procrustes.IDENTITY: 'aligned_r2_identity',
    procrustes.RANDOM: 'aligned_r2_random',
  }
  return {to: means[key] for key, to in names.items() if key in means}


def _agreement(table, name, baseline) -> dict:
  """Returns the cells of the agreement with movements."""
  own = table[table['metric'] == 'ami'].set_index('source')
  cells = {}
  for to, key in (('ami', name), ('ami_difference', f'{name} - {baseline}')):
    if key in own.index:
      cells |= {to: own.loc[key, 'mean']} | _ends(to, own.loc[key])
  return cells


def _costs(table, name) -> dict:
  """Returns the cells of the costs; the whole is unknown if a part is."""
  own = table[table['approach'] == name]
  if own.empty:
    return {}
  whole = own[['steps', 'examples', 'images', 'seconds']].astype(np.float64)
  return {
    **whole.sum(skipna=False),
    'steps_per_model': whole['steps'].mean(),
  }
