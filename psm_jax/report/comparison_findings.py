"""What the tables of a comparison allow one to say.

A difference is called established only if its 95 % interval leaves out zero.
"""

import math

import numpy as np
import pandas as pd

from psm_jax.evaluation import features
from psm_jax.report import comparison, findings, formats

_WELL_TOLD = 0.5  # R2: half of the squared error of the mean angle is gone.
_MANY = 4  # Names with their numbers in one sentence.


def summarise(found: comparison.Comparison) -> list[str]:
  """Returns paragraphs that sum a comparison up, a number for each claim."""
  paragraphs = (
    [*_headline(found), *_against_baseline(found)],
    _against_controls(found),
    [*_identity(found), *_pose(found), *_retrieval(found)],
  )
  return [' '.join(sentences) for sentences in paragraphs if sentences]


def label(name: str, *, in_text: bool = False) -> str:
  """Returns what the page calls an approach or a control.

  Args:
    name: As in the tables.
    in_text: Inside a sentence.
  """
  if name == features.TRAINED:  # Here it is but the name that somebody gave.
    return name
  return formats.in_text(name) if in_text else formats.source(name)


def where(split: str) -> str:
  """Returns on which frames scores are, as a part of a sentence.

  Args:
    split: The split.
  """
  return {
    'cross_video': 'across videos',
    'blocked': 'on other stretches of the same videos',
    'random': 'on random frames of the same videos',
  }.get(split, f'on the split {split}')


def _headline(found: comparison.Comparison) -> list[str]:
  """Returns how many approaches were compared and where the baseline stands."""
  row = found.approaches.loc[found.baseline]
  number = formats.plural(len(found.names), 'approach')
  if not math.isfinite(row[f'auc_{found.split}']):
    return [
      f'{number} and {formats.plural(len(found.controls), "control")} were '
      f'compared, but the baseline {found.baseline} has no score.'
    ]
  if found.controls:
    number += f' and {formats.plural(len(found.controls), "control")}'
  return [
    f'{number} saw the same frames of '
    f'{formats.people(int(row["num_persons"]))}. The baseline '
    f'{found.baseline} tells action units with a mean AUC of '
    f'{_value(row, f"auc_{found.split}")} '
    f'{where(found.split)} (.5 is guessing).'
  ]


def _against_baseline(found: comparison.Comparison) -> list[str]:
  """Returns which approaches are above and below the baseline in AUC."""
  known = [
    found.differences[key]
    for name in found.names
    if (key := (name, 'auc', found.split)) in found.differences
  ]
  if not known:
    return []
  sentences = []
  for verdict, where in (
    (findings.HIGHER, 'above'),
    (findings.LOWER, 'below'),
  ):
    part = [d for d in known if d.verdict == verdict]
    part.sort(key=lambda d: -abs(d.mean))
    if part:
      sentences.append(f'Established {where} it: {_named_differences(part)}.')
    elif verdict == findings.HIGHER:
      best = max(known, key=lambda d: d.mean)
      text = 'No approach is established above it'
      if best.mean > 0:
        text += f'; {label(best.first)} comes closest ({_difference(best)})'
      sentences.append(f'{text}.')
  rest = [d for d in known if d.verdict == findings.NOT_ESTABLISHED]
  if rest and len(rest) < len(known):
    names = formats.listing([label(d.first, in_text=True) for d in rest])
    sentences.append(
      f'For {formats.count(len(rest))} of {formats.count(len(known))} '
      f'({names}) no difference is established.'
    )
  return sentences


def _against_controls(found: comparison.Comparison) -> list[str]:
  """Returns which controls do as well as the baseline, or better."""
  known = [
    found.differences[key]
    for name in found.controls
    if (key := (name, 'auc', found.split)) in found.differences
  ]
  if not known:
    return [
      'No control was scored on the same frames, so what training itself adds '
      'is unknown.'
    ]
  sentences = []
  groups = (
    (findings.HIGHER, 'Better than the baseline without any training on faces'),
    (findings.NOT_ESTABLISHED, 'Not told apart from the baseline'),
    (findings.LOWER, 'Below the baseline, as they should be'),
  )
  for verdict, text in groups:
    part = [d for d in known if d.verdict == verdict]
    if part:
      sentences.append(f'{text}: {_named_differences(part)}.')
  best = found.controls[0]
  above = [
    d.first
    for d in findings.differences(
      found.summary, metric='auc', split=found.split
    )
    if d.other == best and d.verdict == findings.HIGHER
  ]
  value = formats.score(found.approaches.loc[best, f'auc_{found.split}'])
  names = f': {formats.listing(above)}' if above else ''
  sentences.append(
    f'Of {formats.count(len(found.names))} approaches '
    f'{formats.count(len(above))} are established above the best control, '
    f'{label(best, in_text=True)} (AUC {value}){names}.'
  )
  return sentences


def _identity(found: comparison.Comparison) -> list[str]:
  """Returns from what one can read who is on a frame."""
  rows = found.approaches[found.approaches['identity'].notna()]
  rows = rows[rows['identity_ci_low'] > rows['identity_chance']]
  rows = rows.sort_values('identity', ascending=False)
  if rows.empty:
    return []
  texts = [
    f'{label(name, in_text=True)} {_value(row, "identity", is_short=True)}'
    for name, row in rows[:_MANY].iterrows()
  ]
  more = _more(len(rows))
  chance = formats.score(rows['identity_chance'].iloc[0])
  return [
    'Who is on a frame can be read from '
    f'{formats.listing(texts)}{more} (share of frames given to the right '
    f'person; chance {chance}).'
  ]


def _pose(found: comparison.Comparison) -> list[str]:
  """Returns from how many approaches head pose can be read."""
  rows = found.approaches.loc[found.names, 'pose_r2'].dropna()
  if rows.empty:
    return []
  best, worst = rows.idxmax(), rows.idxmin()
  text = f'Head pose is told with an R² of {formats.score(rows[best])}'
  if len(rows) == 1:
    return [f'{text} from {best} (0 is what the mean angle alone reaches).']
  number = int((rows >= _WELL_TOLD).sum())
  return [
    f'{text} from {best} and of {formats.score(rows[worst])} from {worst}; '
    f'{formats.count(number)} of {formats.count(len(rows))} approaches reach '
    f'{formats.score(_WELL_TOLD)} (0 is what the mean angle alone reaches).'
  ]


def _retrieval(found: comparison.Comparison) -> list[str]:
  """Returns which shared embedding finds movements in other people best."""
  rows = found.approaches[found.approaches['retrieval'].notna()]
  if rows.empty:
    return []
  best = rows['retrieval'].idxmax()
  row = rows.loc[best]
  text = (
    'Asked for the same movement in other people, '
    f'{label(best, in_text=True)} does best: '
    f'{_value(row, "retrieval")} of the way from chance (0) to perfect (1)'
  )
  if row['retrieval_ci_low'] > 0:
    return [f'{text}.']
  return [f'{text}; this is not established to be above chance.']


def _named_differences(part: list[findings.Difference]) -> str:
  """Returns approaches with their differences, the rest as a number."""
  texts = [
    f'{label(d.first, in_text=True)} ({_difference(d)})' for d in part[:_MANY]
  ]
  return f'{formats.listing(texts)}{_more(len(part))}'


def _more(number: int) -> str:
  """Returns how many names a sentence leaves out."""
  if number <= _MANY:
    return ''
  return f' and {formats.count(number - _MANY)} more'


def _difference(d: findings.Difference) -> str:
  """Returns a difference with its interval."""
  places = formats.digits(d.mean, d.low, d.high)
  interval = findings.interval_text(
    d.low, d.high, places=places, is_signed=True
  )
  return f'{formats.score(d.mean, places=places, is_signed=True)}, {interval}'


def _value(row: pd.Series, column: str, *, is_short: bool = False) -> str:
  """Returns a value, with its interval in brackets."""
  mean, low, high = (
    row[f'{column}{end}'] for end in ('', '_ci_low', '_ci_high')
  )
  places = formats.digits(mean, low, high)
  text = formats.score(mean, places=places)
  if is_short or not np.isfinite([low, high]).all():
    return text
  return f'{text} (95% interval {formats.interval(low, high, places=places)})'
