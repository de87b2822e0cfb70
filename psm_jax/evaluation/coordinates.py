"""Which features may be compared between persons, and on which frames.

n frames, D features.

Two models trained apart do not share coordinates: unit 7 of one has nothing to
do with unit 7 of another, though both have 256. Their embeddings may be probed
each by itself and the scores compared; they must not be subtracted, averaged,
or searched for each other's neighbours, unless aligned first
(psm_jax/evaluation/procrustes.py).
"""

import collections
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import threadpoolctl

from psm_jax.evaluation import features, results, splits

WARNING = (
  'Embeddings of different models do not share coordinates. Compare scores of '
  'models, never their embeddings: distances and nearest neighbours between '
  'two models mean nothing before an alignment whose quality on held-out '
  'frames was shown.'
)
OWN_MODELS = 'each person has a model of their own, so no shared coordinates'
# Features that mean the same for everybody, whatever their model_id.
SHARED_SOURCES = (features.PIXEL_PCA, features.HEAD_POSE)


def shared_models(
  tables: Sequence[features.FeatureTable],
) -> dict[str, dict[str, list[features.FeatureTable]]]:
  """Returns the tables that share coordinates, by source and model.

  One model of several persons shares them, and features that are the same for
  everybody (SHARED_SOURCES). A source of which each person has a model of their
  own has none.

  Args:
    tables: Any number of sources, models and persons.

  Returns:
    For each source in order of appearance: model_id to the tables of two or
    more persons. Of a shared source one table a person is taken, under the
    source's name. Tables without a feature are left out.
  """
  tables = [table for table in tables if table.features.shape[1]]
  models = {table.source: collections.defaultdict(list) for table in tables}
  for table in tables:
    is_shared = table.source in SHARED_SOURCES
    kept = models[table.source][table.source if is_shared else table.model_id]
    if not any(other.person_id == table.person_id for other in kept):
      kept.append(table)
  return {
    source: {model: kept for model, kept in tables_of.items() if len(kept) > 1}
    for source, tables_of in models.items()
  }


def score_models(
  tables: Sequence[features.FeatureTable],
  score: Callable[
    [list[features.FeatureTable]], tuple[list[dict], Sequence[str]]
  ],
  *,
  target: str = '',
  split: str = '',
) -> tuple[list[dict], list[dict]]:
  """Scores every model of several persons, and says why others are not scored.

  Args:
    tables: Any number of sources, models and persons.
    score: A model's tables, one a person, to rows of results, which need not
      say of which source and model they are, and notes why some are missing.
      If it raises splits.Impossible, that is why there are none.
    target: Of the rows of skipped.
    split: Likewise.

  Returns:
    Rows of results, and of skipped, in which sources without shared coordinates
    are.
  """
  made, skipped = [], []
  # The matrices are small: more threads take twice the processor's time.
  with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
    for source, models in shared_models(tables).items():
      notes = [] if models else [OWN_MODELS]
      for model_id, theirs in models.items():
        try:
          rows, reasons = score(theirs)
        except splits.Impossible as reason:
          rows, reasons = [], [str(reason)]
        ids = {'source': source, 'model_id': model_id}
        made += [ids | row for row in rows]
        notes += [f'{model_id}: {reason}' for reason in reasons]
      place = {'source': source, 'person_id': results.EVERYBODY}
      place |= {'target': target, 'split': split}
      skipped += [{**place, 'reason': note} for note in notes]
  return made, skipped


def two_parts(
  frames: pd.DataFrame, usable: np.ndarray, *, guard_s: float
) -> tuple[str, list[splits.Split]]:
  """Returns both ways to train on one part of the frames and test on another.

  The parts are the first two usable videos in order of video_id, or, of one
  video, its halves less guard_s between them.

  Args:
    frames: n rows with video_id and time_s.
    usable: [n] bool, the frames to take.
    guard_s: Seconds between the halves.

  Returns:
    'cross_video' or 'blocked', and the two directions.

  Raises:
    splits.Impossible: If a part is empty.
  """
  name, parts = splits.CROSS_VIDEO, splits.first_videos(frames, usable)
  if len(parts) < 2:
    name, parts = splits.BLOCKED, _halves(frames, usable, guard_s)
  if not all(part.any() for part in parts):
    raise splits.Impossible(f'too few frames for halves {guard_s} s apart')
  return name, splits.both_ways(*parts, ())


def spread_rows(rows: np.ndarray, *, num_rows: int) -> np.ndarray:
  """Returns num_rows of some rows at equal steps, or all if there are fewer."""
  if len(rows) <= num_rows:
    return rows
  return rows[(np.arange(num_rows) * len(rows)) // num_rows]


def _halves(frames, usable, guard_s):
  """Returns [n] bool twice: the two ends of the only usable video."""
  time_s = frames['time_s'].to_numpy(np.float64)
  if not usable.any():
    raise splits.Impossible('no usable frames')
  middle = np.sort(time_s[usable])[usable.sum() // 2]
  return (
    usable & (time_s < middle - guard_s / 2 - splits.TIME_TOLERANCE_S),
    usable & (time_s > middle + guard_s / 2 - splits.TIME_TOLERANCE_S),
  )
