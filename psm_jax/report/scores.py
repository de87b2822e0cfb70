"""Scores of every source, and their differences to the baseline."""

import markupsafe
import numpy as np

from psm_jax.evaluation import results
from psm_jax.report import evidence, figures, findings, forest, formats, tables

_MAIN_METRICS = ('auc', 'f1_bootstrap')
_ENDS = ['mean', 'ci_low', 'ci_high']
_HOW = {
  'cross_video': 'Probes are fitted on one video of a person and tested on '
  'another, in both directions: the test that counts for new recordings.',
  'held_out': 'Probes are tested on frames that no model was trained on.',
  'blocked': 'Probes are fitted and tested on separate stretches of the same '
  'videos. No test on another video was made.',
  'random': 'Test frames have neighbours among the training frames, so these '
  'scores measure interpolation. No test on another video was made.',
}


def section(read: evidence.Evidence) -> dict | None:
  """Returns figures and tables of means and of paired differences."""
  if not read.splits:
    return None
  # What is asked most of comes first, in both metrics; then the other tests.
  asked = [(metric, read.split) for metric in _MAIN_METRICS]
  asked += [('auc', split) for split in read.splits[1:]]
  return {
    'how': _HOW[read.split],
    'means': _means(read, asked),
    'differences': _differences(read, asked),
    'approaches': _approaches(read, asked),
    'every': _every(read),
    'baseline': formats.in_text(read.baseline),
  }


def _title(metric: str, split: str) -> str:
  """Returns 'AUC, across videos'."""
  return f'{formats.METRICS[metric]}, {formats.within(formats.split(split))}'


def _means(read, asked) -> figures.Drawn:
  """Returns AUC and F1 of every source: interval, and a dot a person."""
  panels = [
    forest.Panel(
      _title(metric, split),
      read.values(results.ACTION_UNITS, metric, split),
      read.persons(results.ACTION_UNITS, metric, split),
      zero=0.5 if metric == 'auc' else np.nan,
    )
    for metric, split in asked
  ]
  return figures.Drawn(
    'scores',
    forest.draw(read, panels),
    f'Means over people. {forest.in_words(panels)}.',
    f'How well a linear probe tells {read.unit}s: mean over people with its '
    '95% interval for other people, and a dot for each of up to '
    f'{forest.MAX_DOTS} people. Dashed: guessing. Whether two sources '
    'differ is for the next figure to say: intervals of means may overlap '
    'where the differences of the same people do not.',
  )


def _differences(read, asked) -> figures.Drawn | None:
  """Returns differences to the baseline, a dot a person."""
  panels = [
    forest.Panel(
      _title(*at),
      read.less_baseline(*at),
      read.person_differences(*at),
      zero=0.0,
      are_differences=True,
    )
    for at in asked
  ]
  if panels[0].values.empty:
    return None
  name = formats.in_text(read.baseline)
  return figures.Drawn(
    'differences',
    forest.draw(read, panels),
    f'Differences to {name}. {forest.in_words(panels)}.',
    f'Each source less {name} on the same people, with the 95% interval, and a '
    f'dot for each of up to {forest.MAX_DOTS} people: what is left of zero '
    'does less well. An interval that crosses zero does not establish a '
    'difference; its mark is hollow.',
  )


def _approaches(read, asked) -> tables.Table:
  """Returns a row a source, the best first, the controls set apart."""
  heads = ('Mean', 'Difference', 'Higher for')
  columns = [
    (read.values(results.ACTION_UNITS, *at), read.less_baseline(*at))
    for at in asked
  ]
  lines = {}
  for name, row in read.sources.iterrows():
    line = [name_cell(read, name)]
    for means, less in columns:
      cells = [formats.MISSING] * len(heads)
      if name in means.index:
        cells[0] = tables.with_interval(*means.loc[name, _ENDS])
      if name in less.index:
        pair = less.loc[name]
        cells[1] = tables.with_interval(*pair[_ENDS], is_signed=True)
        if findings.verdict_of(pair) != findings.NOT_ESTABLISHED:
          cells[1] = tables.bold(cells[1])
        people = int(pair['num_persons'])
        cells[2] = f'{formats.count(pair["wins"])} of {people}'
      line += cells
    models = formats.MISSING
    if np.isfinite(row['num_models']):
      is_shared = row['has_shared_coordinates'] == 'True'
      models = f'{formats.count(row["num_models"])}, '
      models += 'general' if is_shared else 'person-specific'
    lines[name] = [*line, formats.count(row['num_persons']), models]
  return tables.Table(
    'Means over people, below each its 95% interval for other people. '
    'Differences are to the baseline on the same people, in bold where the '
    'interval leaves out zero; “higher for” counts people. '
    f'Sorted by AUC, {formats.within(formats.split(read.split))}.',
    [
      *tables.names('Kind', 'Name'),
      *(column for _ in asked for column in tables.numbers(*heads)),
      *tables.numbers('People'),
      *tables.names('Models'),
    ],
    groups=grouped(read, lines),
    column_groups=[
      ('', 2),
      *((_title(*at), len(heads)) for at in asked),
      ('', 2),
    ],
  )


def grouped(read: evidence.Evidence, lines: dict) -> list:
  """Returns rows by source in the two groups of a table."""
  groups = (('Approaches', read.approaches), ('Controls', read.controls))
  groups = [
    (label, [lines[name] for name in names if name in lines])
    for label, names in groups
  ]
  return [(label, rows) for label, rows in groups if rows]


def name_cell(read: evidence.Evidence, name: str) -> markupsafe.Markup:
  """Returns a name, marked if it is the baseline."""
  label = markupsafe.escape(formats.source(name))
  if name == read.baseline:
    label += markupsafe.Markup(' <span class="badge">baseline</span>')
  return label


def _every(read) -> tables.Table:
  """Returns means and paired differences of every split, metric and source."""
  groups = []
  for split in read.splits:
    lines = []
    for metric, label in formats.METRICS.items():
      less = read.less_baseline(metric, split)
      means = read.values(results.ACTION_UNITS, metric, split)
      for name, row in means.iterrows():
        line = [label, formats.source(name), formats.count(row['num_persons'])]
        line.append(tables.with_interval(*row[_ENDS]))
        pair = [formats.MISSING] * 4
        if name in less.index:
          row, said = less.loc[name], findings.verdict_of(less.loc[name])
          pair = [
            tables.with_interval(*row[_ENDS], is_signed=True),
            formats.count(row['wins']),
            formats.count(row['losses']),
            said if said == findings.NOT_ESTABLISHED else tables.bold(said),
          ]
        lines.append([*line, *pair])
    groups.append((formats.split(split), lines))
  return tables.Table(
    'Means over people, and paired differences to '
    f'{formats.in_text(read.baseline)} over the people that both have; below '
    'each its 95% interval for other people.',
    [
      *tables.names('Test', 'Metric', 'Source'),
      *tables.numbers('People', 'Mean', 'Difference'),
      *tables.numbers('Higher for', 'Lower for'),
      *tables.names('It is'),
    ],
    groups=groups,
    num_headers=2,
    summary='Every test and metric in numbers',
  )
