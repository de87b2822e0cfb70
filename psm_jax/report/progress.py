"""AUC as something grows: labelled frames, or training.

Rows of a summary with a column more, `at`: how much there was of it.
"""

import matplotlib.ticker
import pandas as pd

from psm_jax.evaluation import results
from psm_jax.report import evidence, figures, findings, formats, reading, tables

LEARNING_CURVE = 'learning_curve_summary.csv'
_FEW_LABELS = r'^few_labels_(\d+)$'
_NEAR = 0.02  # Of an AUC: a difference that nobody would label frames for.


def few_labels(read: evidence.Evidence) -> dict | None:
  """Returns the curve over labelled frames, if the summary has its rows."""
  at = read.summary['split'].str.extract(_FEW_LABELS)[0].astype(float)
  is_shown = at.notna() & read.summary['second'].isin(['', read.baseline])
  curve = _shown(read.summary.assign(at=at, split='few_labels')[is_shown])
  if curve.empty:
    return None
  text = (
    f'Mean AUC of {read.unit}s in a video without labels, by how many frames '
    'of another video of the person are labelled, with its 95% interval for '
    'other people; dashed: guessing.'
  )
  enough = ''
  means = curve[(curve['first'] == read.baseline) & (curve['second'] == '')]
  if len(means) > 1:
    most = means.iloc[-1]
    near = means[means['mean'] >= most['mean'] - _NEAR].iloc[0]
    enough = (
      f'{formats.count(near["at"])} labelled frames of a person give '
      f'{formats.in_text(read.baseline)} an AUC of '
      f'{formats.score(near["mean"])}; {formats.count(most["at"])} give '
      f'{formats.score(most["mean"])}.'
    )
  axes = {'at': 'Labelled frames'}
  return {
    'curve': _drawn('few_labels', curve, read.names, axes, text),
    'table': _table(curve, axes),
    'enough': enough,
  }


def learning_curve(read: evidence.Evidence) -> dict | None:
  """Returns the curve over training, if launch.learning_curve wrote one."""
  folder = read.folder / 'evaluation' if read.run else read.folder
  columns = ('step', 'epochs', *results.SUMMARY_COLUMNS)
  curve = reading.read_table(folder / LEARNING_CURVE, columns, optional=())
  curve = _shown(curve.assign(at=curve['step']))
  if curve.empty:
    return None
  text = (
    f'Mean over people of the AUC of {read.unit}s at the checkpoints that were '
    'kept, with its 95% interval for other people; the dashed line is '
    'guessing. Whether one run is ahead of another is for the differences of '
    'the same people in the table to say.'
  )
  axes = {'at': 'Step', 'epochs': 'Epochs'}
  return {
    'curve': _drawn('learning_curve', curve, read.names, axes, text),
    'table': _table(curve, axes),
  }


def _shown(curve: pd.DataFrame) -> pd.DataFrame:
  """Returns the rows on action units' AUC, in order."""
  is_unit = curve['target'] == results.ACTION_UNITS
  return curve[is_unit & (curve['metric'] == 'auc')].sort_values('at')


def _drawn(name: str, curve, names, axes: dict, text: str) -> figures.Drawn:
  """Returns AUC by each column of `axes`, a row of panels a split."""
  curve = curve[curve['second'] == '']
  splits = formats.in_order(curve['split'], formats.SPLITS)
  names = [n for n in names if n in set(curve['first'])] or list(
    curve['first'].unique()
  )
  looks = figures.looks(names)
  figure, panels = figures.new(
    figures.FULL_IN,
    0.5 + 2.6 * len(splits),
    rows=len(splits),
    columns=len(axes),
    sharey='row',
  )
  texts = []
  for place, panel in enumerate(panels):
    split, at = splits[place // len(axes)], list(axes)[place % len(axes)]
    for source in names:
      is_of = (curve['first'] == source) & (curve['split'] == split)
      rows, (colour, marker) = curve[is_of], looks[source]
      ends = rows['ci_low'], rows['ci_high']
      panel.fill_between(rows[at], *ends, color=colour, alpha=0.15, linewidth=0)
      panel.plot(rows[at], rows['mean'], color=colour, marker=marker, ms=4)
      if not place and len(rows):
        first, last = (
          f'{formats.score(row["mean"])} at {formats.count(row[at])}'
          for row in (rows.iloc[0], rows.iloc[-1])
        )
        texts.append(f'{formats.in_text(source)} goes from {first} to {last}')
    panel.axhline(0.5, **figures.GUESSING)
    panel.set_xlabel(axes[at])
    figures.count_ticks(panel.xaxis)
    figures.score_ticks(panel.yaxis)
    if split not in formats.SPLITS:
      panel.set_xscale('log')
      ticks = sorted(curve[at].unique())
      panel.set_xticks(ticks, [formats.count(tick) for tick in ticks])
      panel.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    elif at == 'at':
      panel.set_title(formats.split(split))
  panels[0].set_ylabel('AUC')
  handles = [
    figures.handle(*looks[n], formats.shorten(formats.source(n)), markersize=4)
    for n in names
  ]
  figures.legend(figure, handles, columns=4)
  alt = f'Mean AUC by {axes["at"].lower()}: {"; ".join(texts)}.'
  return figures.Drawn(name, figure, alt, text)


def _table(curve, axes: dict[str, str]) -> tables.Table:
  """Returns a row a source, or a difference of two, at each place."""
  split = formats.in_order(curve['split'], formats.SPLITS)[0]
  rows = []
  for _, row in curve[curve['split'] == split].iterrows():
    name, is_pair = formats.source(row['first']), row['second'] != ''
    if is_pair:
      name += f' − {formats.within(formats.source(row["second"]))}'
    ends = row[['mean', 'ci_low', 'ci_high']]
    value = tables.with_interval(*ends, is_signed=is_pair)
    said = findings.verdict_of(row) if is_pair else formats.MISSING
    at = [f'{row[column]:,g}' for column in axes]
    rows.append([*at, name, value, said])
  return tables.Table(
    'Mean AUC over people, and differences of the same people.',
    [
      *tables.numbers(*axes.values()),
      *tables.names('Of'),
      *tables.numbers('AUC'),
      *tables.names('It is'),
    ],
    rows=rows,
    summary='In numbers',
  )
