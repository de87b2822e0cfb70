"""The training: losses and schedule over steps.

Up to 30 models have a line each with their mean emphasised; more become bands.
"""

import matplotlib.axes
import matplotlib.patches
import numpy as np
import pandas as pd

from psm_jax.report import evidence, figures, formats

MAX_LINES = 30
_NUM_BINS = 160  # Points of a curve; logs have thousands.
_LOG_RATIO = 8.0  # A logarithmic axis where values span more than this.
_COLUMNS = 4


def section(read: evidence.Evidence) -> dict | None:
  """Returns the figure of the training, and whether pairs have a gap."""
  if read.run is None or read.run.metrics.empty:
    return None
  curves = _binned(read.run.metrics, ['loss', 'gap', *read.run.loss_terms])
  shown = {n: c for n, c in curves.items() if (c.abs() > 0).any(axis=None)}
  return {
    'figure': _figure(read.run, curves, shown) if shown else None,
    'has_gap': 'gap' in shown,
  }


def _figure(run, curves, shown) -> figures.Drawn:
  """Returns a panel for the loss, the gap and every term of the loss."""
  columns = min(_COLUMNS, len(shown))
  rows = -(-len(shown) // columns)
  figure, panels = figures.new(
    figures.FULL_IN, 0.5 + 1.9 * rows, rows=rows, columns=columns
  )
  changes = []
  for axes, (name, curve) in zip(panels, shown.items(), strict=False):
    _draw(axes, curve, {model.model_id for model in run.failed})
    title = 'gap (frames)' if name == 'gap' else name.replace('_', ' ')
    axes.set(title=title, xlabel='Step')
    figures.count_ticks(axes.xaxis)
    low, high = curve.min().min(), curve.max().max()
    if name != 'gap' and low > 0 and high / low > _LOG_RATIO:
      axes.set_yscale('log')
      figures.log_ticks(axes.yaxis)
    middle = _middle(curve).dropna()
    if len(middle):
      first, last = (formats.number(middle.iloc[at]) for at in (0, -1))
      changes.append(f'{title} {first} to {last}')
  for axes in panels[len(shown) :]:
    axes.remove()
  figures.legend(figure, _handles(curves['loss'], run), columns=4)
  what = 'mean' if _has_lines(curves['loss']) else 'median'
  caption = (
    f'The loss and its terms over steps, each on its own scale, some '
    f'logarithmic; the {what} goes from the first to the last '
    f'steps: {"; ".join(changes)}.'
  )
  ends = curves['loss'].ffill().iloc[-1].dropna()
  if len(ends) > 1:
    caption += (
      f' Models end between {formats.number(ends.min())} ({ends.idxmin()}) and '
      f'{formats.number(ends.max())} ({ends.idxmax()}).'
    )
  if 'gap' in shown:
    caption += (
      ' The loss of a wider gap is that of a harder task, so losses at '
      'different gaps do not compare.'
    )
  zero = [n.replace('_', ' ') for n in run.loss_terms if n not in shown]
  if zero:
    caption += f' Zero throughout and left out: {formats.listing(zero)}.'
  alt = f'The training, {what} of the models: {"; ".join(changes)}.'
  return figures.Drawn('training', figure, alt, caption)


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
  axes: matplotlib.axes.Axes, curves: pd.DataFrame, failed: set[str]
) -> None:
  """Draws lines or bands, what lies in their middle, and where models fail."""
  plain = figures.PALE if curves.shape[1] > 1 else figures.BLUE
  for model_id in curves if _has_lines(curves) else ():
    line = curves[model_id].dropna()
    is_failed = model_id in failed
    colour = figures.RED if is_failed else plain
    order = 2.5 if is_failed else 2
    axes.plot(line.index, line, color=colour, linewidth=0.9, zorder=order)
    if is_failed and len(line):
      axes.plot(line.index[-1], line.iloc[-1], 'x', color=colour, zorder=4)
  if not _has_lines(curves):
    look = {'color': figures.BLUE, 'linewidth': 0}
    for low, alpha in ((0.05, 0.18), (0.25, 0.3)):
      ends = curves.quantile(low, axis=1), curves.quantile(1 - low, axis=1)
      axes.fill_between(curves.index, *ends, alpha=alpha, **look)
  if curves.shape[1] > 1:
    middle = _middle(curves)
    axes.plot(middle.index, middle, color=figures.BLUE, linewidth=1.8, zorder=3)


def _handles(curves: pd.DataFrame, run) -> list:
  """Returns the legend of what _draw draws."""
  look = {'linestyle': '-', 'linewidth': 2}
  if not _has_lines(curves):
    patch = matplotlib.patches.Patch
    return [
      figures.handle(figures.BLUE, '', 'median of models', **look),
      patch(color=figures.BLUE, alpha=0.45, label='half of them'),
      patch(color=figures.BLUE, alpha=0.18, label='90% of them'),
    ]
  if curves.shape[1] == 1:
    return [figures.handle(figures.BLUE, '', curves.columns[0], **look)]
  handles = [
    figures.handle(figures.PALE, '', 'one model', **look),
    figures.handle(figures.BLUE, '', 'mean of models', **look),
  ]
  if run.failed:
    handles.append(figures.handle(figures.RED, 'x', 'failed model', **look))
  return handles
