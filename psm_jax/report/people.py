"""Figures of every person and every action unit.

Up to 40 people have a row each; more become a cloud.
"""

import matplotlib.ticker
import numpy as np
import pandas as pd

from psm_jax.evaluation import features
from psm_jax.report import dots, figures, findings, formats
from psm_jax.report import run as report_run


def persons(run: report_run.Run, metric: str) -> figures.Drawn | None:
  """Returns every person's score by source, on the split that asks most.

  Args:
    run: The run.
    metric: 'auc' or 'f1'.
  """
  if run.scores.empty:
    return None
  split = findings.splits(run.scores)[0]
  values = findings.person_means(run.scores, split, metric)
  values = values.dropna(how='all')
  if values.empty or features.TRAINED not in values:
    return None
  order = findings.person_means(run.scores, split, 'auc')[features.TRAINED]
  values = values.loc[order.sort_values(ascending=False).index]
  draw = _rows if len(values) <= dots.MAX_ROWS else _cloud
  figure = draw(values, metric, split)
  name = formats.METRICS[metric]
  controls = [s for s in values if s != features.TRAINED]
  counts = [
    f'higher than {formats.in_text(c)} for '
    f'{int((values[features.TRAINED] > values[c]).sum())}'
    for c in formats.in_order(controls, tuple(formats.SOURCES))
  ]
  alt = (
    f'{name} of {formats.people(len(values))}, '
    f'{formats.within(formats.split(split))}: the trained encoder is between '
    f'{formats.score(values[features.TRAINED].min())} and '
    f'{formats.score(values[features.TRAINED].max())}'
    + ''.join(f', {text}' for text in counts)
    + '.'
  )
  return figures.Drawn(f'persons_{metric}', figure, alt, alt)


def action_units(run: report_run.Run) -> figures.Drawn | None:
  """Returns the AUC of every action unit: people, means and base rates."""
  if run.scores.empty:
    return None
  split = findings.splits(run.scores)[0]
  rows = run.scores[run.scores['split'] == split]
  units = sorted(set(rows['au']))
  sources = findings.sources(rows)
  values = rows.groupby(['source', 'au', 'person_id'])['auc'].mean()
  figure, (left, right) = figures.new(
    figures.FULL_IN,
    1.0 + 0.34 * len(units),
    columns=2,
    sharey=True,
    width_ratios=(3, 1),
  )
  _draw_units(left, values, units, sources)
  own = rows[rows['source'] == sources[0]]
  _draw_base_rates(right, own.groupby('au')['base_rate'].mean().reindex(units))
  one = dots.handle(sources[0], 'one person')
  one.set(alpha=0.4, markersize=4)
  means = dots.handles(sources, what='mean of {}')
  figures.legend(figure, [one, *means], columns=4)
  middle = values[sources[0]].groupby('au').mean()
  texts = [f'{u} {formats.score(middle.get(u, np.nan))}' for u in units]
  first = formats.within(formats.source(sources[0]))
  return figures.Drawn(
    'action_units',
    figure,
    f'Mean AUC of the {first} by action unit: {", ".join(texts)}.',
    f'Each action unit, {formats.within(formats.split(split))}: AUC of the '
    f'{first} for every person, and the means of all sources; on the right '
    'how often the unit is active. Few active frames make an AUC uncertain.',
  )


def _draw_units(axes, values: pd.Series, units, sources) -> None:
  """Draws each person's AUC and each source's mean, a row an action unit."""
  generator = np.random.default_rng(0)
  axes.axvline(0.5, color=figures.GREY, linestyle=(0, (4, 3)), linewidth=1)
  for unit_index, unit in enumerate(units):
    points = values[sources[0]].get(unit, pd.Series(dtype=float)).dropna()
    is_few = len(points) <= dots.MAX_ROWS
    axes.scatter(
      points,
      unit_index + generator.uniform(-0.22, 0.22, len(points)),
      s=14 if is_few else 5,
      color=figures.colour(sources[0]),
      alpha=0.35 if is_few else 0.18,
      linewidth=0,
      zorder=2,
    )
  for source in reversed(sources):
    axes.plot(
      values[source].groupby('au').mean().reindex(units),
      np.arange(len(units)),
      figures.marker(source),
      color=figures.colour(source),
      markeredgecolor='white',
      markersize=8 if source == sources[0] else 6.5,
      zorder=4 if source == sources[0] else 3,
    )
  dots.name_rows(
    axes, [f'{u} {formats.ACTION_UNITS.get(u, "")}'.strip() for u in units]
  )
  axes.set_xlabel('AUC (dashed: guessing)')
  dots.score_ticks(axes)


def _draw_base_rates(axes, rate: pd.Series) -> None:
  """Draws how often each action unit is active."""
  axes.barh(np.arange(len(rate)), rate, height=0.55, color=figures.PALE)
  for unit_index, value in enumerate(rate):
    axes.text(
      value, unit_index, f' {formats.score(value)}', va='center', fontsize=8
    )
  axes.set_xlabel('Base rate')
  axes.set_xlim(0, max(0.05, 1.25 * rate.max()))
  dots.score_ticks(axes)
  axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
  axes.tick_params(axis='y', length=0)


def _rows(values: pd.DataFrame, metric: str, split: str):
  """Returns a figure with a row for each person, in the given order."""
  figure, (axes,) = figures.new(
    figures.HALF_IN, 1.0 + 0.22 * max(4, len(values))
  )
  rows = np.arange(len(values))
  axes.hlines(
    rows, values.min(axis=1), values.max(axis=1), color=figures.PALE, zorder=2
  )
  sources = formats.in_order(values.columns, tuple(formats.SOURCES))
  for source in reversed(sources):
    axes.plot(
      values[source],
      rows,
      figures.marker(source),
      color=figures.colour(source),
      markersize=6.5 if source == features.TRAINED else 5,
      zorder=4 if source == features.TRAINED else 3,
    )
  if metric == 'auc':
    axes.axvline(0.5, color=figures.GREY, linestyle=(0, (4, 3)), linewidth=1)
  dots.name_rows(axes, [formats.shorten(name) for name in values.index])
  axes.set_xlabel(
    f'{formats.METRICS[metric]}, {formats.within(formats.split(split))}'
  )
  dots.score_ticks(axes)
  figures.legend(figure, dots.handles(sources), columns=3)
  return figure


def _cloud(values: pd.DataFrame, metric: str, split: str):
  """Returns a figure of the trained encoder against each control."""
  controls = [s for s in values if s != features.TRAINED]
  controls = formats.in_order(controls, tuple(formats.SOURCES))
  figure, (axes,) = figures.new(figures.HALF_IN, 4.2)
  low = min(0.5 if metric == 'auc' else 1.0, np.nanmin(values.to_numpy()))
  high = np.nanmax(values.to_numpy())
  axes.plot([low, high], [low, high], color=figures.GREY, linewidth=1)
  for control in controls:
    axes.scatter(
      values[control],
      values[features.TRAINED],
      s=12,
      marker=figures.marker(control),
      color=figures.colour(control),
      alpha=0.45,
      linewidth=0,
    )
  name = formats.METRICS[metric]
  axes.set(
    xlabel=f'{name} of the control, {formats.within(formats.split(split))}',
    ylabel=f'{name} of the trained encoder',
    aspect='equal',
  )
  dots.score_ticks(axes)
  axes.yaxis.set_major_formatter(
    matplotlib.ticker.FuncFormatter(lambda y, _: formats.score(y))
  )
  figures.legend(figure, dots.handles(controls), columns=3)
  return figure
