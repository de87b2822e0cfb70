"""Where models start from: trained models of another run, or exported ones.

`config.init.source` names a run directory, an exported model or a folder of
them (`psm_jax.runs.zoo`); `config.init.donors` says who gives to whom:

  one     its only model to every model: person-specific models from a general
          one (PSM's "transfer from GM")
  own     each model to the one of the same cohort
  others  every model of another person to each: K people with a model each
          give K (K - 1) models (PSM's "transfer from person to person")

A model takes its donor's parameters and method state (BatchNorm statistics,
loss window); optimiser, step and schedules begin anew, as published.
"""

import dataclasses
from collections.abc import Callable

import jax
import ml_collections
import numpy as np

from psm_jax import methods
from psm_jax.engine import update
from psm_jax.methods import interface
from psm_jax.runs import checkpoint, run, zoo

DONORS = ('one', 'own', 'others')
# Configurations that differ in these make other parameters.
_SHAPING = ('method.name', 'method.width', 'method.vgg', 'data.size_px')


def donors_of(
  source: 'Source | None', cohort: tuple[str, ...], *, donors: str
) -> tuple[str | None, ...]:
  """Returns the donors of a cohort: model ids of the source, or (None,).

  Args:
    source: Where models start from; None: from random weights.
    cohort: Person ids of the model that starts.
    donors: `config.init.donors`.

  Raises:
    ValueError: If the source gives this cohort nothing.
  """
  if source is None:
    return (None,)
  if donors == 'one' and len(source.cohorts) != 1:
    raise ValueError(
      f'init.donors is one, but {source.path} holds {len(source.cohorts)} '
      'sound models. Choose own or others, or the run of one general model.'
    )
  found = [
    donor
    for donor, donor_cohort in source.cohorts.items()
    if _gives(donors, donor_cohort, cohort)
  ]
  if not found:
    raise ValueError(
      f'{source.path} has no sound model for {"+".join(cohort)} '
      f'(init.donors={donors}): its models learned from '
      f'{_list_cohorts(source.cohorts.values())}.'
    )
  return tuple(found)


@dataclasses.dataclass(frozen=True)
class Source:
  """Models that others can start from.

  Attributes:
    path: As the configuration names it.
    cohorts: Person ids that each sound model learned from, by model id, in the
      order in which they are best read.
    read: model_id -> (params, method_state), NumPy.
  """

  path: str
  cohorts: dict[str, tuple[str, ...]]
  read: Callable[[str], tuple[interface.Tree, interface.Tree]]


def open_source(config: ml_collections.ConfigDict) -> Source | None:
  """Returns the models that `config.init.source` names, None if it is empty.

  Raises:
    ValueError: If it is no run and no zoo, or of models of other parameters
      than the configuration's.
  """
  if not config.init.source:
    return None
  read = _of_zoo if zoo.is_zoo(config.init.source) else _of_run
  return read(config.init.source, config)


def _of_zoo(path, config):
  folders = zoo.folders_of(path)
  cohorts = {}
  for name, folder in folders.items():
    described = zoo.describe(folder)
    _check_shapes(config, run.config_of(described['config']), folder)
    cohorts[name] = tuple(described['cohort'])

  def read(name):
    model = zoo.load(folders[name])
    return model.params, model.method_state

  return Source(path, cohorts, read)


def _of_run(path, config):
  opened = run.open_run(path)
  _check_shapes(config, opened.config, path)
  states = None

  def read(name):
    nonlocal states
    if states is None:
      states = checkpoint.RunStates(opened, methods.outline(opened.config))
    ids = [model.model_id for model in opened.models]
    state = states.model(ids.index(name))
    return state.params, state.method_state

  cohorts = {
    model.model_id: tuple(model.cohort)
    for model in opened.models
    if model.failed_step is None
  }
  return Source(path, cohorts, read)


def _gives(donors, donor_cohort, cohort):
  if donors == 'one':
    return True
  return (donor_cohort == cohort) == (donors == 'own')


def _list_cohorts(cohorts):
  names = sorted({'+'.join(cohort) for cohort in cohorts})
  more = f' and {len(names) - 5} more' if len(names) > 5 else ''
  return ', '.join(names[:5]) + more


def _value(config, field):
  for name in field.split('.'):
    config = config[name]
  return config


def _check_shapes(config, theirs, path):
  for field in _SHAPING:
    here, there = _value(config, field), _value(theirs, field)
    if here != there:
      raise ValueError(
        f'{field} is {here!r}, but {there!r} in init.source {path}: their '
        f'models have other parameters. Set it to {there!r}.'
      )


def start(
  states: update.TrainState, donors: list[str | None], *, source: Source
) -> update.TrainState:
  """Returns initial states with their donors' parameters and method states.

  Args:
    states: Stacked, leaves [N, ...] NumPy, as `Population.init` makes them.
    donors: N model ids of the source.
    source: Where they are.

  Raises:
    ValueError: If the source has no checkpoint.
  """
  # In the source's order, so that each wave of a run is read once.
  given = {name: source.read(name) for name in source.cohorts if name in donors}
  params, method_states = zip(*(given[name] for name in donors), strict=True)

  def stack(trees):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)

  return dataclasses.replace(
    states, params=stack(params), method_state=stack(method_states)
  )
