"""Measures what models of canonical faces learn, and what each part is worth.

  python -m benchmarks.science --store=STORE --rows=all --out=science.csv
  python -m benchmarks.science --run=RUN --out=science.csv
  python -m benchmarks.science --general=RUN [--store=STORE] --out=science.csv
  python -m benchmarks.science --out=science.csv

The first trains the rows of the ablation, a model a person of a frame store
with action units and two videos a person (that of a run of configs/narrow.py,
say); the second measures how the models of a run of configs/canonical_narrow.py
or its like tell frames that were made harder (launch.evaluate says the rest).
The third measures a general model: probes of all other people, and of one
other, on each person of its frame store, or of another with people whom it
never saw. The last
prints the table: means over people. A row of the file is
one figure of one person: AUCs across videos by number of labelled frames (0 is
all), R2 of reconstructions and of driven faces, AUCs of action units read from
driven faces; of runs, AUCs of frames made harder.
"""

import contextlib
import csv
import dataclasses
import functools
import os
import pathlib
import time

import jax
import ml_collections
import numpy as np
import pandas as pd
from absl import app, flags, logging

from benchmarks import science_measures, science_rows
from psm_jax import embedding, methods
from psm_jax.data import canonical_faces, store as store_lib
from psm_jax.engine import feed, population
from psm_jax.evaluation import features, few_labels
from psm_jax.methods import canonical, interface
from psm_jax.runs import planning

_STORE = flags.DEFINE_string(
  'store',
  '',
  'Frame store to train rows on, or whose people --general is measured on.',
)
_RUN = flags.DEFINE_string('run', '', 'Run whose models are measured.')
_GENERAL = flags.DEFINE_string(
  'general', '', 'Run whose first model is measured across people.'
)
_ROWS = flags.DEFINE_list('rows', ['base'], 'Rows to train; all for each.')
_PEOPLE = flags.DEFINE_list('people', [], 'Person ids; all by default.')
_STEPS = flags.DEFINE_integer('steps', 500, 'Steps of the rows.')
_SEED = flags.DEFINE_integer('seed', 0, 'Of the rows.')
_OUT = flags.DEFINE_string('out', None, 'CSV file that figures are added to.')
_COUNTS = flags.DEFINE_list(
  'labelled',
  ['30', '100'],
  'Numbers of labelled frames of the rows; all of a video is added.',
)
_DRAWS = flags.DEFINE_integer('draws', 5, 'Draws of labelled frames.')

FIELDS = ('row', 'person_id', 'seed', 'source', 'metric', 'labelled', 'value')


def train(
  config: ml_collections.ConfigDict,
  store: store_lib.FrameStore,
  method: interface.Method,
  faces: canonical_faces.CanonicalFaces,
) -> tuple[list[str], interface.Tree, interface.Tree]:
  """Trains a model a person; returns (person ids, untrained, trained)."""
  models, plans = planning.plan_models(config, store)
  built = population.build(method, plans, config)
  states = built.init()
  begun = built.to_host(states).params
  source = feed.make(built, store.frames, config, canonical=faces)
  with contextlib.closing(source):
    for step in range(config.train.steps):
      states, metrics = built.step(states, source.batches_at(step))
      jax.block_until_ready(metrics)
  people = [model.cohort[0] for model in models]
  return people, begun, built.to_host(states).params


def train_row(name: str, store: store_lib.FrameStore):
  """Trains and measures a row of the ablation; writes its figures."""
  row = science_rows.ROWS[name]
  config = science_rows.config_of(row, store, _STEPS.value)
  config.seed, config.data.persons = _SEED.value, tuple(_PEOPLE.value)
  faces = fed = canonical_faces.of_store(store)
  if not row.has_faces:
    fed = dataclasses.replace(faces, faces=np.full_like(faces.faces, 128))
  method = row.changed(methods.make(config), config)
  start = time.process_time()
  people, begun, params = train(config, store, method, fed)
  seconds = (time.process_time() - start) / len(people)
  networks = canonical.Networks(config)
  for index, person_id in enumerate(people):
    person = science_measures.person_of(store, faces, person_id)
    untrained, trained = (
      jax.tree.map(lambda leaf, i=index: leaf[i], tree)
      for tree in (begun, params)
    )
    embedders = _embedders(method, trained, untrained, person.video)
    figures = _scores(person, embedders)
    if row.has_faces and method.draw is not None:
      code = embedders['canonical'](person.pixels)
      figures += science_measures.drawn(
        person, code, _drawer(networks, trained)
      )
    figures.append(('canonical', 'cpu_s', 0, seconds))
    _write(name, person_id, _SEED.value, figures)


def measure_run(workdir: str):
  """Measures the models of a run; writes their figures."""
  run = embedding.Trained(workdir)
  begun = run.at_step(0)
  for index, model in enumerate(run.run.models):
    trained = run.model_state(index).params
    untrained = begun.model_state(index).params
    for person_id in model.cohort:
      if _PEOPLE.value and person_id not in _PEOPLE.value:
        continue
      person = science_measures.person_of(run.store, run.canonical, person_id)
      embedders = _embedders(run.method, trained, untrained, person.video)
      figures = science_measures.harder(person, embedders)
      _write(_name(run), person_id, model.seed, figures)


def measure_general(workdir: str):
  """Measures probes across people of a run's first model; writes figures."""
  run = embedding.Trained(workdir)
  if _STORE.value:
    run.store = store_lib.open_store(_STORE.value)
    run.canonical = canonical_faces.of_store(run.store)
  begun, store, people = run.at_step(0), run.store, run.store.person_ids
  rows = [run.rows_of(person_id) for person_id in people]
  labels = [science_measures.units(store.index.iloc[own]) for own in rows]
  shape = (-1, store.size_px, store.size_px, 3)
  # What sets people apart is no movement, and would fill the components.
  pixels = [
    science_measures.grey(np.asarray(store.frames[own]).reshape(shape))
    for own in rows
  ]
  pixels = np.concatenate([own - own.mean(axis=0) for own in pixels])
  components, sizes = few_labels.components(pixels, fit=pixels[::6])
  borders = np.cumsum([len(own) for own in rows])[:-1]
  embeddings, random = (
    science_measures.scaled([states.embed(0, own) for own in rows])
    for states in (run, begun)
  )
  parts = science_measures.scaled(np.split(components, borders))
  sources = {
    'canonical': (embeddings, ()),
    features.RANDOM_ENCODER: (random, ()),
    features.PIXEL_PCA: (parts, sizes),
  }
  model = run.run.models[0]
  guard = round(science_measures.GUARD_S * store.videos(people[0])[0].fps)
  for number, person_id in enumerate(people):
    kind = 'seen' if person_id in model.cohort else 'unseen'
    others = [n for n in range(len(people)) if n != number]
    figures = []
    for source, (values, sizes) in sources.items():
      tested = functools.partial(
        science_measures.across_people,
        values,
        labels,
        number,
        guard=guard,
        sizes=sizes,
      )
      each = [tested([other]) for other in others]
      figures += [
        (source, f'all others, {kind}', 0, tested(others)),
        (source, f'one other, {kind}', 0, np.mean(each)),
      ]
    _write(_name(run), person_id, model.seed, figures)


def _name(run):
  """Names a run and its step."""
  return f'{pathlib.Path(run.run.workdir).name} {run.step}'


def _scores(person, embedders):
  """Returns the AUCs that the flags ask for."""
  counts = [int(count) for count in _COUNTS.value]
  return science_measures.scores(
    person, embedders, counts=counts, num_draws=_DRAWS.value
  )


def _embedders(method, trained, untrained, video):
  """Returns what embeds pixels of a person, by source."""
  compiled = jax.jit(method.embed)

  def with_params(params):
    def embed(pixels):
      taken = [pixels]
      if method.uses_canonical:
        faces = [
          canonical_faces.median(pixels[video == v]) for v in np.unique(video)
        ]
        taken.append(np.stack(faces)[video])
      return _in_parts(lambda *x: compiled(params, (), *x), *taken)

    return embed

  return {
    'canonical': with_params(trained),
    features.RANDOM_ENCODER: with_params(untrained),
  }


def _drawer(networks, params):
  """Returns what one model makes of codes and canonical faces."""
  draw = jax.jit(networks.draw)
  return lambda *arrays: _in_parts(lambda *a: draw(params, *a)[0], *arrays)


def _in_parts(function, *arrays):
  """Returns a function of arrays [n, ...], 100 of their rows at a time."""
  parts = [
    np.asarray(function(*(array[i : i + 100] for array in arrays)))
    for i in range(0, len(arrays[0]), 100)
  ]
  return np.concatenate(parts)


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
  if _STORE.value and not _GENERAL.value:
    store = store_lib.open_store(_STORE.value)
    names = _ROWS.value
    for name in science_rows.ROWS if names == ['all'] else names:
      train_row(name, store)
  if _RUN.value:
    measure_run(_RUN.value)
  if _GENERAL.value:
    measure_general(_GENERAL.value)
  print(table(pd.read_csv(_OUT.value)))


if __name__ == '__main__':
  flags.mark_flags_as_required(['out'])
  app.run(main)
