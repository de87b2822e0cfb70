"""What a reader must know before using or quoting a number.

for text in notices.find(read): ...
"""

import numpy as np

from psm_jax.evaluation import results
from psm_jax.report import evidence, formats, run as report_run, tables

_STALE_S = 60.0  # The files of one copy may be written in any order.
_UNEQUAL = 1.05  # Budgets that differ by more are told.


def section(read: evidence.Evidence) -> dict:
  """Returns all warnings, and who was skipped or left out and why."""
  skipped = read.skipped[['person_id', 'split', 'reason']].copy()
  skipped['split'] = skipped['split'].map(formats.split)
  omitted = read.omitted[['approach', 'person_id', 'num_frames', 'reason']]
  omitted = omitted.assign(num_frames=omitted['num_frames'].map(formats.count))
  tests = [*tables.names('Person', 'Test'), *tables.texts('Reason')]
  frames = tables.names('Approach', 'Person', 'Frames')
  text = f'People without scores, or with scores of some {read.unit}s only.'
  return {
    'texts': find(read),
    'skipped': tables.Table(
      text, tests, rows=skipped.to_numpy().tolist(), of='reasons'
    ),
    'omitted': tables.Table(
      'Frames that were left out.',
      [*frames, *tables.texts('Reason')],
      rows=omitted.to_numpy().tolist(),
      of='reasons',
    ),
  }


def find(read: evidence.Evidence) -> list[str]:
  """Returns the warnings, the gravest first; [] if there are none."""
  return [
    *(_training(read, read.run) if read.run else _unfinished(read)),
    *_weak(read),
    *_unscored(read),
    *_budgets(read),
    *_few(read),
    *_omitted(read),
  ]


def _training(read: evidence.Evidence, run: report_run.Run) -> list[str]:
  """Returns warnings about how the models of a run were trained."""
  texts = []
  for status, what in (
    (
      'failed',
      'failed: {}. Do not use their embeddings or scores; the other models are '
      'not affected.',
    ),
    (
      'running',
      'had not finished when this page was made: {}. The same launch.train '
      'command goes on from there.',
    ),
  ):
    names = [
      f'{model.model_id} ({report_run.steps_of(model)} steps)'
      for model in run.models
      if model.status == status
    ]
    if names:
      number = formats.plural(len(names), 'model')
      texts.append(f'{number} {what.format(formats.listing(names))}')
  is_bad = ~np.isfinite(run.metrics['loss'])
  failed = {model.model_id for model in run.failed}
  if names := sorted(set(run.metrics.loc[is_bad, 'model_id']) - failed):
    texts.append(
      f'The loss of {formats.listing(names)} is NaN or infinite in '
      'metrics.csv, though the model is not marked as failed.'
    )
  trained = read.written.get('metrics.csv')
  scored = read.written.get('evaluation/results.csv')
  if trained and scored and (trained - scored).total_seconds() >= _STALE_S:
    texts.append(
      'evaluation/results.csv is older than metrics.csv: the scores may be of '
      'an earlier state of the models. Run launch.embed and launch.evaluate '
      'again.'
    )
  capped = [
    f'{m.model_id} (at {formats.plural(m.gap_cap, "frame")})'
    for m in run.models
    if m.gap_cap is not None
  ]
  if capped:
    texts.append(
      f'The gap of {formats.plural(len(capped), "model")} was capped, because '
      'the videos are too short for the whole curriculum: '
      f'{formats.listing(capped)}.'
    )
  return texts


def _unfinished(read) -> list[str]:
  """Returns a warning about models of a comparison that did not finish."""
  bad = read.costs[~read.costs['status'].isin(['done', ''])]
  names = [
    f'{row.model_id} of {row.approach} ({row.status})'
    for row in bad.itertuples()
  ]
  number = formats.plural(len(names), 'model')
  listed = formats.listing(names)
  return [f'{number} did not finish: {listed}.'] if names else []


def _weak(read) -> list[str]:
  """Returns a warning that nobody coded the labels, if nobody did."""
  if not read.is_weak or read.results.empty:
    return []
  return [
    'The labels are weak: blendshapes that the networks of the landmarker saw, '
    'not action units that people coded. A high score says that the embedding '
    'agrees with that detector.'
  ]


def _unscored(read) -> list[str]:
  """Returns warnings about approaches and people without scores."""
  texts = []
  scored = read.values(results.ACTION_UNITS, 'auc', read.split).index
  absent = [name for name in read.approaches if name not in scored]
  if absent and read.splits:
    where = formats.within(formats.split(read.split))
    texts.append(f'No AUC {where}: {formats.listing(absent)}.')
  skipped = sorted(set(read.skipped['person_id']))
  if skipped:
    texts.append(
      f'{formats.people(len(skipped))} could not be scored on every split or '
      f'{read.unit}: {formats.listing(skipped)}. The reasons are listed below.'
    )
  known = {*read.results['person_id'], *skipped}
  people = read.run.person_ids if read.run and len(read.results) else []
  if absent := [person for person in people if person not in known]:
    texts.append(
      f'Of the people of the training {formats.count(len(absent))} have no '
      f'scores: {formats.listing(absent)}.'
    )
  return texts


def _budgets(read) -> list[str]:
  """Returns warnings about approaches that were not trained alike."""
  texts = []
  rows = read.sources.loc[read.approaches]
  for column, what in (
    ('images', 'Images seen in training'),
    ('steps_per_model', 'Steps a model'),
  ):
    values = rows[column].dropna()
    if len(values) > 1 and values.max() > _UNEQUAL * values.min():
      texts.append(
        f'{what} differ, from {formats.count(values.min())} '
        f'({values.idxmin()}) to {formats.count(values.max())} '
        f'({values.idxmax()}). A difference in scores may be one of budget; '
        'see the costs.'
      )
  started = read.costs.loc[read.costs['starts_from'] != '', 'approach']
  if names := list(dict.fromkeys(started)):
    texts.append(
      'The table of costs leaves out those of another run, from whose models '
      f'these began: {formats.listing(names)}.'
    )
  return texts


def _few(read) -> list[str]:
  """Returns warnings about few people, one seed and many comparisons."""
  texts = []
  number = read.sources['num_persons'].max()
  if number < results.FEWEST_PERSONS:
    texts.append(
      f'There are scores of {formats.people(int(number))}, which say little '
      f'about others; intervals need {results.FEWEST_PERSONS} people.'
    )
  seeds = read.sources.loc[read.approaches, 'num_seeds'].dropna()
  if len(seeds) and (seeds <= 1).all():
    texts.append(
      'Every approach was trained with one seed. Intervals are about other '
      'people; how far another seed would move a score is unknown.'
    )
  tested = len(read.less_baseline('auc', read.split))
  if len(read.approaches) > 1 and tested > 1:
    texts.append(
      f'{formats.count(tested)} differences to the baseline are shown for each '
      'metric and test. Were there none in truth, about one in twenty would '
      'look established.'
    )
  return texts


def _omitted(read) -> list[str]:
  """Returns a warning about frames that not every approach has."""
  number = formats.count(read.omitted['num_frames'].sum())
  people = formats.people(read.omitted['person_id'].nunique())
  text = (
    f'{number} frames of {people} were left out because not every approach has '
    'them; the reasons are listed below.'
  )
  return [text] if len(read.omitted) else []
