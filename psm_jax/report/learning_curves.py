"""Scores along training: the figure and table of launch.learning_curve.

  found = learning_curves.read(workdir / 'evaluation')

psm_jax/evaluation/learning_curve.py describes the table.
"""

import os
import pathlib

import matplotlib.lines
import matplotlib.ticker
import pandas as pd

from psm_jax.report import document, figures, findings, formats, markup, reading

FILE = 'learning_curve_summary.csv'
_COLUMNS = ('step', 'epochs', 'examples_seen', *reading.SUMMARY)
_COLOURS = (
  *(figures.BLUE, figures.RED, figures.GREEN, figures.ORANGE, figures.PURPLE),
)
_MARKERS = 'osD^v'
_METRIC = 'auc'
_AXES = (('step', 'Steps'), ('epochs', 'Epochs (mean of the people)'))


def read(folder: str | os.PathLike) -> pd.DataFrame:
  """Returns the curve of a folder, without rows if there is none.

  Args:
    folder: Where launch.learning_curve wrote it.

  Raises:
    ValueError: If the table lacks a column or cannot be read; names the file.
  """
  table = reading.read_table(pathlib.Path(folder) / FILE, _COLUMNS)
  table = reading.unit_summary(table)
  return table[table['metric'] == _METRIC]


def section(curve: pd.DataFrame, embed: document.Embed) -> markup.Html:
  """Returns the figure and the table of a curve.

  Args:
    curve: As `read` returns it, with rows.
    embed: Takes a figure and returns its element.
  """
  return markup.join(
    [
      markup.tag(
        'p',
        'The same probes at every checkpoint that was kept; step 0 are the '
        'random weights. Equal epochs are not equal work where approaches '
        'differ in the length of an epoch: steps are.',
      ),
      embed(draw(curve)),
      markup.fold_long(
        _table(curve), curve['step'].nunique(), 'steps of training'
      ),
    ]
  )


def draw(curve: pd.DataFrame) -> figures.Drawn:
  """Returns AUC by steps and by epochs, a row of panels a split."""
  names, splits = _names(curve), _splits(curve)
  figure, panels = figures.new(
    figures.FULL_IN,
    0.5 + 2.6 * len(splits),
    rows=len(splits),
    columns=len(_AXES),
    sharey='row',
  )
  for place, axes in enumerate(panels):
    split = splits[place // len(_AXES)]
    at, label = _AXES[place % len(_AXES)]
    for name, (colour, marker) in _looks(names).items():
      own = _of(curve, name, split)
      axes.fill_between(
        own[at],
        own['ci_low'],
        own['ci_high'],
        color=colour,
        alpha=0.15,
        linewidth=0,
      )
      axes.plot(own[at], own['mean'], color=colour, marker=marker, markersize=4)
    axes.axhline(0.5, color=figures.GREY, linestyle=(0, (4, 3)), linewidth=1)
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
    axes.xaxis.set_major_formatter(
      matplotlib.ticker.StrMethodFormatter('{x:,g}')
    )
    if place % len(_AXES) == 0:
      axes.set_ylabel(formats.METRICS[_METRIC])
      axes.set_title(formats.split(split))
  if len(names) > 1:
    handles = [
      matplotlib.lines.Line2D(
        [],
        [],
        color=colour,
        marker=marker,
        markersize=4,
        label=_label(name, names),
      )
      for name, (colour, marker) in _looks(names).items()
    ]
    figures.legend(figure, handles, columns=min(4, len(names)))
  texts = []
  for name in names:
    own = _of(curve, name, splits[0])
    first, last = own.iloc[0], own.iloc[-1]
    called = name if len(names) > 1 else formats.in_text(name)
    texts.append(
      f'{called} goes from {formats.score(first["mean"])} at '
      f'step {formats.count(first["step"])} to '
      f'{formats.score(last["mean"])} at step {formats.count(last["step"])}'
    )
  return figures.Drawn(
    'learning_curve',
    figure,
    f'Mean AUC along training, {formats.within(formats.split(splits[0]))}: '
    f'{"; ".join(texts)}.',
    'Mean over people of the AUC of action units at the checkpoints that were '
    'kept, with its 95% interval for other people; the dashed line is '
    'guessing. Whether one run is ahead of another is for the differences of '
    'the same people in the table to say.',
  )


def _table(curve: pd.DataFrame) -> markup.Html:
  """Returns a row a step, on the split that asks most."""
  split = _splits(curve)[0]
  names, pairs = _names(curve), _pairs(curve)
  rows = []
  for step, at_step in curve[curve['split'] == split].groupby('step'):
    values = at_step.set_index('source')
    row = [formats.count(step)]
    for name in names:
      if name not in values.index:
        row += [formats.MISSING] * 3
        continue
      own = values.loc[name]
      row += [
        f'{own["epochs"]:.1f}',
        formats.score(own['mean']),
        formats.interval(own['ci_low'], own['ci_high']),
      ]
    for pair in pairs:
      row.append(_difference(at_step, pair))
    rows.append(row)
  columns = [markup.Column('Step')]
  groups = [('', 1)]
  for name in names:
    columns += [markup.Column(c) for c in ('Epochs', 'AUC', '95% interval')]
    groups.append((_label(name, names), 3))
  columns += [
    markup.Column(pair.replace(' - ', ' − '), 'text') for pair in pairs
  ]
  if pairs:
    groups.append(('Differences', len(pairs)))
  return markup.table(
    f'AUC along training, {formats.within(formats.split(split))}.',
    columns,
    rows=rows,
    column_groups=groups,
  )


def _difference(at_step: pd.DataFrame, pair: str) -> str:
  """Returns a difference at a step with its interval and what it says."""
  found = findings.differences(at_step[at_step['source'] == pair])
  if not found:
    return formats.MISSING
  (d,) = found
  places = formats.digits(d.mean, d.low, d.high)
  options = {'places': places, 'is_signed': True}
  return (
    f'{formats.score(d.mean, **options)} '
    f'({formats.interval(d.low, d.high, **options)}), {d.verdict}'
  )


def _of(curve: pd.DataFrame, name: str, split: str) -> pd.DataFrame:
  """Returns the rows of a run and a split, by step."""
  rows = (curve['source'] == name) & (curve['split'] == split)
  return curve[rows].sort_values('step')


def _names(curve: pd.DataFrame) -> list[str]:
  """Returns the runs, as they come."""
  is_pair = findings.is_difference(curve['source'])
  return list(curve.loc[~is_pair, 'source'].unique())


def _pairs(curve: pd.DataFrame) -> list[str]:
  """Returns the differences, as they come."""
  is_pair = findings.is_difference(curve['source'])
  return list(curve.loc[is_pair, 'source'].unique())


def _splits(curve: pd.DataFrame) -> list[str]:
  """Returns the splits, the one that asks most first."""
  return formats.in_order(curve['split'].unique(), list(formats.SPLITS))


def _label(name: str, names: list[str]) -> str:
  """Returns what figures call a run: its own name where there are several."""
  return formats.shorten(name if len(names) > 1 else formats.source(name))


def _looks(names: list[str]) -> dict[str, tuple[str, str]]:
  """Returns the colour and the marker of each run."""
  return {
    name: (_COLOURS[place % len(_COLOURS)], _MARKERS[place % len(_MARKERS)])
    for place, name in enumerate(names)
  }
