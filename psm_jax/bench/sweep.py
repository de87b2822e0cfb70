"""A benchmark's rows, one process after another, each with a time limit.

  result = sweep.run(config, num_models=(1, 8, 32), strategies=('vmap',))

A row that takes too long is ended and listed as such: some lowerings compile
for many minutes. This process touches no device, so that each row's process has
all of its memory.
"""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence

import ml_collections
from absl import logging

from psm_jax import config_check
from psm_jax.bench import row as row_lib


def run(
  config: ml_collections.ConfigDict,
  *,
  num_models: Sequence[int],
  strategies: Sequence[str] = ('auto',),
  lowerings: Sequence[str] = ('matmul',),
  options: row_lib.Options = row_lib.DEFAULT,
) -> dict:
  """Returns the rows of all combinations, and one of embedding frames.

  Args:
    config: The experiment; its data are not read.
    num_models: Sizes of the population.
    strategies: Values of `population.strategy`.
    lowerings: Values of `population.lowering`; strategy loop knows only one.
    options: How to measure.

  Returns:
    {'config', 'options', 'rows': [{'num_models', 'strategy', 'lowering',
    'precision', ...}], 'embed': {...}}, to be written as JSON. A row that could
    not be measured has 'failed' instead of numbers.

  Raises:
    ValueError: If a field cannot be run.
  """
  config = config.copy_and_resolve_references()
  config.data.source = 'store' if options.store else 'synthetic_faces'
  config.data.path = options.store
  planned = []
  for strategy in strategies:
    for lowering in lowerings if strategy != 'loop' else lowerings[:1]:
      variant = config.copy_and_resolve_references()
      variant.population.update(strategy=strategy, lowering=lowering)
      config_check.check(variant)
      planned.append((variant, 'native' if strategy == 'loop' else lowering))
  if min(num_models) < 1:
    raise ValueError(f'num_models is {min(num_models)}; expected at least 1.')
  rows, too_long = [], {}
  for size in sorted(set(num_models)):
    for variant, lowering in planned:
      key = (variant.population.strategy, lowering)
      described = {
        'num_models': size,
        'strategy': key[0],
        'lowering': lowering,
        'precision': variant.population.precision,
      }
      if key in too_long:
        measured = {'failed': f'{too_long[key]} for fewer models'}
      else:
        measured = measure_row('step', variant, size, options)
        if measured.get('failed', '').startswith('over'):
          too_long[key] = measured['failed']
      rows.append(described | measured)
      logging.info('%s', describe(rows[-1]))
  return {
    'config': config.to_dict(),
    'options': dataclasses.asdict(options),
    'rows': rows,
    'embed': measure_row('embed', config, 1, options),
  }


def measure_row(
  task: str,
  config: ml_collections.ConfigDict,
  num_models: int,
  options: row_lib.Options,
) -> dict:
  """Returns what `row.measure` does in a process with a time limit."""
  work = {
    'task': task,
    'config': config.to_dict(),
    'num_models': num_models,
    'options': dataclasses.asdict(options),
  }
  try:
    ended = subprocess.run(
      [sys.executable, '-m', row_lib.__name__],
      input=json.dumps(work),
      stdout=subprocess.PIPE,
      text=True,
      timeout=options.limit_s,
      check=False,
    )
  except subprocess.TimeoutExpired:
    return {'failed': f'over {options.limit_s:g} s'}
  lines = ended.stdout.splitlines()
  if ended.returncode or not lines:
    how = f'exit code {ended.returncode}'
    if ended.returncode < 0:
      how = f'ended by signal {-ended.returncode}, perhaps for want of memory'
    return {'failed': f'{how}; see its messages above'}
  return json.loads(lines[-1])


def describe(row: dict) -> str:
  """Returns one row in a line, for a log."""
  name = f'{row["num_models"]} models, {row["strategy"]}, {row["lowering"]}'
  if 'failed' in row:
    return f'{name}: {row["failed"]}'
  return (
    f'{name}: {row["model_steps_per_s"]:.3g} model-steps/s, '
    f'{row["speedup"]:.2f}x of one after another'
  )
