"""Probes of people they have never seen: folds over persons.

K folds.

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

from psm_jax.evaluation import (
  coordinates,
  expressions,
  features,
  partitions,
  pools,
  probes,
  scores,
  splits,
  tables,
)

SPLIT = 'person_independent'
A8 = ('AU01', 'AU02', 'AU04', 'AU06', 'AU09', 'AU12', 'AU25', 'AU26')
EVERYBODY = 'all'  # The person of a reason that is nobody's own.
_METRICS = {
  'f1': 'f1_bootstrap',
  **{m: m for m in ('balanced_accuracy', 'auc', 'ap', 'mcc')},
}
_PERSONS = ('n_train_persons', 'n_test_persons')
COLUMNS = {
  'person_independent': (
    *('source', 'model_id', 'partition', 'fold', 'au', *_PERSONS),
    *('n_train', 'n_test', 'n_positive', 'base_rate', *scores.METRICS),
  ),
  'person_independent_summary': tuple(
    (
      'source model_id metric num_persons num_folds mean fold_sd fold_min '
      'fold_max frame_sd num_partitions partition_mean partition_sd '
      'partition_min partition_max'
    ).split()
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
      pool = pools.gather(source, model_id, own, threshold=config.threshold)
      try:
        dealt, left_out = partitions.deal(
          own,
          folds=folds,
          num_folds=fold_config.num_folds,
          num_partitions=fold_config.num_partitions,
          seed=config.seed,
        )
        # More threads take twice the processor's time.
        with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
          found = _evaluate_pool(
            pool, dealt, config, fold_config, show_progress=show_progress
          )
      except splits.Impossible as reason:
        found = {'skipped': [_skipped(f'{source} of {model_id}: {reason}')]}
        left_out = []
      rows['skipped'] += [
        _skipped('in no fold', person_id=person_id) for person_id in left_out
      ]
      for name, new in found.items():
        rows[name] += new
  made = {
    name: pd.DataFrame(rows[name], columns=columns)
    for name, columns in COLUMNS.items()
  }
  made['skipped'] = made['skipped'].drop_duplicates(ignore_index=True)
  return made


def _evaluate_pool(pool, dealt, config, fold_config, *, show_progress):
  """Returns the rows of one model, by the names of COLUMNS."""
  units = _units(pool, config, fold_config)
  has_classes = (pool.classes != '').any()
  if not units and not has_classes:
    raise splits.Impossible('none of the action units is labelled')
  rows, draws, guesses, skipped = [], [], [], []
  options = {
    'config': config,
    'max_train_frames': fold_config.max_train_frames,
  }
  jobs = [
    (number, fold, of)
    for number, of in enumerate(dealt)
    for fold in sorted(set(of.values()))
  ]
  for number, fold, of in tqdm.tqdm(
    jobs, desc=f'{pool.source} across people', disable=not show_progress
  ):
    # NaN of a person who is in no fold.
    folds = pd.Series([table.person_id for table in pool.tables]).map(of)
    train = np.flatnonzero(folds.notna() & (folds != fold))
    test = np.flatnonzero(folds == fold)
    place = {
      'source': pool.source,
      'model_id': pool.model_id,
      'fold': fold,
      'n_train_persons': len(train),
      'n_test_persons': len(test),
    }
    decisions, reasons = pools.decide(pool, units, train, test, **options)
    skipped += [_skipped(f'{pool.source}, fold {fold}: {r}') for r in reasons]
    for decision in decisions:
      row = probes.score_row(decision, config=config)
      rows.append({**place, 'partition': number, **row})
    if number == 0:
      draws.append(_mean_draws(decisions, config))
      if has_classes:
        guesses.append((place, pools.guess(pool, train, test, **options)))
  return {
    'person_independent': rows,
    'person_independent_summary': _summary(pool, rows, draws),
    'person_independent_expressions': _expression_rows(guesses),
    'skipped': skipped,
  }


def _units(pool, config, fold_config) -> tuple[str, ...]:
  """Returns the action units to probe: those wanted, or those kept."""
  wanted = fold_config.action_units
  if not wanted:
    return splits.kept_action_units(
      pool.labels, min_base_rate=config.min_base_rate
    )
  known = pool.labels.columns[pool.labels.notna().any()]
  return tuple(c for c in known if c.removesuffix('_c') in wanted)


def _mean_draws(decisions, config):
  """Returns [R], the mean F1 over action units of each draw of test frames."""
  drawn = [
    scores.resampled_f1(
      d.truth,
      d.score,
      num_frame_resamples=config.num_frame_resamples,
      seed=config.seed,
    )
    for d in decisions
  ]
  return np.mean(drawn, axis=0) if drawn else np.full(1, np.nan)


def _summary(pool, scored, draws):
  """Returns a row a metric of one model."""
  if not scored:
    return []
  table = pd.DataFrame(scored)
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
