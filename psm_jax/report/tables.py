"""The tables of scores and of what the embeddings hold."""

import pandas as pd

from psm_jax.evaluation import features
from psm_jax.report import findings, formats, markup
from psm_jax.report import run as report_run

_MAIN_METRICS = ('auc', 'f1')


def scores(run: report_run.Run) -> markup.Html:
  """Returns source x split with the mean and interval of every metric."""
  rows = run.summary[~findings.is_difference(run.summary['source'])]
  metrics = formats.in_order(rows['metric'], tuple(formats.METRICS))
  cells = rows.set_index(['split', 'source', 'metric'])
  groups = []
  for split in findings.splits(rows):
    part = rows[rows['split'] == split]
    lines = []
    for source in findings.sources(part):
      people = part.loc[part['source'] == source, 'num_persons'].max()
      values = [
        _mean_cell(cells, (split, source, metric)) for metric in metrics
      ]
      lines.append([formats.source(source), formats.count(people), *values])
    groups.append((formats.split(split), lines))
  columns = [
    markup.Column('Test', 'name'),
    markup.Column('Source', 'name'),
    markup.Column('People'),
    *(markup.Column(formats.METRICS.get(m, m)) for m in metrics),
  ]
  return markup.table(
    'Means over people; below each its 95% interval for other people.',
    columns,
    groups=groups,
  )


def differences(run: report_run.Run) -> markup.Html:
  """Returns the paired differences: AUC and F1, other metrics folded."""
  found = findings.differences(run.summary)
  main = [d for d in found if d.metric in _MAIN_METRICS]
  rest = [d for d in found if d.metric not in (*_MAIN_METRICS, 'base_rate')]
  return markup.join(
    [
      _difference_table(main),
      markup.fold('Other metrics', _difference_table(rest)) if rest else None,
    ]
  )


def persons(run: report_run.Run) -> markup.Html:
  """Returns AUC and F1 of every person and model against the controls."""
  all_splits = findings.splits(run.scores)
  chosen = [s for s in ('cross_video', 'random') if s in all_splits]
  chosen = chosen or all_splits[:1]
  sources = findings.sources(run.scores)
  parts, groups = [], []
  for split in chosen:
    for metric in _MAIN_METRICS:
      means = findings.person_means(run.scores, split, metric, by_model=True)
      parts.append(means.reindex(columns=sources))
      name = (
        f'{formats.METRICS[metric]}, {formats.within(formats.split(split))}'
      )
      groups.append((name, len(sources)))
  joined = pd.concat(parts, axis=1).sort_index()
  heads = ['Person', 'Model']
  if joined.index.get_level_values('person_id').is_unique:
    heads = heads[:1]
  lines = [
    [*ids[: len(heads)], *(formats.score(v) for v in values)]
    for ids, *values in joined.itertuples()
  ]
  table = markup.table(
    'Mean over action units (and both directions across videos).',
    [
      *(markup.Column(head, 'name') for head in heads),
      *(markup.Column(_short(s)) for _ in groups for s in sources),
    ],
    rows=lines,
    column_groups=[('', len(heads)), *groups],
  )
  return markup.fold_long(table, len(lines), 'people')


def action_units(run: report_run.Run) -> markup.Html:
  """Returns every action unit's base rate and scores by source."""
  split = findings.splits(run.scores)[0]
  rows = run.scores[run.scores['split'] == split]
  sources = findings.sources(rows)
  own = rows[rows['source'] == sources[0]].groupby('au')
  means = rows.groupby(['au', 'source'])[['auc', 'f1_bootstrap']].mean()
  means = means.unstack('source')
  lines = [
    [
      unit,
      formats.ACTION_UNITS.get(unit, ''),
      formats.count(part['person_id'].nunique()),
      formats.score(part['base_rate'].mean()),
      *(formats.score(means.loc[unit, ('auc', s)]) for s in sources),
      *(formats.score(means.loc[unit, ('f1_bootstrap', s)]) for s in sources),
    ]
    for unit, part in own
  ]
  table = markup.table(
    f'Action units, {formats.within(formats.split(split))}: means over people.',
    [
      markup.Column('Unit', 'name'),
      markup.Column('Movement', 'name'),
      markup.Column('People'),
      markup.Column('Base rate'),
      *(markup.Column(_short(s)) for _ in _MAIN_METRICS for s in sources),
    ],
    rows=lines,
    column_groups=[('', 4), ('AUC', len(sources)), ('F1', len(sources))],
  )
  return markup.fold('Action units in numbers', table)


def structure(run: report_run.Run) -> markup.Html:
  """Returns the measures of the embeddings by source, then one by one."""
  names = ['Effective rank', 'Std of a unit', 'Yaw', 'Pitch', 'Roll']
  fields = [
    'effective_rank',
    'unit_std',
    *(f'{pose}_correlation' for pose in ('yaw', 'pitch', 'roll')),
  ]
  table = run.structure

  def cells(row):
    return [
      (formats.number if f in fields[:2] else formats.score)(row[f])
      for f in fields
    ]

  medians = [
    [formats.source(s), *cells(table[table['source'] == s][fields].median())]
    for s in findings.sources(table)
  ]
  lines = [
    [row['person_id'], row['model_id'], formats.source(row['source'])]
    + cells(row)
    for _, row in table.sort_values(['person_id', 'model_id']).iterrows()
  ]
  columns = [markup.Column(name) for name in names]
  heads = [markup.Column(n, 'name') for n in ('Person', 'Model', 'Source')]
  return markup.join(
    [
      markup.table('Medians.', [heads[2], *columns], rows=medians),
      markup.fold(
        f'All {formats.count(len(lines))} rows',
        markup.table(
          'A row for each person, model and source.',
          heads + columns,
          rows=lines,
        ),
      ),
    ]
  )


def skipped(rows: pd.DataFrame) -> markup.Html:
  """Returns who was not scored on what and why.

  Args:
    rows: As evaluation writes them.
  """
  lines = [
    [row.person_id, formats.split(row.split), row.reason]
    for row in rows.itertuples()
  ]
  table = markup.table(
    'People without scores, or with scores of some action units only.',
    [
      markup.Column('Person', 'name'),
      markup.Column('Test', 'name'),
      markup.Column('Reason', 'text'),
    ],
    rows=lines,
  )
  return markup.fold_long(table, len(lines), 'reasons')


def with_interval(
  mean: float, low: float, high: float, *, is_signed: bool = False
) -> markup.Html:
  """Returns a cell: a mean, below it its 95 % interval if there is one."""
  places = formats.digits(mean, low, high)
  options = {'places': places, 'is_signed': is_signed}
  interval = formats.interval(low, high, **options)
  return markup.join(
    [
      formats.score(mean, **options),
      None
      if interval == formats.MISSING
      else markup.tag('span', interval, class_='interval'),
    ]
  )


def _mean_cell(cells: pd.DataFrame, key: tuple[str, str, str]) -> markup.Html:
  """Returns a mean with its interval below."""
  if key not in cells.index:
    return markup.Html(formats.MISSING)
  row = cells.loc[key]
  return with_interval(row['mean'], row['ci_low'], row['ci_high'])


def _difference_table(found: list[findings.Difference]) -> markup.Html:
  """Returns a table of paired differences, grouped by split."""
  metrics = formats.in_order([d.metric for d in found], [*formats.METRICS])
  groups = []
  for split in formats.in_order([d.split for d in found], [*formats.SPLITS]):
    part = [d for d in found if d.split == split]
    part.sort(key=lambda d: metrics.index(d.metric))
    lines = []
    for d in part:
      places = formats.digits(d.mean, d.low, d.high)
      options = {'places': places, 'is_signed': True}
      lines.append(
        [
          formats.METRICS.get(d.metric, d.metric),
          formats.source(d.source),
          formats.score(d.mean, **options),
          formats.interval(d.low, d.high, **options),
          formats.count(d.wins),
          formats.count(d.losses),
          formats.count(d.num_persons),
          markup.tag('b', d.verdict)
          if d.verdict != findings.NOT_ESTABLISHED
          else d.verdict,
        ]
      )
    groups.append((formats.split(split), lines))
  return markup.table(
    'Paired differences over the people that both sources have.',
    [
      *(markup.Column(n, 'name') for n in ('Test', 'Metric')),
      markup.Column('Difference of', 'name'),
      markup.Column('Mean'),
      markup.Column('95% interval'),
      markup.Column('Higher for'),
      markup.Column('Lower for'),
      markup.Column('People'),
      markup.Column('The first is', 'name'),
    ],
    groups=groups,
    num_headers=2,
  )


def _short(source: str) -> str:
  """Returns the short name of a source for narrow columns."""
  return {
    features.TRAINED: 'Trained',
    features.RANDOM_ENCODER: 'Random',
    features.PIXEL_PCA: 'Pixels',
  }.get(source, source)
