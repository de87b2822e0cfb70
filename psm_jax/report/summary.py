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
    done = formats.count(statuses.count('done'))
    others = [
      f'{formats.count(statuses.count(status))} {what}'
      for status, what in (('failed', 'failed'), ('running', 'not finished'))
      if status in statuses
    ]
    facts += [
      (
        'Models finished',
        f'{done} of {formats.count(len(statuses))}',
        formats.listing(others),
        'failed' in statuses,
      ),
      ('People', formats.count(len(read.run.person_ids)), '', False),
    ]
  rows = read.values(results.ACTION_UNITS, 'auc', read.split)
  if read.baseline not in rows.index:
    return facts
  where = formats.within(formats.split(read.split))
  row = rows.loc[read.baseline]
  said = findings.interval_text(row)
  facts.append((f'AUC, {where}', findings.mean_text(row), said, False))
  gains = evidence.turn(read.less_baseline('auc', read.split))
  for name, gain in gains[gains.index.isin(read.controls)].iterrows():
    label = f'AUC minus {formats.within(formats.source(name))}'
    said = findings.verdict_of(gain)
    facts.append((label, findings.mean_text(gain, is_signed=True), said, False))
  return facts
