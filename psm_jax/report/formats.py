"""The words and the digits in which the report says things."""

import math
from collections.abc import Iterable, Sequence

from psm_jax.data.labels import weak
from psm_jax.evaluation import features

MISSING = '–'
# What a source is called alone, in a sentence, and in narrow columns.
SOURCES = {
  features.TRAINED: ('Trained encoder', 'the trained encoder', 'Trained'),
  features.RANDOM_ENCODER: ('Random encoder', 'the random encoder', 'Random'),
  features.PIXEL_PCA: ('Pixel PCA', 'pixel PCA', 'Pixels'),
  features.HEAD_POSE: ('Head pose', 'head pose', 'Pose'),
  features.NEAREST_IN_TIME: (
    *('Nearest in time', 'the nearest frame in time', 'In time'),
  ),
}
# In the order of how much they ask of the embedding.
SPLITS = {
  'cross_video': 'Across videos',
  'held_out': 'Held-out frames',
  'blocked': 'Blocked in time',
  'random': 'Random frames',
}
METRICS = {
  'auc': 'AUC',
  'f1_bootstrap': 'F1',
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
  """Returns what the report calls a source."""
  return SOURCES.get(name, (name,))[0]


def brief(name: str) -> str:
  """Returns the short name of a source for narrow columns."""
  return SOURCES.get(name, (name,))[-1]


def is_weak(unit: str) -> bool:
  """Whether a label is a blendshape, which nobody coded."""
  return unit.startswith(weak.PREFIX)


def unit_id(name: str) -> str:
  """Returns 'AU12', or 'jawOpen' of a blendshape."""
  return name.removeprefix(weak.PREFIX)


def unit(name: str) -> str:
  """Returns 'AU12 lip corner puller', or 'jawOpen (weak)' of a blendshape."""
  known = '(weak)' if is_weak(name) else ACTION_UNITS.get(name, '')
  return f'{unit_id(name)} {known}'.strip()


def in_text(name: str) -> str:
  """Returns what a sentence calls a source: 'the random encoder'."""
  return SOURCES.get(name, (name, name))[1]


def within(label: str) -> str:
  """Returns a label as it stands inside a sentence: 'random encoder'."""
  return label[:1].lower() + label[1:]


def split(name: str) -> str:
  """Returns what the report calls a split."""
  return SPLITS.get(name, name)


def in_order(names: Iterable[str], order: Iterable[str]) -> list[str]:
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


def interval(low: float, high: float, **options) -> str:
  """Returns '.66 to .74', or a dash if there is no interval; see `score`."""
  if not (math.isfinite(low) and math.isfinite(high)):
    return MISSING
  return f'{score(low, **options)} to {score(high, **options)}'


def digits(mean: float, low: float, high: float) -> int:
  """Returns how many decimals tell the ends apart, and from 0: 2 to 4."""
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


def count(value: float) -> str:
  """Returns a whole number with commas, or a dash for what is not finite."""
  return f'{round(value):,}' if math.isfinite(value) else MISSING


def plural(number_of: int, noun: str) -> str:
  """Returns '1 model', '12 models', '12 approaches'."""
  ending = 'es' if noun.endswith('ch') else 's'
  return f'{count(number_of)} {noun}{"" if number_of == 1 else ending}'


def people(number_of: int) -> str:
  """Returns '1 person', '12 people'."""
  return f'{count(number_of)} {"person" if number_of == 1 else "people"}'


def shorten(name: str, *, length: int = 28) -> str:
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
