"""What a reader of a comparison has to know before quoting a number.

for text in comparison_cautions.find(found): ...
"""

from psm_jax.evaluation import results
from psm_jax.report import comparison, comparison_findings, formats


def find(found: comparison.Comparison) -> list[str]:
  """Returns the warnings of a comparison, the gravest first."""
  return [
    *_failures(found),
    *_unscored(found),
    *_budgets(found),
    *_few(found),
    *_left_out(found),
  ]


def _failures(found: comparison.Comparison) -> list[str]:
  """Returns a warning about models that did not finish."""
  costs = found.costs
  bad = costs[~costs['status'].isin(['done', ''])]
  if bad.empty:
    return []
  names = [
    f'{r.model_id} of {r.approach} ({r.status})' for r in bad.itertuples()
  ]
  return [
    f'{formats.plural(len(names), "model")} did not finish: '
    f'{formats.listing(names)}.'
  ]


def _unscored(found: comparison.Comparison) -> list[str]:
  """Returns warnings about approaches and people without scores."""
  rows = found.approaches.loc[found.names, f'auc_{found.split}']
  texts = []
  if absent := list(rows.index[rows.isna()]):
    where = comparison_findings.where(found.split)
    texts.append(f'No AUC {where}: {formats.listing(absent)}.')
  if people := sorted(set(found.skipped['person_id'])):
    texts.append(
      f'{formats.people(len(people))} could not be scored on every split or '
      f'action unit: {formats.listing(people)}. The reasons are listed below.'
    )
  return texts


def _budgets(found: comparison.Comparison) -> list[str]:
  """Returns warnings about approaches that were not trained alike."""
  texts = []
  images = found.approaches.loc[found.names, 'images'].dropna()
  if len(images) > 1 and images.max() > 1.05 * images.min():
    most, least = images.idxmax(), images.idxmin()
    texts.append(
      'The approaches did not cost the same: '
      f'{most} saw {formats.count(images[most])} images in training, {least} '
      f'{formats.count(images[least])}. A difference may be one of budget; see '
      'the costs.'
    )
  steps = found.approaches.loc[found.names, 'steps_per_model'].dropna()
  if len(steps) > 1 and steps.max() > 1.05 * steps.min():
    texts.append(
      'Steps a model differ, from '
      f'{formats.count(round(steps.min()))} ({steps.idxmin()}) to '
      f'{formats.count(round(steps.max()))} ({steps.idxmax()}).'
    )
  started = found.costs[found.costs['starts_from'] != '']
  if names := list(dict.fromkeys(started['approach'])):
    verb = 'owes' if len(names) == 1 else 'owe'
    texts.append(
      f'{formats.listing(names)} began from models of another run and '
      f'{verb} the costs of that run too; the table of costs does not add them.'
    )
  return texts


def _few(found: comparison.Comparison) -> list[str]:
  """Returns warnings about few people, one seed and many comparisons."""
  texts = []
  number = found.approaches['num_persons'].max()
  if number < results.FEWEST_PERSONS:
    texts.append(
      f'{formats.people(int(number))} allow no interval and say little about '
      f'others: there are intervals from {results.FEWEST_PERSONS} people on.'
    )
  seeds = found.approaches.loc[found.names, 'num_seeds'].dropna()
  if len(seeds) and (seeds <= 1).all():
    texts.append(
      'Every approach was trained with one seed. Intervals are about other '
      'people; how far another seed would move a score is unknown.'
    )
  tested = sum(key[1:] == ('auc', found.split) for key in found.differences)
  if tested > 1:
    texts.append(
      f'{formats.count(tested)} differences to the baseline are shown for each '
      'metric and test. Were there none in truth, about one in twenty would '
      'look established.'
    )
  return texts


def _left_out(found: comparison.Comparison) -> list[str]:
  """Returns a warning about frames that not every approach has."""
  number = found.omitted['num_frames'].sum()
  if not number:
    return []
  people = sorted(set(found.omitted['person_id']))
  return [
    f'{formats.count(number)} frames of {formats.people(len(people))} were '
    'left out because not every approach has them; the reasons are listed '
    'below.'
  ]
