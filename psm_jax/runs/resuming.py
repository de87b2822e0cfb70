"""What may differ between the start of a run and its resumption."""

import contextlib
import importlib.metadata
import pathlib
from collections.abc import Sequence

import ml_collections
from absl import logging
from flax import traverse_util

from psm_jax import presets
from psm_jax.data import store as store_lib
from psm_jax.ops import precision

_PACKAGES = ('psm_jax', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint')
# These may differ between the start of a run and its resumption.
_FREE_FIELDS = (
  'data.feed',
  'train.compilation_cache',
  'train.microbatches',
  'train.remat',
  'population.strategy',
  'population.lowering',
  'population.chunk',
  'population.num_devices',
  'population.data_parallel',
  'population.precision',  # What it comes to is compared instead.
  'train.save_minutes',
  'train.save_steps',
  'train.keep_steps',
)
# These may rise; `planning.check_longer` looks at the steps done.
_RISING = ('train.steps', 'train.epochs', 'total_steps', 'num_epochs')
# These may not differ, and follow from the data.
_PLANNED = (
  'cohort',
  'seed',
  'init_from',
  'total_steps',
  'num_epochs',
  'num_frames',
  'num_videos',
  'frames_digest',
)


def _flatten(config):
  """Returns the values of a configuration by dotted names."""
  flat = traverse_util.flatten_dict(config.to_dict(), sep='.')
  return {field: presets.with_tuples(value) for field, value in flat.items()}


def check_config(
  old: ml_collections.ConfigDict,
  new: ml_collections.ConfigDict,
  computed_in: str,
  workdir: pathlib.Path,
):
  """Raises ValueError if a run began with another configuration.

  Args:
    old: What it began with.
    new: What it is to go on with.
    computed_in: The number type that `old` came to.
    workdir: The run directory, for the message.
  """
  computes_in = precision.compute_dtype(new).name
  old, new = _flatten(old), _flatten(new)
  changed = [
    f'{field}: {old[field]!r} there, {new.get(field)!r} now'
    for field in sorted(old)
    if field not in _FREE_FIELDS and _differs(field, old[field], new.get(field))
  ]
  if computes_in != computed_in:
    changed.append(
      f'population.precision: comes to {computed_in} there, {computes_in} now'
    )
  if changed:
    raise ValueError(
      f'{workdir} holds a run of another configuration ({"; ".join(changed)}).'
      ' Choose another --workdir, or go on with the same configuration.'
    )


def _differs(field, before, after):
  """Whether a field has another value than it may have after a start."""
  return after < before if field in _RISING else after != before


def check_models(old: Sequence, new: Sequence, workdir: pathlib.Path):
  """Raises ValueError if a run began with other people, videos or frames.

  Args:
    old: The `run.Model`s it began with.
    new: Those it is to go on with.
    workdir: The run directory, for the message.
  """
  there = {model.model_id: model for model in old}
  now = {model.model_id: model for model in new}
  changed = [
    f'{model_id} is only {"there" if model_id in there else "here"}'
    for model_id in sorted(there.keys() ^ now.keys())
  ]
  for model_id in sorted(there.keys() & now.keys()):
    values = ((getattr(m[model_id], f) for m in (there, now)) for f in _PLANNED)
    changed += [
      f'{model_id}: {field} {before!r} there, {after!r} now'
      for field, (before, after) in zip(_PLANNED, values, strict=True)
      if _differs(field, before, after)
    ]
  if changed:
    raise ValueError(
      f'{workdir} holds a run of other data ({store_lib.list_some(changed)}). '
      'Choose another --workdir, or bring back the data it began with.'
    )


def versions() -> dict[str, str]:
  """Returns the versions of the packages that decide what a model becomes."""
  installed = {}
  for package in _PACKAGES:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      installed[package] = importlib.metadata.version(package)
  return installed


def warn_of_versions(there: dict[str, str], workdir: pathlib.Path):
  """Says which packages have changed since a run began.

  Args:
    there: What `versions` gave then.
    workdir: The run directory.
  """
  here = versions()
  changed = [
    f'{package} {there.get(package)} then, {here.get(package)} now'
    for package in sorted(here.keys() | there.keys())
    if here.get(package) != there.get(package)
  ]
  if changed:
    logging.warning(
      '%s began with other packages (%s). It goes on, but not bit for bit as '
      'an unbroken run would.',
      workdir,
      '; '.join(changed),
    )
