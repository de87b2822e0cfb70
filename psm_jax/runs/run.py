"""The run directory: its configuration, its models, and who may write it.

config.json      the experiment and the versions of the packages
models.json      the models: cohort, seed, steps, status, who trains them
pretrained.json  of whom the models had learned that these began with, if any
crops.json       how frames were cut out of videos, if launch.ingest did it
checkpoints/  embeddings/  evaluation/  metrics.csv  report.html
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections
from absl import logging

from psm_jax import json_files, paths, presets
from psm_jax.ops import precision
from psm_jax.presets import base
from psm_jax.runs import resuming

SCHEMA_VERSION = 1
_CROPS, _PRETRAINED = 'crops.json', 'pretrained.json'


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
    failed_step: Step whose loss or gradient was not finite, if one was.
    frames_digest: A text that changes with its cohort's frames.
    shard: Which of the machines that share the run trains it.
    waves: Folders of its checkpoints: the last one is that of the models which
      train together with it now; in those before it began.
    rollbacks: Steps that were not finite, after which it went on at half its
      rate.
    stopped_early: Whether it was done for want of progress, by train.patience.
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
  frames_digest: str = ''
  shard: int = 0
  waves: tuple[int, ...] = (0,)
  rollbacks: int = 0
  stopped_early: bool = False


_STATUSES = ('running', 'done', 'failed')
# What fields of a model are in JSON where that is no type's name.
_JSON: dict[object, object] = {
  tuple[str, ...]: [str],
  tuple[int, ...]: [int],
  int | None: (int, type(None)),
  str | None: (str, type(None)),
}
_MODEL_SHAPE = {
  field.name: _JSON.get(field.type, field.type)
  for field in dataclasses.fields(Model)
}
_MODELS_SHAPE = {
  'method': str,
  'data_dir': str,
  'num_shards': int,
  'models': [_MODEL_SHAPE],
}
# What changes as a model trains.
STATE = {
  name: _MODEL_SHAPE[name]
  for name in (
    'model_id',
    'status',
    'steps_done',
    'failed_step',
    'rollbacks',
    'stopped_early',
  )
}
_PRETRAINED_SHAPE = {'models': [{'model_id': str, 'people': [str]}]}
_CONFIG_SHAPE = {'versions': dict, 'computed_in': str}


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
  if not (workdir / 'config.json').exists():
    began = {
      'computed_in': precision.compute_dtype(config).name,
      'versions': resuming.versions(),
    }
    _write(workdir, config, models, data_dir, began, num_shards)
    return
  content = _read_content(workdir)
  opened = open_run(workdir)
  resuming.check_config(opened.config, config, content['computed_in'], workdir)
  resuming.check_models(opened.models, models, workdir)
  resuming.warn_of_versions(content['versions'], workdir)
  for model, before in zip(models, opened.models, strict=True):
    if before.status == 'failed' or model.total_steps <= before.total_steps:
      model.status = before.status
    for name in ('steps_done', 'failed_step', 'rollbacks', 'shard', 'waves'):
      setattr(model, name, getattr(before, name))
    model.stopped_early = before.stopped_early and model.status == 'done'
  if steps_of(opened.config) != steps_of(config):
    logging.info(
      'From step %d the run goes on to %d.',
      max(model.total_steps for model in opened.models),
      max(model.total_steps for model in models),
    )
    rewrite(workdir, config, models, data_dir)


def rewrite(
  workdir: pathlib.Path,
  config: ml_collections.ConfigDict,
  models: Sequence[Model],
  data_dir: pathlib.Path,
):
  """Writes another configuration and other models into a run directory."""
  content = _read_content(workdir)
  began = {name: content[name] for name in _CONFIG_SHAPE}
  num_shards = open_run(workdir).num_shards
  _write(workdir, config, models, data_dir, began, num_shards)


def _write(workdir, config, models, data_dir, began, num_shards):
  """Writes models.json, then config.json, which makes a run of the folder."""
  write_models(
    workdir, config.method.name, models, data_dir, num_shards=num_shards
  )
  paths.write_json(workdir / 'config.json', {**config.to_dict(), **began})


def steps_of(config: ml_collections.ConfigDict) -> tuple[int, int]:
  """Returns what says how long a run is to train: (steps, epochs)."""
  return config.train.steps, config.train.epochs


def write_crops(workdir: pathlib.Path, crops: dict):
  """Writes crops.json: how the run's frames were cut out of videos."""
  paths.write_json(workdir / _CROPS, crops)


def read_crops(workdir: str | os.PathLike) -> dict:
  """Returns how a run's frames were cut out of videos, {} if unknown."""
  path = pathlib.Path(workdir) / _CROPS
  return json_files.read(path, dict) if path.is_file() else {}


def write_pretrained(
  workdir: pathlib.Path, people: Mapping[str, Sequence[str]]
):
  """Writes pretrained.json: each model to begin with and its people."""
  models = [{'model_id': m, 'people': list(p)} for m, p in people.items()]
  paths.write_json(workdir / _PRETRAINED, {'models': models})


def read_pretrained(
  workdir: str | os.PathLike,
) -> dict[str | None, tuple[str, ...]]:
  """Returns of whom models had learned that a run's began with, {} for none."""
  path = pathlib.Path(workdir) / _PRETRAINED
  if not path.is_file():
    return {}
  content = json_files.read(path, _PRETRAINED_SHAPE)
  return {m['model_id']: tuple(m['people']) for m in content['models']}


def write_models(
  workdir: pathlib.Path,
  method: str,
  models: Sequence[Model],
  data_dir: pathlib.Path,
  *,
  num_shards: int = 1,
):
  """Writes models.json, and removes what shards wrote beside the old one."""
  paths.write_json(
    workdir / 'models.json',
    {
      'schema_version': SCHEMA_VERSION,
      'method': method,
      'data_dir': str(data_dir),
      'num_shards': num_shards,
      'models': [dataclasses.asdict(model) for model in models],
    },
  )
  for path in workdir.glob('shards/wave*.json'):
    path.unlink()


def shard_file(workdir: pathlib.Path, wave: int, suffix: str) -> pathlib.Path:
  """Returns the file of a wave that its shard alone writes."""
  return workdir / 'shards' / f'wave{wave:03d}.{suffix}'


def write_states(workdir: pathlib.Path, wave: int, models: Sequence[Model]):
  """Writes how the models of a wave are, beside models.json."""
  path = shard_file(workdir, wave, 'json')
  paths.make_private_dir(path.parent)
  paths.write_json(
    path, {'models': [{n: getattr(m, n) for n in STATE} for m in models]}
  )


def with_states(workdir: pathlib.Path, content: dict) -> dict:
  """Returns the content of models.json with what shards wrote beside it."""
  states = {}
  for path in sorted(workdir.glob('shards/wave*.json')):
    for state in json_files.read(path, {'models': [STATE]})['models']:
      states[state['model_id']] = state
  for model in content['models']:
    # A model that has ended stays as it is.
    if model['status'] == 'running' and model['model_id'] in states:
      model |= states[model['model_id']]
  return content


def open_run(workdir: str | os.PathLike) -> Run:
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
  content, models = read_models(workdir)
  if not models:
    raise ValueError(f'{workdir}/models.json names no model.')
  return Run(
    workdir,
    read_config(workdir),
    models,
    pathlib.Path(content['data_dir']),
    content['num_shards'],
  )


def read_models(workdir: pathlib.Path) -> tuple[dict, tuple[Model, ...]]:
  """Returns the content of models.json, and its models.

  Raises:
    ValueError: If it is missing or none; names the file.
  """
  content = json_files.read_version(
    workdir / 'models.json', _MODELS_SHAPE, version=SCHEMA_VERSION
  )
  content = with_states(workdir, content)
  return content, tuple(_model(entry, workdir) for entry in content['models'])


def _model(entry, workdir):
  """Returns a model of models.json, its names checked."""
  where = f'in {workdir}/models.json'
  paths.check_id(entry['model_id'], what=f'model_id {where}')
  for person in entry['cohort']:
    paths.check_id(person, what=f'person_id {where}')
  if entry['status'] not in _STATUSES:
    raise ValueError(
      f'status {entry["status"]!r} of {entry["model_id"]} {where} should be '
      f'one of {", ".join(_STATUSES)}.'
    )
  if not entry['waves']:
    raise ValueError(f'{entry["model_id"]} {where} is of no wave.')
  return model_of(entry)


def model_of(entry: dict) -> Model:
  """Returns the model that JSON content describes, further fields aside."""
  return Model(
    **{name: presets.with_tuples(entry[name]) for name in _MODEL_SHAPE}
  )


def config_shape() -> dict:
  """Returns what a configuration looks like in JSON, for `json_files.read`."""
  return _shape_of(base.get_config().to_dict())


def read_config(workdir: pathlib.Path) -> ml_collections.ConfigDict:
  """Returns the configuration of a run directory.

  Raises:
    ValueError: If config.json is none, or lacks a field; names it.
  """
  content = _read_content(workdir)
  for name in _CONFIG_SHAPE:
    del content[name]
  return presets.config_of(content, where=workdir / 'config.json')


def _read_content(workdir):
  """Returns what config.json holds, of the shape that presets have."""
  return json_files.read(
    workdir / 'config.json', config_shape() | _CONFIG_SHAPE
  )


def _shape_of(value):
  """Returns what JSON of a configuration's value looks like."""
  if isinstance(value, dict):
    return {name: _shape_of(inner) for name, inner in value.items()}
  return [Any] if isinstance(value, (list, tuple)) else type(value)
