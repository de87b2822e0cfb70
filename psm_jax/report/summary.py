"""The summary: a verdict, the numbers that one looks for first, sentences."""

from psm_jax.evaluation import results
from psm_jax.report import evidence, findings, formats, notices


def section(read: evidence.Evidence) -> dict:
  """Returns the verdict, (name, value, detail, is_bad) facts and sentences."""
  number = len(notices.find(read))
  return {
    'verdict': findings.verdict(read),
    'facts': _facts(read),
    'paragraphs': findings.summarise(read),
    'missing': read.missing,
    'is_unlabelled': read.is_unlabelled,
    'has_weak': read.is_weak,
    'warnings': formats.plural(number, 'warning') if number else '',
  }


def _facts(read) -> list[tuple[str, str, str, bool]]:
  """Returns the few numbers that everybody looks for first."""
  facts = []
  if read.run and read.run.models:
    statuses = [model.status for model in read.run.models]
    text = f'{formats.count(statuses.count("done"))} of '
    text += formats.count(len(statuses))
    others = [
      f'{formats.count(statuses.count(status))} {what}'
      for status, what in (('failed', 'failed'), ('running', 'not finished'))
      if status in statuses
    ]
    is_bad = 'failed' in statuses
    facts.append(('Models finished', text, formats.listing(others), is_bad))
    number = formats.count(len(read.run.person_ids))
    facts.append(('People', number, '', False))
  rows = read.values(results.ACTION_UNITS, 'auc', read.split)
  if read.baseline not in rows.index:
    return facts
  where = formats.within(formats.split(read.split))
  row = rows.loc[read.baseline]
  said = findings.interval_text(row)
  facts.append((f'AUC, {where}', _score(row), said, False))
  gains = evidence.turn(read.less_baseline('auc', read.split))
  for name, gain in gains[gains.index.isin(read.controls)].iterrows():
    label = f'AUC minus {formats.within(formats.source(name))}'
    said = findings.verdict_of(gain)
    facts.append((label, _score(gain, is_signed=True), said, False))
  return facts


def _score(row, **options) -> str:
  """Returns a mean in as many digits as its interval needs."""
  places = formats.digits(row['mean'], row['ci_low'], row['ci_high'])
  return formats.score(row['mean'], places=places, **options)
