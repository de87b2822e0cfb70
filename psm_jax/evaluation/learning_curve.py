"""Action-unit scores along training, from checkpoints that were kept.

  learning_curve.score({'psm': 'runs/psm', 'psm_ctl': 'runs/psm_ctl'}, 'curve')

The paper's curve of the curriculum (PSM, Figure 6), by steps as well as by
epochs, whose lengths differ between approaches. Runs need checkpoints along the
way: `train.keep_steps`.

learning_curve.csv, a row per model, person, step and split:
  source,model_id,person_id,step,epochs,examples_seen,split,num_units,f1,auc,ap,
  balanced_accuracy,mcc
  Means over the person's action units. epochs are of the model's own length,
  parts of them counted; a model that has ended stays where it ended.
learning_curve_summary.csv, a row per step, source, split and metric:
  step,source,epochs,examples_seen,split,metric,mean,ci_low,ci_high,num_persons,
  wins,losses
  Means over persons, as summary.csv (psm_jax/evaluation/tables.py); of
  'psm_ctl - psm', each later run less the first, too.
"""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
import pandas as pd
import tqdm
from absl import logging

from psm_jax import embedding, paths, sampling
from psm_jax.evaluation import (
  features,
  person_dependent,
  probes,
  splits,
  summary,
  tables,
)
from psm_jax.runs import checkpoint

DEFAULT = dataclasses.replace(
  probes.DEFAULT, splits=(splits.BLOCKED, splits.CROSS_VIDEO)
)
COLUMNS = (
  *('source', 'model_id', 'person_id', 'step', 'epochs', 'examples_seen'),
  *('split', 'num_units', 'f1', 'auc', 'ap', 'balanced_accuracy', 'mcc'),
)
SUMMARY_COLUMNS = (
  *('step', 'source', 'epochs', 'examples_seen', 'split', 'metric'),
  *('mean', 'ci_low', 'ci_high', 'num_persons', 'wins', 'losses'),
)
# Metric -> column of the scores.
_METRICS = {
  'f1': 'f1_bootstrap',
  'auc': 'auc',
  'ap': 'ap',
  'balanced_accuracy': 'balanced_accuracy',
  'mcc': 'mcc',
}
_MODEL = ['source', 'model_id', 'person_id']


def score(
  workdirs: Mapping[str, str | pathlib.Path],
  folder: str | pathlib.Path,
  *,
  config: probes.ProbeConfig = DEFAULT,
) -> list[pathlib.Path]:
  """Scores the labelled frames of runs at every step that was kept.

  Args:
    workdirs: Name of a run to its directory; later ones are compared with the
      first.
    folder: Where the tables go.
    config: How probes are split, fitted and scored.

  Returns:
    The files written.

  Raises:
    ValueError: If a run cannot be opened, was trained without
      `train.keep_steps` or has no labels, or runs differ in frames or labels.
  """
  runs = {name: _Run(name, workdir) for name, workdir in workdirs.items()}
  steps = sorted(set().union(*(run.steps for run in runs.values())))
  curve, summaries = [], []
  for step in tqdm.tqdm(steps, desc='learning curve', unit='step'):
    found = _at_step([run for run in runs.values() if step in run.steps], step)
    if not found:
      continue
    scores = pd.DataFrame(
      row
      for people in _people(found)
      for row in person_dependent.score_units(people, config=config)
    )
    if scores.empty:
      raise ValueError(
        f'No person can be scored on the splits {", ".join(config.splits)}: '
        'too few frames, one video or no action unit active often enough.'
      )
    own = _of_models(scores, found, step)
    curve.append(own)
    summaries.append(_summary(scores, own, list(runs), config))
  if not curve:
    raise ValueError('No checkpoint could be read; see the warnings above.')
  return tables.write_named(
    {
      'learning_curve': pd.concat(curve, ignore_index=True),
      'learning_curve_summary': pd.concat(summaries, ignore_index=True),
    },
    folder,
  )


def epochs_at(plan: sampling.Plan, step: int, *, batch_size: int) -> float:
  """Returns the epochs a model has seen after a number of steps.

  Args:
    plan: Of one model, NumPy.
    step: From 0; past the model's end it has seen no more.
    batch_size: Examples of a step.
  """
  starts = plan.clock.epoch_start[: int(plan.clock.num_epochs)]
  step = min(step, int(plan.clock.total_steps))
  epoch = int(np.searchsorted(starts, step, side='right')) - 1
  length = int(plan.num_examples[epoch]) // batch_size
  return epoch + min(1.0, (step - int(starts[epoch])) / length)


class _Run:
  """A run's models along training, and their labelled frames."""

  def __init__(self, name, workdir):
    self.name = paths.check_id(name, what='name of a run')
    self._trained = embedding.Trained(workdir)
    opened = self._trained.run
    kept = checkpoint.kept_steps(opened)
    if len(kept) < 2:
      raise ValueError(
        f'{workdir} has kept {len(kept)} checkpoint, too few for a curve. '
        'Train with --config.train.keep_steps=N, which keeps every Nth step.'
      )
    # A model that began with another's weights has no start to show here.
    self.steps = kept if opened.config.init.path else [0, *kept]
    self._labelled = self._labelled_rows()
    if not any(len(rows) for rows in self._labelled.values()):
      raise ValueError(
        f'{workdir} has no frames with action-unit labels to score.'
      )

  def at_step(self, step):
    """Returns the models at a step: person -> tables, made when asked for."""
    if step == 0:
      return lambda person: self._tables(person, self._trained.embed_untrained)
    trained = self._trained.at_step(step)
    return lambda person: self._tables(person, trained.embed)

  @property
  def people(self):
    """Everybody with labels."""
    return [person for person, rows in self._labelled.items() if len(rows)]

  def seen(self, model_id, step):
    """Returns a model's (epochs, examples) after a number of steps."""
    opened = self._trained.run
    index = [model.model_id for model in opened.models].index(model_id)
    plan = self._trained.plans[index]
    batch_size = opened.config.train.batch_size
    examples = min(step, int(plan.clock.total_steps)) * batch_size
    return epochs_at(plan, step, batch_size=batch_size), examples

  def _labelled_rows(self):
    """Returns each person's rows of the store that have a label."""
    store = self._trained.store
    units = splits.action_unit_columns(store.index)
    is_labelled = store.index[units].notna().any(axis=1).to_numpy()
    found = {}
    for model in self._trained.run.models:
      for person in model.cohort:
        rows = self._trained.rows_of(person)
        found[person] = rows[is_labelled[rows]]
    return found

  def _tables(self, person, embed):
    """Returns the tables of all models of a person."""
    rows = self._labelled[person]
    frames = self._trained.store.index.iloc[rows].reset_index(drop=True)
    return [
      features.FeatureTable(
        source=self.name,
        model_id=model.model_id,
        person_id=person,
        features=embed(index, rows),
        frames=frames,
      )
      for index, model in enumerate(self._trained.run.models)
      if person in model.cohort
    ]


def _at_step(runs, step):
  """Returns [(run, its models at a step)]; what is unreadable is left out."""
  found = []
  for run in runs:
    try:
      found.append((run, run.at_step(step)))
    except ValueError as reason:
      logging.warning('Step %d of %s is left out: %s', step, run.name, reason)
  return found


def _people(found):
  """Yields the tables of one person after another, of all runs."""
  people = collections.defaultdict(list)
  for run, make in found:
    for person in run.people:
      people[person].append(make)
  for person in sorted(people):
    yield [table for make in people[person] for table in make(person)]


def _of_models(scores, found, step):
  """Returns the rows of learning_curve.csv of a step."""
  runs = {run.name: run for run, _ in found}
  grouped = scores.groupby([*_MODEL, 'split'], sort=False)
  means = grouped[list(_METRICS.values())].mean()
  means = means.set_axis(list(_METRICS), axis='columns')
  means = means.assign(num_units=grouped['au'].nunique()).reset_index()
  seen = [
    runs[row.source].seen(row.model_id, step) for row in means.itertuples()
  ]
  means[['epochs', 'examples_seen']] = np.reshape(seen, (-1, 2))
  means['examples_seen'] = means['examples_seen'].astype(np.int64)
  return means.assign(step=step)[list(COLUMNS)]


def _summary(scores, curve, names, config):
  """Returns the rows of learning_curve_summary.csv of a step."""
  means = summary.summarise(
    scores,
    pairs=[(name, names[0]) for name in names[1:]],
    metrics=_METRICS,
    seed=config.seed,
  )
  # Of differences, the epochs of the run that is compared.
  source = means['source'].str.split(' - ').str[0]
  seen = curve.groupby('source')[['epochs', 'examples_seen']].mean()
  return means.assign(
    step=curve['step'].iloc[0],
    epochs=source.map(seen['epochs']),
    examples_seen=source.map(seen['examples_seen']),
  )[list(SUMMARY_COLUMNS)]
