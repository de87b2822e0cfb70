"""The people: a row each, with their films, and who of them is off.

It shows faces where films may be shown.
"""

import base64
import pathlib

import numpy as np

from psm_jax import json_files
from psm_jax.data import embedded
from psm_jax.evaluation import person, results
from psm_jax.report import evidence, formats, run as report_run, tables
from psm_jax.runs import run as run_lib

PANELS = ('input', 'neutral face', 'reconstruction', 'movement')
_MAX_CARDS = 40
_SHORT_S = 30.0
_FLAT_RANK = 2.0
_TILE_PX = 96
_LEAST = 0.05  # So much an AUC is lower at least.
_FAR = 3.0  # Deviations, robustly told, below the median AUC of all.
_NORMAL = 1.4826  # A normal distribution's deviation in its median deviations.


def section(read: evidence.Evidence) -> dict | None:
  """Returns a card a model, the films, and a table of who is off."""
  if read.run is None or not read.run.models:
    return None
  reasons = off(read)
  models = sorted(
    read.run.models,
    key=lambda m: (m.status == 'done', -len(reasons.get(m.model_id, ()))),
  )
  films, transfer = {}, None
  if read.store is not None:
    folder = read.folder / embedded.FILMS
    films, transfer = _films(folder, read.max_people), _transfer(folder)
  cards, rows = [], []
  for model in models:
    name = model.model_id if len(model.cohort) > 1 else model.cohort[0]
    problem = formats.listing(reasons.get(model.model_id, []))
    facts = _facts(model, read.movement.seconds)
    card = {'name': name, 'facts': facts, 'problem': problem}
    cards.append({**card, 'film': films.get(model.model_id)})
    if problem:
      rows.append([name, model.model_id, problem])
  off_table = tables.Table(
    'Whose models, videos or scores are not as those of the others.',
    [*tables.names('Person', 'Model'), *tables.texts('What is off')],
    rows=rows,
    of='people who are off',
  )
  more = len(models) - _MAX_CARDS
  return {
    'cards': cards[:_MAX_CARDS],
    'panels': PANELS,
    'more': formats.plural(more, 'model') if more > 0 else '',
    'off': off_table if rows and more > 0 else None,
    'transfer': transfer,
  }


def off(read: evidence.Evidence) -> dict[str, list[str]]:
  """Returns model_id -> what is off with it; models with nothing are left out.

  Failures, unfinished training, little video, embeddings along one direction,
  and people whose mean AUC is at guessing or far below everybody's.
  """
  auc = read.persons(results.ACTION_UNITS, 'auc', read.split)
  auc = auc.get(read.baseline)
  low = -np.inf
  if auc is not None and len(auc):
    spread = _NORMAL * (auc - auc.median()).abs().median()
    low = max(0.5, auc.median() - max(_FAR * spread, _LEAST))
  rank = read.persons(person.EMBEDDING, 'effective_rank', '', by_model=True)
  rank = rank.get(read.baseline, {})
  reasons = {}
  for model in read.run.models:
    why = []
    if model.status == 'failed':
      step = formats.count(model.failed_step or model.steps_done)
      why.append(f'the model failed at step {step}')
    elif model.status == 'running':
      why.append(f'not finished: {report_run.steps_of(model)} steps')
    for who in model.cohort if len(model.cohort) == 1 else ():
      if round(read.movement.seconds.get(who, _SHORT_S)) < _SHORT_S:
        why.append(f'little video: fewer than {_SHORT_S:.0f} s')
      if auc is not None and auc.get(who, np.inf) < low:
        median = formats.score(auc.median())
        why.append(f'AUC {formats.score(auc[who])} (median {median})')
      if rank.get((who, model.model_id), np.inf) < _FLAT_RANK:
        why.append('the embedding moves along little more than one direction')
    if why:
      reasons[model.model_id] = why
  return reasons


def _facts(model: run_lib.Model, seconds: dict[str, float]) -> list[str]:
  """Returns what is known of a model in a few words each."""
  facts = [
    formats.plural(model.num_videos, 'video'),
    formats.plural(model.num_frames, 'frame'),
  ]
  if len(model.cohort) > 1:
    facts.insert(0, formats.people(len(model.cohort)))
  elif (length := seconds.get(model.cohort[0])) is not None:
    text = f'{length / 60:.1f} min' if length >= 90 else f'{length:.0f} s'
    facts.insert(1, text)
  return facts


def _films(folder: pathlib.Path, max_people: int) -> dict[str, str]:
  """Returns model_id -> address of its film, of the first people."""
  films = [p for p in folder.glob('*.mp4') if p.stem != embedded.TRANSFER]
  return {path.stem: _address(path) for path in sorted(films)[:max_people]}


def _transfer(folder: pathlib.Path) -> dict | None:
  """Returns the film of everybody's movement on everybody's face, if any."""
  described = folder / f'{embedded.TRANSFER}.json'
  if not described.is_file():
    return None
  people = json_files.read(described, {'people': [str]})['people']
  film = _address(described.with_suffix('.mp4'))
  side = _TILE_PX * (len(people) + 1)
  return {'film': film, 'people': formats.listing(people), 'side': side}


def _address(path: pathlib.Path) -> str:
  """Returns a film as an address that holds it."""
  return f'data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}'
