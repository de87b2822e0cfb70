"""Probes of people they have never seen: folds over persons.

n frames, D features, K folds.

One model of many people is probed across people: fitted on the persons of all
folds but one, tested on those of the last. Person-specific models cannot be,
because their embeddings do not share coordinates.

person_independent.csv, a row per source, model, partition, fold and au:
  source,model_id,partition,fold,au,n_train_persons,n_test_persons,n_train,
  n_test,n_positive,base_rate,f1,f1_bootstrap,balanced_accuracy,auc,ap,mcc
  Partition 0 is the one to report; the others deal the people out anew.
person_independent_summary.csv, a row per source, model and metric:
  source,model_id,metric,num_persons,num_folds,mean,fold_sd,fold_min,fold_max,
  frame_sd,num_partitions,partition_mean,partition_sd,partition_min,
  partition_max
  A fold's value is the mean over its action units; mean to fold_max are of
  partition 0, partition_* of the means of all. frame_sd, of f1 alone, is the
  mean over folds of the SD over draws of test frames.
person_independent_expressions.csv, a row per source, model and fold of
partition 0, and one, fold 'all', of the test frames of all folds together:
  source,model_id,fold,n_train_persons,n_test_persons and expressions.COLUMNS
skipped.csv: see tables.py; person_id is 'all', or the person left out.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import threadpoolctl
import tqdm

from psm_jax.data import folds as folds_lib
from psm_jax.evaluation import (
  coordinates,
  expressions,
  features,
  probes,
  splits,
  tables,
)

SPLIT = 'person_independent'
A8 = ('AU01', 'AU02', 'AU04', 'AU06', 'AU09', 'AU12', 'AU25', 'AU26')
_CHUNK = 20_000  # Test frames prepared at once; bounds the memory.
EVERYBODY = 'all'  # The person of a reason that is nobody's own.
_METRICS = {
  'f1': 'f1_bootstrap',
  **{m: m for m in ('balanced_accuracy', 'auc', 'ap', 'mcc')},
}
_PERSONS = ('n_train_persons', 'n_test_persons')
COLUMNS = {
  'person_independent': (
    'source',
    'model_id',
    'partition',
    'fold',
    'au',
    *_PERSONS,
    'n_train',
    'n_test',
    'n_positive',
    'base_rate',
    *probes.METRICS,
  ),
  'person_independent_summary': (
    'source',
    'model_id',
    'metric',
    'num_persons',
    'num_folds',
    'mean',
    'fold_sd',
    'fold_min',
    'fold_max',
    'frame_sd',
    'num_partitions',
    'partition_mean',
    'partition_sd',
    'partition_min',
    'partition_max',
  ),
  'person_independent_expressions': (
    'source',
    'model_id',
    'fold',
    *_PERSONS,
    *expressions.COLUMNS,
  ),
  'skipped': tables.SKIPPED_COLUMNS,
}


@dataclasses.dataclass(frozen=True)
class FoldConfig:
  """How people are dealt into folds and how much of them is used.

  Attributes:
    num_folds: K, where no folds are given.
    num_partitions: Partitions of the people, the reported one included.
    action_units: Which are probed, where labelled; () is all that are active
      often enough over everybody. A8 is published.
    max_train_frames: Frames of a training part, at equal steps in time over
      its persons; neighbouring frames are alike. 0 takes all.

  Raises:
    ValueError: If a value is out of its range.
  """

  num_folds: int = 3
  num_partitions: int = 6
  action_units: tuple[str, ...] = A8
  max_train_frames: int = 20_000

  def __post_init__(self):
    least = {'num_folds': 2, 'num_partitions': 1, 'max_train_frames': 0}
    for field, bound in least.items():
      if getattr(self, field) < bound:
        raise ValueError(
          f'{field} {getattr(self, field)} is less than {bound}.'
        )


DEFAULT = FoldConfig()


def evaluate(
  given: Sequence[features.FeatureTable],
  *,
  config: probes.ProbeConfig = probes.DEFAULT,
  folds: Mapping[str, str] | None = None,
  fold_config: FoldConfig = DEFAULT,
  show_progress: bool = True,
) -> dict[str, pd.DataFrame]:
  """Probes features across people, source by source.

  Args:
    given: Tables of any number of sources, models and persons. Those of
      'nearest_in_time' are left out: it has no frame of another person.
    config: How features are prepared, fitted and scored. threshold_from
      'validation' holds persons out, not blocks of time.
    folds: Person to fold of partition 0, see psm_jax/data/folds.py. Without it
      a column `fold` of the frames is taken, or the people are dealt out by
      the seed.
    fold_config: See FoldConfig.
    show_progress: Show a progress bar over the folds.

  Returns:
    Tables by the names of COLUMNS. A source that cannot be probed across people
    is in skipped with the reason, and the others go on.

  Raises:
    ValueError: If a column `fold` does not hold one fold a person.
  """
  given = [t for t in given if t.source != features.NEAREST_IN_TIME]
  rows = {name: [] for name in COLUMNS}
  for source, models in coordinates.shared_models(given).items():
    if not models:
      reason = f'{source}: {coordinates.OWN_MODELS}, so no shared coordinates'
      rows['skipped'].append(_skipped(reason))
    for model_id, own in models.items():
      pool = _pool(source, model_id, own, config)
      try:
        partitions, left_out = _partitions(own, folds, fold_config, config.seed)
        # More threads take twice the processor's time.
        with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
          found = _evaluate_pool(
            pool, partitions, config, fold_config, show_progress=show_progress
          )
      except splits.Impossible as reason:
        found = {'skipped': [_skipped(f'{source} of {model_id}: {reason}')]}
        left_out = []
      rows['skipped'] += left_out
      for name, new in found.items():
        rows[name] += new
  made = {
    name: pd.DataFrame(rows[name], columns=columns)
    for name, columns in COLUMNS.items()
  }
  made['skipped'] = made['skipped'].drop_duplicates(ignore_index=True)
  return made


@dataclasses.dataclass(frozen=True)
class _Pool:
  """The N frames of all people of one model, person after person.

  Features stay in their tables, because together they may be large.
  """

  source: str
  model_id: str
  tables: list[features.FeatureTable]
  start: np.ndarray  # [P + 1], first frame of each person, then N.
  person: np.ndarray  # [N], index of the person.
  labels: pd.DataFrame  # [N, A], 1 active, 0 not, NaN unknown.
  classes: np.ndarray  # [N] str, '' unknown.

  def features(self, rows: np.ndarray) -> np.ndarray:
    """Returns [len(rows), D] of rows in rising order."""
    cuts = np.searchsorted(rows, self.start)
    return np.concatenate(
      [
        table.features[rows[first:last] - start]
        for table, start, first, last in zip(
          self.tables, self.start, cuts, cuts[1:], strict=False
        )
      ]
    )

  def rows(self, persons: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Returns the usable rows of some persons' indices."""
    return np.flatnonzero(usable & np.isin(self.person, persons))


def _pool(source, model_id, own, config) -> _Pool:
  """Returns the pool of one model's tables."""
  own = sorted(own, key=lambda table: table.person_id)
  lengths = [len(table.frames) for table in own]
  labels = [
    splits.action_unit_labels(table.frames, threshold=config.threshold)
    for table in own
  ]
  return _Pool(
    source=source,
    model_id=model_id,
    tables=own,
    start=np.concatenate([[0], np.cumsum(lengths)]),
    person=np.repeat(np.arange(len(own)), lengths),
    labels=pd.concat(labels, ignore_index=True),
    classes=np.concatenate([expressions.classes(t.frames) for t in own]),
  )


def _partitions(own, folds, fold_config, seed):
  """Returns person -> fold of every partition, and who is left out."""
  people = sorted(table.person_id for table in own)
  if folds is None:
    folds = _fold_column(own)
  first, left_out = None, []
  if folds is not None:
    first = {p: folds[p] for p in people if p in folds}
    left_out = [
      _skipped('in no fold', person_id=p) for p in people if p not in folds
    ]
  num_folds = len(set(first.values())) if first else fold_config.num_folds
  if not 2 <= num_folds <= len(people):
    raise splits.Impossible(f'{num_folds} folds of {len(people)} people')
  shares = {str(fold + 1): 1 / num_folds for fold in range(num_folds)}
  drawn = [
    folds_lib.by_share(people, shares, seed=seed + number)
    for number in range(fold_config.num_partitions)
  ]
  return ([first, *drawn[1:]] if first else drawn), left_out


def _fold_column(own) -> dict[str, str] | None:
  """Returns person -> fold from the frames' column, None without it."""
  found = {}
  for table in own:
    if 'fold' not in table.frames:
      return None
    values = expressions.names(table.frames['fold'])
    if len(set(values)) != 1 or values[0] == '':
      raise ValueError(
        f'The column fold of person {table.person_id} holds '
        f'{sorted(set(values))}; expected one fold a person.'
      )
    found[table.person_id] = values[0]
  return found


def _evaluate_pool(pool, partitions, config, fold_config, *, show_progress):
  """Returns the rows of one model, by the names of COLUMNS."""
  units = _units(pool, config, fold_config)
  has_classes = (pool.classes != '').any()
  if not units and not has_classes:
    raise splits.Impossible('none of the action units is labelled')
  scores, draws, guesses, skipped = [], [], [], []
  jobs = [
    (number, fold, of)
    for number, of in enumerate(partitions)
    for fold in sorted(set(of.values()))
  ]
  for number, fold, of in tqdm.tqdm(
    jobs, desc=f'{pool.source} across people', disable=not show_progress
  ):
    place = {'source': pool.source, 'model_id': pool.model_id, 'fold': fold}
    train, test = (
      np.array(
        [
          index
          for index, table in enumerate(pool.tables)
          if table.person_id in of and (of[table.person_id] == fold) == is_test
        ]
      )
      for is_test in (False, True)
    )
    place |= dict(zip(_PERSONS, (len(train), len(test)), strict=True))
    decisions, reasons = _decide(pool, units, train, test, config, fold_config)
    skipped += [_skipped(f'{pool.source}, fold {fold}: {r}') for r in reasons]
    for decision in decisions:
      row = probes.score_row(decision, config=config)
      scores.append({**place, 'partition': number, **row})
    if number == 0:
      draws.append(_mean_draws(decisions, config))
      if has_classes:
        guesses.append((place, _guess(pool, train, test, config, fold_config)))
  return {
    'person_independent': scores,
    'person_independent_summary': _summary(pool, scores, draws),
    'person_independent_expressions': _expression_rows(guesses),
    'skipped': skipped,
  }


def _units(pool, config, fold_config):
  """Returns the action units to probe: those wanted, or those kept."""
  wanted = fold_config.action_units
  if not wanted:
    return splits.kept_action_units(
      pool.labels, min_base_rate=config.min_base_rate
    )
  known = pool.labels.columns[pool.labels.notna().any()]
  return tuple(c for c in known if c.removesuffix('_c') in wanted)


def _decide(pool, units, train, test, config, fold_config):
  """Returns a fold's decisions and why action units are missing."""
  labels = pool.labels[list(units)].to_numpy()
  usable = ~np.isnan(labels).all(axis=1)
  rows = [pool.rows(persons, usable) for persons in (train, test)]
  train_rows = _thinned(rows[0], fold_config)
  test_rows = rows[1]
  if not len(train_rows) or not len(test_rows):
    return [], ['no labelled frame in one of the parts'] if units else []
  preparation, data = _prepared(pool, train_rows, config)
  folds = []
  if config.threshold_from == 'validation':
    group = np.unique(pool.person[train_rows], return_inverse=True)[1]
    group = group % probes.NUM_INNER_FOLDS
    folds = [(group != g, group == g) for g in range(probes.NUM_INNER_FOLDS)]
  models, reasons = {}, []
  for index, au in enumerate(units):
    label = labels[train_rows, index]
    known = ~np.isnan(label)
    test_known = ~np.isnan(labels[test_rows, index])
    if len(np.unique(label[known])) < 2 or not test_known.any():
      reasons.append(f'{au} has one class in training or no test frame')
      continue
    model = probes.fit_logistic(
      data[known], label[known], inverse_penalty=config.inverse_penalty
    )
    if folds:
      model.intercept_ -= probes.tuned_threshold(
        data, label, folds, inverse_penalty=config.inverse_penalty
      )
    models[index] = model
  scores = (
    _in_chunks(
      pool,
      test_rows,
      preparation,
      lambda x: np.stack([m.decision_function(x) for m in models.values()], 1),
    )
    if models
    else None
  )
  decisions = []
  for column, index in enumerate(models):
    label = labels[test_rows, index]
    known = ~np.isnan(label)
    decisions.append(
      probes.Decision(
        au=units[index],
        n_train=int((~np.isnan(labels[train_rows, index])).sum()),
        test=test_rows[known],
        truth=label[known] == 1,
        score=scores[known, column],
      )
    )
  return decisions, reasons


def _guess(pool, train, test, config, fold_config):
  """Returns the classes of a fold: of training, true and predicted, or None."""
  usable = pool.classes != ''
  train_rows = _thinned(pool.rows(train, usable), fold_config)
  test_rows = pool.rows(test, usable)
  found = pool.classes[train_rows]
  if len(set(found)) < 2 or not len(test_rows):
    return None
  preparation, data = _prepared(pool, train_rows, config)
  model = expressions.fit(data, found, inverse_penalty=config.inverse_penalty)
  predicted = _in_chunks(pool, test_rows, preparation, model.predict)
  return found, pool.classes[test_rows], predicted.astype(object)


def _thinned(rows, fold_config):
  """Returns rows at equal steps, no more than a training part may have."""
  limit = fold_config.max_train_frames or len(rows)
  return coordinates.spread_rows(rows, num_rows=limit)


def _prepared(pool, rows, config):
  """Returns how features are prepared, and those of training prepared so."""
  data = pool.features(rows)
  preparation = probes.fit_preparation(data, source=pool.source, config=config)
  return preparation, preparation.apply(data)


def _in_chunks(pool, rows, preparation, function):
  """Returns a function of the prepared features, some frames at a time."""
  parts = []
  for start in range(0, len(rows), _CHUNK):
    part = pool.features(rows[start : start + _CHUNK])
    parts.append(function(preparation.apply(part)))
  return np.concatenate(parts)


def _mean_draws(decisions, config):
  """Returns [R], the mean F1 over action units of each draw of test frames."""
  drawn = [
    probes.resampled_f1(
      d.truth,
      d.score,
      num_frame_resamples=config.num_frame_resamples,
      seed=config.seed,
    )
    for d in decisions
  ]
  return np.mean(drawn, axis=0) if drawn else np.full(1, np.nan)


def _summary(pool, scores, draws):
  """Returns a row a metric of one model."""
  if not scores:
    return []
  table = pd.DataFrame(scores)
  rows = []
  for metric, column in _METRICS.items():
    fold = table.groupby(['partition', 'fold'])[column].mean()
    own = fold.loc[0] if 0 in fold.index.get_level_values(0) else fold[:0]
    partition = fold.groupby('partition').mean()
    rows.append(
      {
        'source': pool.source,
        'model_id': pool.model_id,
        'metric': metric,
        'num_persons': len(pool.tables),
        'num_folds': len(own),
        'mean': own.mean(),
        'fold_sd': own.std(),
        'fold_min': own.min(),
        'fold_max': own.max(),
        'frame_sd': (
          np.mean([own_draws.std() for own_draws in draws])
          if metric == 'f1'
          else float('nan')
        ),
        'num_partitions': len(partition),
        'partition_mean': partition.mean(),
        'partition_sd': partition.std(),
        'partition_min': partition.min(),
        'partition_max': partition.max(),
      }
    )
  return rows


def _expression_rows(guesses):
  """Returns a row a fold, and one of all folds together."""
  guesses = [(place, guess) for place, guess in guesses if guess is not None]
  if not guesses:
    return []
  rows = [{**place, **expressions.score(*guess)} for place, guess in guesses]
  place = guesses[0][0]
  together = [
    np.concatenate(parts)
    for parts in zip(*(guess for _, guess in guesses), strict=True)
  ]
  total = sum(own['n_test_persons'] for own, _ in guesses)
  return [
    *rows,
    {
      **place,
      'fold': EVERYBODY,
      'n_train_persons': None,
      'n_test_persons': total,
      **expressions.score(*together),
    },
  ]


def _skipped(reason, *, person_id=EVERYBODY):
  """Returns a row of skipped."""
  return {'person_id': person_id, 'split': SPLIT, 'reason': reason}
