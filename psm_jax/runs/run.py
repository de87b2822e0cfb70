"""The run directory: its configuration, its models, and who may write it.

config.json   the experiment and the versions of the packages
models.json   the models: cohort, seed, steps, status, who trains them
checkpoints/  embeddings/  evaluation/  metrics.csv  report.html
"""

import contextlib
import dataclasses
import fcntl
import importlib.metadata
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import TextIO

import ml_collections

from psm_jax import paths
from psm_jax.data import store as store_lib

SCHEMA_VERSION = 1
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
  'train.save_minutes',
  'train.save_steps',
  'train.keep_steps',
)
# These may not, and follow from the data.
_PLANNED = (
  'cohort',
  'seed',
  'init_from',
  'total_steps',
  'num_epochs',
  'num_frames',
  'num_videos',
)
# What changes as a model trains.
_STATE = ('status', 'steps_done', 'failed_step')


@dataclasses.dataclass
class Model:
  """One model of a run, as models.json keeps it.

  Attributes:
    model_id: Method, cohort and seed; unique in the run.
    cohort: Person ids that it learns from.
    seed: Its own seed.
    init_from: Model of `config.init.path` that it starts from, if any.
    total_steps: Steps after which it is done.
    num_epochs: Epochs in these steps.
    num_frames: Frames of its cohort.
    num_videos: Videos of its cohort.
    gap_cap: Largest gap that leaves a batch, if the curriculum met it.
    status: 'running', 'done' or 'failed'.
    steps_done: Updates taken.
    failed_step: Step whose loss or update was not finite, if one was.
    shard: Which of the machines that share the run trains it.
    waves: Folders of its checkpoints: the last one is that of the models which
      train together with it now; in those before it began.
  """

  model_id: str
  cohort: tuple[str, ...]
  seed: int
  total_steps: int
  num_epochs: int
  num_frames: int
  num_videos: int
  gap_cap: int | None
  status: str = 'running'
  steps_done: int = 0
  failed_step: int | None = None
  init_from: str | None = None
  shard: int = 0
  waves: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Run:
  """What a run directory says of itself."""

  workdir: pathlib.Path
  config: ml_collections.ConfigDict
  models: tuple[Model, ...]
  data_dir: pathlib.Path
  num_shards: int


def start(
  workdir: pathlib.Path,
  config: ml_collections.ConfigDict,
  models: Sequence[Model],
  data_dir: pathlib.Path,
  *,
  num_shards: int = 1,
):
  """Writes config.json and models.json, or checks those of an earlier start.

  Models are then given their places in it, and how they ended if they did.

  Raises:
    ValueError: If the directory holds a run of another configuration or of
      other data.
  """
  path = workdir / 'config.json'
  if path.exists():
    _check_same(_read_config(path), config, workdir)
    earlier = open_run(workdir).models
    _check_same_models(earlier, models, workdir)
    for model, before in zip(models, earlier, strict=True):
      model.shard, model.waves = before.shard, before.waves
      if before.status != 'running':
        model.status = before.status
        model.steps_done = before.steps_done
        model.failed_step = before.failed_step
    return
  text = json.dumps({**config.to_dict(), 'versions': versions()}, indent=2)
  write_models(
    workdir, config.method.name, models, data_dir, num_shards=num_shards
  )
  paths.write_atomic(path, text + '\n')


def versions() -> dict[str, str]:
  """Returns the versions of the packages that decide what a model becomes."""
  found = {}
  for package in _PACKAGES:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      found[package] = importlib.metadata.version(package)
  return found


def config_of(content: dict) -> ml_collections.ConfigDict:
  """Returns the configuration that JSON content holds, lists as tuples."""
  return ml_collections.ConfigDict(_with_tuples(content))


def write_models(
  workdir: pathlib.Path,
  method: str,
  models: Sequence[Model],
  data_dir: pathlib.Path,
  *,
  num_shards: int = 1,
):
  """Writes models.json."""
  content = {
    'schema_version': SCHEMA_VERSION,
    'method': method,
    'data_dir': str(data_dir),
    'num_shards': num_shards,
    'models': [dataclasses.asdict(model) for model in models],
  }
  paths.write_atomic(
    workdir / 'models.json', json.dumps(content, indent=1) + '\n'
  )


def shard_file(workdir: pathlib.Path, wave: int, suffix: str) -> pathlib.Path:
  """Returns the file of a wave that its shard alone writes."""
  return workdir / 'shards' / f'wave{wave:03d}.{suffix}'


def write_states(workdir: pathlib.Path, wave: int, models: Sequence[Model]):
  """Writes how the models of a wave are, beside models.json."""
  path = shard_file(workdir, wave, 'json')
  paths.make_private_dir(path.parent)
  content = {
    model.model_id: {name: getattr(model, name) for name in _STATE}
    for model in models
  }
  paths.write_atomic(path, json.dumps(content, indent=1) + '\n')


def with_states(workdir: pathlib.Path, content: dict) -> dict:
  """Returns the content of models.json with what shards wrote beside it."""
  for path in sorted(workdir.glob('shards/wave*.json')):
    states = json.loads(path.read_text('utf-8'))
    for model in content['models']:
      # A model that has ended stays as it is.
      if model['status'] == 'running' and model['model_id'] in states:
        model |= states[model['model_id']]
  return content


def open_run(workdir: str | pathlib.Path) -> Run:
  """Returns what a run directory holds.

  Raises:
    ValueError: If it is no run directory.
  """
  workdir = pathlib.Path(workdir)
  for name in ('config.json', 'models.json'):
    if not (workdir / name).is_file():
      raise ValueError(
        f'{workdir} is no run directory: it has no {name}. Train first: '
        f'python -m launch.train --config=... --workdir={workdir}'
      )
  content = json.loads((workdir / 'models.json').read_text())
  if content.get('schema_version') != SCHEMA_VERSION:
    raise ValueError(
      f'{workdir}/models.json has schema version '
      f'{content.get("schema_version")!r}; this program reads {SCHEMA_VERSION}.'
    )
  config = _read_config(workdir / 'config.json')
  models = []
  for index, entry in enumerate(with_states(workdir, content)['models']):
    model = Model(**{**entry, 'cohort': tuple(entry['cohort'])})
    # Runs from before they could be shared do not say.
    size = config.population.wave or len(content['models'])
    model.waves = tuple(model.waves) or (index // size,)
    models.append(model)
  return Run(
    workdir,
    config,
    tuple(models),
    pathlib.Path(content['data_dir']),
    content.get('num_shards', 1),
  )


@contextlib.contextmanager
def locked(
  workdir: pathlib.Path, *, name: str = '.lock', is_shared: bool = False
) -> Iterator[TextIO]:
  """Holds a run directory for one writer, or for several that share it.

  Args:
    workdir: The run directory.
    name: The file that is locked.
    is_shared: Whether others may hold it as well, shared too.

  Yields:
    The locked file.

  Raises:
    ValueError: If another process holds it.
  """
  paths.make_private_dir(workdir)
  kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
  with open(workdir / name, 'w') as lock:
    try:
      fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
      raise ValueError(
        f'Another process is writing to {workdir}. Wait for it, or choose '
        'another --workdir.'
      ) from None
    yield lock


def _read_config(path):
  content = json.loads(path.read_text())
  content.pop('versions', None)
  return config_of(content)


def _with_tuples(value):
  """Returns JSON content with tuples, as configurations hold them."""
  if isinstance(value, dict):
    return {key: _with_tuples(item) for key, item in value.items()}
  return tuple(value) if isinstance(value, list) else value


def _flatten(config, prefix=''):
  flat = {}
  for key, value in config.items():
    if isinstance(value, dict):
      flat |= _flatten(value, f'{prefix}{key}.')
    else:
      flat[prefix + key] = tuple(value) if isinstance(value, list) else value
  return flat


def _check_same(old, new, workdir):
  old, new = _flatten(old.to_dict()), _flatten(new.to_dict())
  changed = [
    f'{field}: {old[field]!r} there, {new.get(field)!r} now'
    for field in sorted(old)
    if old[field] != new.get(field) and field not in _FREE_FIELDS
  ]
  if changed:
    raise ValueError(
      f'{workdir} holds a run of another configuration ({"; ".join(changed)}).'
      ' Choose another --workdir, or go on with the same configuration.'
    )


def _check_same_models(old, new, workdir):
  """Refuses other people, videos or frames than a run began with."""
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
      if before != after
    ]
  if changed:
    raise ValueError(
      f'{workdir} holds a run of other data ({store_lib.list_some(changed)}). '
      'Choose another --workdir, or bring back the data it began with.'
    )
