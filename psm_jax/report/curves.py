"""Figures of the training: losses and schedule over steps.

Up to 30 models have a line each with their mean emphasised; more become bands.
"""

import matplotlib.axes
import matplotlib.lines
import matplotlib.patches
import matplotlib.ticker
import numpy as np
import pandas as pd

from psm_jax.report import figures, formats
from psm_jax.report import run as report_run

MAX_LINES = 30
_NUM_BINS = 160  # Points of a curve; logs have thousands.
_LOG_RATIO = 8.0  # A logarithmic axis where values span more than this.
_TERM_COLUMNS = 4


def loss(run: report_run.Run) -> figures.Drawn | None:
  """Returns the figure of the whole loss, None if nothing is logged."""
  curves = _binned(run.metrics, ['loss'])['loss']
  middle = _middle(curves).dropna()
  if middle.empty:
    return None
  figure, (axes,) = figures.new(figures.HALF_IN, 3.2)
  _draw(axes, curves, run)
  _finish(axes, curves, ylabel='Loss')
  figures.legend(figure, _handles(curves, run), columns=3)
  what = 'mean' if _has_lines(curves) else 'median'
  first, last = middle.iloc[0], middle.iloc[-1]
  alt = (
    f'The loss over steps: the {what} of the models goes from '
    f'{formats.number(first)} in the first steps to {formats.number(last)} '
    'in the last.'
  )
  return figures.Drawn('loss', figure, alt, f'{alt} {_spread_text(curves)}')


def gap(run: report_run.Run) -> figures.Drawn | None:
  """Returns the figure of the gap over steps, None if pairs have no gap."""
  curves = _binned(run.metrics, ['gap'])['gap']
  curves = curves.where(curves > 0).dropna(axis='columns', how='all')
  if curves.empty:
    return None
  figure, (axes,) = figures.new(figures.HALF_IN, 3.2)
  _draw(axes, curves, run)
  axes.set(xlabel='Step', ylabel='Gap (frames)', ylim=(0, None))
  _count_ticks(axes)
  figures.legend(figure, _handles(curves, run), columns=3)
  alt = (
    f'The gap between the frames of a pair over steps: from '
    f'{formats.number(curves.min().min())} to '
    f'{formats.number(curves.max().max())} frames.'
  )
  caption = (
    f'{alt} The loss of a wider gap is that of a harder task, so losses at '
    'different gaps do not compare.'
  )
  return figures.Drawn('gap', figure, alt, caption)


def terms(run: report_run.Run) -> figures.Drawn | None:
  """Returns a panel for every term of the loss, None if there is no term."""
  curves = _binned(run.metrics, run.loss_terms)
  shown = [t for t in run.loss_terms if (curves[t].abs() > 0).any(axis=None)]
  if not shown:
    return None
  columns = min(_TERM_COLUMNS, len(shown))
  rows = -(-len(shown) // columns)
  figure, panels = figures.new(
    figures.FULL_IN, 0.4 + 1.75 * rows, rows=rows, columns=columns, sharex=True
  )
  for axes, term in zip(panels, shown, strict=False):
    _draw(axes, curves[term], run, is_small=True)
    _finish(axes, curves[term], ylabel=None)
    axes.set_title(term.replace('_', ' '))
    axes.set_xlabel(None)
  for axes in panels[len(shown) :]:
    axes.remove()
  for axes in panels[max(0, len(shown) - columns) : len(shown)]:
    axes.set_xlabel('Step')
    axes.tick_params(labelbottom=True)
  caption = 'The terms of the loss over steps, each on its own scale.'
  zero = [t.replace('_', ' ') for t in run.loss_terms if t not in shown]
  if zero:
    caption += f' Zero throughout and left out: {formats.listing(zero)}.'
  changes = [
    f'{term.replace("_", " ")} {formats.number(m.iloc[0])} to '
    f'{formats.number(m.iloc[-1])}'
    for term in shown
    if not (m := _middle(curves[term]).dropna()).empty
  ]
  alt = (
    f'Small multiples, from the first to the last step: {"; ".join(changes)}.'
  )
  return figures.Drawn('loss_terms', figure, alt, caption)


def _binned(
  metrics: pd.DataFrame, columns: list[str]
) -> dict[str, pd.DataFrame]:
  """Returns a table of steps x models for each column, averaged over bins."""
  steps = np.unique(metrics['step'])
  at = metrics['step']
  if len(steps) > _NUM_BINS:
    edges = np.linspace(steps[0], steps[-1], _NUM_BINS + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    index = np.clip(np.searchsorted(edges, at, 'right') - 1, 0, _NUM_BINS - 1)
    at = centres[index]
  values = metrics[columns].replace([np.inf, -np.inf], np.nan)
  means = values.groupby([np.asarray(at), metrics['model_id']]).mean()
  means.index.names = ['step', 'model_id']
  return {column: means[column].unstack('model_id') for column in columns}


def _has_lines(curves: pd.DataFrame) -> bool:
  """Returns whether every model gets a line."""
  return curves.shape[1] <= MAX_LINES


def _middle(curves: pd.DataFrame) -> pd.Series:
  """Returns the mean (of lines) or median, where half of the models are."""
  middle = curves.mean(axis=1) if _has_lines(curves) else curves.median(axis=1)
  return middle.where(curves.notna().sum(axis=1) * 2 >= curves.shape[1])


def _draw(
  axes: matplotlib.axes.Axes,
  curves: pd.DataFrame,
  run: report_run.Run,
  *,
  is_small: bool = False,
) -> None:
  """Draws lines or bands, what lies in their middle, and where models fail."""
  failed = {m.model_id: m for m in run.failed}
  width = 0.8 if is_small else 1.0
  plain = figures.PALE if curves.shape[1] > 1 else figures.BLUE
  if _has_lines(curves):
    for model_id in curves:
      line = curves[model_id].dropna()
      is_failed = model_id in failed
      axes.plot(
        line.index,
        line,
        color=figures.RED if is_failed else plain,
        linewidth=width,
        zorder=2.5 if is_failed else 2,
      )
      if is_failed and len(line):
        axes.plot(
          line.index[-1], line.iloc[-1], 'x', color=figures.RED, zorder=4
        )
  else:
    for low, high, alpha in ((0.05, 0.95, 0.18), (0.25, 0.75, 0.3)):
      axes.fill_between(
        curves.index,
        curves.quantile(low, axis=1),
        curves.quantile(high, axis=1),
        color=figures.BLUE,
        alpha=alpha,
        linewidth=0,
      )
  if curves.shape[1] > 1:
    middle = _middle(curves)
    axes.plot(
      middle.index, middle, color=figures.BLUE, linewidth=2 * width, zorder=3
    )


def _finish(
  axes: matplotlib.axes.Axes, curves: pd.DataFrame, *, ylabel: str | None
) -> None:
  """Sets the axes; logarithmic where positive values span much."""
  low, high = curves.min().min(), curves.max().max()
  if low > 0 and high / low > _LOG_RATIO:
    axes.set_yscale('log')
    figures.log_ticks(axes.yaxis)
    ylabel = ylabel and f'{ylabel} (log)'
  axes.set(xlabel='Step', ylabel=ylabel)
  _count_ticks(axes)


def _count_ticks(axes: matplotlib.axes.Axes) -> None:
  """Writes steps with commas and few enough to read."""
  axes.xaxis.set_major_locator(
    matplotlib.ticker.MaxNLocator(4, integer=True, steps=(1, 2, 5, 10))
  )
  axes.xaxis.set_major_formatter(
    matplotlib.ticker.StrMethodFormatter('{x:,.0f}')
  )


def _handles(curves: pd.DataFrame, run: report_run.Run) -> list:
  """Returns the legend of what _draw draws."""
  line = matplotlib.lines.Line2D
  if not _has_lines(curves):
    patch = matplotlib.patches.Patch
    return [
      line([], [], color=figures.BLUE, linewidth=2, label='median of models'),
      patch(color=figures.BLUE, alpha=0.45, linewidth=0, label='half of them'),
      patch(color=figures.BLUE, alpha=0.18, linewidth=0, label='90% of them'),
    ]
  if curves.shape[1] == 1:
    return [
      line([], [], color=figures.BLUE, label=formats.shorten(curves.columns[0]))
    ]
  handles = [line([], [], color=figures.PALE, label='one model')]
  if curves.shape[1] > 1:
    handles.append(
      line([], [], color=figures.BLUE, linewidth=2, label='mean of models')
    )
  if {m.model_id for m in run.failed} & set(curves):
    handles.append(
      line([], [], color=figures.RED, marker='x', label='failed model')
    )
  return handles


def _spread_text(curves: pd.DataFrame) -> str:
  """Returns how far apart the models end."""
  last = curves.ffill().iloc[-1].dropna()
  if len(last) < 2:
    return ''
  return (
    f'Models end between {formats.number(last.min())} ({last.idxmin()}) and '
    f'{formats.number(last.max())} ({last.idxmax()}).'
  )
