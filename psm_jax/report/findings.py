"""What the tables allow one to say, in words; no more than intervals allow.

A difference is called established only if its 95 % interval leaves out zero.
Rows are those of a summary: mean, ci_low, ci_high, num_persons, wins, losses.
"""

import numpy as np
import pandas as pd

from psm_jax.evaluation import features, results
from psm_jax.report import evidence, formats

HIGHER, LOWER, NOT_ESTABLISHED = 'higher', 'lower', 'not established'
_WHERE = {
  'cross_video': 'In a video that the probe has not seen',
  'held_out': 'On frames that the models were not trained on',
  'blocked': 'In other parts of the same videos',
  'random': 'On random frames of the same videos, the easiest test',
}
_OF_APPROACHES = {
  HIGHER: 'Established above',
  LOWER: 'Established below',
  NOT_ESTABLISHED: 'No difference is established to',
}
_OF_CONTROLS = {
  HIGHER: 'Without any training on faces better than',
  LOWER: 'As they should be, below',
  NOT_ESTABLISHED: 'Not told apart from',
}
_FEW = 30  # Labelled frames that a person makes in some minutes.
_MANY = 4  # Names with their numbers in one sentence.


def verdict_of(difference: pd.Series) -> str:
  """Returns HIGHER or LOWER if the interval leaves out zero."""
  if difference['ci_low'] > 0:
    return HIGHER
  return LOWER if difference['ci_high'] < 0 else NOT_ESTABLISHED


def verdict(read: evidence.Evidence) -> str:
  """Returns what a lab wants to know first, in one sentence; '' without scores.

  How often the probe puts a frame that shows an action unit above one that does
  not, whether pixels do as well, and what a few labelled frames give.
  """
  if read.is_unlabelled:
    text = 'Nobody labelled these frames, so there are no scores: the page '
    return f'{text}shows what the models see.'
  rows = read.values(results.ACTION_UNITS, 'auc', read.split)
  if read.baseline not in rows.index:
    return ''
  row = rows.loc[read.baseline]
  is_one = read.run is not None and len(read.run.models) == 1
  who = 'the model orders' if is_one else 'the models order'
  who = who if read.run else f'{read.baseline} orders'
  text = (
    f'{_WHERE[read.split]}, {who} {100 * row["mean"]:.0f} of 100 pairs of '
    f'frames with and without {"a" if read.is_weak else "an"} {read.unit} '
    'rightly ('
  )
  if np.isfinite(row['ci_low']):
    text += (
      f'95% interval for other people {100 * row["ci_low"]:.0f} to '
      f'{100 * row["ci_high"]:.0f}; '
    )
  text += 'guessing: 50)'
  less = read.less_baseline('auc', read.split)
  if features.PIXEL_PCA in less.index:
    pixels = less.loc[features.PIXEL_PCA]
    text += {
      LOWER: ', more than the pixels alone',
      HIGHER: ', fewer than the pixels alone',
      NOT_ESTABLISHED: '; whether that is more than the pixels alone is '
      f'{NOT_ESTABLISHED}',
    }[verdict_of(pixels)]
    people = formats.people(int(pixels['num_persons']))
    text += f' ({100 * rows.loc[features.PIXEL_PCA, "mean"]:.0f}; more for '
    text += f'{formats.count(pixels["losses"])} of {people})'
  return f'{text}{_of_few_labels(read)}.'


def _of_few_labels(read):
  """Returns what little labelling gives, '' unless it was scored."""
  split = f'few_labels_{_FEW}'
  means = read.values(results.ACTION_UNITS, 'auc', split)['mean']
  if read.baseline not in means.index:
    return ''
  text = f'; with {_FEW} labelled frames of a person '
  text += f'{100 * means[read.baseline]:.0f}'
  less = read.less_baseline('auc', split)
  if features.PIXEL_PCA in less.index:
    pixels = verdict_of(less.loc[features.PIXEL_PCA])
    text += f', the pixels {100 * means[features.PIXEL_PCA]:.0f}'
    if pixels == NOT_ESTABLISHED:
      text += f' (a difference that is {NOT_ESTABLISHED})'
  return text


def summarise(read: evidence.Evidence) -> list[str]:
  """Returns paragraphs that sum up, a number for each claim."""
  paragraphs = [_headline(read)]
  for names, words in (
    (read.approaches, _OF_APPROACHES),
    (read.controls, _OF_CONTROLS),
  ):
    less = read.less_baseline('auc', read.split)
    less = less[less.index.isin(names)]
    verdicts = less.apply(verdict_of, axis=1) if len(less) else pd.Series()
    paragraphs.append(
      [
        f'{text} {formats.in_text(read.baseline)}: {_named(rows)}.'
        for said, text in words.items()
        if len(rows := less[verdicts == said])
      ]
    )
  if read.splits and not paragraphs[-1]:
    text = 'No control was scored on the same frames, so what the training '
    paragraphs.append([f'{text}itself adds is unknown.'])
  return [' '.join(sentences) for sentences in paragraphs if sentences]


def interval_text(row: pd.Series, *, is_signed: bool = False) -> str:
  """Returns an interval in words, or that there is none."""
  places = formats.digits(row['mean'], row['ci_low'], row['ci_high'])
  options = {'places': places, 'is_signed': is_signed}
  text = formats.interval(row['ci_low'], row['ci_high'], **options)
  if text == formats.MISSING:
    return 'too few people for an interval'
  return f'95% interval {text}'


def _headline(read) -> list[str]:
  """Returns how much was compared and how all do."""
  rows = read.values(results.ACTION_UNITS, 'auc', read.split)
  number = formats.plural(len(read.approaches), 'approach')
  if read.controls:
    number += f' and {formats.plural(len(read.controls), "control")}'
  if read.baseline not in rows.index:
    text = f'{number} were compared, but the baseline {read.baseline} has no'
    return [] if read.run else [f'{text} score.']
  row = rows.loc[read.baseline]
  people = formats.people(int(row['num_persons']))
  name = formats.in_text(read.baseline)
  means = [
    f'{formats.in_text(n)} {formats.score(rows.loc[n, "mean"], places=3)}'
    for n in read.names[: 2 * _MANY]
    if n in rows.index
  ]
  sentences = [
    f'{number} saw the same frames of {people}. Mean AUC of {read.unit}s, '
    f'{formats.within(formats.split(read.split))}: {formats.listing(means)} '
    f'({interval_text(row)} of {name}; .5 is guessing).'
  ]
  if row['ci_low'] <= 0.5 <= row['ci_high']:
    sentences.append(f'The interval of {name} includes guessing.')
  on_random = read.values(results.ACTION_UNITS, 'auc', 'random')['mean']
  if read.split != 'random' and read.baseline in on_random:
    sentences.append(
      f'On random frames its AUC is {formats.score(on_random[read.baseline])}, '
      'but there test frames are neighbours of training frames: it says little '
      'about new video.'
    )
  return sentences


def _named(less: pd.DataFrame) -> str:
  """Returns sources with their differences, the rest as a number."""
  order = less['mean'].abs().sort_values(ascending=False).index
  texts = []
  for name in order[:_MANY]:
    row = less.loc[name]
    places = formats.digits(row['mean'], row['ci_low'], row['ci_high'])
    texts.append(
      f'{formats.in_text(name)} '
      f'({formats.score(row["mean"], places=places, is_signed=True)}, '
      f'{interval_text(row, is_signed=True)}, higher for '
      f'{formats.count(row["wins"])} of {int(row["num_persons"])})'
    )
  more = len(less) - len(texts)
  return formats.listing([*texts, f'{more} more'] if more else texts)
