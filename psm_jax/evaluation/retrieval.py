"""Person-independence: frames that find the same movement in other faces.

A action units, C candidates, D features, Q queries.

  rows, skipped = retrieval.retrieve(tables)

Every frame with an active action unit asks for its nearest frames (cosine) of
*other* persons; a good answer shows the same action units. The agreement of two
frames is the F1 (Dice) of their sets of active units: twice the shared ones
over the sum of both, 0 if the answer has none.

Rows of results, of the targets retrieval and retrieval_centred (each person's
mean taken out); n_train counts candidates, n_test queries. Metrics: score, the
mean agreement; chance, that of random frames of other persons; best, that of
the frames of other persons whose labels agree most, which no embedding can
beat; normalised = (score - chance) / (best - chance).
"""

import functools
from collections.abc import Sequence

import numpy as np

from psm_jax.evaluation import coordinates, features, probes, results, splits

AS_IS = 'retrieval'
CENTRED = 'retrieval_centred'
NUM_NEIGHBOURS = 5  # Answers to each query.
# Candidates of all persons together, and queries of all, taken at equal steps:
# equally many of everybody who has them. Bounds time.
MAX_FRAMES = 16_000
_QUERIES_AT_ONCE = 512  # Bounds the memory: a row of similarities each.


def retrieve(
  tables: Sequence[features.FeatureTable],
  *,
  config: probes.ProbeConfig = probes.DEFAULT,
) -> tuple[list[dict], list[dict]]:
  """Scores how well frames find frames of the same action units in others.

  Only features that share coordinates are scored, see
  coordinates.shared_models; pixels and head pose are standardised over
  everybody's frames first. Frames count on which every action unit is
  labelled that any person has labels of.

  Args:
    tables: Features of any number of sources, models and persons.
    config: Its threshold counts.

  Returns:
    Rows of results, and of skipped.
  """
  return coordinates.score_models(
    tables, functools.partial(_score_model, config=config), target=AS_IS
  )


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


def _score_model(tables, config) -> tuple[list[dict], list[str]]:
  """Returns the rows of one model, and a note if all frames are alike."""
  tables = [table.in_order() for table in tables]
  labels = [
    splits.action_unit_labels(table.frames, threshold=config.threshold)
    for table in tables
  ]
  units = sorted(
    {u for theirs in labels for u in theirs.dropna(how='all', axis=1)}
  )
  if not units:
    raise splits.Impossible('no action-unit labels')
  labels = [theirs.reindex(columns=units) for theirs in labels]
  known = [theirs.notna().all(axis=1).to_numpy() for theirs in labels]
  each = max(1, MAX_FRAMES // len(tables))
  active = [theirs.to_numpy() == 1 for theirs in labels]
  answering = [
    coordinates.spread_rows(np.flatnonzero(theirs), num_rows=each)
    for theirs in known
  ]
  asking = [
    coordinates.spread_rows(
      np.flatnonzero(theirs & moves.any(axis=1)), num_rows=each
    )
    for theirs, moves in zip(known, active, strict=True)
  ]
  if sum(len(theirs) > 0 for theirs in answering) < 2 or not any(
    map(len, asking)
  ):
    raise splits.Impossible(
      f'fewer than 2 persons with labels of all of {", ".join(units)}, or '
      'nobody with an active one'
    )
  units_of = [table.scaled() for table in tables]
  if tables[0].source in coordinates.SHARED_SOURCES:
    units_of = _standardised(units_of)
  owner = np.repeat(np.arange(len(tables)), [len(rows) for rows in answering])
  shown = _chosen(active, answering)
  made = []
  for target in (AS_IS, CENTRED):
    data = [_directions(theirs, target) for theirs in units_of]
    units = _chosen(data, answering)
    for person, (table, rows) in enumerate(zip(tables, asking, strict=True)):
      others = owner != person
      if len(rows) and others.any():
        metrics, sizes = _score_person(
          data[person][rows], active[person][rows], units[others], shown[others]
        )
        made += results.rows(table.ids, target, metrics, **sizes)
  if any(row['metric'] == 'normalised' for row in made):
    return made, []
  return made, ['all frames show the same action units']


def _standardised(data) -> list[np.ndarray]:
  """Returns everybody's columns with mean 0 and standard deviation 1 over all.

  Pixels are bright and angles have units: their cosines would say little.
  """
  whole = np.concatenate(data)
  mean, std = whole.mean(axis=0), whole.std(axis=0)
  return [(theirs - mean) / np.where(std > 0, std, 1.0) for theirs in data]


def _directions(data, target) -> np.ndarray:
  """Returns [n, D] float32 of length 1, as cosines compare them."""
  if target == CENTRED:
    data = data - data.mean(axis=0)
  return features.unit_length(data).astype(np.float32)


def _chosen(values, rows) -> np.ndarray:
  """Returns chosen rows of everybody's arrays, one person behind another."""
  return np.concatenate(
    [theirs[r] for theirs, r in zip(values, rows, strict=True)]
  )


def _score_person(asked, wanted, units, active):
  """Returns the agreement of a person's queries with others' answers.

  Args:
    asked: [Q, D] float32, of length 1.
    wanted: [Q, A] bool.
    units: [C, D] float32, of length 1.
    active: [C, A] bool.
  """
  num_neighbours = min(NUM_NEIGHBOURS, len(units))
  # Profiles repeat: each pair of them is compared once.
  profiles, asked_for, num_asked = np.unique(
    wanted, axis=0, return_inverse=True, return_counts=True
  )
  given, shown, num_given = np.unique(
    active, axis=0, return_inverse=True, return_counts=True
  )
  between = agreement(profiles, given)
  scores = np.empty(len(asked))
  for start in range(0, len(asked), _QUERIES_AT_ONCE):
    rows = slice(start, start + _QUERIES_AT_ONCE)
    near = np.argpartition(
      -(asked[rows] @ units.T), num_neighbours - 1, axis=1
    )[:, :num_neighbours]
    scores[rows] = between[asked_for[rows, None], shown[near]].mean(axis=1)
  chance = np.average(between @ num_given / len(active), weights=num_asked)
  best = np.average(
    [_best(row, num_given, num_neighbours) for row in between],
    weights=num_asked,
  )
  score, span = float(scores.mean()), best - chance
  return {
    'normalised': (score - chance) / span if span > 0 else np.nan,
    'score': score,
    'chance': float(chance),
    'best': float(best),
  }, {'n_train': len(units), 'n_test': len(asked)}


def _best(similarity, num_frames, num_neighbours) -> float:
  """Returns the mean of the largest similarities, each worth its frames."""
  order = np.argsort(-similarity)
  taken = np.minimum(np.cumsum(num_frames[order]), num_neighbours)
  taken = np.diff(taken, prepend=0)
  return float(similarity[order] @ taken / num_neighbours)
