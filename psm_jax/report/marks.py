"""A figure of rows, each with a mark for every source: people, or units."""

import matplotlib.axes
import numpy as np
import pandas as pd

from psm_jax.report import evidence, figures, formats

_MAX_SOURCES = 8


def draw(
  read: evidence.Evidence,
  axes: matplotlib.axes.Axes,
  table: pd.DataFrame,
  *,
  title: str,
  zero: float,
  dots: dict[str, pd.Series] | None = None,
  columns: int,
) -> None:
  """Draws a panel and the legend of its figure.

  Args:
    read: Whose sources are drawn.
    axes: The panel.
    table: A column for each source, the baseline first.
    title: What the values are; a line is at `zero`, none if it is NaN.
    dots: Values of the baseline that lie behind a row's mark.
  """
  places = np.arange(len(table))
  looks = figures.looks(read.names)
  shown = table[list(table)[:_MAX_SOURCES]]
  axes.axvline(zero, **figures.GUESSING)
  generator = np.random.default_rng(0)
  for place, row in zip(places, table.index, strict=True):
    points = (dots or {}).get(row, ())
    around = place + generator.uniform(-0.22, 0.22, len(points))
    size, alpha = (14, 0.35) if len(points) <= figures.MAX_ROWS else (5, 0.18)
    look = {'color': looks[read.baseline][0], 'alpha': alpha, 'linewidth': 0}
    axes.scatter(points, around, s=size, **look)
  if dots is None:
    ends = shown.min(axis=1), shown.max(axis=1)
    axes.hlines(places, *ends, color=figures.PALE, zorder=2)
  for name in reversed(list(shown)):
    colour, marker = looks[name]
    size, order = (8, 4) if name == read.baseline else (6.5, 3)
    look = {'color': colour, 'markeredgecolor': 'white', 'markersize': size}
    axes.plot(shown[name], places, marker, zorder=order, **look)
  figures.name_rows(axes, list(table.index))
  axes.set_xlabel(title)
  figures.score_ticks(axes.xaxis)
  handles = [
    figures.handle(*looks[name], formats.shorten(formats.source(name)))
    for name in shown
  ]
  if dots is not None:
    one = figures.handle(*looks[read.baseline], 'one person', markersize=4)
    one.set_alpha(0.4)
    handles.insert(0, one)
  figures.legend(axes.figure, handles, columns=columns)
