"""The words and the digits in which the report says things."""

import math
from collections.abc import Sequence

from psm_jax.evaluation import features

MISSING = '–'
SOURCES = {
  features.TRAINED: 'Trained encoder',
  features.RANDOM_ENCODER: 'Random encoder',
  features.PIXEL_PCA: 'Pixel PCA',
  features.HEAD_POSE: 'Head pose',
  features.NEAREST_IN_TIME: 'Nearest in time',
}
_IN_TEXT = {
  features.TRAINED: 'the trained encoder',
  features.RANDOM_ENCODER: 'the random encoder',
  features.PIXEL_PCA: 'pixel PCA',
  features.HEAD_POSE: 'head pose',
  features.NEAREST_IN_TIME: 'the nearest frame in time',
}
# In the order of how much they ask of the embedding.
SPLITS = {
  'cross_video': 'Across videos',
  'blocked': 'Blocked in time',
  'random': 'Random frames',
}
METRICS = {
  'auc': 'AUC',
  'f1': 'F1',
  'f1_flat': 'F1, all rows',
  'ap': 'AP',
  'balanced_accuracy': 'Balanced accuracy',
  'mcc': 'MCC',
  'base_rate': 'Base rate',
}
ACTION_UNITS = {
  'AU01': 'inner brow raiser',
  'AU02': 'outer brow raiser',
  'AU04': 'brow lowerer',
  'AU05': 'upper lid raiser',
  'AU06': 'cheek raiser',
  'AU07': 'lid tightener',
  'AU09': 'nose wrinkler',
  'AU10': 'upper lip raiser',
  'AU12': 'lip corner puller',
  'AU14': 'dimpler',
  'AU15': 'lip corner depressor',
  'AU16': 'lower lip depressor',
  'AU17': 'chin raiser',
  'AU18': 'lip pucker',
  'AU20': 'lip stretcher',
  'AU22': 'lip funneler',
  'AU23': 'lip tightener',
  'AU24': 'lip pressor',
  'AU25': 'lips part',
  'AU26': 'jaw drop',
  'AU27': 'mouth stretch',
  'AU43': 'eyes closed',
  'AU45': 'blink',
}


def source(name: str) -> str:
  """Returns what the report calls a source or a difference 'a - b'."""
  first, *others = (SOURCES.get(n, n) for n in name.split(' - '))
  return ' − '.join([first, *(within(other) for other in others)])


def in_text(name: str) -> str:
  """Returns what a sentence calls a source: 'the random encoder'."""
  return _IN_TEXT.get(name, name)


def within(label: str) -> str:
  """Returns a label as it stands inside a sentence: 'random encoder'."""
  return label[:1].lower() + label[1:]


def split(name: str) -> str:
  """Returns what the report calls a split."""
  return SPLITS.get(name, name)


def in_order(names: Sequence[str], order: Sequence[str]) -> list[str]:
  """Returns distinct names: those of an order first, then the rest sorted."""
  names = set(names)
  known = [name for name in order if name in names]
  return known + sorted(names.difference(known))


def score(value: float, *, places: int = 2, is_signed: bool = False) -> str:
  """Returns a value of about -1 to 1 as '.70', '−.05' or '+.04'."""
  if not math.isfinite(value):
    return MISSING
  text = f'{abs(value):.{places}f}'
  if text.startswith('0'):
    text = text[1:]
  if value < 0 and float(text):
    return f'−{text}'
  return f'+{text}' if is_signed and float(text) else text


def interval(
  low: float, high: float, *, places: int = 2, is_signed: bool = False
) -> str:
  """Returns '.66 to .74', or a dash if there is no interval."""
  if not (math.isfinite(low) and math.isfinite(high)):
    return MISSING
  options = {'places': places, 'is_signed': is_signed}
  return f'{score(low, **options)} to {score(high, **options)}'


def digits(mean: float, low: float, high: float) -> int:
  """Returns how many decimals show a mean and its interval: 2, up to 4.

  As many as tell the ends apart and, if the interval leaves out zero, show on
  which side it lies.
  """
  smallest = high - low if high > low else 1.0
  if low > 0 or high < 0:
    smallest = min(smallest, abs(mean), abs(low), abs(high))
  return next((n for n in (2, 3) if smallest >= 0.5 * 10**-n), 4)


def number(value: float) -> str:
  """Returns three significant digits, or a dash for what is not finite."""
  if not math.isfinite(value):
    return MISSING
  text = f'{value:,.0f}' if abs(value) >= 100 else f'{value:.3g}'
  return text.replace('-', '−')


def count(value: int) -> str:
  """Returns a whole number with commas between the thousands."""
  return f'{int(value):,}'


def plural(number_of: int, noun: str) -> str:
  """Returns '1 model', '12 models', '12 approaches'."""
  ending = 'es' if noun.endswith('ch') else 's'
  return f'{count(number_of)} {noun}{"" if number_of == 1 else ending}'


def people(number_of: int) -> str:
  """Returns '1 person', '12 people'."""
  return f'{count(number_of)} {"person" if number_of == 1 else "people"}'


def shorten(name: str, *, length: int = 24) -> str:
  """Returns a name of at most `length` characters, for labels in figures."""
  if len(name) <= length:
    return name
  end = length // 3
  return f'{name[: length - end - 1]}…{name[-end:]}'


def listing(items: Sequence[str], *, limit: int = 10) -> str:
  """Returns 'a, b and c', or the first of many and how many more."""
  items = list(items)
  if len(items) > limit:
    shown = ', '.join(items[:limit])
    return f'{shown} and {count(len(items) - limit)} more'
  if len(items) < 2:
    return ''.join(items)
  return f'{", ".join(items[:-1])} and {items[-1]}'
