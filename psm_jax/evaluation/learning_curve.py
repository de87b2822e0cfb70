"""Action-unit scores along training, from tables of kept checkpoints.

  learning_curve.score({'psm': 'runs/psm', 'psm_ctl': 'runs/psm_ctl'}, 'curve')

The paper's curve of the curriculum (PSM, Figure 6), by steps as well as by
epochs, whose lengths differ between approaches. launch.embed --kept_steps
writes the tables.

learning_curve.csv, a row per model, person, step and split:
  source,model_id,person_id,step,epochs,examples_seen,split,num_units,
  f1_bootstrap,auc,ap,balanced_accuracy,mcc
  Means over the person's action units. epochs are of the model's own length,
  parts of them counted; a model that has ended stays where it ended.
learning_curve_summary.csv, the summary of results.py for each step:
  step,epochs,examples_seen, then its columns
  epochs and examples_seen are means of the first source's models; differences
  are those of each later run less the first.
"""

import dataclasses
import pathlib
from collections.abc import Mapping

import pandas as pd
import tqdm

from psm_jax import paths
from psm_jax.data import embedded
from psm_jax.evaluation import evaluate, features, probes, results, splits

DEFAULT = dataclasses.replace(
  probes.DEFAULT, splits=(splits.BLOCKED, splits.CROSS_VIDEO), few_labels=()
)
METRICS = ('f1_bootstrap', 'auc', 'ap', 'balanced_accuracy', 'mcc')
_SEEN = ['epochs', 'examples_seen']
_MODEL = ['source', 'model_id', 'person_id']
COLUMNS = (*_MODEL, 'step', *_SEEN, 'split', 'num_units', *METRICS)
SUMMARY_COLUMNS = ('step', *_SEEN, *results.SUMMARY_COLUMNS)


def score(
  workdirs: Mapping[str, str | pathlib.Path],
  folder: str | pathlib.Path,
  *,
  config: probes.ProbeConfig = DEFAULT,
) -> list[pathlib.Path]:
  """Scores the labelled frames of runs at every step that was embedded.

  Args:
    workdirs: Name of a run to its directory; later ones are compared with the
      first.
    folder: Where the tables go.
    config: How probes are split, fitted and scored.

  Returns:
    The files written.

  Raises:
    ValueError: If a run has no tables of steps, or runs differ in frames or
      labels.
  """
  steps = {}
  for name, workdir in workdirs.items():
    paths.check_id(name, what='name of a run')
    root = pathlib.Path(workdir) / embedded.STEPS
    for place in sorted(root.glob('*')):
      steps.setdefault(int(place.name), {})[name] = workdir
    if not any(name in runs for runs in steps.values()):
      raise ValueError(
        f'{root} holds no tables. Train with --config.train.keep_steps=N, then '
        f'python -m launch.embed --workdir={workdir} --kept_steps'
      )
  curve, summaries = [], []
  for step in tqdm.tqdm(sorted(steps), desc='learning curve', unit='step'):
    tables = [
      table
      for name, workdir in steps[step].items()
      for table in features.read_run(
        workdir, source=name, folder=f'{embedded.STEPS}/{step:09d}'
      )
    ]
    made, _ = evaluate.evaluate(
      tables, config=config, add_controls=False, show_progress=False
    )
    scores = results.table(made)
    scores = scores[
      scores['target'].str.match(splits.UNIT) & scores['metric'].isin(METRICS)
    ]
    if scores.empty:
      raise ValueError(
        f'No person can be scored on the splits {", ".join(config.splits)}: '
        'too few frames, one video or no action unit active often enough.'
      )
    curve.append(_of_models(scores, tables, step))
    first, *others = workdirs
    summary = results.summarise(
      scores, pairs=[(name, first) for name in others]
    )
    seen = curve[-1].groupby('source')[_SEEN].mean()
    summaries.append(
      summary.join(seen, on='first').assign(step=step)[[*SUMMARY_COLUMNS]]
    )
  return results.write(
    {
      'learning_curve': pd.concat(curve, ignore_index=True),
      'learning_curve_summary': pd.concat(summaries, ignore_index=True),
    },
    folder,
  )


def _of_models(scores, tables, step):
  """Returns the rows of learning_curve.csv of a step."""
  means = scores.pivot_table('value', [*_MODEL, 'split'], 'metric', sort=False)
  units = scores.groupby([*_MODEL, 'split'], sort=False)['target'].nunique()
  seen = pd.DataFrame(
    [t.ids | {c: t.frames.attrs[c] for c in _SEEN} for t in tables]
  )
  means = means.assign(num_units=units, step=step).reset_index()
  return means.merge(seen, on=_MODEL)[[*COLUMNS]]
