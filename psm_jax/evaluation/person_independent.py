"""Probes of people they have never seen: folds over persons.

K folds, P persons.

One model of many people is probed across people: fitted on the persons of all
folds but one, tested on those of the last. Person-specific models cannot be,
because their embeddings do not share coordinates.

Its rows of results have the split 'person_independent', the person 'all', the
fold as direction and the partition of the people as draw: 0 is the one to
report, the others deal the people out anew. 'f1_frame_sd' is the SD over draws
of test frames of the mean F1 over action units. Of expressions the fold 'all'
are the test frames of all folds of partition 0 together.

summary, a row per source, model and metric:
  source,model_id,metric,num_folds,mean,fold_sd,fold_min,fold_max,frame_sd,
  num_partitions,partition_mean,partition_sd,partition_min,partition_max
  A fold's value is the mean over its action units; mean to fold_max are of
  partition 0, partition_* of the means of all. frame_sd, of f1 alone, is the
  mean over folds of f1_frame_sd.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import tqdm

from psm_jax.data import folds as folds_lib
from psm_jax.data.labels import weak
from psm_jax.evaluation import (
  asking,
  coordinates,
  features,
  probes,
  results,
  scores,
  splits,
  targets,
)

SPLIT = 'person_independent'
A8 = ('AU01', 'AU02', 'AU04', 'AU06', 'AU09', 'AU12', 'AU25', 'AU26')
SUMMARY_COLUMNS = tuple(
  (
    'source model_id metric num_folds mean fold_sd fold_min fold_max frame_sd '
    'num_partitions partition_mean partition_sd partition_min partition_max'
  ).split()
)
_METRICS = ('f1_bootstrap', 'balanced_accuracy', 'auc', 'ap', 'mcc')
_TOLD = ['mean', 'std', 'min', 'max']  # Of folds and of partitions.


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
  """

  num_folds: int = 3
  num_partitions: int = 6
  action_units: tuple[str, ...] = A8
  max_train_frames: int = 20_000


DEFAULT = FoldConfig()


def evaluate(
  given: Sequence[features.FeatureTable],
  *,
  config: probes.ProbeConfig = probes.DEFAULT,
  folds: Mapping[str, str] | None = None,
  fold_config: FoldConfig = DEFAULT,
  show_progress: bool = True,
) -> tuple[list[dict], list[dict]]:
  """Probes features across people, source by source.

  Args:
    given: Tables of any number of sources, models and persons. Those of
      'nearest_in_time' are left out: it has no frame of another person.
    config: How features are prepared, fitted and scored. What is chosen on
      blocks within a person is chosen on training persons held out.
    folds: Person to fold of partition 0, see psm_jax/data/folds.py. Without it
      a column `fold` of the frames is taken, or the people are dealt out by
      the seed.
    fold_config: See FoldConfig.
    show_progress: Show a progress bar over the folds.

  Returns:
    Rows of results, and of skipped: a source that cannot be probed across
    people is there with the reason, and the others go on.

  Raises:
    ValueError: If a column `fold` does not hold one fold a person.
  """
  in_no_fold = set()

  def score(tables):
    dealt, left_out = deal(
      tables,
      folds=folds,
      num_folds=fold_config.num_folds,
      num_partitions=fold_config.num_partitions,
      seed=config.seed,
    )
    in_no_fold.update(left_out)
    return _evaluate_model(
      tables, dealt, config, fold_config, show_progress=show_progress
    )

  made, skipped = coordinates.score_models(
    [t for t in given if t.source != features.NEAREST_IN_TIME],
    score,
    split=SPLIT,
  )
  return made, skipped + [
    {'person_id': person_id, 'split': SPLIT, 'reason': 'in no fold'}
    for person_id in sorted(in_no_fold)
  ]


def summarise(table: pd.DataFrame) -> pd.DataFrame:
  """Returns the summary that the module's description has.

  Args:
    table: The table of results; rows of other splits are left out.
  """
  rows = table[table['split'] == SPLIT]
  draws = rows[rows['metric'] == 'f1_frame_sd']
  rows = rows[
    rows['target'].str.match(splits.UNIT) & rows['metric'].isin(_METRICS)
  ]
  made = []
  for place, of_model in rows.groupby(
    ['source', 'model_id', 'metric'], sort=False
  ):
    fold = of_model.groupby(['draw', 'direction'])['value'].mean()
    reported = fold[fold.index.get_level_values('draw') == 0]
    partition = fold.groupby('draw').mean()
    drawn = draws.loc[
      (draws['source'] == place[0]) & (draws['model_id'] == place[1]), 'value'
    ]
    is_drawn = place[2] == 'f1_bootstrap'
    made.append(
      [
        *(*place, len(reported)),
        *reported.agg(_TOLD),
        drawn.mean() if is_drawn else np.nan,
        len(partition),
        *partition.agg(_TOLD),
      ]
    )
  return pd.DataFrame(made, columns=SUMMARY_COLUMNS)


def _evaluate_model(tables, dealt, config, fold_config, *, show_progress):
  """Returns rows of one model without its name, and why some are missing."""
  tables = sorted(tables, key=lambda table: table.person_id)
  units, expression = _asked(tables, config, fold_config)
  person = np.repeat(np.arange(len(tables)), [len(t.frames) for t in tables])
  made, reasons, classes = [], {}, []
  jobs = [
    (number, fold, of)
    for number, of in enumerate(dealt)
    for fold in sorted(set(of.values()))
  ]
  for number, fold, of in tqdm.tqdm(
    jobs, desc=f'{tables[0].source} across people', disable=not show_progress
  ):
    # None of a person who is in no fold.
    folds = np.array([of.get(table.person_id) for table in tables], object)
    test = folds == fold
    train = (folds != None) & ~test  # noqa: E711 - element by element.
    place = {
      'person_id': results.EVERYBODY,
      'split': SPLIT,
      'direction': fold,
      'draw': number,
    }
    persons = {'n_train_persons': train.sum(), 'n_test_persons': test.sum()}
    answers, missing = _ask(
      tables, person, units, train, test, config, fold_config
    )
    reasons |= {f'fold {fold}: {reason}': None for reason in missing}
    if number == 0:
      if answers:
        drawn = [
          scores.resampled_f1(
            a.truth == 1,
            a.told,
            num_frame_resamples=config.num_frame_resamples,
            seed=config.seed,
          )
          for a in answers
        ]
        spread = np.mean(drawn, axis=0).std()
        made += results.rows(
          place, results.ACTION_UNITS, {'f1_frame_sd': spread}
        )
      told, _ = _ask(
        tables, person, [expression], train, test, config, fold_config
      )
      classes += told
      answers += told
    for answer in answers:
      made += _rows(place, answer, answer.score(config) | persons)
  if classes:
    parts = {
      part: np.concatenate([getattr(a, part) for a in classes])
      for part in ('train', 'truth', 'told')
    }
    together = dataclasses.replace(classes[0], **parts)
    place |= {'direction': results.EVERYBODY, 'draw': 0}
    made += _rows(place, together, together.score(config))
  return made, list(reasons)


def _rows(place, answer, metrics):
  """Returns the rows of one answer."""
  return results.rows(
    place,
    answer.target,
    metrics,
    n_train=len(answer.train),
    n_test=len(answer.truth),
  )


def _asked(tables, config, fold_config):
  """Returns action units and expressions of all frames, person after person."""
  frames = pd.concat([table.frames for table in tables], ignore_index=True)
  labels = splits.action_unit_labels(frames, threshold=config.threshold)
  expression = targets.expression(frames)
  names = splits.kept_action_units(labels, min_base_rate=config.min_base_rate)
  wanted = fold_config.action_units
  # The list names coded units; of blendshapes all that occur are asked.
  if wanted and not any(map(weak.is_unit, labels)):
    known = labels.columns[labels.notna().any()]
    names = tuple(c for c in known if c.removesuffix('_c') in wanted)
  if not names and not expression.known.any():
    raise splits.Impossible('none of the action units is labelled')
  return targets.units(labels, names), expression


def _ask(tables, person, asked, train, test, config, fold_config):
  """Fits probes on some people and asks them about others.

  Args:
    tables: P of them.
    person: [N] int, whose frame it is, person after person.
    asked: Targets of one kind, on the N frames.
    train: [P] bool.
    test: [P] bool.
    config: See probes.ProbeConfig.
    fold_config: See FoldConfig.

  Returns:
    Answers, and why some are missing.
  """
  if not asked:
    return [], []
  usable = np.any([target.known for target in asked], axis=0)
  fit, new = (np.flatnonzero(usable & side[person]) for side in (train, test))
  fit = coordinates.spread_rows(
    fit, num_rows=fold_config.max_train_frames or len(fit)
  )
  if not len(fit) or not len(new):
    return [], ['no labelled frame in one of the parts']
  start = np.searchsorted(person, np.arange(len(tables)))

  def features_of(rows, one):
    theirs = rows[person[rows] == one] - start[one]
    return probes.scaled(tables[one], config)[theirs]

  # Each person is in one part of a fold alone.
  group = np.unique(person[fit], return_inverse=True)[1]
  group %= probes.NUM_INNER_FOLDS
  fitted = probes.fit(
    np.concatenate([features_of(fit, one) for one in np.flatnonzero(train)]),
    [target.take(fit) for target in asked],
    [(group != g, group == g) for g in range(probes.NUM_INNER_FOLDS)],
    source=tables[0].source,
    config=config,
  )
  # A person at a time, which bounds the memory.
  parts = [fitted.tell(features_of(new, one)) for one in np.unique(person[new])]

  def tell(target, *_):
    said = [part[target.kind, target.name][0] for part in parts]
    return np.concatenate(said)[target.known[new]], np.nan

  answers, impossible = asking.answers(asked, fit, new, tell)
  return answers, [
    f'{name} has one class in training or no test frame' for name in impossible
  ]


def deal(
  tables: Sequence[features.FeatureTable],
  *,
  folds: Mapping[str, str] | None,
  num_folds: int,
  num_partitions: int,
  seed: int,
) -> tuple[list[dict[str, str]], list[str]]:
  """Deals people into folds, several times.

  Args:
    tables: One a person.
    folds: Person to fold of the first partition. Without it a column `fold` of
      the frames is taken, or the people are dealt out.
    num_folds: K, where no folds are given.
    num_partitions: How many; all but a given first one are drawn.
    seed: Of the draws.

  Returns:
    Person to fold of every partition, and the persons who are in no fold of the
    first one.

  Raises:
    splits.Impossible: If there are fewer than 2 folds, or fewer people than
      folds.
    ValueError: If a column `fold` does not hold one fold a person.
  """
  people = sorted(table.person_id for table in tables)
  if folds is None:
    folds = _fold_column(tables)
  first = {p: folds[p] for p in people if p in (folds or {})}
  left_out = [p for p in people if folds is not None and p not in folds]
  num_folds = len(set(first.values())) or num_folds
  if not 2 <= num_folds <= len(people):
    raise splits.Impossible(f'{num_folds} folds of {len(people)} people')
  shares = {str(fold + 1): 1 / num_folds for fold in range(num_folds)}
  drawn = [
    folds_lib.by_share(people, shares, seed=seed + number)
    for number in range(num_partitions)
  ]
  return ([first, *drawn[1:]] if first else drawn), left_out


def _fold_column(tables) -> dict[str, str] | None:
  """Returns person -> fold from the frames' column, None without it."""
  folds = {}
  for table in tables:
    if 'fold' not in table.frames:
      return None
    values = targets.names(table.frames['fold'])
    if len(set(values)) != 1 or values[0] == '':
      raise ValueError(
        f'The column fold of person {table.person_id} holds '
        f'{sorted(set(values))}; expected one fold a person.'
      )
    folds[table.person_id] = values[0]
  return folds
