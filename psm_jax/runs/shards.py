"""How machines share a run: which of its models each of them trains.

A shard is one of n machines. Its models train in waves, each with a folder of
checkpoints; models.json keeps the shard and the waves of each model. A run may
go on with another number of shards: waves that are not over are then dealt
anew, divided where they must be, and never joined, since what trains together
has taken equally many steps.

Beside models.json, every shard writes files of its own alone, so that parts of
a run may be made in several places and copied together:

shards/wave003.json   how the models of a wave are
shards/wave003.csv    their metrics
"""

import contextlib
import dataclasses
import itertools
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

import ml_collections
import numpy as np

from psm_jax import paths
from psm_jax.runs import locks, run

# Where schedulers say which of how many a process is.
_INDEX = ('SLURM_ARRAY_TASK_ID', 'JOB_COMPLETION_INDEX', 'TPU_WORKER_ID')
_FIRST, _COUNT = 'SLURM_ARRAY_TASK_MIN', 'SLURM_ARRAY_TASK_COUNT'
_LAST = 'SLURM_ARRAY_TASK_MAX'
_HOSTS = 'TPU_WORKER_HOSTNAMES'


@dataclasses.dataclass(frozen=True)
class Shard:
  """One of the machines that share a run: number `index` of `count`."""

  index: int = 0
  count: int = 1

  @property
  def is_alone(self) -> bool:
    """Whether nobody shares the run."""
    return self.count == 1

  @property
  def lock(self) -> str:
    """Name of the lock that whoever trains it holds, see `locks`."""
    if self.is_alone:
      return locks.WHOLE
    return f'.lock-{self.index}-of-{self.count}'


ALONE = Shard()


def parse(
  text: str | None, *, environment: Mapping[str, str] = os.environ
) -> Shard:
  """Returns the shard that a flag names: i/n, auto/n or auto; None: all.

  auto takes the index from `SLURM_ARRAY_TASK_ID`, `JOB_COMPLETION_INDEX` or
  `TPU_WORKER_ID`, and n, if it is not given, from what says how many there are.

  Raises:
    ValueError: If it names none.
  """
  if text is None:
    return ALONE
  match = re.fullmatch(r'(\d+|auto)(?:/(\d+))?', text)
  if not match or (match[1] != 'auto' and not match[2]):
    raise ValueError(f'--shard={text} should be like 0/4, auto or auto/4.')
  if match[1] == 'auto':
    _check_array(text, match[2], environment)
  index = match[1] if match[1] != 'auto' else _detected_index(environment)
  shard = Shard(int(index), int(match[2] or _detected_count(environment)))
  if not 0 <= shard.index < shard.count:
    raise ValueError(
      f'--shard={text} is number {shard.index} of {shard.count}; numbers go '
      f'from 0 to {shard.count - 1}.'
    )
  return shard


def _check_array(text, count, environment):
  """Refuses a part of an array: its numbers would be those of other shards."""
  given = [environment.get(name) for name in (_FIRST, _LAST, _COUNT)]
  if not all(given):
    return
  first, last, tasks = map(int, given)
  has_gaps = last - first + 1 != tasks
  if has_gaps or (tasks == 1 and first) or (count and int(count) != tasks):
    raise ValueError(
      f'--shard={text} takes a whole array, such as 0-7, but this one is of '
      f'{tasks} tasks from {first} to {last}. Start the whole array again: '
      'shards that are done end at once. Or start a shard alone, without an '
      'array, as --shard=i/n.'
    )


def _detected_index(environment):
  for name in _INDEX:
    if environment.get(name):
      return int(environment[name]) - int(environment.get(_FIRST) or 0)
  raise ValueError(
    f'--shard=auto needs one of {", ".join(_INDEX)}, but none is set. Give the '
    'shard as --shard=i/n.'
  )


def _detected_count(environment):
  if environment.get(_COUNT):
    return environment[_COUNT]
  if environment.get(_HOSTS):
    return len(environment[_HOSTS].split(','))
  raise ValueError(
    f'--shard=auto needs {_COUNT} or {_HOSTS}, but neither is set. Say how '
    'many shards there are: --shard=auto/n.'
  )


def balanced(costs: Sequence[float], num_parts: int) -> list[range]:
  """Returns consecutive ranges of about equal sums of costs, none empty.

  Raises:
    ValueError: If there are fewer costs than parts.
  """
  if len(costs) < num_parts:
    raise ValueError(
      f'{num_parts} shards were asked for, but there are only {len(costs)} '
      f'models. Give at most {len(costs)} shards.'
    )
  ends = np.cumsum(costs)
  # Each border lies where the sum is nearest to its share.
  middles = ends - np.asarray(costs) / 2
  shares = ends[-1] * np.arange(1, num_parts) / num_parts
  borders = [0]
  for number, border in enumerate(np.searchsorted(middles, shares), start=1):
    most = len(costs) - (num_parts - number)
    borders.append(int(min(max(border, borders[-1] + 1), most)))
  borders.append(len(costs))
  return [range(*pair) for pair in itertools.pairwise(borders)]


def deal(models: Sequence[run.Model], num_shards: int, *, wave: int):
  """Gives each model of a new run its shard and its wave.

  Args:
    models: The run's; changed.
    num_shards: How many machines share it.
    wave: Models that train together at most; 0: all of a shard.

  Raises:
    ValueError: If there are fewer models than shards.
  """
  number = 0
  costs = [model.total_steps for model in models]
  for shard, block in enumerate(balanced(costs, num_shards)):
    for place, index in enumerate(block):
      if place and wave and place % wave == 0:
        number += 1
      models[index].shard, models[index].waves = shard, (number,)
    number += 1


def deal_anew(models: Sequence[run.Model], num_shards: int):
  """Gives the models that still train to another number of shards.

  Whole waves, where there are enough of them; else they are divided.

  Args:
    models: The run's; changed.
    num_shards: How many machines share it from now on.

  Raises:
    ValueError: If there are fewer models than shards.
  """
  waves = [
    members
    for members in waves_of(models).values()
    if any(model.status == 'running' for model in members)
  ]
  if not waves:
    return
  if len(waves) < num_shards:
    waves = [[model] for members in waves for model in members]
  costs = [sum(model.total_steps for model in members) for members in waves]
  for shard, block in enumerate(balanced(costs, num_shards)):
    for index in block:
      for model in waves[index]:
        model.shard = shard
  _divide(models)


def _divide(models):
  """Gives waves whose models are of several shards new numbers, one each."""
  unused = 1 + max(number for model in models for number in model.waves)
  for members in waves_of(models).values():
    parts = {}
    for model in members:
      parts.setdefault(model.shard, []).append(model)
    if len(parts) == 1:
      continue
    for part in parts.values():
      for model in part:
        model.waves += (unused,)
      unused += 1


def indices_of(opened: run.Run, shard: Shard) -> Sequence[int]:
  """Returns which models of a run a shard uses: those it trained, if it can.

  A part of a run that was trained elsewhere may not be here. If another number
  of machines shares them now, each takes about as many frames.

  Raises:
    ValueError: If there are fewer models than shards.
  """
  models = opened.models
  numbers = {model.shard for model in models}
  if numbers == set(range(shard.count)):
    return [i for i, model in enumerate(models) if model.shard == shard.index]
  return balanced([m.num_frames for m in models], shard.count)[shard.index]


def waves_of(models: Sequence[run.Model]) -> dict[int, list[run.Model]]:
  """Returns the models that train together, by the number of their wave."""
  waves: dict[int, list[run.Model]] = {}
  for model in models:
    waves.setdefault(model.waves[-1], []).append(model)
  return waves


def starting(workdir: pathlib.Path) -> contextlib.AbstractContextManager[None]:
  """Lets one process at a time start or join a run; the others wait."""
  return paths.locked(
    paths.make_private_dir(workdir) / '.starting',
    busy=f'Another process is starting in {workdir}.',
    wait=True,
  )


def start(
  workdir: pathlib.Path,
  config: ml_collections.ConfigDict,
  models: Sequence[run.Model],
  data_dir: pathlib.Path,
  *,
  shard: Shard,
):
  """Starts a run or joins it; the models are given their shards and waves.

  Call it within `starting` and `locks.locked`.

  Args:
    workdir: The run directory.
    config: The experiment.
    models: The run's; changed.
    data_dir: Where prepared data lie.
    shard: Who is starting.

  Raises:
    ValueError: If it cannot be started, or is shared otherwise by machines
      that are still at it.
  """
  if not (workdir / 'config.json').exists():
    deal(models, shard.count, wave=config.population.wave)
    run.start(workdir, config, models, data_dir, num_shards=shard.count)
    return
  run.start(workdir, config, models, data_dir)
  before = run.open_run(workdir).num_shards
  if before == shard.count:
    return
  try:
    locks.check_free(workdir, '.lock-*', but=shard.lock)
  except ValueError:
    raise ValueError(
      f'{workdir} is shared by {before} processes, and some are at it: it '
      f'cannot be shared by {shard.count} now. Stop them first, or start one '
      f'that is missing, as --shard=i/{before}.'
    ) from None
  deal_anew(models, shard.count)
  run.write_models(
    workdir, config.method.name, models, data_dir, num_shards=shard.count
  )
