"""Action units, or weak labels, one by one: how well each is told, in whom."""

import matplotlib.colors
import numpy as np
import pandas as pd

from psm_jax.report import evidence, figures, formats, marks, tables

_MAX_UNITS = 30
_CELL_IN = 0.31
# Blue where better than the baseline, orange where worse; white is no
# difference. Both ends are dark enough for white text.
_DIVERGING = matplotlib.colors.LinearSegmentedColormap.from_list(
  'difference', ['#a34700', '#f3c9a8', '#ffffff', '#a9cfe8', '#005a94']
)
_DARK = 0.72  # Of the range, from which text is white.
_METRICS = ('auc', 'f1_bootstrap')


def section(read: evidence.Evidence) -> dict | None:
  """Returns figures and a table of how well each unit is told."""
  rows = read.results[
    (read.results['split'] == read.split)
    & read.results['target'].isin(read.units)
  ]
  auc = _means(read, rows, 'auc')
  if auc.empty or read.baseline not in auc:
    return None
  return {
    'unit': read.unit,
    'profile': _profile(read, rows, auc[:_MAX_UNITS]),
    'heat': _heat(read, auc[:_MAX_UNITS]),
    'table': _table(read, rows),
  }


def _means(read, rows: pd.DataFrame, metric: str) -> pd.DataFrame:
  """Returns means over people; a row a unit, a column a source."""
  rows = rows[rows['metric'] == metric]
  by_person = rows.groupby(['target', 'source', 'person_id'])['value'].mean()
  table = by_person.groupby(['target', 'source']).mean().unstack('source')
  return table[[name for name in read.names if name in table]]


def _profile(read, rows, auc) -> figures.Drawn:
  """Returns people, means of all sources and base rates, a row a unit."""
  units = list(auc.index)
  figure, (left, right) = figures.new(
    figures.FULL_IN,
    1.0 + 0.36 * len(units),
    columns=2,
    sharey=True,
    width_ratios=(4, 1),
  )
  rows_of = rows[(rows['source'] == read.baseline) & (rows['metric'] == 'auc')]
  persons = rows_of.groupby(['target', 'person_id'])['value'].mean()
  where = formats.within(formats.split(read.split))
  marks.draw(
    read,
    left,
    auc.set_axis([formats.unit(unit) for unit in units]),
    title=f'AUC, {where} (dashed: guessing)',
    zero=0.5,
    dots={formats.unit(unit): persons[unit] for unit in units},
    columns=4,
  )
  rate = _means(read, rows, 'base_rate')[read.baseline].reindex(units)
  right.barh(np.arange(len(units)), rate, height=0.55, color=figures.PALE)
  for at, value in enumerate(rate):
    right.text(value, at, f' {formats.score(value)}', va='center', fontsize=8)
  right.set(xlabel='Base rate', xlim=(0, max(0.05, 1.3 * rate.max())))
  figures.score_ticks(right.xaxis)
  right.tick_params(axis='y', length=0)
  first = formats.in_text(read.baseline)
  base = auc[read.baseline]
  texts = [f'{formats.unit(u)} {formats.score(base[u])}' for u in units]
  alt = f'Mean AUC of {first} by {read.unit}: {", ".join(texts)}.'
  caption = (
    f'Each {read.unit}, {where}: AUC of {first} for every person, and the '
    f'means of all sources; on the right how often the {read.unit} is active. '
    'Few active frames make an AUC uncertain.'
  )
  if controls := [n for n in read.controls if n in auc]:
    beaten = formats.count((auc[controls].max(axis=1) >= base).sum())
    number = formats.plural(len(units), 'unit')
    caption += f' On {beaten} of {number} some control does as well or better.'
  return figures.Drawn('units', figure, alt, caption)


def _heat(read, auc) -> figures.Drawn | None:
  """Returns the differences to the baseline as a map of unit and source."""
  if auc.shape[1] < 2:
    return None
  less = auc.drop(columns=read.baseline).sub(auc[read.baseline], axis=0).T
  less = less.set_axis(
    [formats.shorten(formats.source(name)) for name in less.index]
  )
  reach = max(0.05, float(np.nanmax(np.abs(less.to_numpy()))))
  figure, (axes,) = figures.new(
    figures.FULL_IN, 1.0 + _CELL_IN * (len(less) + 1)
  )
  image = figures.draw_cells(
    axes,
    less.rename(columns=formats.unit_id),
    colours=_DIVERGING,
    ends=(-reach, reach),
    dark=_DARK * reach,
    is_signed=True,
  )
  axes.tick_params(top=True, labeltop=True, labelbottom=False)
  if read.is_weak:
    axes.tick_params(axis='x', rotation=60)
  bar = figure.colorbar(image, ax=axes, fraction=0.025, pad=0.015)
  figures.score_ticks(bar.ax.yaxis, is_signed=True)
  bar.outline.set_visible(False)
  name = formats.in_text(read.baseline)
  bar.set_label('Difference')
  flat = less.stack().dropna()
  worst, best = (
    f'{formats.score(flat[at], is_signed=True)} ({at[0]}, {at[1]})'
    for at in (flat.idxmin(), flat.idxmax())
  )
  number = formats.plural(less.shape[1], read.unit)
  return figures.Drawn(
    'unit_differences',
    figure,
    f'Differences in mean AUC to {name} for {number} and {len(less)} other '
    f'sources: from {worst} to {best}.',
    f'Mean AUC less that of {name}, hundredths written as in .05; blue is '
    'better, orange worse. No interval stands behind a single cell.',
  )


def _table(read, rows) -> tables.Table:
  """Returns every unit's base rate and scores by source."""
  parts = [_means(read, rows, metric) for metric in _METRICS]
  people = rows.groupby('target')['person_id'].nunique()
  rate = _means(read, rows, 'base_rate')[read.baseline]
  names = [formats.brief(name) for part in parts for name in part]
  lines = []
  for unit, values in pd.concat(parts, axis=1).iterrows():
    movement = formats.unit(unit).removeprefix(formats.unit_id(unit)).strip()
    line = [formats.unit_id(unit), movement, formats.count(people[unit])]
    lines.append([*line, *map(formats.score, [rate[unit], *values])])
  where = formats.within(formats.split(read.split))
  return tables.Table(
    f'{read.unit.capitalize()}s, {where}: means over people.',
    [
      *tables.names('Unit', 'Movement'),
      *tables.numbers('People', 'Base rate', *names),
    ],
    rows=lines,
    column_groups=[('', 4)]
    + [
      (formats.METRICS[metric], part.shape[1])
      for metric, part in zip(_METRICS, parts, strict=True)
    ],
    summary=f'{read.unit.capitalize()}s in numbers',
  )
