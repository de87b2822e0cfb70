"""The one table of results, its summary over people, and the files of both.

results, a row a value:
  source,model_id,person_id,split,direction,draw,target,metric,value,ci_low,
  ci_high,n_train,n_test
  target is what was asked (an action unit, 'action_units' for the mean of all,
  yaw, landmarks, expression, identity, ...) and metric how it is judged.
  What is measured otherwise joins as `rows` with a split of its name, such as
  'few_labels_30' of probes with 30 labelled frames, a draw each.
  direction is 'within', or 'forward' (trained on the first video, tested on
  the second) and 'backward'; of person_independent it is the fold. draw counts
  repetitions of a split. ci_low and ci_high are within the person.
summary, a row a source (second empty), or a pair of sources for the difference
first - second:
  first,second,split,target,metric,mean,ci_low,ci_high,sd,num_persons,wins,
  losses
  A person's value is the mean over that person's models, directions, draws and
  action units; mean, sd and the 95 % interval are over persons. wins and losses
  are the persons with a positive and a negative difference.
skipped, a row a reason why there are no results, or not all:
  source,person_id,split,target,reason
  An empty source is all of them; the person 'all' is nobody alone.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy.stats

from psm_jax import csv_files, paths
from psm_jax.evaluation import splits

COLUMNS = tuple(
  (
    'source model_id person_id split direction draw target metric value ci_low '
    'ci_high n_train n_test'
  ).split()
)
SUMMARY_COLUMNS = tuple(
  (
    'first second split target metric mean ci_low ci_high sd num_persons wins '
    'losses'
  ).split()
)
SKIPPED_COLUMNS = ('source', 'person_id', 'split', 'target', 'reason')
ACTION_UNITS = 'action_units'
EVERYBODY = 'all'
FEWEST_PERSONS = 5  # Of an interval: fewer say too little of others.
_LEVEL = 0.95
# A row of `wide` and a value of `summarise` are of one of these.
_PROBE = list(COLUMNS[:7]) + ['n_train', 'n_test']
_CELL = ['split', 'group', 'metric', 'person_id', 'direction', 'draw', 'target']


def rows(
  place: Mapping[str, str | int],
  target: str,
  metrics: Mapping[str, float],
  *,
  n_train: int = 0,
  n_test: int = 0,
  intervals: Mapping[tuple[str, str], Mapping[str, float]] | None = None,
) -> list[dict]:
  """Returns a row of results for each metric that has a value.

  Args:
    place: Columns source to person_id, and those of split, direction and draw
      that are not '' and 0.
    target: What was asked.
    metrics: Metric to value.
    n_train: Training frames.
    n_test: Test frames.
    intervals: (target, metric) to ci_low and ci_high.
  """
  return [
    {
      'split': '',
      'direction': '',
      'draw': 0,
      **place,
      **(intervals or {}).get((target, metric), {}),
      'target': target,
      'metric': metric,
      'value': float(value),
      'n_train': n_train,
      'n_test': n_test,
    }
    for metric, value in metrics.items()
    if not np.isnan(value)
  ]


def table(made: Sequence[Mapping]) -> pd.DataFrame:
  """Returns rows as the table of results."""
  return pd.DataFrame(made, columns=COLUMNS).astype(
    dict.fromkeys(('value', 'ci_low', 'ci_high'), np.float64)
  )


def skipped(made: Sequence[dict]) -> pd.DataFrame:
  """Returns reasons as the table skipped, each once."""
  blank = dict.fromkeys(SKIPPED_COLUMNS, '')
  reasons = pd.DataFrame([blank | row for row in made], columns=[*blank])
  return reasons.drop_duplicates(ignore_index=True)


def summarise(
  results: pd.DataFrame, *, pairs: Sequence[tuple[str, str]] = ()
) -> pd.DataFrame:
  """Returns means over persons, and paired differences.

  The mean of the published F1 over all rows instead of persons is the metric
  'f1_flat', which has no interval.

  Args:
    results: The table of results.
    pairs: (first, second) sources whose differences are shown where both have
      values, over the cells that both have.
  """
  kept = results[results['target'] != ACTION_UNITS]
  is_unit = kept['target'].str.match(splits.UNIT)
  kept = kept.assign(
    group=kept['target'].where(~is_unit, ACTION_UNITS),
    target=kept['target'].where(is_unit, ''),
  )
  cells = kept.pivot_table('value', _CELL, 'source', sort=False)
  made = []
  for first, second in [*((source, '') for source in cells), *pairs]:
    if first not in cells or (second and second not in cells):
      continue
    value = cells[first] - cells[second] if second else cells[first]
    value = value.dropna()
    by_person = value.groupby(_CELL[:4], sort=False).mean()
    for place, persons in by_person.groupby(_CELL[:3], sort=False):
      split, group, metric = place
      row = {'first': first, 'second': second, 'split': split, 'target': group}
      values = persons.to_numpy()
      made.append({**row, 'metric': metric, **interval(values)})
      if second:
        made[-1] |= {
          'wins': int((values > 0).sum()),
          'losses': int((values < 0).sum()),
        }
      if metric == 'f1_bootstrap':
        made.append(
          {
            **row,
            'metric': 'f1_flat',
            'mean': value.loc[place].mean(),
            'num_persons': len(values),
          }
        )
  return pd.DataFrame(made, columns=SUMMARY_COLUMNS).astype(
    dict.fromkeys(('num_persons', 'wins', 'losses'), 'Int64')
  )


def interval(values: np.ndarray) -> dict[str, float]:
  """Returns the mean over persons, its 95 % interval and their deviation.

  The interval is Student's t, and NaN of fewer than FEWEST_PERSONS.

  Args:
    values: [P] float, one a person.
  """
  num, sd = len(values), np.std(values, ddof=1) if len(values) > 1 else np.nan
  mean, reach = float(np.mean(values)), np.nan
  if num >= FEWEST_PERSONS:
    reach = scipy.stats.t.ppf((1 + _LEVEL) / 2, num - 1) * sd / num**0.5
  return {
    'mean': mean,
    'ci_low': mean - reach,
    'ci_high': mean + reach,
    'sd': float(sd),
    'num_persons': num,
  }


def wide(results: pd.DataFrame) -> pd.DataFrame:
  """Returns results for people to read: a row a probe, a column a metric."""
  if results.empty:
    return pd.DataFrame(columns=_PROBE)
  made = results.pivot_table('value', _PROBE, 'metric', sort=False)
  return made.rename_axis(columns=None).reset_index()


def write(
  named: Mapping[str, pd.DataFrame], directory: str | os.PathLike
) -> list[pathlib.Path]:
  """Writes each table as NAME.csv, empty ones too.

  Args:
    named: The tables by name.
    directory: Made, for its owner alone, if it does not exist. A file of the
      same name is replaced at once or not at all.

  Returns:
    The paths of the files.
  """
  directory = paths.make_private_dir(directory)
  return [
    paths.write_atomic(
      directory / f'{name}.csv',
      csv_files.text_of(one, float_format='%.8g'),
    )
    for name, one in named.items()
  ]
