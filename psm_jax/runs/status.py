"""How runs stand, from what they wrote down; nothing is opened to write.

for line in status.lines(pathlib.Path('runs/lab')):
print(line)
"""

import collections
import pathlib
import time
from collections.abc import Sequence

from psm_jax.runs import metrics, progress, run, shards

_COLUMNS = {'step': int, 'model_id': str, 'steps_per_s': float}
_HEADER = (
  'shard',
  'models',
  'unfinished',
  'step',
  'of',
  'steps/s',
  'left',
  'last row',
  'saved',
  'held',
)


def parts(opened: run.Run) -> list[dict]:
  """Returns how each shard of a run stands; one for a run of no shards.

  Each is {'shard', 'models', 'unfinished': how many of them, 'step' and
  'total': steps of all of them, 'rate': steps a second or None, 'left_s',
  'row_age_s', 'saved_age_s': seconds or None if unknown, 'is_held'}.
  """
  logged = metrics.read(opened.workdir, _COLUMNS)
  logged = logged.sort_values('step', kind='stable')
  by_shard = collections.defaultdict(list)
  for model in opened.models:
    by_shard[model.shard].append(model)
  return [
    _part(opened, shard, models, logged)
    for shard, models in sorted(by_shard.items())
  ]


def _part(opened, shard, models, logged):
  workdir, ids = opened.workdir, {model.model_id for model in models}
  rows = logged[logged['model_id'].isin(ids)]
  latest = rows.groupby('model_id').last()
  steps = {
    model.model_id: max(
      model.steps_done,
      int(latest['step'].get(model.model_id, 0)),
    )
    for model in models
  }
  running = [model for model in models if model.status == 'running']
  rate = float(rows['steps_per_s'].iloc[-1]) if len(rows) else None
  # A wave lasts as long as its longest model.
  left = sum(
    max(model.total_steps - steps[model.model_id] for model in members)
    for members in shards.waves_of(running).values()
  )
  numbers = {model.waves[-1] for model in models}
  part = shards.Shard(shard, opened.num_shards)
  files = metrics.tables(workdir)
  if not part.is_alone:
    files = [run.shard_file(workdir, number, 'csv') for number in numbers]
  saves = [
    path
    for number in {n for model in models for n in model.waves}
    for path in (workdir / 'checkpoints' / f'wave{number:03d}').glob('*')
    if path.name.isdigit()
  ]
  return {
    'shard': shard,
    'models': len(models),
    'unfinished': len(running),
    'step': sum(steps.values()),
    'total': sum(model.total_steps for model in models),
    'rate': rate,
    'left_s': left / rate if rate else (None if running else 0.0),
    'row_age_s': _age(files),
    'saved_age_s': _age(saves),
    'is_held': (workdir / part.lock).exists(),
  }


def _age(files: Sequence[pathlib.Path]) -> float | None:
  times = [path.stat().st_mtime for path in files if path.exists()]
  return max(0.0, time.time() - max(times)) if times else None


def lines(workdir: pathlib.Path) -> list[str]:
  """Returns a run's state as text: in all, a row a shard, and who is frozen.

  Raises:
    ValueError: If it is no run directory.
  """
  opened = run.open_run(workdir)
  # Whether a process is at work on them, the locks say, not the models.
  words = {'running': 'not finished'}
  states = collections.Counter(
    words.get(model.status, model.status) for model in opened.models
  )
  counted = ', '.join(f'{count} {state}' for state, count in states.items())
  text = [f'{workdir}: {len(opened.models)} models, {counted}.']
  rows = [_HEADER] + [_cells(part) for part in parts(opened)]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  text += [
    '  '.join(
      cell.rjust(width) for cell, width in zip(row, widths, strict=True)
    )
    for row in rows
  ]
  return text + [
    f'{model.model_id} is frozen since step {model.failed_step}: its loss or '
    'gradient was not finite.'
    for model in opened.models
    if model.status == 'failed'
  ]


def _cells(part):
  rate = part['rate']
  return (
    *(str(part[name]) for name in ('shard', 'models', 'unfinished')),
    *(str(part[name]) for name in ('step', 'total')),
    '-' if rate is None else f'{rate:.2f}',
    _in_words(part['left_s']),
    _in_words(part['row_age_s'], ' ago'),
    _in_words(part['saved_age_s'], ' ago'),
    'yes' if part['is_held'] else 'no',
  )


def _in_words(seconds, ending=''):
  """Returns a time of about that length, '-' for none."""
  return '-' if seconds is None else progress.in_words(seconds) + ending
