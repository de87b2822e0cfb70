"""Tables of what a run consists of: models, configuration, skipped people.

Nothing here is measured; scores are in tables.py.
"""

from psm_jax.report import formats, markup, notices
from psm_jax.report import run as report_run


def models(run: report_run.Run) -> markup.Html:
  """Returns a row for each model, the failed ones first."""
  order = {'failed': 0, 'running': 1, 'done': 2}
  lines = [
    [
      model.model_id,
      formats.listing(model.cohort, limit=6),
      formats.count(model.num_frames),
      formats.count(model.num_videos),
      formats.count(model.num_epochs),
      notices.steps_of(model),
      'none' if model.gap_cap is None else formats.count(model.gap_cap),
      model.seed,
      _status(model),
    ]
    for model in sorted(run.models, key=lambda m: order[m.status])
  ]
  names = ('Frames', 'Videos', 'Epochs', 'Steps', 'Gap cap', 'Seed')
  table = markup.table(
    'The models of this run.',
    [
      markup.Column('Model', 'name'),
      markup.Column('Cohort', 'text'),
      *(markup.Column(name) for name in names),
      markup.Column('Status', 'name'),
    ],
    rows=lines,
  )
  return markup.fold_long(table, len(lines), 'models')


def config(run: report_run.Run) -> markup.Html:
  """Returns the experiment as a folded table of dotted names."""
  lines = [[name, value] for name, value in _flat(run.config)]
  return markup.fold(
    'The whole configuration',
    markup.table(
      'config.json',
      [markup.Column('Field', 'name'), markup.Column('Value', 'text')],
      rows=lines,
    ),
  )


def _status(model: report_run.Model) -> markup.Html | str:
  """Returns how a model stands, a failure highlighted."""
  if model.status != 'failed':
    return {'done': 'finished', 'running': 'not finished'}[model.status]
  step = (
    ''
    if model.failed_step is None
    else f' at step {formats.count(model.failed_step)}'
  )
  return markup.tag('span', f'failed{step}', class_='bad')


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
