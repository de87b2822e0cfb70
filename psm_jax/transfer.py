"""Where models start from: the trained models of another run.

`config.init.source` names a run directory; `config.init.donors` says who gives
to whom:

  one     its only model to every model: person-specific models from a general
          one (PSM's "transfer from GM")
  own     each model to the one of the same cohort
  others  every model of another person to each: K people with a model each
          give K (K - 1) models (PSM's "transfer from person to person")

A model takes its donor's parameters and method state (BatchNorm statistics,
loss window); optimiser, step and schedules begin anew, as published.
"""

import dataclasses
import pathlib

import jax
import ml_collections
import numpy as np

from psm_jax import checkpoint, run, sampling
from psm_jax import population as population_lib
from psm_jax.methods import interface

DONORS = ('one', 'own', 'others')
# Configurations that differ in these make other parameters.
_SHAPING = ('method.name', 'method.width', 'method.vgg', 'data.size_px')


def donors_of(
  config: ml_collections.ConfigDict, cohort: tuple[str, ...]
) -> tuple[str | None, ...]:
  """Returns the donors of a cohort: model ids of the source, or (None,).

  Raises:
    ValueError: If the source is no run that fits `config.init.donors`, or gives
      this cohort nothing.
  """
  if not config.init.source:
    return (None,)
  source = run.open_run(config.init.source)
  _check_shapes(config, source)
  found = [
    donor.model_id
    for donor in source.models
    if donor.failed_step is None and _gives(config.init.donors, donor, cohort)
  ]
  if config.init.donors == 'one' and len(source.models) != 1:
    raise ValueError(
      f'init.donors is one, but {config.init.source} holds '
      f'{len(source.models)} models. Choose own or others, or the run of one '
      'general model.'
    )
  if not found:
    raise ValueError(
      f'{config.init.source} has no sound model for {"+".join(cohort)} '
      f'(init.donors={config.init.donors}): its models learned from '
      f'{_list_cohorts(source.models)}.'
    )
  return tuple(found)


def _gives(donors, donor, cohort):
  if donors == 'one':
    return True
  return (tuple(donor.cohort) == cohort) == (donors == 'own')


def _list_cohorts(models):
  cohorts = sorted({'+'.join(model.cohort) for model in models})
  more = f' and {len(cohorts) - 5} more' if len(cohorts) > 5 else ''
  return ', '.join(cohorts[:5]) + more


def _check_shapes(config, source):
  for field in _SHAPING:
    here, there = config, source.config
    for name in field.split('.'):
      here, there = here[name], there[name]
    if here != there:
      raise ValueError(
        f'{field} is {here!r}, but {there!r} in init.source '
        f'{source.workdir}: their models have other parameters. Set it to '
        f'{there!r}.'
      )


def start(
  states: population_lib.TrainState,
  donors: list[str | None],
  *,
  source: str | pathlib.Path,
  method: interface.Method,
  clock: sampling.Clock,
) -> population_lib.TrainState:
  """Returns initial states with their donors' parameters and method states.

  Args:
    states: Stacked, leaves [N, ...] NumPy, as `Population.init` makes them.
    donors: N model ids of the source.
    source: The donors' run directory.
    method: What both runs learn.
    clock: Of any model; gives shapes.

  Raises:
    ValueError: If the source has no checkpoint.
  """
  donor_run = run.open_run(source)
  ids = [model.model_id for model in donor_run.models]
  donor_states = checkpoint.RunStates(
    donor_run.workdir,
    ids,
    wave=donor_run.config.population.wave,
    method=method,
    clock=clock,
  )
  # In the donors' order, so that each of their waves is read once.
  given = {
    donor: donor_states.model(ids.index(donor))
    for donor in sorted(set(donors), key=ids.index)
  }

  def stack(field):
    trees = [getattr(given[donor], field) for donor in donors]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)

  return dataclasses.replace(
    states, params=stack('params'), method_state=stack('method_state')
  )
