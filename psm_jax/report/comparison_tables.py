"""The tables of a comparison: scores, leakage, costs, who was left out."""

import pathlib

import pandas as pd

from psm_jax.report import (
  comparison,
  comparison_findings,
  findings,
  formats,
  markup,
  tables,
)

_ALIGNED = ('aligned_r2', 'aligned_r2_identity', 'aligned_r2_random')


def approaches(found: comparison.Comparison) -> markup.Html:
  """Returns a row an approach, the best first, the controls set apart."""
  splits = found.splits
  scores = [('auc', splits[0]), ('f1', splits[0])]
  scores += [('auc', split) for split in splits[1:]]
  spans = [3] + [2] * (len(scores) - 1)  # One count of people is enough.
  lines = {
    name: [
      _name(found, name),
      *(
        cell
        for score, number in zip(scores, spans, strict=True)
        for cell in _score_cells(found, name, *score)[:number]
      ),
      formats.count(row['num_persons']),
      _kind(row),
    ]
    for name, row in found.approaches.iterrows()
  }
  return markup.table(
    'Means over people, below each its 95% interval for other people. '
    'Differences are to the baseline on the same people, in bold where the '
    'interval leaves out zero; “higher for” counts people. '
    f'Sorted by AUC, {formats.within(formats.split(found.split))}.',
    [
      markup.Column('Kind', 'name'),
      markup.Column('Name', 'name'),
      *(
        markup.Column(head)
        for heads in spans
        for head in ('Mean', 'Difference', 'Higher for')[:heads]
      ),
      markup.Column('People'),
      markup.Column('Models', 'name'),
    ],
    groups=_grouped(found, lines),
    column_groups=[
      ('', 2),
      *(
        (f'{formats.METRICS[m]}, {formats.within(formats.split(s))}', number)
        for (m, s), number in zip(scores, spans, strict=True)
      ),
      ('', 2),
    ],
  )


def leakage(found: comparison.Comparison) -> markup.Html:
  """Returns what else can be read off, and who finds movements in others."""
  wanted = [
    ('Identity', 'Linear probe', _interval_cell('identity')),
    ('Identity', 'Nearest frames', _score_cell('identity_nearest')),
    ('Identity', 'Nearest, centred', _score_cell('identity_centred')),
    ('Head pose', 'R²', _interval_cell('pose_r2')),
    ('Head pose', 'Error', _degrees('pose_mae_deg')),
    ('Head pose', 'Error of the mean', _degrees('pose_mae_mean_deg')),
    ('Retrieval in others', 'Score', _interval_cell('retrieval')),
    ('Retrieval in others', 'Centred', _score_cell('retrieval_centred')),
  ]
  if found.has('ami'):
    wanted.append(('Named movements', 'AMI', _interval_cell('ami')))
  lines = {
    name: [_name(found, name), *(cell(row) for _, _, cell in wanted)]
    for name, row in found.approaches.iterrows()
  }
  groups = [group for group, _, _ in wanted]
  chance = found.approaches['identity_chance'].dropna()
  text = 'A dash: no such value, see below. '
  if len(chance):
    text += f'Identity by chance is {formats.score(chance.iloc[0])}. '
  return markup.table(
    f'{text}R² 0 is what the mean angle alone reaches, below 0 is worse. '
    'Retrieval 0 is chance, 1 the best that any embedding can do.',
    [
      markup.Column('Kind', 'name'),
      markup.Column('Name', 'name'),
      *(markup.Column(head) for _, head, _ in wanted),
    ],
    groups=_grouped(found, lines),
    column_groups=[
      ('', 2),
      *((group, groups.count(group)) for group in dict.fromkeys(groups)),
    ],
  )


def alignment(found: comparison.Comparison) -> markup.Html | None:
  """Returns how well embeddings were rotated, None if none was."""
  rows = found.approaches
  rows = rows[rows[[*_ALIGNED, 'aligned_retrieval']].notna().any(axis=1)]
  if rows.empty:
    return None
  lines = [
    [
      comparison_findings.label(name),
      *(formats.score(row[column]) for column in _ALIGNED),
      formats.score(row['aligned_retrieval']),
    ]
    for name, row in rows.iterrows()
  ]
  return markup.table(
    'Embeddings rotated into the space of a general model: R² of frames '
    'that the rotation was not fitted on; 0 is what the mean alone reaches. '
    'Retrieval is of those frames.',
    [
      markup.Column('Approach', 'name'),
      markup.Column('Rotated, R²'),
      markup.Column('Not rotated, R²'),
      markup.Column('Random rotation, R²'),
      markup.Column('Retrieval'),
    ],
    rows=lines,
  )


def costs(found: comparison.Comparison) -> markup.Html:
  """Returns what each approach was trained for."""
  rows = found.approaches.loc[found.names]
  rows = rows[rows[['steps', 'images', 'seconds']].notna().any(axis=1)]
  base = rows['images'].get(found.baseline)
  lines = [
    [
      _name(found, name),
      _count(row['num_models']),
      _count(row['steps_per_model']),
      _count(row['images'] / row['num_models']),
      _count(row['steps']),
      _count(row['examples']),
      _count(row['images']),
      formats.MISSING
      if base is None or pd.isna(row['images'] / base)
      else f'{formats.number(row["images"] / base)} ×',
      _duration(row['seconds']),
      _starts_from(found, name),
    ]
    for name, row in rows.iterrows()
  ]
  return markup.table(
    'What all models of an approach took together, as their runs logged it. '
    'An example is a pair, a clip or a frame, whatever the method draws.',
    [
      markup.Column('Approach', 'name'),
      markup.Column('Models'),
      markup.Column('Steps a model'),
      markup.Column('Images a model'),
      markup.Column('Steps'),
      markup.Column('Examples'),
      markup.Column('Images'),
      markup.Column('Images, of the baseline’s'),
      markup.Column('Time'),
      markup.Column('Began from', 'name'),
    ],
    rows=lines,
  )


def left_out(found: comparison.Comparison) -> markup.Html | None:
  """Returns frames that were left out and people without scores, if any."""
  parts = []
  if len(found.omitted):
    lines = [
      [row.approach, row.person_id, formats.count(row.num_frames), row.reason]
      for row in found.omitted.itertuples()
    ]
    table = markup.table(
      'Frames that were left out.',
      [
        *(markup.Column(n, 'name') for n in ('Approach', 'Person')),
        markup.Column('Frames'),
        markup.Column('Reason', 'text'),
      ],
      rows=lines,
    )
    parts.append(markup.fold_long(table, len(lines), 'reasons'))
  if len(found.skipped):
    parts.append(tables.skipped(found.skipped))
  return markup.join(parts) if parts else None


def notes(found: comparison.Comparison) -> markup.Html | None:
  """Returns why cells are empty, as the comparison noted it; None if not."""
  rows = found.approaches['note']
  by_note = rows[rows != ''].groupby(rows, sort=False)
  items = [
    markup.tag(
      'li',
      formats.listing([comparison_findings.label(n) for n in part.index]),
      f': {note}.',
    )
    for note, part in by_note
  ]
  return markup.tag('ul', items) if items else None


def _grouped(found: comparison.Comparison, lines: dict) -> list:
  """Returns rows in the two groups of a table."""
  groups = (('Approaches', found.names), ('Controls', found.controls))
  return [(text, [lines[n] for n in names]) for text, names in groups if names]


def _name(found: comparison.Comparison, name: str) -> markup.Html:
  """Returns a name, marked if it is the baseline."""
  mark = markup.tag('span', 'baseline', class_='badge')
  return markup.join(
    [comparison_findings.label(name), mark if name == found.baseline else None],
    separator=' ',
  )


def _kind(row: pd.Series) -> str:
  """Returns whether persons share a model."""
  if row['kind'] == comparison.CONTROL or pd.isna(row['num_models']):
    return formats.MISSING
  number = formats.count(row['num_models'])
  if row['has_shared_coordinates'] == 'True':
    return f'{number}, general'
  return f'{number}, person-specific'


def _score_cells(found, name: str, metric: str, split: str) -> list:
  """Returns mean, difference and count of people of a score."""
  row, column = found.approaches.loc[name], f'{metric}_{split}'
  mean = _interval_cell(column)(row)
  d = found.differences.get((name, metric, split))
  if d is None:
    return [mean, formats.MISSING, formats.MISSING]
  cell = tables.with_interval(d.mean, d.low, d.high, is_signed=True)
  if d.verdict != findings.NOT_ESTABLISHED:
    cell = markup.tag('b', cell)
  return [mean, cell, f'{formats.count(d.wins)} of {d.num_persons}']


def _interval_cell(column: str):
  """Returns a function of a row: a mean with its interval."""
  return lambda row: tables.with_interval(
    row[column], row[f'{column}_ci_low'], row[f'{column}_ci_high']
  )


def _score_cell(column: str):
  """Returns a function of a row: a score."""
  return lambda row: formats.score(row[column])


def _degrees(column: str):
  """Returns a function of a row: an angle."""
  return lambda row: (
    formats.MISSING if pd.isna(row[column]) else f'{row[column]:.1f}°'
  )


def _count(value: float) -> str:
  """Returns a whole number, or a dash."""
  return formats.MISSING if pd.isna(value) else formats.count(round(value))


def _duration(seconds: float) -> str:
  """Returns a time in the unit that suits it."""
  if pd.isna(seconds):
    return formats.MISSING
  for size, unit in ((3600, 'h'), (60, 'min')):
    if seconds >= 2 * size:
      return f'{formats.number(seconds / size)} {unit}'
  return f'{formats.number(seconds)} s'


def _starts_from(found: comparison.Comparison, name: str) -> str:
  """Returns the folders, not their paths, whose models an approach took."""
  own = found.costs[found.costs['approach'] == name]
  sources = dict.fromkeys(own.loc[own['starts_from'] != '', 'starts_from'])
  names = [pathlib.PurePath(source).name for source in sources]
  return formats.listing(names, limit=3) or 'new weights'
