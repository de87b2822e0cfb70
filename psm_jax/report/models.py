"""What a run or a comparison consists of: models, costs, configuration."""

import pathlib

import markupsafe
import numpy as np

from psm_jax.report import evidence, formats, run as report_run, scores, tables

_ORDER = ('failed', 'running', 'done')
_COSTS = {
  'num_models': 'Models',
  'steps_per_model': 'Steps a model',
  'images_per_model': 'Images a model',
  'steps': 'Steps',
  'examples': 'Examples',
  'images': 'Images',
}


def section(read: evidence.Evidence) -> dict | None:
  """Returns the table of models, the failed ones first, and the config."""
  if read.run is None or not (read.run.models or read.run.config):
    return None
  heads = ('Frames', 'Videos', 'Epochs', 'Steps', 'Gap cap', 'Seed')
  rows = [
    [
      model.model_id,
      formats.listing(model.cohort, limit=6),
      formats.count(model.num_frames),
      formats.count(model.num_videos),
      formats.count(model.num_epochs),
      report_run.steps_of(model),
      'none' if model.gap_cap is None else formats.count(model.gap_cap),
      model.seed,
      _status(model),
    ]
    for model in sorted(read.run.models, key=lambda m: _ORDER.index(m.status))
  ]
  return {
    'models': tables.Table(
      'The models of this run.',
      [
        *tables.names('Model'),
        *tables.texts('Cohort'),
        *tables.numbers(*heads),
        *tables.names('Status'),
      ],
      rows=rows,
      of='models',
    ),
    'config': tables.Table(
      'config.json',
      [*tables.names('Field'), *tables.texts('Value')],
      rows=_flat(read.run.config),
      summary='The whole configuration',
    ),
  }


def costs(read: evidence.Evidence) -> dict | None:
  """Returns what each approach of a comparison was trained for."""
  rows = read.sources.loc[read.approaches]
  rows = rows[rows[['steps', 'images', 'seconds']].notna().any(axis=1)]
  if rows.empty:
    return None
  rows = rows.assign(images_per_model=rows['images'] / rows['num_models'])
  shares = rows['images'] / rows['images'].get(read.baseline, np.nan)
  lines = []
  for name, row in rows.iterrows():
    cells = [formats.count(row[column]) for column in _COSTS]
    share, time = formats.number(shares[name]), _duration(row['seconds'])
    line = [*cells, share, time, _starts_from(read, name)]
    lines.append([scores.name_cell(read, name), *line])
  table = tables.Table(
    'What all models of an approach took together, as their runs logged it. '
    'An example is a pair, a clip or a frame, whatever the method draws.',
    [
      *tables.names('Approach'),
      *tables.numbers(*_COSTS.values(), 'Times the baseline’s', 'Time'),
      *tables.names('Began from'),
    ],
    rows=lines,
  )
  return {'table': table}


def _status(model) -> markupsafe.Markup | str:
  """Returns how a model stands, a failure highlighted."""
  if model.status != 'failed':
    return {'done': 'finished', 'running': 'not finished'}[model.status]
  step = (
    ''
    if model.failed_step is None
    else f' at step {formats.count(model.failed_step)}'
  )
  return markupsafe.Markup('<span class="bad">failed{}</span>').format(step)


def _flat(config: dict, prefix: str = '') -> list[tuple[str, str]]:
  """Returns the leaves of a nested dictionary with their dotted names.

  Paths are left out, for they tell more about a lab than a page should.
  """
  leaves = []
  for key, value in config.items():
    name = f'{prefix}{key}'
    if isinstance(value, dict) and value:
      leaves += _flat(value, f'{name}.')
    elif value and (key == 'path' or key.endswith('_path')):
      leaves.append((name, 'left out; see config.json'))
    else:
      leaves.append((name, 'null' if value is None else str(value)))
  return leaves


def _duration(seconds: float) -> str:
  """Returns a time in the unit that suits it."""
  for size, unit in ((3600, 'h'), (60, 'min')):
    if seconds >= 2 * size:
      return f'{formats.number(seconds / size)} {unit}'
  text = formats.number(seconds)
  return text if text == formats.MISSING else f'{text} s'


def _starts_from(read, name: str) -> str:
  """Returns the folders, not their paths, whose models an approach took."""
  rows = read.costs[read.costs['approach'] == name]
  sources = dict.fromkeys(rows.loc[rows['starts_from'] != '', 'starts_from'])
  names = [pathlib.PurePath(source).name for source in sources]
  return formats.listing(names, limit=3) or 'new weights'
