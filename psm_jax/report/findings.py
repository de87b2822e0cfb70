"""What the tables of a run allow one to say, and what to be careful about.

A difference is called established only if its 95 % interval leaves out zero.
"""

import dataclasses
import math

import numpy as np
import pandas as pd

from psm_jax.evaluation import features
from psm_jax.report import formats
from psm_jax.report import run as report_run

_FLAT_RANK = 2.0

_WHERE = {
  'cross_video': 'In a video that the probe has not seen',
  'blocked': 'In other parts of the same videos',
  'random': 'On random frames of the same videos, the easiest test',
}
HIGHER, LOWER, NOT_ESTABLISHED = 'higher', 'lower', 'not established'


@dataclasses.dataclass(frozen=True)
class Difference:
  """A paired difference of two sources over the same persons.

  Attributes:
    source: 'a - b'.
    split: The split of frames.
    metric: What differs.
    mean: Mean over persons of a - b.
    low: Lower end of its 95 % interval; NaN if there is none.
    high: Upper end.
    num_persons: Persons with both.
    wins: Persons on whom a is greater.
    losses: Persons on whom b is greater.
  """

  source: str
  split: str
  metric: str
  mean: float
  low: float
  high: float
  num_persons: int
  wins: int
  losses: int

  @property
  def first(self) -> str:
    """The source that is compared."""
    return self.source.split(' - ')[0]

  @property
  def other(self) -> str:
    """The source that is compared with."""
    return self.source.split(' - ')[1]

  @property
  def verdict(self) -> str:
    """HIGHER or LOWER if the interval leaves out zero, else NOT_ESTABLISHED."""
    if self.low > 0:
      return HIGHER
    return LOWER if self.high < 0 else NOT_ESTABLISHED


def is_difference(source: pd.Series) -> pd.Series:
  """Returns for each row of a summary whether it is a paired difference."""
  return source.str.contains(' - ', regex=False)


def differences(
  summary: pd.DataFrame,
  *,
  metric: str | None = None,
  split: str | None = None,
) -> list[Difference]:
  """Returns the paired differences of a summary in its order.

  Args:
    summary: As evaluation writes it.
    metric: Only this metric, None for all.
    split: Only this split, None for all.
  """
  rows = summary[is_difference(summary['source'])]
  if metric is not None:
    rows = rows[rows['metric'] == metric]
  if split is not None:
    rows = rows[rows['split'] == split]
  return [
    Difference(
      source=row.source,
      split=row.split,
      metric=row.metric,
      mean=row.mean,
      low=row.ci_low,
      high=row.ci_high,
      num_persons=int(row.num_persons),
      wins=_whole(row.wins),
      losses=_whole(row.losses),
    )
    for row in rows.itertuples(index=False)
  ]


def against_controls(
  run: report_run.Run, *, metric: str, split: str | None = None
) -> list[Difference]:
  """Returns the differences of the trained encoder to its controls."""
  return [
    d
    for d in differences(run.summary, metric=metric, split=split)
    if d.first == features.TRAINED
  ]


def splits(table: pd.DataFrame) -> list[str]:
  """Returns the splits of a table, the one that asks most first."""
  return formats.in_order(table['split'], tuple(formats.SPLITS))


def sources(table: pd.DataFrame) -> list[str]:
  """Returns the plain sources of a table, the trained encoder first."""
  plain = table['source'][~is_difference(table['source'])]
  return formats.in_order(plain, tuple(formats.SOURCES))


def person_means(
  scores: pd.DataFrame, split: str, metric: str, *, by_model: bool = False
) -> pd.DataFrame:
  """Returns each person's mean over rows of scores, as the summary takes it.

  Args:
    scores: As evaluation writes them.
    split: The split.
    metric: A metric of the summary; F1 is read from f1_bootstrap.
    by_model: Keep a person's models apart.

  Returns:
    A column per source; index person_id, or (person_id, model_id).
  """
  column = 'f1_bootstrap' if metric == 'f1' else metric
  keys = ['person_id', 'model_id'] if by_model else ['person_id']
  rows = scores[scores['split'] == split]
  return rows.groupby([*keys, 'source'])[column].mean().unstack('source')


def summarise(run: report_run.Run) -> list[str]:
  """Returns paragraphs that sum a run up; no more than its intervals allow."""
  paragraphs = (
    _training_sentences(run),
    _score_sentences(run),
    _structure_sentences(run),
  )
  return [' '.join(sentences) for sentences in paragraphs if sentences]


def verdict(run: report_run.Run) -> str:
  """Returns what a lab wants to know first, in one sentence; '' without scores.

  How often the probe puts a frame that shows an action unit above one that does
  not, and whether pixels do as well.
  """
  rows = run.summary[run.summary['metric'] == 'auc']
  rows = rows[rows['source'] == features.TRAINED]
  if rows.empty:
    return ''
  split = splits(rows)[0]
  row = rows[rows['split'] == split].iloc[0]
  text = (
    f'{_WHERE.get(split, "On held-out frames")}, the models order '
    f'{100 * row["mean"]:.0f} of 100 pairs of frames with and without an '
    'action unit rightly'
  )
  if np.isfinite(row['ci_low']):
    text += (
      f' (95% interval for other people {100 * row["ci_low"]:.0f} to '
      f'{100 * row["ci_high"]:.0f}; guessing: 50)'
    )
  for d in against_controls(run, metric='auc', split=split):
    if d.other == features.PIXEL_PCA:
      text += {
        HIGHER: ', more than the pixels alone',
        LOWER: ', fewer than the pixels alone',
        NOT_ESTABLISHED: '; whether that is more than the pixels alone is not '
        'established',
      }[d.verdict]
      text += f' ({formats.count(d.wins)} of {formats.people(d.num_persons)})'
  return f'{text}.'


def difference_sentence(difference: Difference) -> str:
  """Returns what a paired difference of the trained encoder shows, in words.

  Args:
    difference: Of the trained encoder to a control, which 'it' then means.
  """
  d = difference
  places = formats.digits(d.mean, d.low, d.high)
  interval = interval_text(d.low, d.high, places=places, is_signed=True)
  other = formats.in_text(d.other)
  people = (
    f'higher for {formats.count(d.wins)} of {formats.people(d.num_persons)}'
  )
  if d.verdict == NOT_ESTABLISHED:
    size = formats.score(d.mean, places=places, is_signed=True)
    return (
      f'The difference to {other} is {size} ({interval}; {people}), so it is '
      f'{NOT_ESTABLISHED}.'
    )
  size = formats.score(abs(d.mean), places=places)
  if d.verdict == HIGHER:
    return f'It is {size} above {other} ({interval}; {people}).'
  return (
    f'It is {size} below {other} ({interval}; {people}): on these labels the '
    'control serves better.'
  )


def interval_text(
  low: float, high: float, *, places: int, is_signed: bool = False
) -> str:
  """Returns an interval in words, or that there is none."""
  text = formats.interval(low, high, places=places, is_signed=is_signed)
  if text == formats.MISSING:
    return 'too few people for an interval'
  return f'95% interval {text}'


def _training_sentences(run: report_run.Run) -> list[str]:
  """Returns how many models were trained on whom and how they ended."""
  if not run.models:
    return []
  num_done = sum(m.status == 'done' for m in run.models)
  num_running = sum(m.status == 'running' for m in run.models)
  cohort = f'on {formats.people(len(run.person_ids))}'
  if len(run.models) > 1 and all(len(m.cohort) == 1 for m in run.models):
    cohort = 'each on one person'
  verb = 'was' if len(run.models) == 1 else 'were'
  ends = [
    f'{formats.count(number)} {what}'
    for number, what in (
      (num_done, 'finished'),
      (len(run.failed), 'failed'),
      (num_running, 'not finished yet'),
    )
    if number
  ]
  return [
    f'{formats.plural(len(run.models), "model")} {verb} trained, {cohort}: '
    f'{formats.listing(ends)}.'
  ]


def _score_sentences(run: report_run.Run) -> list[str]:
  """Returns what the first split's AUC shows against the controls."""
  rows = run.summary[run.summary['metric'] == 'auc']
  rows = rows[~is_difference(rows['source'])]
  own = rows[rows['source'] == features.TRAINED]
  if own.empty:
    return []
  split = splits(own)[0]
  rows = rows[rows['split'] == split].set_index('source')
  trained = rows.loc[features.TRAINED]
  sentences = [_headline(rows, trained, split)]
  if trained['ci_low'] <= 0.5 <= trained['ci_high']:
    sentences.append('The interval of the trained encoder includes guessing.')
  found = against_controls(run, metric='auc', split=split)
  sentences += [difference_sentence(d) for d in found]
  if not found:
    sentences.append(
      'No control was scored on the same frames, so what the training itself '
      'adds is unknown.'
    )
  random_auc = own.loc[own['split'] == 'random', 'mean']
  if split != 'random' and not random_auc.empty:
    sentences.append(
      f'On random frames the AUC is {formats.score(random_auc.iloc[0])}, but '
      'there test frames are neighbours of training frames: it says little '
      'about new video.'
    )
  return sentences


def _headline(rows: pd.DataFrame, trained: pd.Series, split: str) -> str:
  """Returns the AUC of every source on one split."""
  how = {
    'cross_video': 'Across videos (probe fitted on one, tested on another)',
    'blocked': 'On later or earlier parts of the same videos',
    'random': 'On random frames of the same videos, the easiest test,',
  }.get(split, f'On the split {split}')
  ends = trained['ci_low'], trained['ci_high']
  places = formats.digits(trained['mean'], *ends)
  others = [
    f'{formats.in_text(source)} '
    + formats.score(rows.loc[source, 'mean'], places=places)
    for source in formats.in_order(rows.index, tuple(formats.SOURCES))
    if source != features.TRAINED
  ]
  number = int(trained['num_persons'])
  text = (
    f'{how} the trained encoder tells action units with a mean AUC of '
    f'{formats.score(trained["mean"], places=places)} '
    f'({interval_text(*ends, places=places)}, '
    f'{formats.people(number)}; .5 is guessing)'
  )
  return f'{text}; {formats.listing(others)}.' if others else f'{text}.'


def _structure_sentences(run: report_run.Run) -> list[str]:
  """Returns how many directions embeddings use and whether they tell yaw."""
  rows = run.structure[run.structure['source'] == features.TRAINED]
  rank = rows['effective_rank'].median()
  if not math.isfinite(rank):
    return []
  text = f'The median effective rank of an embedding is {formats.number(rank)}'
  if rank < _FLAT_RANK:
    text += ': it moves along little more than one direction'
  yaw = rows['yaw_correlation'].median()
  if math.isfinite(yaw):
    text += (
      f'; head yaw is told in a new video with a median correlation of '
      f'{formats.score(yaw)}'
    )
  return [f'{text}.']


def _whole(value: float) -> int:
  """Returns a count from a cell that may be empty."""
  return int(value) if np.isfinite(value) else 0
