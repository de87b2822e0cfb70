"""A figure of rows and panels: a row a source, a panel a measure.

Each has a mean with its interval, and a dot for each person.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from psm_jax.report import evidence, figures, findings, formats

_ROW_IN = 0.3
MAX_DOTS = 60  # People that get a dot.
_MAX_COLUMNS = 4
_FLOOR = -1.0  # Scores below are written, or they would hide all others.


@dataclasses.dataclass(frozen=True)
class Panel:
  """One measure of every source.

  Attributes:
    title: What it is.
    values: Rows with mean, ci_low and ci_high; index: sources.
    persons: Each person's value; a column a source.
    zero: Where nothing is told, e.g. guessing; NaN for no line.
    is_log: Whether its axis is logarithmic.
    are_differences: Whether values are signed, and marks hollow where they are
      not established.
  """

  title: str
  values: pd.DataFrame
  persons: pd.DataFrame | Mapping = dataclasses.field(default_factory=dict)
  zero: float = float('nan')
  is_log: bool = False
  are_differences: bool = False


def in_words(panels: Sequence[Panel]) -> str:
  """Returns the means of panels: 'AUC, across videos: gm .76, ...; F1, ...'."""
  texts = []
  for panel in panels:
    parts = []
    for name, row in panel.values.iterrows():
      value = formats.score(row['mean'], is_signed=panel.are_differences)
      said = f' ({findings.verdict_of(row)})' if panel.are_differences else ''
      parts.append(f'{formats.in_text(name)} {value}{said}')
    texts.append(f'{panel.title}: {", ".join(parts)}')
  return '; '.join(texts)


def draw(read: evidence.Evidence, panels: Sequence[Panel]):
  """Returns the figure of the sources of what was read."""
  names = [
    name
    for name in read.sources.index
    if any(name in panel.values.index for panel in panels)
  ]
  looks = figures.looks(read.names)
  columns = 3 if len(panels) in (5, 6) else min(_MAX_COLUMNS, len(panels))
  lines = -(-len(panels) // columns)
  figure, axes = figures.new(
    figures.FULL_IN,
    (0.9 + _ROW_IN * max(3, len(names))) * lines,
    rows=lines,
    columns=columns,
    sharey=True,
  )
  marks = {read.baseline: ' (baseline)' if len(read.approaches) > 1 else ''}
  labels = [
    formats.shorten(formats.source(name)) + marks.get(name, '')
    for name in names
  ]
  for number, panel in enumerate(panels):
    _draw_panel(axes[number], panel, names, looks)
    axes[number].set_yticks(np.arange(len(names)), labels)
    split = sum(name in read.approaches for name in names)
    if 0 < split < len(names):
      axes[number].axhline(split - 0.5, color=figures.PALE, linewidth=1)
  for unused in axes[len(panels) :]:
    unused.remove()
  return figure


def _draw_panel(axes, panel, names, looks) -> None:
  """Draws a measure of each source."""
  figures.name_rows(axes, names)
  if np.isfinite(panel.zero):
    axes.axvline(panel.zero, **figures.GUESSING)
  for place, name in enumerate(names):
    if name not in panel.values.index:
      _write(axes, place, 'no such value')
      continue
    row = panel.values.loc[name]
    if row['mean'] < _FLOOR:
      _write(axes, place, f'◂ {formats.score(row["mean"])}')
      continue
    colour, marker = looks[name]
    ends = [row['ci_low'], row['ci_high']]
    axes.plot(ends, [place, place], color=colour, linewidth=2, zorder=3)
    is_open = findings.verdict_of(row) == findings.NOT_ESTABLISHED
    (mark,) = axes.plot(row['mean'], place, marker, color=colour, zorder=4)
    mark.set(markersize=6, markeredgewidth=1.5)
    if panel.are_differences and is_open:
      mark.set_markerfacecolor('white')
    dots = panel.persons[name].dropna() if name in panel.persons else []
    if 1 < len(dots) <= MAX_DOTS:
      around = place + 0.3 * np.linspace(-1, 1, len(dots))
      look = {'color': colour, 'alpha': 0.4, 'linewidth': 0, 'zorder': 2}
      axes.scatter(dots, around, s=11, **look)
  axes.set_title(panel.title)
  if panel.is_log:
    axes.set_xscale('log')
    figures.log_ticks(axes.xaxis)
    return
  axes.set_xlim(max(axes.get_xlim()[0], 1.1 * _FLOOR), None)
  figures.score_ticks(axes.xaxis, is_signed=panel.are_differences)


def _write(axes, place, text) -> None:
  """Writes why a value is not drawn."""
  at = axes.get_yaxis_transform()
  look = {'va': 'center', 'fontsize': 7.5, 'color': figures.GREY}
  axes.text(0.02, place, text, transform=at, **look)
