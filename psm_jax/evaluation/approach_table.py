"""approaches.csv: a row an approach, then a row a control.

approach,kind,is_baseline,num_persons,num_models,num_seeds,
has_shared_coordinates: kind is run, table or control.
VALUE, VALUE_ci_low, VALUE_ci_high, VALUE_person_sd, VALUE_seed_sd (of scores)
  and, of the paired difference to the baseline, VALUE_difference,
  VALUE_difference_ci_low, VALUE_difference_ci_high, VALUE_wins, VALUE_losses
  for each of VALUES: means over persons of each person's mean over models,
  directions and action units, as summary.csv has them.
identity_chance; aligned_retrieval: retrieval of the held-out frames after
  rotation onto the approach of align_to, of that its own of the same frames.
steps,steps_per_model,examples,images,seconds,note
Empty cells are values that do not exist.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from psm_jax.evaluation import (
  approaches,
  coordinates,
  driven,
  features,
  leakage,
  person,
  procrustes,
  results,
  retrieval,
  splits,
)

SPLITS = (splits.CROSS_VIDEO, splits.BLOCKED, splits.RANDOM)
_SCORES = {
  f'{name}_{split}': (split, results.ACTION_UNITS, metric)
  for split in SPLITS
  for name, metric in (('auc', 'auc'), ('f1', 'f1_bootstrap'))
}
_SCORES |= {
  'auc_few_labels_30': ('few_labels_30', results.ACTION_UNITS, 'auc'),
  'auc_driven': (driven.SPLIT, results.ACTION_UNITS, 'auc'),
  'auc_neutral_face': (driven.NEUTRAL, results.ACTION_UNITS, 'auc'),
}
# Column to split (None: the one that asks most), target and metric.
VALUES = {
  **_SCORES,
  'driven_r2': (driven.SPLIT, 'face', 'r2'),
  'identity': (None, leakage.LINEAR, 'accuracy'),
  'identity_chance': (None, leakage.LINEAR, 'chance'),
  'identity_nearest': (None, leakage.NEAREST, 'accuracy'),
  'identity_centred': (None, leakage.CENTRED, 'accuracy'),
  'pose_r2': (None, person.POSE, 'r2'),
  'pose_mae_deg': (None, person.POSE, 'mae_deg'),
  'pose_mae_mean_deg': (None, person.POSE, 'mae_mean_deg'),
  'retrieval': (None, retrieval.AS_IS, 'normalised'),
  'retrieval_centred': (None, retrieval.CENTRED, 'normalised'),
  'aligned_r2': (None, procrustes.PROCRUSTES, 'r2'),
  'aligned_r2_identity': (None, procrustes.IDENTITY, 'r2'),
  'aligned_r2_random': (None, procrustes.RANDOM, 'r2'),
  'ami': (None, 'movements', 'ami'),
}
_FIRST = (
  'approach kind is_baseline num_persons num_models num_seeds '
  'has_shared_coordinates'
).split()
_ENDINGS = (
  ' _ci_low _ci_high _person_sd _difference _difference_ci_low '
  '_difference_ci_high _wins _losses'
).split(' ')
COLUMNS = (
  *_FIRST,
  *(
    f'{name}{ending}'
    for name in VALUES
    for ending in (*_ENDINGS, *(['_seed_sd'] if name in _SCORES else []))
  ),
  *('aligned_retrieval', 'steps', 'steps_per_model', 'examples', 'images'),
  *('seconds', 'note'),
)
_LEGEND = (
  '* baseline; [95 % interval over persons]; of differences to it persons who '
  'win:lose. docs/comparison.md says more.'
)


def make(
  compared: Sequence[approaches.Approach],
  controls: Sequence[features.FeatureTable],
  named: Mapping[str, pd.DataFrame],
  *,
  baseline: str,
  align_to: str | None,
) -> pd.DataFrame:
  """Returns a row per approach, then per control.

  Args:
    compared: The approaches.
    controls: Features of the controls.
    named: The tables results, summary, skipped and costs.
    baseline: Name of the approach that others are compared with.
    align_to: Name of the approach onto which others were rotated, if any.
  """
  learned = [table for approach in compared for table in approach.tables]
  shared = coordinates.shared_models([*learned, *controls])
  summary = {
    tuple(row[c] for c in results.SUMMARY_COLUMNS[:5]): row
    for row in named['summary'].to_dict('records')
  }
  rows, seeds_of = [], {}
  for approach in compared:
    models = {t.model_id for t in approach.tables}
    seeds_of[approach.name] = {m: approach.seeds.get(m, '') for m in models}
    rows.append(
      {
        'approach': approach.name,
        'kind': 'run' if approach.origins else 'table',
        'num_persons': len({t.person_id for t in approach.tables}),
        'num_models': len(models),
        'num_seeds': len(set(seeds_of[approach.name].values())),
      }
    )
  for source in dict.fromkeys(table.source for table in controls):
    persons = {t.person_id for t in controls if t.source == source}
    rows.append(
      {'approach': source, 'kind': 'control', 'num_persons': len(persons)}
    )
  for row in rows:
    name = row['approach']
    rotated = f'{name}_in_{align_to}'
    if name == align_to:
      rotated = f'{align_to}_held_out'
    aligned = summary.get((rotated, '', '', retrieval.AS_IS, 'normalised'), {})
    row |= {
      'is_baseline': name == baseline,
      'has_shared_coordinates': bool(shared.get(name)),
      **_values(summary, name, baseline),
      **_seed_sds(named['results'], name, seeds_of.get(name, {})),
      'aligned_retrieval': aligned.get('mean'),
      **_costs(named['costs'], name),
      'note': _note(named['skipped'], name),
    }
  table = pd.DataFrame(rows, columns=COLUMNS)
  whole = ['num_persons', 'num_models', 'num_seeds', 'steps', 'examples']
  counts = [c for c in COLUMNS if c.endswith(('_wins', '_losses'))]
  return table.astype(dict.fromkeys([*whole, 'images', *counts], 'Int64'))


def text(table: pd.DataFrame) -> str:
  """Returns the columns of `make` that have values, for a terminal.

  Args:
    table: What make returned.
  """
  lines = {
    name: [_interval(row, name, form) for _, row in table.iterrows()]
    for column in VALUES
    for name, form in ((column, '.3f'), (f'{column}_difference', '+.3f'))
  }
  hours = table['seconds'] / 3600
  for name, values, form in (
    ('aligned_retrieval', table['aligned_retrieval'], '.3f'),
    ('steps', table['steps'], ','),
    ('hours', hours, '.2g'),
  ):
    lines[name] = [_number(value, form) for value in values]
  marks = table['is_baseline'].map({True: ' *', False: ''})
  shown = pd.DataFrame(lines, index=list(table['approach'] + marks))
  return f'{shown.loc[:, (shown != "").any()].T.to_string()}\n{_LEGEND}'


def _number(value, form) -> str:
  """Returns a number for a terminal, nothing for none."""
  return '' if pd.isna(value) else format(value, form)


def _interval(row, name, form) -> str:
  """Returns a value, its interval and, of a difference, wins and losses."""
  low, high = (
    _number(row[f'{name}_ci_{end}'], form) for end in ('low', 'high')
  )
  shown = _number(row[name], form) + (f' [{low}, {high}]' if low else '')
  if shown and name.endswith('_difference'):
    start = name.removesuffix('_difference')
    shown += f' {row[f"{start}_wins"]}:{row[f"{start}_losses"]}'
  return shown


def _values(summary, name, baseline) -> dict:
  """Returns the cells of VALUES from summary rows by their first columns."""
  cells = {}
  for to, (split, target, metric) in VALUES.items():
    for second, mark in (('', ''), (baseline, '_difference')):
      row = next(
        (
          summary[key]
          for s in ([split] if split else [*SPLITS, ''])
          if (key := (name, second, s, target, metric)) in summary
        ),
        None,
      )
      if row is None:
        continue
      cells[f'{to}{mark}'] = row['mean']
      for end in ('ci_low', 'ci_high'):
        cells[f'{to}{mark}_{end}'] = row[end]
      if second:
        cells |= {f'{to}_{end}': row[end] for end in ('wins', 'losses')}
      else:
        cells[f'{to}_person_sd'] = row['sd']
  return cells


def _seed_sds(table, name, seeds) -> dict:
  """Returns the SD over seeds of the mean over persons, of each score."""
  theirs = table[
    (table['source'] == name) & table['target'].str.match(splits.UNIT)
  ]
  theirs = theirs.assign(seed=[seeds.get(m, '') for m in theirs['model_id']])
  cells = {}
  for to, (split, _, metric) in _SCORES.items():
    part = theirs[(theirs['split'] == split) & (theirs['metric'] == metric)]
    mean = part.groupby(['person_id', 'seed'])['value'].mean().unstack()
    # Over persons whom every seed has, or persons would be told as seeds.
    cells[f'{to}_seed_sd'] = mean.dropna().mean().std()
  return cells


def _costs(table, name) -> dict:
  """Returns the cells of the costs; the whole is unknown if a part is."""
  theirs = table[table['approach'] == name]
  if theirs.empty:
    return {}
  whole = theirs[['steps', 'examples', 'images', 'seconds']].astype(np.float64)
  return {
    **whole.sum(skipna=False),
    'steps_per_model': whole['steps'].mean(),
  }


def _note(skipped, name) -> str | None:
  """Returns why cells of leakage are empty, or who is left out of them."""
  theirs = skipped[
    (skipped['source'] == name) & (skipped['target'] == leakage.LINEAR)
  ]
  return '; '.join(theirs['reason']) or None
