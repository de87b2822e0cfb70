"""Person-independence: frames that find the same movement in other faces.

A action units, C candidates, D features, Q queries.

  found = retrieval.retrieve(tables)

Every frame with an active action unit asks for its nearest frames (cosine) of
*other* persons; a good answer shows the same action units. The agreement of two
frames is the F1 (Dice) of their sets of active units: twice the shared ones
over the sum of both, 0 if the answer has none.

retrieve().summary, a row per source and centring:
  source,centring,normalised,ci_low,ci_high,score,chance,best,num_persons,
  num_models,reason
  score is the mean agreement; chance that of random frames of other persons;
  best that of the frames of other persons whose labels agree most, which no
  embedding can beat; normalised = (score - chance) / (best - chance). All are
  means over persons. A source without shared coordinates has one row, with a
  reason instead of values.
retrieve().persons, a row per model, person who asks and centring:
  source,model_id,person_id,centring,num_queries,num_candidates,score,chance,
  best,normalised
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
import threadpoolctl

from psm_jax.evaluation import coordinates, features, splits, summary

SUMMARY_COLUMNS = tuple(
  (
    'source centring normalised ci_low ci_high score chance best num_persons '
    'num_models reason'
  ).split()
)
PERSON_COLUMNS = tuple(
  (
    'source model_id person_id centring num_queries num_candidates score '
    'chance best normalised'
  ).split()
)
_QUERIES_AT_ONCE = 512  # Bounds the memory: a row of similarities each.


@dataclasses.dataclass(frozen=True)
class RetrievalConfig:
  """How frames are asked for and compared.

  Attributes:
    threshold: An action unit is active at this intensity or above.
    num_neighbours: Answers to each query.
    max_frames: Candidates of all persons together, and queries of all, taken
      at equal steps: equally many of everybody who has them. Bounds time.
    seed: Of the draws of persons.

  Raises:
    ValueError: If a value is out of its range.
  """

  threshold: float = 2.0
  num_neighbours: int = 5
  max_frames: int = 16_000
  seed: int = 0

  def __post_init__(self):
    for field in ('num_neighbours', 'max_frames'):
      if getattr(self, field) < 1:
        raise ValueError(f'{field} {getattr(self, field)} is less than 1.')


DEFAULT = RetrievalConfig()


@dataclasses.dataclass(frozen=True)
class Retrieval:
  """Both tables of `retrieve`; columns as in the module's description."""

  summary: pd.DataFrame
  persons: pd.DataFrame


@dataclasses.dataclass(frozen=True)
class _Pool:
  """The frames of all persons that may ask or answer.

  Attributes:
    units: [C, D] float32, of length 1.
    active: [C, A] bool.
    owner: [C] int, whose frame it is.
  """

  units: np.ndarray
  active: np.ndarray
  owner: np.ndarray


def retrieve(
  tables: Sequence[features.FeatureTable],
  *,
  config: RetrievalConfig = DEFAULT,
  num_person_resamples: int = 2000,
) -> Retrieval:
  """Scores how well frames find frames of the same action units in others.

  Only features that share coordinates are scored, see
  coordinates.shared_models; pixels and head pose are standardised over
  everybody's frames first. Frames count on which every action unit is
  labelled that any person has labels of.

  Args:
    tables: Features of any number of sources, models and persons.
    config: See RetrievalConfig.
    num_person_resamples: Draws of persons behind the intervals.

  Returns:
    See the module's description.
  """
  rows, notes = [], {}
  with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
    for source, models in coordinates.shared_models(tables).items():
      notes[source] = [] if models else [coordinates.OWN_MODELS]
      for model_id, own in models.items():
        try:
          found = _score_model(own, config)
        except splits.Impossible as reason:
          notes[source].append(f'{model_id}: {reason}')
          continue
        ids = {'source': source, 'model_id': model_id}
        rows += [{**ids, **row} for row in found]
  persons = pd.DataFrame(rows, columns=PERSON_COLUMNS)
  summarised = summary.summarise_by_source(
    persons,
    notes,
    columns=SUMMARY_COLUMNS,
    keys=['centring'],
    values=['normalised', 'score', 'chance', 'best'],
    num_person_resamples=num_person_resamples,
    seed=config.seed,
    no_value='all frames show the same action units',
  )
  return Retrieval(summary=summarised, persons=persons)


def agreement(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """Returns the F1 between every two sets of active action units.

  Args:
    first: [Q, A] bool.
    second: [C, A] bool.

  Returns:
    [Q, C] float64 in [0, 1]; 0 for two empty sets.
  """
  first, second = first.astype(np.float64), second.astype(np.float64)
  size = first.sum(axis=1)[:, None] + second.sum(axis=1)
  return 2 * (first @ second.T) / np.maximum(size, 1)


def _score_model(tables, config) -> list[dict]:
  """Returns a row per person and centring of one model."""
  tables = [coordinates.in_order(table) for table in tables]
  labels = [
    splits.action_unit_labels(table.frames, threshold=config.threshold)
    for table in tables
  ]
  units = sorted({u for own in labels for u in own.dropna(how='all', axis=1)})
  if not units:
    raise splits.Impossible('no action-unit labels')
  labels = [own.reindex(columns=units) for own in labels]
  known = [own.notna().all(axis=1).to_numpy() for own in labels]
  each = max(1, config.max_frames // len(tables))
  active = [own.to_numpy() == 1 for own in labels]
  answering = [
    coordinates.spread_rows(np.flatnonzero(own), num_rows=each) for own in known
  ]
  asking = [
    coordinates.spread_rows(
      np.flatnonzero(own & moves.any(axis=1)), num_rows=each
    )
    for own, moves in zip(known, active, strict=True)
  ]
  if sum(len(own) > 0 for own in answering) < 2 or not any(map(len, asking)):
    raise splits.Impossible(
      f'fewer than 2 persons with labels of all of {", ".join(units)}, or '
      'nobody with an active one'
    )
  units_of = [coordinates.unit_length(table) for table in tables]
  if tables[0].source in coordinates.SHARED_SOURCES:
    units_of = _standardised(units_of)
  rows = []
  for centring in coordinates.CENTRINGS:
    data = [_directions(own, centring) for own in units_of]
    candidates = _pool(data, active, answering)
    queries = _pool(data, active, asking)
    rows += [
      {
        'person_id': table.person_id,
        'centring': centring,
        **_score_person(person, queries, candidates, config.num_neighbours),
      }
      for person, table in enumerate(tables)
      if len(asking[person]) and (candidates.owner != person).any()
    ]
  return rows


def _standardised(data) -> list[np.ndarray]:
  """Returns everybody's columns with mean 0 and standard deviation 1 over all.

  Pixels are bright and angles have units: their cosines would say little.
  """
  whole = np.concatenate(data)
  mean, std = whole.mean(axis=0), whole.std(axis=0)
  return [(own - mean) / np.where(std > 0, std, 1.0) for own in data]


def _directions(data, centring) -> np.ndarray:
  """Returns [n, D] float32 of length 1, as cosines compare them."""
  if centring == coordinates.CENTRED:
    data = data - data.mean(axis=0)
  return features.unit_length(data).astype(np.float32)


def _pool(data, active, chosen) -> _Pool:
  """Returns the chosen frames of all persons."""
  return _Pool(
    np.concatenate([own[r] for own, r in zip(data, chosen, strict=True)]),
    np.concatenate([own[r] for own, r in zip(active, chosen, strict=True)]),
    np.repeat(np.arange(len(chosen)), [len(rows) for rows in chosen]),
  )


def _score_person(person, queries, candidates, num_neighbours) -> dict:
  """Returns the agreement of one person's queries with others' answers."""
  asks, others = queries.owner == person, candidates.owner != person
  units, active = candidates.units[others], candidates.active[others]
  num_neighbours = min(num_neighbours, len(units))
  asked, wanted = queries.units[asks], queries.active[asks]
  scores = np.empty(len(asked))
  for start in range(0, len(asked), _QUERIES_AT_ONCE):
    rows = slice(start, start + _QUERIES_AT_ONCE)
    near = np.argpartition(
      -(asked[rows] @ units.T), num_neighbours - 1, axis=1
    )[:, :num_neighbours]
    shown, asked_for = active[near], wanted[rows][:, None]
    size = shown.sum(axis=2) + asked_for.sum(axis=2)
    scores[rows] = (2 * (shown & asked_for).sum(axis=2) / size).mean(axis=1)
  # Profiles repeat: each pair of them is compared once.
  profiles, num_asked = np.unique(wanted, axis=0, return_counts=True)
  given, num_given = np.unique(active, axis=0, return_counts=True)
  between = agreement(profiles, given)
  chance = np.average(between @ num_given / len(active), weights=num_asked)
  best = np.average(
    [_best(row, num_given, num_neighbours) for row in between],
    weights=num_asked,
  )
  score = float(scores.mean())
  span = best - chance
  return {
    'num_queries': len(asked),
    'num_candidates': len(units),
    'score': score,
    'chance': float(chance),
    'best': float(best),
    'normalised': (score - chance) / span if span > 0 else float('nan'),
  }


def _best(similarity, num_frames, num_neighbours) -> float:
  """Returns the mean of the largest similarities, each worth its frames."""
  order = np.argsort(-similarity)
  taken = np.minimum(np.cumsum(num_frames[order]), num_neighbours)
  taken = np.diff(taken, prepend=0)
  return float(similarity[order] @ taken / num_neighbours)
