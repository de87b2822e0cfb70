"""What embeddings hold besides action units, and what else can be read off."""

import numpy as np
import pandas as pd

from psm_jax.evaluation import (
  coordinates,
  leakage,
  person,
  procrustes,
  retrieval,
)
from psm_jax.report import evidence, figures, forest, formats, scores, tables

_ENDS = ['mean', 'ci_low', 'ci_high']
# Group, name, target, metric, title of its panel ('' for none).
_MEASURES = (
  ('Embedding', 'Rank', person.EMBEDDING, 'effective_rank', 'Effective rank'),
  ('Embedding', 'Std', person.EMBEDDING, 'unit_std', 'Std of a unit'),
  ('Pose correlation', 'Yaw', 'yaw', 'pearson', 'Yaw correlation'),
  ('Pose correlation', 'Pitch', 'pitch', 'pearson', 'Pitch correlation'),
  ('Pose correlation', 'Roll', 'roll', 'pearson', 'Roll correlation'),
  ('Head pose', 'R²', person.POSE, 'r2', 'Head pose (R²)'),
  ('Head pose', 'Error, °', person.POSE, 'mae_deg', ''),
  ('Head pose', 'Error of the mean, °', person.POSE, 'mae_mean_deg', ''),
  ('Identity', 'Linear probe', leakage.LINEAR, 'accuracy', 'Identity (share)'),
  ('Identity', 'Nearest frames', leakage.NEAREST, 'accuracy', ''),
  ('Identity', 'Nearest, centred', leakage.CENTRED, 'accuracy', ''),
  ('Retrieval', 'In others', retrieval.AS_IS, 'normalised', 'Retrieval'),
  ('Retrieval', 'Centred', retrieval.CENTRED, 'normalised', ''),
  ('Named movements', 'AMI', 'movements', 'ami', ''),
  ('Rotated, R²', 'Rotated', procrustes.PROCRUSTES, 'r2', ''),
  ('Rotated, R²', 'Not rotated', procrustes.IDENTITY, 'r2', ''),
  ('Rotated, R²', 'At random', procrustes.RANDOM, 'r2', ''),
)
_NOT_SCORES = ('effective_rank', 'unit_std', 'mae_deg', 'mae_mean_deg')


def section(read: evidence.Evidence) -> dict:
  """Returns a figure and tables of all measures that there are."""
  measures = [
    (*measure, values)
    for measure in _MEASURES
    if len(values := read.values(*measure[2:4], None))
  ]
  return {
    'warning': coordinates.WARNING,
    'figure': _figure(read, measures) if measures else None,
    'table': _table(read, measures) if measures else None,
    'rows': _rows(read),
    'is_rotated': any(m[2] == procrustes.PROCRUSTES for m in measures),
    'notes': [
      (formats.listing([formats.source(n) for n in part.index]), note)
      for note, part in read.sources.groupby('note', sort=False)
      if note
    ],
  }


def _figure(read, measures) -> figures.Drawn:
  """Returns a panel for each measure that has one."""
  chance = read.values(leakage.LINEAR, 'chance', None)['mean'].mean()
  zeros = {'accuracy': chance, **dict.fromkeys(_NOT_SCORES, np.nan)}
  panels = [
    forest.Panel(
      title,
      values,
      read.persons(target, metric, None),
      zero=zeros.get(metric, 0.0),
      is_log=metric == 'effective_rank',
    )
    for _, _, target, metric, title, values in measures
    if title
  ]
  return figures.Drawn(
    'embeddings',
    forest.draw(read, panels),
    f'Means. {forest.in_words(panels)}.',
    'What embeddings hold: means over people with their 95% intervals, and a '
    f'dot for each of up to {forest.MAX_DOTS} people. Dashed: chance, or for '
    'head pose what the mean angle alone reaches. Without a mark: no such '
    'value.',
  )


def _table(read, measures) -> tables.Table:
  """Returns a row a source with all measures."""
  aligned = read.sources['aligned_retrieval']
  lines = {}
  for name in read.sources.index:
    cells = []
    for *_, metric, _, values in measures:
      if name not in values.index:
        cells.append(formats.MISSING)
      elif metric in _NOT_SCORES:
        cells.append(formats.number(values.loc[name, 'mean']))
      else:
        cells.append(tables.with_interval(*values.loc[name, _ENDS]))
    if aligned.notna().any():
      cells.append(formats.score(aligned[name]))
    lines[name] = [scores.name_cell(read, name), *cells]
  heads = [measure[:2] for measure in measures]
  if aligned.notna().any():
    heads.append(('Rotated', 'Retrieval'))
  groups = [group for group, _ in heads]
  chance = read.values(leakage.LINEAR, 'chance', None)['mean']
  text = 'Means over people; a dash: no such value. '
  if len(chance):
    text += f'Identity by chance is {formats.score(chance.iloc[0])}. '
  return tables.Table(
    f'{text}R² 0 is what the mean alone reaches, below 0 is worse. Retrieval 0 '
    'is chance, 1 the best that any embedding can do.',
    [
      *tables.names('Kind', 'Name'),
      *tables.numbers(*(head for _, head in heads)),
    ],
    groups=scores.grouped(read, lines),
    column_groups=[
      ('', 2),
      *((group, groups.count(group)) for group in dict.fromkeys(groups)),
    ],
  )


def _rows(read) -> tables.Table | None:
  """Returns the measures of every person, model and source, one by one."""
  shown = {
    name: read.persons(target, metric, None, by_model=True).stack().dropna()
    for _, name, target, metric, _ in _MEASURES[:5]
  }
  table = pd.DataFrame({n: v for n, v in shown.items() if len(v)})
  if table.empty:
    return None
  return tables.Table(
    'A row for each person, model and source.',
    [*tables.names('Person', 'Model', 'Source'), *tables.numbers(*table)],
    rows=[
      [who, model, formats.source(source), *map(formats.number, values)]
      for (who, model, source), values in zip(
        table.index, table.to_numpy(), strict=True
      )
    ],
    summary=f'All {formats.count(len(table))} rows',
  )
