"""What a reader must know before using a run: failures, caps, gaps in scores.

for text in cautions.find(run): ...
"""

import numpy as np

from psm_jax.data.labels import weak
from psm_jax.report import formats
from psm_jax.report import run as report_run

_STALE_S = 60.0  # The files of one copy may be written in any order.


def find(run: report_run.Run) -> list[str]:
  """Returns the warnings of a run, the gravest first; [] if there are none."""
  return [
    *_failures(run),
    *_weak(run),
    *_unfinished(run),
    *_not_finite(run),
    *_stale(run),
    *_capped(run),
    *_unscored(run),
  ]


def steps_of(model: report_run.Model) -> str:
  """Returns '812 of 4,000', the steps that a model has taken."""
  return (
    f'{formats.count(model.steps_done)} of {formats.count(model.total_steps)}'
  )


def _failures(run: report_run.Run) -> list[str]:
  """Returns a warning about models that failed."""
  if not run.failed:
    return []
  names = [
    model.model_id
    if model.failed_step is None
    else f'{model.model_id} (at step {formats.count(model.failed_step)})'
    for model in run.failed
  ]
  return [
    f'{formats.plural(len(names), "model")} failed: {formats.listing(names)}. '
    'Do not use their embeddings or scores; the other models are not affected.'
  ]


def _weak(run: report_run.Run) -> list[str]:
  """Returns a warning that nobody coded the labels, if nobody did."""
  if not any(
    str(unit).startswith(weak.PREFIX) for unit in set(run.scores.get('au', ()))
  ):
    return []
  return [
    'The labels are weak: blendshapes that the networks of the landmarker saw '
    '(weak_...), not action units that people coded. Where this page says '
    'action units it means them. A high score says that the embedding agrees '
    'with those networks, not that it is right.'
  ]


def _unfinished(run: report_run.Run) -> list[str]:
  """Returns a warning about models that still train."""
  running = [
    f'{m.model_id} ({steps_of(m)} steps)'
    for m in run.models
    if m.status == 'running'
  ]
  if not running:
    return []
  return [
    f'{formats.plural(len(running), "model")} had not finished when this page '
    f'was made: {formats.listing(running)}. The same launch.train command '
    'goes on from there.'
  ]


def _not_finite(run: report_run.Run) -> list[str]:
  """Returns a warning about losses that are no number without a failure."""
  is_bad = ~np.isfinite(run.metrics['loss'])
  failed = {model.model_id for model in run.failed}
  names = sorted(set(run.metrics.loc[is_bad, 'model_id']) - failed)
  if not names:
    return []
  return [
    f'The loss of {formats.listing(names)} is NaN or infinite in metrics.csv, '
    'though the model is not marked as failed.'
  ]


def _stale(run: report_run.Run) -> list[str]:
  """Returns a warning about scores that are older than the training."""
  trained = run.written.get('metrics.csv')
  scored = run.written.get('evaluation/scores.csv')
  if trained is None or scored is None:
    return []
  if (trained - scored).total_seconds() < _STALE_S:
    return []
  return [
    'evaluation/scores.csv is older than metrics.csv: the scores may be of an '
    'earlier state of the models. Run launch.embed and launch.evaluate again.'
  ]


def _capped(run: report_run.Run) -> list[str]:
  """Returns a warning about models whose videos are too short for the gap."""
  capped = [
    f'{m.model_id} (at {formats.plural(m.gap_cap, "frame")})'
    for m in run.models
    if m.gap_cap is not None
  ]
  if not capped:
    return []
  return [
    f'The gap of {formats.plural(len(capped), "model")} was capped, because '
    f'the videos are too short for the whole curriculum: '
    f'{formats.listing(capped)}.'
  ]


def _unscored(run: report_run.Run) -> list[str]:
  """Returns warnings about people without scores or with some missing."""
  texts = []
  skipped = sorted(set(run.skipped['person_id']))
  if skipped:
    texts.append(
      f'{formats.people(len(skipped))} could not be '
      f'scored on every split or action unit: {formats.listing(skipped)}. The '
      'reasons are listed below.'
    )
  if not run.scores.empty:
    known = {*run.scores['person_id'], *skipped}
    absent = [p for p in run.person_ids if p not in known]
    if absent:
      texts.append(
        f'{formats.people(len(absent))} of the training '
        f'{"has" if len(absent) == 1 else "have"} no scores: '
        f'{formats.listing(absent)}.'
      )
  return texts
