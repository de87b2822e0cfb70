"""Every person's score by source, in figures and in numbers."""

import numpy as np
import pandas as pd

from psm_jax.evaluation import results
from psm_jax.report import evidence, figures, formats, marks, tables

_METRICS = ('auc', 'f1_bootstrap')


def section(read: evidence.Evidence) -> dict | None:
  """Returns a figure of each metric and a table of all people."""
  if not read.splits or not read.units:
    return None
  return {
    'figures': [_figure(read, metric) for metric in _METRICS],
    'table': _table(read),
  }


def _figure(read, metric) -> figures.Drawn | None:
  """Returns people's scores by source, of many those who are told worst."""
  asked = results.ACTION_UNITS, metric, read.split
  values = read.persons(*asked).dropna(how='all')
  if read.baseline not in values:
    return None
  values = values.sort_values(read.baseline, ascending=False)
  shown = values[-figures.MAX_ROWS :]
  where = formats.within(formats.split(read.split))
  title = f'{formats.METRICS[metric]}, {where}'
  figure, (axes,) = figures.new(
    figures.HALF_IN, 1.0 + 0.22 * max(4, len(shown))
  )
  zero = 0.5 if metric == 'auc' else np.nan
  marks.draw(read, axes, shown, title=title, zero=zero, columns=3)
  baseline = values[read.baseline]
  counts = ''.join(
    f', higher than {formats.in_text(other)} for '
    f'{int((baseline > values[other]).sum())}'
    for other in values.columns[1:]
  )
  alt = (
    f'{formats.METRICS[metric]} of {formats.people(len(values))}, {where}: '
    f'{formats.in_text(read.baseline)} is between '
    f'{formats.score(baseline.min())} and {formats.score(baseline.max())}'
    f'{counts}.'
  )
  if len(shown) < len(values):
    alt += f' Drawn are the {len(shown)} of whom it tells least.'
  return figures.Drawn(f'persons_{metric}', figure, alt, alt)


def _table(read) -> tables.Table:
  """Returns both metrics of every person and model, by source."""
  splits = [s for s in ('cross_video', 'random') if s in read.splits]
  asked = [
    (metric, split) for split in splits or [read.split] for metric in _METRICS
  ]
  parts = [
    read.persons(results.ACTION_UNITS, *at, by_model=True) for at in asked
  ]
  joined = pd.concat(parts, axis=1).sort_index()
  heads = ['Person', 'Model']
  # Controls have models of their own: one row a person where each has one.
  owned = joined[joined[read.baseline].notna().any(axis=1)]
  if owned.index.get_level_values('person_id').is_unique:
    joined = joined.groupby('person_id').mean()
    joined.index = pd.MultiIndex.from_arrays([joined.index])
    heads = heads[:1]
  return tables.Table(
    f'Mean over {read.unit}s (and both directions across videos).',
    [
      *tables.names(*heads),
      *tables.numbers(*map(formats.brief, joined.columns)),
    ],
    rows=[
      [*ids, *map(formats.score, values)]
      for ids, values in zip(joined.index, joined.to_numpy(), strict=True)
    ],
    column_groups=[
      ('', len(heads)),
      *(
        (
          f'{formats.METRICS[metric]}, {formats.within(formats.split(split))}',
          part.shape[1],
        )
        for (metric, split), part in zip(asked, parts, strict=True)
      ),
    ],
    of='people',
  )
