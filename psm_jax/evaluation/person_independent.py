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
import threadpoolctl
import tqdm

from psm_jax.data.labels import weak
from psm_jax.evaluation import (
  coordinates,
  features,
  partitions,
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
  made, skipped = [], []

  def skip(source, reason, person_id=results.EVERYBODY):
    place = {'person_id': person_id, 'split': SPLIT, 'reason': reason}
    skipped.append({'source': source, **place})

  given = [t for t in given if t.source != features.NEAREST_IN_TIME]
  for source, models in coordinates.shared_models(given).items():
    if not models:
      skip(source, f'{coordinates.OWN_MODELS}, so no shared coordinates')
    for model_id, tables in models.items():
      try:
        dealt, left_out = partitions.deal(
          tables,
          folds=folds,
          num_folds=fold_config.num_folds,
          num_partitions=fold_config.num_partitions,
          seed=config.seed,
        )
        # More threads take twice the processor's time.
        with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
          scored, reasons = _evaluate_model(
            tables, dealt, config, fold_config, show_progress=show_progress
          )
      except splits.Impossible as reason:
        skip(source, f'{model_id}: {reason}')
        continue
      place = {'source': source, 'model_id': model_id}
      made += [{**row, **place} for row in scored]
      for reason in reasons:
        skip(source, reason)
      for person_id in left_out:
        skip('', 'in no fold', person_id)
  return made, skipped


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
  for place, own in rows.groupby(['source', 'model_id', 'metric'], sort=False):
    fold = own.groupby(['draw', 'direction'])['value'].mean()
    reported = fold[fold.index.get_level_values('draw') == 0]
    partition = fold.groupby('draw').mean()
    drawn = draws.loc[
      (draws['source'] == place[0]) & (draws['model_id'] == place[1]), 'value'
    ]
    values = dict(zip(SUMMARY_COLUMNS, place, strict=False))
    for name, of in (('fold', reported), ('partition', partition)):
      values[f'num_{name}s'] = len(of)
      for what in ('mean', 'std', 'min', 'max'):
        values[f'{name}_{what.replace("std", "sd")}'] = getattr(of, what)()
    values['mean'] = values.pop('fold_mean')
    values['frame_sd'] = drawn.mean() if place[2] == 'f1_bootstrap' else np.nan
    made.append(values)
  return pd.DataFrame(made, columns=SUMMARY_COLUMNS)


def _evaluate_model(tables, dealt, config, fold_config, *, show_progress):
  """Returns rows of one model without its name, and why some are missing."""
  tables = sorted(tables, key=lambda table: table.person_id)
  asked = _asked(tables, config, fold_config)
  made, reasons, classes = [], {}, []
  jobs = [
    (number, fold, of)
    for number, of in enumerate(dealt)
    for fold in sorted(set(of.values()))
  ]
  for number, fold, of in tqdm.tqdm(
    jobs, desc=f'{tables[0].source} across people', disable=not show_progress
  ):
    train, test = (
      [
        (table, own)
        for table, own in zip(tables, asked, strict=True)
        if table.person_id in of and (of[table.person_id] == fold) == is_test
      ]
      for is_test in (False, True)
    )
    place = {
      'person_id': results.EVERYBODY,
      'split': SPLIT,
      'direction': fold,
      'draw': number,
    }
    persons = {'n_train_persons': len(train), 'n_test_persons': len(test)}
    answers, missing = _ask(train, test, config, fold_config)
    reasons |= {f'fold {fold}: {reason}': None for reason in missing}
    for answer in answers:
      if answer.kind == targets.CLASSES:
        if number > 0:
          continue
        classes.append(answer)
      made += _rows(place, answer, answer.score(config) | persons)
    drawn = [
      scores.resampled_f1(
        a.truth == 1,
        a.told,
        num_frame_resamples=config.num_frame_resamples,
        seed=config.seed,
      )
      for a in answers
      if a.kind == targets.UNIT
    ]
    if number == 0 and drawn:
      spread = {'f1_frame_sd': np.mean(drawn, axis=0).std()}
      made += results.rows(place, results.ACTION_UNITS, spread)
  if classes:
    together = dataclasses.replace(
      classes[0],
      **{
        part: np.concatenate([getattr(a, part) for a in classes])
        for part in ('train', 'truth', 'told')
      },
    )
    place |= {'direction': results.EVERYBODY, 'draw': 0}
    made += _rows(place, together, together.score(config))
  return made, list(reasons)


def _rows(place, answer, metrics):
  """Returns the rows of one answer."""
  sizes = {'n_train': len(answer.train), 'n_test': len(answer.truth)}
  return results.rows(place, answer.target, metrics, **sizes)


def _asked(tables, config, fold_config) -> list[list[targets.Target]]:
  """Returns what is asked of each person: action units and expressions."""
  labels = [
    splits.action_unit_labels(table.frames, threshold=config.threshold)
    for table in tables
  ]
  whole = pd.concat(labels, ignore_index=True)
  # The list names coded units; of blendshapes all that occur are asked.
  if fold_config.action_units and not any(map(weak.is_unit, whole)):
    known = whole.columns[whole.notna().any()]
    units = [
      c for c in known if c.removesuffix('_c') in fold_config.action_units
    ]
  else:
    units = splits.kept_action_units(whole, min_base_rate=config.min_base_rate)
  asked = [
    targets.units(own.reindex(columns=whole.columns), tuple(units))
    + [targets.expression(table.frames)]
    for table, own in zip(tables, labels, strict=True)
  ]
  if not units and not any(own[-1].known.any() for own in asked):
    raise splits.Impossible('none of the action units is labelled')
  return asked


def _ask(train, test, config, fold_config):
  """Fits probes on some people and asks them about others.

  Args:
    train: (table, what is asked) of persons.
    test: Of others.
    config: See probes.ProbeConfig.
    fold_config: See FoldConfig.

  Returns:
    Answers, and why some are missing.
  """
  answers, reasons = [], []
  for kind in (targets.UNIT, targets.CLASSES):
    sides = [
      [(table, [t for t in own if t.kind == kind]) for table, own in side]
      for side in (train, test)
    ]
    names = [target.name for target in (sides[0] or sides[1])[0][1]]
    usable = [
      [np.any([t.known for t in own], axis=0) for _, own in side]
      if names
      else []
      for side in sides
    ]
    if not all(sum(map(np.sum, side)) for side in usable):
      if kind == targets.UNIT and names:
        reasons.append('no labelled frame in one of the parts')
      continue
    data, asked, folds = _training(sides[0], usable[0], fold_config)
    fitted = probes.fit(
      data, asked, folds, source=train[0][0].source, config=config
    )
    told = [
      fitted.tell(table.features[rows])
      for (table, _), rows in zip(sides[1], usable[1], strict=True)
      if rows.any()
    ]
    on_test = [
      [target.take(rows) for target in own]
      for (_, own), rows in zip(sides[1], usable[1], strict=True)
      if rows.any()
    ]
    for index, target in enumerate(asked):
      parts = [own[index] for own in on_test]
      key = target.kind, target.name
      if key not in fitted.models or not any(p.known.any() for p in parts):
        if kind == targets.UNIT:
          reasons.append(
            f'{target.name} has one class in training or no test frame'
          )
        continue
      truth = np.concatenate([p.values[p.known] for p in parts])
      answers.append(
        probes.Answer(
          target.name,
          kind,
          target.values[target.known],
          np.arange(len(truth)),
          truth,
          np.concatenate(
            [own[key][0][p.known] for own, p in zip(told, parts, strict=True)]
          ),
        )
      )
  return answers, reasons


def _training(side, usable, fold_config):
  """Returns [n, D] features of a training part, what is asked, and folds."""
  rows = np.concatenate(
    [
      np.stack([np.full(own.sum(), number), np.flatnonzero(own)], axis=1)
      for number, own in enumerate(usable)
    ]
  )
  rows = coordinates.spread_rows(
    rows, num_rows=fold_config.max_train_frames or len(rows)
  )
  by_person = [rows[rows[:, 0] == number, 1] for number in range(len(side))]
  data = np.concatenate(
    [
      table.features[own]
      for (table, _), own in zip(side, by_person, strict=True)
    ]
  )
  asked = [
    dataclasses.replace(
      first,
      values=np.concatenate(
        [
          own[index].values[chosen]
          for (_, own), chosen in zip(side, by_person, strict=True)
        ]
      ),
    )
    for index, first in enumerate(side[0][1])
  ]
  # Each person is in one part of a fold alone.
  present = np.unique(rows[:, 0], return_inverse=True)[1]
  group = present % probes.NUM_INNER_FOLDS
  folds = [(group != g, group == g) for g in range(probes.NUM_INNER_FOLDS)]
  return data, asked, folds
