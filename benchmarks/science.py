"""Measures what models of canonical faces learn, and what each part is worth.

  python -m benchmarks.science --store=STORE --rows=all --out=science.csv
  python -m benchmarks.science --run=RUN --out=science.csv
  python -m benchmarks.science --out=science.csv

The first trains the rows of the ablation, a model a person of a frame store
with action units and two videos a person (that of a run of configs/narrow.py,
say); the second measures the models of a run of configs/canonical_narrow.py or
its like. The third prints the table: means over people. A row of the file is
one figure of one person: AUCs across videos by number of labelled frames (0 is
all), R2 of reconstructions and of driven faces, AUCs of action units read from
driven faces.
"""

import contextlib
import csv
import dataclasses
import os
import pathlib
import time
from collections.abc import Callable

import jax
import ml_collections
import numpy as np
import pandas as pd
from absl import app, flags, logging

from benchmarks import science_rows
from psm_jax import embedding, methods
from psm_jax.data import canonical_faces
from psm_jax.data import store as store_lib
from psm_jax.engine import feed, population
from psm_jax.evaluation import driven, few_labels
from psm_jax.methods import canonical
from psm_jax.runs import planning

_STORE = flags.DEFINE_string('store', '', 'Frame store to train rows on.')
_RUN = flags.DEFINE_string('run', '', 'Run whose models are measured.')
_ROWS = flags.DEFINE_list('rows', ['base'], 'Rows to train; all for each.')
_PEOPLE = flags.DEFINE_list('people', [], 'Person ids; all by default.')
_STEPS = flags.DEFINE_integer('steps', 500, 'Steps of the rows.')
_SEED = flags.DEFINE_integer('seed', 0, 'Of the rows.')
_OUT = flags.DEFINE_string('out', None, 'CSV file that figures are added to.')
_COUNTS = flags.DEFINE_list(
  'labelled',
  ['10', '30', '100', '300', '0'],
  'Numbers of labelled frames; 0 is all of a video.',
)
_DRAWS = flags.DEFINE_integer('draws', 5, 'Draws of labelled frames.')

FIELDS = ('row', 'person_id', 'seed', 'source', 'metric', 'labelled', 'value')
_ACTIVE = 2.0  # Intensity from which a unit is active.
_RAREST = 0.02  # Units rarer than that in a video are left out.
_GUARD_S = 2.0
_LUMA = np.array((0.299, 0.587, 0.114), np.float32)


@dataclasses.dataclass(frozen=True)
class Person:
  """One person's frames and labels.

  Attributes:
    frames: [n, S, S, 3] float32 in [-1, 1].
    pixels: [n, S * S * 3] uint8, the same.
    video: [n] int, from 0.
    faces: [V, S, S, 3] float32 in [-1, 1], canonical.
    labels: [n, U] bool, units that are active.
    landmarks: [n, L] float, L may be 0.
    guard: Frames of two seconds.
  """

  frames: np.ndarray
  pixels: np.ndarray
  video: np.ndarray
  faces: np.ndarray
  labels: np.ndarray
  landmarks: np.ndarray
  guard: int


def person_of(
  store: store_lib.FrameStore,
  faces: canonical_faces.CanonicalFaces,
  person_id: str,
) -> Person:
  """Returns a person of a store; units must occur in all videos."""
  videos = store.videos(person_id)
  rows = np.concatenate([np.arange(v.start, v.stop) for v in videos])
  index = store.index.iloc[rows]
  video = faces.video[rows] - faces.video[rows[0]]
  labels = index.filter(regex=r'^AU\d\d$').to_numpy() >= _ACTIVE
  shares = [labels[video == v].mean(axis=0) for v in np.unique(video)]
  pixels = np.asarray(store.frames[rows])
  shape = (-1, store.size_px, store.size_px, 3)

  def scaled(values):
    return values.reshape(shape).astype(np.float32) / 127.5 - 1

  return Person(
    frames=scaled(pixels),
    pixels=pixels,
    video=video,
    faces=scaled(faces.faces[np.unique(faces.video[rows])]),
    labels=labels[:, np.min(shares, axis=0) > _RAREST],
    landmarks=index.filter(regex=r'^[xy]\d+$').to_numpy(),
    guard=round(_GUARD_S * videos[0].fps),
  )


def measure(
  person: Person,
  code: np.ndarray,
  untrained: np.ndarray,
  draw: Callable[[np.ndarray, np.ndarray], np.ndarray] | None,
) -> list[tuple]:
  """Returns (source, metric, labelled, value) of one model of a person.

  Args:
    person: n frames.
    code: [n, D] float32, the model's embeddings.
    untrained: [n, D] float32, those of its random weights.
    draw: (codes, canonical faces) -> images; None measures no images.
  """
  sources = {
    'canonical': few_labels.Features(code),
    'random weights': few_labels.Features(untrained),
    'pixel PCA': few_labels.pixel_components(_grey(person.frames)),
  }
  if person.landmarks.size:
    sources['landmarks'] = few_labels.pixel_components(person.landmarks)
  figures = []
  for source, features in sources.items():
    curve = few_labels.curve(
      features,
      person.labels,
      person.video,
      counts=[int(count) for count in _COUNTS.value],
      num_draws=_DRAWS.value,
      guard=person.guard,
    )
    figures += [(source, 'auc', n, value) for n, value in curve.items()]
  if draw is None:
    return figures
  drawn, other = (
    draw(code, person.faces[chosen])
    for chosen in (person.video, (person.video + 1) % len(person.faces))
  )
  rest = ((drawn - person.frames) ** 2).sum()
  whole = ((person.faces[person.video] - person.frames) ** 2).sum()
  figures.append(('canonical', 'r2', 0, 1 - rest / whole))
  return figures + _driven(person, other)


def _driven(person, faces):
  """Returns the figures of driven faces: the next video's, own codes."""
  figures, grey = [], _grey(person.frames)
  for video in range(len(person.faces)):
    target = (video + 1) % len(person.faces)
    of_video = np.flatnonzero(person.video == video)
    for region in driven.REGIONS:
      value = driven.r2(
        faces[of_video],
        person.frames[of_video],
        canonical=person.faces[video],
        target=person.faces[target],
        region=region,
      )
      figures.append(('canonical', f'driven r2 {region}', 0, value))
    train = np.flatnonzero(person.video == target)
    both = few_labels.pixel_components(
      np.concatenate([grey[train], _grey(faces[of_video])]), fit=grey
    )
    for name, shift in (
      ('driven', 0),
      ('driven, shuffled', len(of_video) // 2),
    ):
      shown = np.roll(person.labels[of_video], shift, axis=0)
      value = few_labels.probe_auc(
        both,
        np.concatenate([person.labels[train], shown]),
        np.arange(len(train)),
        np.arange(len(train), len(both.values)),
        guard=person.guard,
      )
      figures.append((name, 'auc', 0, np.nanmean(value)))
  return figures


def _grey(frames):
  """Returns [n, S * S] grey values of frames."""
  return (frames @ _LUMA).reshape(len(frames), -1)


def _in_parts(function, *arrays):
  """Returns a function of arrays [n, ...], 100 of their rows at a time."""
  parts = [
    np.asarray(function(*(array[i : i + 100] for array in arrays)))
    for i in range(0, len(arrays[0]), 100)
  ]
  return np.concatenate(parts)


def _drawer(networks, params):
  """Returns what one model makes of codes and canonical faces."""
  draw = jax.jit(networks.draw)
  return lambda *arrays: _in_parts(lambda *a: draw(params, *a)[0], *arrays)


def train(
  config: ml_collections.ConfigDict,
  store: store_lib.FrameStore,
  method,
  faces: canonical_faces.CanonicalFaces,
):
  """Trains a model a person; returns (people, untrained, trained) params."""
  models, plans = planning.plan_models(config, store)
  built = population.build(method, plans, config)
  states = built.init()
  begun = built.to_host(states).params
  source = feed.make(built, store.frames, config, canonical=faces)
  with contextlib.closing(source):
    for step in range(config.train.steps):
      states, metrics = built.step(states, source.batches_at(step))
      jax.block_until_ready(metrics)
  return (
    [model.cohort[0] for model in models],
    begun,
    built.to_host(states).params,
  )


def train_row(name: str, store: store_lib.FrameStore):
  """Trains and measures a row of the ablation; writes its figures."""
  row = science_rows.ROWS[name]
  config = science_rows.config_of(row, store, _STEPS.value)
  config.seed, config.data.persons = _SEED.value, tuple(_PEOPLE.value)
  faces = canonical_faces.of_store(store)
  fed = faces
  if not row.has_faces:
    fed = dataclasses.replace(faces, faces=np.full_like(faces.faces, 128))
  method = row.changed(methods.make(config), config)
  start = time.process_time()
  people, begun, params = train(config, store, method, fed)
  seconds = (time.process_time() - start) / len(people)
  embed, networks = jax.jit(method.embed), canonical.Networks(config)
  for index, person_id in enumerate(people):
    person = person_of(store, faces, person_id)
    begun_one, params_one = (
      jax.tree.map(lambda leaf, i=index: leaf[i], tree)
      for tree in (begun, params)
    )
    figures = measure(
      person,
      *(
        _in_parts(lambda x, p=tree: embed(p, (), x), person.pixels)
        for tree in (params_one, begun_one)
      ),
      _drawer(networks, params_one) if row.has_faces else None,
    )
    figures.append(('canonical', 'cpu_s', 0, seconds))
    _write(name, person_id, _SEED.value, figures)


def measure_run(workdir: str):
  """Measures the models of a run; writes their figures."""
  trained = embedding.Trained(workdir)
  networks = canonical.Networks(trained.run.config)
  for index, model in enumerate(trained.run.models):
    for person_id in model.cohort:
      if _PEOPLE.value and person_id not in _PEOPLE.value:
        continue
      rows = trained.rows_of(person_id)
      figures = measure(
        person_of(trained.store, trained.canonical, person_id),
        trained.embed(index, rows),
        trained.embed_untrained(index, rows),
        _drawer(networks, trained.model_state(index).params),
      )
      name = f'{pathlib.Path(workdir).name} {trained.step}'
      _write(name, person_id, model.seed, figures)


def _write(row, person_id, seed, figures):
  """Adds the figures of one model and person to the file."""
  is_new = not os.path.exists(_OUT.value)
  with open(_OUT.value, 'a', newline='') as file:
    writer = csv.writer(file)
    if is_new:
      writer.writerow(FIELDS)
    for source, metric, labelled, value in figures:
      writer.writerow(
        [row, person_id, seed, source, metric, labelled, f'{value:.4f}']
      )
  logging.info('%s of %s is measured.', row, person_id)


def table(figures: pd.DataFrame) -> str:
  """Returns means over people and seeds, a line a row and source."""
  column = figures.metric.where(
    figures.metric != 'auc', 'auc ' + figures.labelled.astype(str)
  ).str.replace('auc 0', 'auc all')
  figures = figures.assign(column=column)
  by_person = figures.groupby(
    ['row', 'source', 'column', 'person_id'], sort=False
  )['value'].mean()
  means = (
    by_person.groupby(['row', 'source', 'column'], sort=False)
    .mean()
    .unstack('column')
  )
  people = figures.groupby(['row', 'source']).person_id.nunique()
  return means.assign(people=people).round(3).to_string(na_rep='')


def main(argv):
  """Trains rows, measures a run, and prints what the file holds."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  if _STORE.value:
    store = store_lib.open_store(_STORE.value)
    names = _ROWS.value
    for name in science_rows.ROWS if names == ['all'] else names:
      train_row(name, store)
  if _RUN.value:
    measure_run(_RUN.value)
  print(table(pd.read_csv(_OUT.value)))


if __name__ == '__main__':
  flags.mark_flags_as_required(['out'])
  app.run(main)
