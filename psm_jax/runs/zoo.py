"""The model zoo: trained models as folders that anyone can open.

ZOO/MODEL_ID/
  model.safetensors  the tensors: params/... and method_state/..., float32 or
                     integers, '/' between the levels of the tree
  model.json         what they are: method, configuration, cohort, steps,
                     versions, SHA-256 of the tensors
  README.md          the same in words

  exported = zoo.load('zoo/facecycle-AV001-s0')

`psm_jax.load` makes of it what a lab works with (model.py).

Reading needs no pickle and runs no code of the folder. A model of a person is
biometric data like the videos it learned from; the folders are private (0700).
"""

import dataclasses
import hashlib
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence

import jax
import ml_collections
import numpy as np
import safetensors
import safetensors.numpy
from absl import logging

from psm_jax import json_files, methods, paths, presets
from psm_jax.methods import interface
from psm_jax.runs import checkpoint, model_card, resuming, run, run_states

SCHEMA_VERSION = 1
_PARTS = ('params', 'method_state')
_PARTIAL = '.partial'
_BEFORE = '.before'  # What is being replaced; all there is after a kill.
_SHAPE = {
  'model_id': str,
  'cohort': [str],
  'pretrained_on': [str],
  'steps': (int, type(None)),
  'origin': str,
  'sha256': str,
  'crops': dict,
}
# Names and shapes of the tensors, before the tensors themselves.
_HEADER_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Model:
  """One trained model, without its optimiser.

  Attributes:
    model_id: Unique in its run.
    cohort: Person ids that it learned from; () if unknown.
    config: The experiment it was trained in.
    params: The method's parameters, NumPy.
    method_state: The method's state, NumPy.
    steps: Updates taken; None if unknown.
    pretrained_on: Person ids that the model it began with had learned from.
    origin: 'psm_jax', or what a reference checkpoint was read from.
    crops: How the frames it learned from were cut out of videos, see
      `jobs.Options.of`; {} if unknown.
  """

  model_id: str
  cohort: tuple[str, ...]
  config: ml_collections.ConfigDict
  params: interface.Tree
  method_state: interface.Tree
  steps: int | None
  pretrained_on: tuple[str, ...] = ()
  origin: str = 'psm_jax'
  crops: dict = dataclasses.field(default_factory=dict)


def export_run(
  workdir: str | os.PathLike,
  out: str | os.PathLike,
  *,
  model_ids: Sequence[str] = (),
) -> list[pathlib.Path]:
  """Exports trained models of a run, see `of_run`; returns their folders.

  Args:
    workdir: See `of_run`.
    out: The zoo; a folder of the same model there is replaced.
    model_ids: See `of_run`.
  """
  return [save(model, out) for model in of_run(workdir, model_ids=model_ids)]


def of_run(
  workdir: str | os.PathLike, *, model_ids: Sequence[str] = ()
) -> Iterator[Model]:
  """Yields trained models of a run; models that failed are left out.

  Args:
    workdir: A run with a checkpoint. Its frames are not read.
    model_ids: Which models; all by default.

  Raises:
    ValueError: If the run has no checkpoint, or no such model.
  """
  trained = run.open_run(workdir)
  ids = [model.model_id for model in trained.models]
  if unknown := sorted(set(model_ids) - set(ids)):
    raise ValueError(
      f'{workdir} has no model {", ".join(unknown)}; its models.json names '
      f'{len(ids)}, such as {ids[0]}.'
    )
  states = run_states.RunStates(trained, methods.abstract(trained.config))
  pretrained, crops = run.read_pretrained(workdir), run.read_crops(workdir)
  for index, described in enumerate(trained.models):
    if model_ids and described.model_id not in model_ids:
      continue
    state = states.model(index)
    if state.failed_step >= 0:
      logging.warning(
        '%s is left out: it failed at step %d.',
        described.model_id,
        state.failed_step,
      )
      continue
    yield Model(
      model_id=described.model_id,
      cohort=tuple(described.cohort),
      config=trained.config,
      params=state.params,
      method_state=state.method_state,
      steps=int(state.step),
      pretrained_on=pretrained.get(described.init_from, ()),
      crops=crops,
    )


def save(model: Model, out: str | os.PathLike) -> pathlib.Path:
  """Writes a model to `out`/model_id, whole or not at all.

  Others that write into `out` are waited for.

  Returns:
    The model's folder.
  """
  folder = paths.child(paths.make_private_dir(out), model.model_id)
  partial, before = (
    paths.child(out, f'{model.model_id}{ending}')
    for ending in (_PARTIAL, _BEFORE)
  )
  busy = f'Another process writes models into {out}.'
  with paths.locked(folder.parent / '.lock', busy=busy, wait=True):
    shutil.rmtree(partial, ignore_errors=True)
    _write(model, paths.make_private_dir(partial))
    if folder.exists():
      shutil.rmtree(before, ignore_errors=True)
      folder.rename(before)
    partial.rename(folder)
    shutil.rmtree(before, ignore_errors=True)
  return folder


def _write(model, folder):
  """Writes the files of a model into a folder."""
  data = safetensors.numpy.save(_flat(model))
  content = {
    'schema_version': SCHEMA_VERSION,
    'model_id': model.model_id,
    'method': model.config.method.name,
    'cohort': list(model.cohort),
    'pretrained_on': list(model.pretrained_on),
    'steps': model.steps,
    'origin': model.origin,
    'sha256': hashlib.sha256(data).hexdigest(),
    'versions': resuming.versions(),
    'crops': model.crops,
    'config': without_paths(model.config),
  }
  paths.write_atomic(folder / 'model.safetensors', data)
  paths.write_json(folder / 'model.json', content)
  paths.write_atomic(folder / 'README.md', model_card.text(content))


def load(folder: str | os.PathLike) -> Model:
  """Returns an exported model.

  Raises:
    ValueError: If the folder holds no model, or a damaged one, or one of
      another configuration than its tensors; names the file.
  """
  folder = pathlib.Path(folder)
  content = describe(folder)
  path = folder / 'model.safetensors'
  if not path.is_file():
    raise ValueError(f'{folder} has no model.safetensors. Export it again.')
  config = presets.config_of(content['config'], where=folder / 'model.json')
  method = methods.abstract(config)
  leaves = jax.tree.leaves(_shapes(method))
  largest = _HEADER_BYTES + sum(x.size * x.dtype.itemsize for x in leaves)
  num_bytes = path.stat().st_size
  if num_bytes > largest:
    raise ValueError(
      f'{path} has {num_bytes} bytes; a model of its configuration has at most '
      f'{largest}.'
    )
  data = path.read_bytes()
  digest = hashlib.sha256(data).hexdigest()
  if digest != content['sha256']:
    raise ValueError(
      f'{path} is damaged: its SHA-256 is {digest}, not {content["sha256"]} '
      'as model.json says. Copy or export it again.'
    )
  try:
    tensors = safetensors.numpy.load(data)
  except safetensors.SafetensorError as error:
    raise ValueError(
      f'{path} is no whole .safetensors file: {error}.'
    ) from error
  params, method_state = _tree(tensors, method, path)
  return Model(
    model_id=content['model_id'],
    cohort=tuple(content['cohort']),
    config=config,
    params=params,
    method_state=method_state,
    steps=content['steps'],
    pretrained_on=tuple(content['pretrained_on']),
    origin=content['origin'],
    crops=content['crops'],
  )


def check(model: Model, where: str | os.PathLike):
  """Raises an error if a model's tensors are not its configuration's.

  Args:
    model: The model.
    where: What it was read from, for the message.

  Raises:
    ValueError: Names the tensor.
  """
  _tree(_flat(model), methods.abstract(model.config), where)


def describe(folder: str | os.PathLike) -> dict:
  """Returns an exported model's model.json, checked.

  Raises:
    ValueError: If there is none, or not one that this program reads.
  """
  path = pathlib.Path(folder) / 'model.json'
  if not path.is_file():
    raise ValueError(
      f'{folder} is no exported model: it has no model.json. Export one with '
      'python -m launch.export --workdir=RUN --out=ZOO'
    )
  shape = {**_SHAPE, 'config': run.config_shape()}
  content = json_files.read_version(path, shape, version=SCHEMA_VERSION)
  paths.check_id(content['model_id'], what=f'model_id in {path}')
  for person in content['cohort'] + content['pretrained_on']:
    paths.check_id(person, what=f'person_id in {path}')
  return content


def folders_of(zoo: str | os.PathLike) -> dict[str, pathlib.Path]:
  """Returns the folders of a zoo, or of one exported model, by model id.

  Raises:
    ValueError: If a description cannot be read, or two have the same id.
  """
  zoo = pathlib.Path(zoo)
  is_one = (zoo / 'model.json').is_file()
  folders: dict[str, pathlib.Path] = {}
  for path in [zoo] if is_one else sorted(zoo.iterdir()):
    is_replaced = path.suffix == _BEFORE and path.with_suffix('').exists()
    is_model = (path / 'model.json').is_file()
    if is_replaced or path.suffix == _PARTIAL or not is_model:
      continue
    model_id = describe(path)['model_id']
    if model_id in folders:
      raise ValueError(
        f'{folders[model_id]} and {path} are both called {model_id}. Keep one.'
      )
    folders[model_id] = path
  return folders


def problems(zoo: str | os.PathLike) -> dict[str, str]:
  """Returns what is wrong with each model of a zoo; '' with a sound one.

  A sound one has the tensors of its configuration, with the checksum of its
  model.json.

  Raises:
    ValueError: As `folders_of`.
  """
  wrong = {}
  for model_id, folder in folders_of(zoo).items():
    try:
      load(folder)
      wrong[model_id] = ''
    except (OSError, ValueError) as error:
      wrong[model_id] = str(error)
  return wrong


def is_zoo(folder: str | os.PathLike) -> bool:
  """Returns whether a folder is, or holds, exported models."""
  folder = pathlib.Path(folder)
  return (folder / 'model.json').is_file() or any(folder.glob('*/model.json'))


def without_paths(config):
  """Returns a configuration as JSON content, without the lab's own paths."""
  content = config.to_dict()
  content['data']['path'] = ''
  content['data']['tree'].update(images='', labels='', folds='')
  content['method']['vgg_path'] = ''
  content['init']['path'] = ''
  return content


def _flat(model):
  """Returns a model's tensors by name."""
  parts = {part: getattr(model, part) for part in _PARTS}
  # Not ascontiguousarray, which makes one number a row.
  return {
    name: np.asarray(leaf, order='C')
    for name, leaf in checkpoint.named_leaves(parts).items()
  }


def _tree(tensors, method, where):
  """Returns (params, method_state) of named tensors, checked for their shapes.

  Raises:
    ValueError: If a tensor is missing, unknown, of another shape or type, or
      not finite.
  """
  shapes = _shapes(method)
  expected = checkpoint.named_leaves(shapes)
  for name in sorted(expected.keys() | tensors.keys()):
    wanted, there = (
      f'{leaf.dtype} {tuple(leaf.shape)}' if leaf is not None else 'nothing'
      for leaf in (expected.get(name), tensors.get(name))
    )
    if wanted != there:
      raise ValueError(
        f'{where} holds {there} as {name}, but a model of its configuration '
        f'has {wanted} there.'
      )
    if not np.all(np.isfinite(tensors[name])):
      raise ValueError(f'{where} holds numbers as {name} that are not finite.')
  made = jax.tree.unflatten(
    jax.tree.structure(shapes), [tensors[name] for name in expected]
  )
  return tuple(made[part] for part in _PARTS)


def _shapes(method):
  """Returns the shapes of a model's parts."""
  made = jax.eval_shape(method.init, jax.random.key(0))
  return dict(zip(_PARTS, made, strict=True))
