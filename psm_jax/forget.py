"""Forgets a person: frames, models, tables and exports below some roots.

  done = forget.forget('P007', ['runs/lab', 'zoo'])

What is made of a whole run, such as its evaluation and its report, is deleted
whole: it was computed from the person too, and the programs make it again. What
the person's data went into together with other people's - general models, those
that began with a model that learned from the person - is named, and stays or
goes as the caller says. Nothing is changed before all of this is known.
"""

import contextlib
import dataclasses
import mmap
import operator
import os
import pathlib
import re
from collections.abc import Sequence

import jax
import numpy as np
from absl import logging

from psm_jax import methods, paths
from psm_jax.data import (
  embedded,
  store as store_lib,
  store_changes,
  store_files,
)
from psm_jax.labelling import tables as labelled
from psm_jax.runs import (
  checkpoint,
  locks,
  metrics,
  planning,
  run,
  wandb_log,
  zoo,
)

KEEP, REMOVE = 'keep', 'remove'
# What programs make of a whole run.
_MADE = (
  'evaluation',
  'discovery',
  'pictures',
  'report',
  'report.html',
  wandb_log.FOLDER,
)
# What they make of one model and person, in folders of these names.
_BY_PERSON = (
  embedded.EMBEDDINGS,
  'controls',
  embedded.FLOWS,
  embedded.DRIVEN,
  embedded.NEUTRAL_FACES,
  embedded.STEPS,
)
# All of a run but its frames, in the order in which it goes: what says of whom
# its models learned last.
_WHOLE = (
  *_BY_PERSON,
  'checkpoints',
  'tensorboard',
  'metrics.csv',
  'shards',
  'config.json',
  'models.json',
  'pretrained.json',
)
# Shorter ids occur by chance in numbers.
_LONG_ID = 8
_TEXTS = ('.csv', '.json', '.html', '.md', '.txt', '.tsv', '.svg')


@dataclasses.dataclass(frozen=True)
class Forgotten:
  """What `forget` did.

  Attributes:
    lines: What was removed or changed.
    left: Files and folders that still hold the id and are none of ours.
  """

  lines: tuple[str, ...]
  left: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Run:
  """A run, and what becomes of its models.

  Attributes:
    opened: The run.
    theirs: Ids of models that go: they learned from the person alone, or are
      named after the person.
    general: Ids of others that learned from the person.
  """

  opened: run.Run
  theirs: frozenset[str]
  general: frozenset[str]


def forget(
  person_id: str,
  roots: Sequence[str | os.PathLike],
  *,
  general: str | None = None,
) -> Forgotten:
  """Removes a person from everything below some folders.

  Args:
    person_id: Whom.
    roots: Folders that hold runs, frame stores, exported models or several of
      these, at any depth.
    general: What becomes of models that learned from the person and others:
      KEEP, REMOVE, or None to refuse if there are any.

  Returns:
    What was done, and what is left.

  Raises:
    ValueError: If nothing there is of the person, somebody is writing to a run,
      a run's frames lie outside the roots, or general models are there and
      `general` is None. Nothing has been changed then.
  """
  paths.check_id(person_id, what='person_id')
  folders = [
    paths.check_local(root, what='--roots').resolve() for root in roots
  ]
  for folder in folders:
    if not folder.is_dir():
      raise ValueError(f'There is no folder {folder}.')
  with contextlib.ExitStack() as held:
    runs = []
    for path in _below(folders, 'models.json'):
      held.enter_context(locks.locked(path))
      held.enter_context(locks.making(path, wait=False))
      _finish_swap(path)
      runs.append(_plan(run.open_run(path), person_id, folders))
    stores = [
      path
      for path in _below(folders, store_files.MANIFEST)
      if person_id in _people(path)
    ]
    exports = _exports(folders, person_id)
    _check_general(runs, exports, person_id, general)
    lines = []
    for path in stores:
      lines += _forget_frames(path, person_id)
    for path, is_general in exports:
      lines.append(_forget_export(path, person_id, is_general, general))
    for planned in runs:
      lines += _forget_in_run(planned, person_id, general)
  left = holding(folders, person_id)
  if not lines and not left:
    raise ValueError(
      f'Nothing below {store_lib.list_some(list(map(str, folders)))} is of '
      f'{person_id}.'
    )
  return Forgotten(tuple(lines), tuple(left))


def holding(folders: Sequence[pathlib.Path], person_id: str) -> list[str]:
  """Returns the files and folders that hold a person's id.

  In files of numbers only ids of eight characters or more are looked for.
  """
  pattern = f'(?<![A-Za-z0-9]){re.escape(person_id)}(?![A-Za-z0-9])'
  encoded = re.compile(pattern.encode())
  held = []
  for root in folders:
    for path in sorted(root.rglob('*')):
      name = path.relative_to(root).as_posix()
      is_read = path.is_file() and (
        path.suffix in _TEXTS or len(person_id) >= _LONG_ID
      )
      if re.search(pattern, name) or (is_read and _holds(path, encoded)):
        held.append(str(path))
  return held


def _holds(path, pattern):
  """Whether a pattern is in a file, which may be larger than memory."""
  if not path.stat().st_size:
    return False
  with (
    open(path, 'rb') as file,
    mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
  ):
    return bool(pattern.search(content))


def _below(folders, name):
  """Returns the folders that hold a file of some name, once each."""
  return sorted({path.parent for root in folders for path in root.rglob(name)})


def _plan(opened, person_id, folders):
  """Returns what becomes of a run's models; changes nothing."""
  data, frames = opened.config.data, opened.data_dir
  if data.source == 'store':
    frames = pathlib.Path(data.path)
  if not any(frames.resolve().is_relative_to(folder) for folder in folders):
    raise ValueError(
      f'The frames of {opened.workdir} are in {frames}, which is below none of '
      '--roots. Name it as well.'
    )
  pretrained = run.read_pretrained(opened.workdir)
  theirs, general = set(), set()
  for model in opened.models:
    began_with = pretrained.get(model.init_from, ())
    if model.cohort == (person_id,) or _names(model.model_id, person_id):
      theirs.add(model.model_id)
    elif person_id in (*model.cohort, *began_with):
      general.add(model.model_id)
  return _Run(opened, frozenset(theirs), frozenset(general))


def _names(model_id, person_id):
  """Whether a model is named after a person."""
  return bool(re.search(f'(^|-){re.escape(person_id)}(-|$)', model_id))


def _exports(folders, person_id):
  """Returns (folder, whether others taught it too) of the person's exports."""
  exports = []
  for path in _below(folders, 'model.json'):
    described = zoo.describe(path)
    if _names(described['model_id'], person_id):
      exports.append((path, False))
    elif person_id in described['cohort'] + described['pretrained_on']:
      exports.append((path, described['cohort'] != [person_id]))
  return exports


def _check_general(runs, exports, person_id, general):
  """Refuses to go on before somebody has said what becomes of these."""
  named = [
    f'{planned.opened.workdir}: {model_id}'
    for planned in runs
    for model_id in sorted(planned.general)
  ]
  named += [str(path) for path, is_general in exports if is_general]
  if named and general is None:
    raise ValueError(
      f'These models learned from {person_id} and from others: '
      f'{store_lib.list_some(named)}. Give --remove_models to remove them (a '
      'run of theirs then begins anew), or --keep_models to keep them as they '
      'are, without the name.'
    )


def _people(path):
  """Returns the people of a store, damaged or not."""
  people = store_files.read_manifest(path)['people']
  return [entry['person_id'] for entry in people]


def _forget_frames(path, person_id):
  """Removes a person from a store, and deletes the records it was made from."""
  if len(_people(path)) > 1:
    records = store_changes.remove_person(path, person_id)
    return [
      f'Removed the frames from {path}.',
      *(f'Deleted {folder}, from which it was made.' for folder in records),
    ]
  _delete_all((path, path.parent / 'tfds'))
  return [f'Deleted {path}: nobody else was in it.']


def _forget_export(path, person_id, is_general, general):
  if not is_general or general == REMOVE:
    paths.remove(path)
    return f'Deleted {path}.'
  model = zoo.load(path)
  kept = dataclasses.replace(
    model,
    cohort=_without(model.cohort, person_id),
    pretrained_on=_without(model.pretrained_on, person_id),
  )
  if zoo.save(kept, path.parent) != path:
    paths.remove(path)
  return f'Kept {path} without the name.'


def _forget_in_run(planned, person_id, general):
  """Removes a person from a run; returns what was done."""
  opened, workdir = planned.opened, planned.opened.workdir
  is_listed = person_id in opened.config.data.persons
  if not (planned.theirs or planned.general or is_listed):
    return []
  lines = _forget_tables(workdir, person_id, planned.theirs)
  stay = [m for m in opened.models if m.model_id not in planned.theirs]
  begins_anew = general == REMOVE and bool(planned.general)
  if begins_anew or not stay:
    if begins_anew:
      lines.append(f'{workdir} begins anew: it learned from {person_id}.')
    return [*lines, *_delete_all(workdir / name for name in _WHOLE)]
  if planned.theirs:
    _rewrite_checkpoints(opened, planned.theirs)
    metrics.drop_models(workdir, planned.theirs)
    lines.append(
      f'Removed {store_lib.list_some(sorted(planned.theirs))} from {workdir}.'
    )
  config = opened.config.copy_and_resolve_references()
  config.data.persons = _without(config.data.persons, person_id)
  if planned.general:
    stay = _planned_anew(opened, config, stay, person_id)
  run.rewrite(workdir, config, stay, opened.data_dir)
  if pretrained := run.read_pretrained(workdir):
    without = {m: _without(p, person_id) for m, p in pretrained.items()}
    run.write_pretrained(workdir, without)
  return lines


def _without(names, person_id):
  """Returns some people without one of them."""
  return tuple(name for name in names if name != person_id)


def _planned_anew(opened, config, models, person_id):
  """Returns models that learned from several people as they are planned now."""
  before = {model.model_id: model for model in models}
  try:
    store = planning.open_frames(config, opened.data_dir)
    anew, _ = planning.plan_models(config, store)
  except ValueError as error:  # Too few are left to train: only to be used.
    logging.warning('%s: %s', opened.workdir, error)
    return [
      dataclasses.replace(model, cohort=_without(model.cohort, person_id))
      for model in models
    ]
  for model in anew:
    was = before.get(model.model_id)
    if was is not None:
      for field in ('shard', 'waves', *run.STATE):
        setattr(model, field, getattr(was, field))
  return anew


def _rewrite_checkpoints(opened, gone):
  """Writes a run's checkpoints without some models, then swaps the folders.

  What was written without them already is written the same again.
  """
  workdir, partial = opened.workdir, opened.workdir / 'checkpoints.partial'
  method = methods.abstract(opened.config)
  paths.remove(partial)
  (partial / 'checkpoints').mkdir(parents=True, mode=0o700)
  for number in sorted({n for model in opened.models for n in model.waves}):
    if all(m.model_id in gone for m in opened.models if number in m.waves):
      continue
    before = checkpoint.Checkpoints(workdir, wave=number, read_only=True)
    after = checkpoint.Checkpoints(partial, wave=number, keep_steps=1)
    for step in before.steps:
      try:
        # Not by models.json: a run may have been killed after the swap.
        ids = before.model_ids(step)
        template = checkpoint.template(method, len(ids))
        _, states = before.restore(template, ids, until=step)
      except ValueError as error:
        logging.warning('Step %d goes: %s', step, error)
        continue
      stay = np.flatnonzero([name not in gone for name in ids])
      states = jax.tree.map(operator.itemgetter(stay), states)
      after.save(step, states, [ids[index] for index in stay])
      after.wait()
    before.close()
    after.close()
  (partial / 'checkpoints').rename(workdir / 'checkpoints.without')
  paths.remove(partial)
  _finish_swap(workdir)


def _finish_swap(workdir):
  """Puts rewritten checkpoints in their place, after a kill too."""
  written = workdir / 'checkpoints.without'
  if written.is_dir():
    paths.remove(workdir / 'checkpoints')
    written.rename(workdir / 'checkpoints')


def _forget_tables(workdir, person_id, gone):
  """Deletes what a run's programs made of a person or of models that go."""
  theirs = [
    path
    for name in _BY_PERSON
    for path in sorted((workdir / name).rglob('*'))
    if path.is_dir() and path.name in {person_id, *gone}
  ]
  return [
    *_delete_all(theirs),
    *labelled.forget(workdir, person_id),
    *_delete_all(workdir / name for name in _MADE),
  ]


def _delete_all(paths_there):
  """Deletes files and folders; returns what was there, a line each."""
  there = [path for path in paths_there if path.exists()]
  for path in there:
    paths.remove(path)
  return [f'Deleted {path}.' for path in there]
