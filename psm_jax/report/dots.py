"""Figures of the evaluation: scores, differences, people, action units."""

import matplotlib.axes
import matplotlib.lines
import matplotlib.ticker
import numpy as np
import pandas as pd

from psm_jax.report import figures, findings, formats
from psm_jax.report import run as report_run

MAX_ROWS = 40  # People that get a row of their own; more become a cloud.
_STRUCTURE = (
  ('effective_rank', 'Effective rank'),
  ('unit_std', 'Std of a unit'),
  ('yaw_correlation', 'Yaw correlation'),
  ('pitch_correlation', 'Pitch correlation'),
  ('roll_correlation', 'Roll correlation'),
)


def scores(run: report_run.Run) -> figures.Drawn | None:
  """Returns the AUC of every source on every split with intervals."""
  rows = run.summary[run.summary['metric'] == 'auc']
  rows = rows[~findings.is_difference(rows['source'])]
  if rows.empty:
    return None
  splits, sources = findings.splits(rows), findings.sources(rows)
  figure, (axes,) = figures.new(figures.HALF_IN, 0.9 + 0.85 * len(splits))
  axes.axvline(0.5, color=figures.GREY, linestyle=(0, (4, 3)), linewidth=1)
  for source_index, source in enumerate(sources):
    own = rows[rows['source'] == source].set_index('split').reindex(splits)
    offset = 0.22 * (source_index - (len(sources) - 1) / 2)
    _intervals(
      axes,
      own['mean'],
      own[['ci_low', 'ci_high']],
      np.arange(len(splits)) + offset,
      source,
    )
  name_rows(axes, [formats.split(s) for s in splits])
  axes.set_xlabel('Mean AUC over people, 95% interval (dashed: guessing)')
  score_ticks(axes)
  figures.legend(figure, handles(sources), columns=3)
  values = [
    f'{formats.within(formats.split(row.split))}, {formats.source(row.source)} '
    f'{formats.score(row.mean)}'
    for row in rows.itertuples()
  ]
  return figures.Drawn(
    'scores',
    figure,
    f'Mean AUC: {"; ".join(values)}.',
    'How well a linear probe tells action units: mean AUC over people with the '
    '95% interval for other people.',
  )


def differences(run: report_run.Run) -> figures.Drawn | None:
  """Returns the trained encoder's differences in AUC with intervals."""
  found = findings.against_controls(run, metric='auc')
  if not found:
    return None
  splits = formats.in_order([d.split for d in found], tuple(formats.SPLITS))
  others = formats.in_order([d.other for d in found], tuple(formats.SOURCES))
  figure, (axes,) = figures.new(figures.HALF_IN, 0.9 + 0.85 * len(splits))
  axes.axvline(0, color=figures.GREY, linewidth=1)
  for d in found:
    offset = 0.26 * (others.index(d.other) - (len(others) - 1) / 2)
    _intervals(
      axes,
      pd.Series([d.mean]),
      pd.DataFrame({'low': [d.low], 'high': [d.high]}),
      np.array([splits.index(d.split) + offset]),
      d.other,
      is_hollow=d.verdict == findings.NOT_ESTABLISHED,
    )
  name_rows(axes, [formats.split(s) for s in splits])
  axes.set_xlabel('AUC of the trained encoder − AUC of the control')
  score_ticks(axes, is_signed=True)
  hollow = matplotlib.lines.Line2D(
    [],
    [],
    color=figures.INK,
    marker='o',
    markerfacecolor='white',
    linestyle='',
    label='not established',
  )
  named = [handle(o, f'− {formats.within(formats.source(o))}') for o in others]
  figures.legend(figure, [*named, hollow], columns=3)
  values = [
    f'{formats.within(formats.split(d.split))}, minus '
    f'{formats.within(formats.source(d.other))} '
    f'{formats.score(d.mean, is_signed=True)} ({d.verdict})'
    for d in found
  ]
  return figures.Drawn(
    'differences',
    figure,
    f'Differences in AUC: {"; ".join(values)}.',
    'What the trained encoder gains over each control on the same people, '
    'with the 95% interval. One that crosses zero does not establish a '
    'difference.',
  )


def structure(run: report_run.Run) -> figures.Drawn | None:
  """Returns what the embeddings hold: a panel for each measure."""
  table = run.structure
  shown = [(c, n) for c, n in _STRUCTURE if table[c].notna().any()]
  if not shown:
    return None
  sources = findings.sources(table)
  lowest = min(
    [-0.05, *(table[c].min() - 0.05 for c, _ in shown if _is_correlation(c))]
  )
  figure, panels = figures.new(figures.FULL_IN, 2.9, columns=len(shown))
  generator = np.random.default_rng(0)
  texts = []
  for axes, (column, name) in zip(panels, shown, strict=True):
    for source_index, source in enumerate(sources):
      dots = table.loc[table['source'] == source, column].dropna()
      axes.scatter(
        source_index + generator.uniform(-0.18, 0.18, len(dots)),
        dots,
        s=14 if len(dots) <= MAX_ROWS else 5,
        color=figures.colour(source),
        alpha=0.45 if len(dots) <= MAX_ROWS else 0.2,
        marker=figures.marker(source),
        linewidth=0,
      )
      if len(dots):
        axes.hlines(
          dots.median(),
          source_index - 0.32,
          source_index + 0.32,
          color=figures.INK,
          linewidth=1.8,
        )
        texts.append(
          f'{name.lower()} of {formats.in_text(source)} '
          f'{formats.number(dots.median())}'
        )
    axes.set_title(name)
    axes.set_xticks([])
    axes.set_xlim(-0.6, len(sources) - 0.4)
    axes.grid(axis='x', visible=False)
    if column == 'effective_rank':
      axes.set_yscale('log')
      axes.set_ylim(min(0.9, table[column].min()), None)
      figures.log_ticks(axes.yaxis)
    elif column == 'unit_std':
      axes.set_ylim(0, None)
    else:
      axes.set_ylim(lowest, 1.02)
      axes.axhline(0, color=figures.GREY, linewidth=0.8)
  figures.legend(figure, handles(sources), columns=3)
  return figures.Drawn(
    'structure',
    figure,
    f'Medians: {"; ".join(texts)}.',
    'What the embeddings hold, a dot for each model and person, the bar their '
    'median. Effective rank: how many directions an embedding uses. '
    'Correlations: how well head pose is told in a video the regression has '
    'not seen.',
  )


def _is_correlation(column) -> bool:
  """Whether a measure of structure is one."""
  return column.endswith('correlation')


def _intervals(axes, means, ends, rows, source, *, is_hollow=False) -> None:
  """Draws the means of a source with their intervals, one a row."""
  draw_intervals(
    axes,
    means,
    ends,
    rows,
    colour=figures.colour(source),
    marker=figures.marker(source),
    is_hollow=is_hollow,
  )


def draw_intervals(
  axes: matplotlib.axes.Axes,
  means: pd.Series,
  ends: pd.DataFrame,
  rows: np.ndarray,
  *,
  colour: str,
  marker: str,
  is_hollow: bool = False,
) -> None:
  """Draws means with their intervals, one a row.

  Args:
    axes: The panel.
    means: One a row.
    ends: Two columns, the ends of the intervals; NaN draws none.
    rows: Heights of the rows.
    colour: Of marks and lines.
    marker: Of the means.
    is_hollow: Whether the marks are empty.
  """
  axes.hlines(
    rows, ends.iloc[:, 0], ends.iloc[:, 1], color=colour, linewidth=2, zorder=3
  )
  axes.plot(
    means.to_numpy(),
    rows,
    marker,
    color=colour,
    markerfacecolor='white' if is_hollow else colour,
    markeredgewidth=1.5,
    markersize=6,
    zorder=4,
  )


def name_rows(axes, names: list[str]) -> None:
  """Labels the rows of a figure, the first at the top."""
  axes.set_yticks(np.arange(len(names)), names)
  axes.set_ylim(len(names) - 0.4, -0.6)
  axes.grid(axis='y', visible=False)
  axes.tick_params(axis='y', length=0)


def score_ticks(axes, *, is_signed: bool = False) -> None:
  """Writes scores on the x axis as the text does: .70, +.05."""
  axes.xaxis.set_major_locator(
    matplotlib.ticker.MaxNLocator(6, steps=(1, 2, 5, 10))
  )
  axes.xaxis.set_major_formatter(
    matplotlib.ticker.FuncFormatter(
      lambda x, _: formats.score(round(x, 6), is_signed=is_signed)
    )
  )


def handles(sources: list[str], *, what: str = '{}') -> list:
  """Returns legend entries of sources."""
  return [
    handle(
      s,
      formats.source(s) if what == '{}' else what.format(formats.in_text(s)),
    )
    for s in sources
  ]


def handle(source: str, label: str) -> matplotlib.lines.Line2D:
  """Returns one legend entry."""
  return matplotlib.lines.Line2D(
    [],
    [],
    color=figures.colour(source),
    marker=figures.marker(source),
    linestyle='',
    label=label,
  )
