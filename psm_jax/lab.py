"""From videos to a page: everything that one command does, and goes on with.

LAB/videos/     links to the videos, if several were named
LAB/ingested/   faces, and tracks.csv, which says who is who
LAB/general/    the run of the general model, if one was asked for
LAB/run/        the run directory, its page among it
LAB/steps.json  what was asked and what is done

  outcome = lab.run(['videos'], 'LAB')
"""

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Sequence

import jax
import ml_collections
from absl import logging

from psm_jax import embedding, json_files, paths, presets, tasks, training
from psm_jax.data.ingest import (
  batch,
  detection,
  folder,
  jobs,
  layout,
  tracks,
)
from psm_jax.data.labels import weak
from psm_jax.evaluation import evaluate
from psm_jax.presets import canonical_gm
from psm_jax.report import page, pictures

DONE, ASKS, STOPPED = 'done', 'asks', 'stopped'
_ON_CPU, _ON_ACCELERATOR = 'canonical_narrow', 'canonical'
# Of a model of _ON_CPU, on one core; docs/presets.md.
_STEP_CORE_S = 0.1
_MAX_PICTURES = 12
# Steps of a general model, and of own ones from it, as shares of train.steps:
# measured on twelve people (docs/science.md).
_GENERAL_STEPS, _OWN_STEPS = 2, 0.25


@dataclasses.dataclass(frozen=True)
class Outcome:
  """How a call of `run` ended.

  Attributes:
    state: DONE, ASKS (somebody must say who is who) or STOPPED (by a signal);
      after the last two the same call goes on.
    page: The report, None unless done.
  """

  state: str
  page: pathlib.Path | None = None


def run(
  videos: Sequence[str | os.PathLike],
  out: str | os.PathLike,
  *,
  config: ml_collections.ConfigDict | None = None,
  person_from: str = 'ask',
  general: bool = False,
  show_faces: bool = False,
) -> Outcome:
  """Does all that is not done yet, from videos to the page.

  Args:
    videos: Videos, a folder of them, or a manifest.
    out: The lab's folder; holds faces, so it is made mode 0700.
    config: What is trained; None: what the machine trains in hours.
    person_from: See `batch.ingest`.
    general: Whether to train a general model of everybody first, for twice
      `train.steps`, and each person's own from it, for a quarter of them.
    show_faces: Whether the page may show faces.

  Raises:
    ValueError: If a video, option or file of the folder cannot be used.
  """
  if general and config is not None:
    _check_general(config)
  root = paths.make_private_dir(out)
  ingested, workdir = root / 'ingested', root / 'run'
  detector = detection.DetectorOptions(name=detection.AUTO).resolved()
  outcome = batch.ingest(
    _as_one(videos, root, person_from),
    ingested,
    options=jobs.Options(detector=detector),
    person_from=person_from,
  )
  if not _is_named(root, ingested, outcome):
    return Outcome(ASKS)
  if config is None:
    config = presets.get(
      preset(num_people=len(outcome.people), general=general)
    )
  config = config.copy_and_resolve_references()
  config.data.source, config.data.path = 'video_folder', str(ingested)
  config.data.align = 'none'
  runs = _general_first(config, root) if general else {workdir: config}
  for place, trained in runs.items():
    ended = training.train(
      trained, place, data_dir=workdir / 'data', show_faces=show_faces
    )
    if ended.was_stopped:
      return Outcome(STOPPED)
  _once(root, 'embed', embedding.write_embeddings)
  kind = labels_of(embedding.open_frames(workdir).label_columns)
  if kind:
    _once(root, 'evaluate', functools.partial(evaluate.score, kind=kind))
  else:
    logging.info(
      'There are no labels to score, and no weak ones, which the landmarker '
      'would give.'
    )
  shown = store = None
  if show_faces:
    _once(root, 'pictures', _picture)
    shown = pictures.read(workdir, max_models=_MAX_PICTURES)
    store = embedding.open_frames(workdir)
  return Outcome(DONE, page.write(workdir, pictures=shown, store=store))


def preset(*, num_people: int, general: bool = False) -> str:
  """Returns the preset for this machine; logs why, and how long it takes."""
  backend, devices = jax.default_backend(), jax.devices()
  name = _ON_CPU if backend == 'cpu' else _ON_ACCELERATOR
  logging.info(
    'This machine computes on %d x %s: the preset %s. Another one: '
    '--config=NAME, of %s.',
    len(devices),
    devices[0].device_kind,
    name,
    ', '.join(presets.NAMES),
  )
  if name == _ON_CPU:
    together = _GENERAL_STEPS + _OWN_STEPS * num_people
    times = together if general else num_people
    steps = times * presets.get(name).train.steps
    hours = steps * _STEP_CORE_S / tasks.num_cores() / 3600
    logging.info(
      'Training %d people should take about %.1f h.', num_people, hours
    )
  else:
    logging.info('How long that takes is said after the first steps.')
  return name


def _check_general(config):
  """Raises ValueError unless a general model can be trained first."""
  if config.method.name != 'canonical' or not config.train.steps:
    raise ValueError(
      'A general model first goes with method.name canonical and train.steps '
      f'above 0, not with {config.method.name} and {config.train.steps}. Leave '
      'it out, or train both as docs/presets.md says.'
    )


def _general_first(config, root):
  """Returns configurations of a general model and own ones, by run directory.

  Raises:
    ValueError: If own ones were begun without.
  """
  if (root / 'run').exists() and not (root / 'general').exists():
    raise ValueError(
      f'The models of {root / "run"} were begun without a general one. Leave '
      '--general out, or give another --out.'
    )
  first, own = (config.copy_and_resolve_references() for _ in range(2))
  first.update_from_flattened_dict(canonical_gm.GENERAL)
  first.train.steps = _GENERAL_STEPS * config.train.steps
  # A model can begin with one that sees the same.
  own.method.canonical.update(first.method.canonical)
  own.init.path = str(root.absolute() / 'general')
  # At least one: 0 would leave it to the epochs.
  own.train.steps = max(1, int(_OWN_STEPS * config.train.steps))
  return {root / 'general': first, root / 'run': own}


def labels_of(columns: Sequence[str]) -> str:
  """Returns which labels are scored, see `labels.weak.choose`; '' for none.

  Args:
    columns: What a store says of its frames. Blendshapes, which nobody coded,
      are scored where there is nothing else.
  """
  if {*columns} - {*folder.QUALITY_COLUMNS, *weak.COLUMNS}:
    return weak.CODED
  return weak.BLENDSHAPES if any(map(weak.is_unit, columns)) else ''


def _as_one(videos, root, person_from):
  """Returns one input of an ingest: several files become a folder of links."""
  if len(videos) == 1:
    return videos[0]
  folder = paths.make_private_dir(root / 'videos')
  for video in map(pathlib.Path, videos):
    parent = folder
    if person_from == 'folder':
      parent = folder / video.absolute().parent.name
      parent.mkdir(exist_ok=True)
    link, target = parent / video.name, video.resolve()
    if link.is_symlink() and link.resolve() != target:
      raise ValueError(
        f'{video} and {link.resolve()} have the same name. Rename one, or give '
        'a folder that holds both.'
      )
    if not link.is_symlink():
      link.symlink_to(target)
  return folder


def _is_named(root, ingested, outcome):
  """Whether tracks.csv says who is who; if not, says what to do.

  Tracks may be left unnamed: they are asked for once.
  """
  unnamed = sorted(
    f'{row["video_id"]} {row["track"]}'
    for row in tracks.read(ingested).rows
    if not row['person_id']
  )
  table = _digest(ingested / layout.TRACKS)
  asked = _noted(root).get('ask', {'unnamed': [], 'table': ''})
  if (
    outcome.people
    and set(unnamed) <= set(asked['unnamed'])
    and (not unnamed or asked['table'] != table)
  ):
    return True
  _note(root, 'ask', {'unnamed': unnamed, 'table': table})
  logging.warning(
    'Who is who? %d faces wait for a name. Look at the pictures in %s, fill in '
    'person_id in %s (the same id for the same person in all videos; leave '
    'empty whom you do not want), and give the same command again.',
    len(unnamed),
    ingested / layout.SHEETS,
    ingested / layout.TRACKS,
  )
  return False


def _picture(workdir):
  """Writes what the page shows of faces."""
  embedding.write_pictures(workdir, max_models=_MAX_PICTURES)
  embedding.write_films(workdir, max_models=_MAX_PICTURES)


def _once(root, step, work):
  """Works on the run unless that was done with the models it has now."""
  trained = _digest(root / 'run' / 'models.json')
  if _noted(root).get(step) != trained:
    work(root / 'run')
    _note(root, step, trained)


def _noted(root):
  """Returns what is done: a value for each step, which names its input."""
  file = root / 'steps.json'
  return json_files.read(file, dict) if file.is_file() else {}


def _note(root, step, value):
  """Notes what a step was done with."""
  paths.write_json(root / 'steps.json', {**_noted(root), step: value})


def _digest(file):
  """Returns 16 hex digits of a file's bytes."""
  return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
