"""Where models start from: trained models of another run, or exported ones.

`config.init.path` names a run directory, an exported model or a folder of them
(`psm_jax.runs.zoo`); `config.init.match` says which each model starts from:

  one     its only model to every model: person-specific models from a general
          one (PSM's "transfer from GM")
  own     each model to the one of the same cohort
  others  every model of another person to each: K people with a model each
          give K (K - 1) models (PSM's "transfer from person to person")

A model takes the parameters and method state (BatchNorm statistics, loss
window) of the one it starts from; optimiser, step and schedules begin anew, as
published.
"""

import dataclasses
import functools
import operator
from collections.abc import Callable

import jax
import ml_collections
import numpy as np

from psm_jax import methods, presets
from psm_jax.data import store as store_lib
from psm_jax.engine import update
from psm_jax.methods import interface
from psm_jax.runs import run, run_states, zoo

MATCHES = ('one', 'own', 'others')
# Configurations that differ in these make other parameters.
_SHAPING = ('method.name', 'method.width', 'method.vgg', 'data.size_px')


def choose(
  pool: 'Pool | None', cohort: tuple[str, ...], *, match: str
) -> tuple[str | None, ...]:
  """Returns what the models of a cohort start from: model ids, or (None,).

  Args:
    pool: Where models start from; None: from random weights.
    cohort: Person ids of the model that starts.
    match: `config.init.match`.

  Raises:
    ValueError: If the pool gives this cohort nothing.
  """
  if pool is None:
    return (None,)
  if match == 'one' and len(pool.cohorts) != 1:
    raise ValueError(
      f'init.match is one, but {pool.path} holds {len(pool.cohorts)} '
      'sound models. Choose own or others, or the run of one general model.'
    )
  matching = [
    model_id
    for model_id, theirs in pool.cohorts.items()
    if match == 'one' or (theirs == cohort) == (match == 'own')
  ]
  if not matching:
    names = sorted({'+'.join(cohort) for cohort in pool.cohorts.values()})
    raise ValueError(
      f'{pool.path} has no sound model for {"+".join(cohort)} '
      f'(init.match={match}): its models learned from '
      f'{store_lib.list_some(names, limit=5)}.'
    )
  return tuple(matching)


@dataclasses.dataclass(frozen=True)
class Pool:
  """Models that others can start from.

  Attributes:
    path: As the configuration names it.
    cohorts: Person ids that each sound model learned from, by model id, in the
      order in which they are best read.
    people: The same, and those of the models that these began with, and so on.
    read: model_id -> (params, method_state), NumPy.
  """

  path: str
  cohorts: dict[str, tuple[str, ...]]
  people: dict[str, tuple[str, ...]]
  read: Callable[[str], tuple[interface.Tree, interface.Tree]]


def open_pool(config: ml_collections.ConfigDict) -> Pool | None:
  """Returns the models that `config.init.path` names, None if it is empty.

  Raises:
    ValueError: If it is no run and no zoo, or of models of other parameters
      than the configuration's.
  """
  if not config.init.path:
    return None
  read = _of_zoo if zoo.is_zoo(config.init.path) else _of_run
  return read(config.init.path, config)


def _of_zoo(path, config):
  folders = zoo.folders_of(path)
  cohorts, people = {}, {}
  for name, folder in folders.items():
    described = zoo.describe(folder)
    theirs = presets.config_of(described['config'], where=folder)
    _check_shapes(config, theirs, folder)
    cohorts[name] = tuple(described['cohort'])
    people[name] = (*described['cohort'], *described['pretrained_on'])

  def read(name):
    model = zoo.load(folders[name])
    return model.params, model.method_state

  return Pool(path, cohorts, people, read)


def _of_run(path, config):
  opened = run.open_run(path)
  _check_shapes(config, opened.config, path)
  ids = [model.model_id for model in opened.models]

  @functools.cache
  def states():
    return run_states.RunStates(opened, methods.abstract(opened.config))

  def read(name):
    state = states().model(ids.index(name))
    return state.params, state.method_state

  sound = [model for model in opened.models if model.failed_step is None]
  cohorts = {model.model_id: tuple(model.cohort) for model in sound}
  pretrained = run.read_pretrained(path)
  people = {
    m.model_id: (*m.cohort, *pretrained.get(m.init_from, ())) for m in sound
  }
  return Pool(path, cohorts, people, read)


def _check_shapes(config, theirs, path):
  for field in _SHAPING:
    here, there = (
      functools.reduce(operator.getitem, field.split('.'), side)
      for side in (config, theirs)
    )
    if here != there:
      raise ValueError(
        f'{field} is {here!r}, but {there!r} in init.path {path}: their '
        f'models have other parameters. Set it to {there!r}.'
      )


def start(
  states: update.TrainState, init_from: list[str | None], *, pool: Pool
) -> update.TrainState:
  """Returns initial states with the parameters and method states of others.

  Args:
    states: Stacked, leaves [N, ...] NumPy, as `Population.init` makes them.
    init_from: N model ids of the pool.
    pool: Where they are.

  Raises:
    ValueError: If the pool has no checkpoint.
  """
  # In the pool's order, so that each wave of a run is read once.
  given: dict[str | None, tuple] = {
    name: pool.read(name) for name in pool.cohorts if name in init_from
  }
  params, method_states = zip(*(given[name] for name in init_from), strict=True)

  def stack(trees):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)

  return dataclasses.replace(
    states, params=stack(params), method_state=stack(method_states)
  )
