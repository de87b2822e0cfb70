"""What a run directory says of its models and of their training.

run = report_run.read(workdir)
"""

import dataclasses
import pathlib

import pandas as pd

from psm_jax import json_files
from psm_jax.report import formats, reading
from psm_jax.runs import metrics, run as run_lib

# Columns of metrics.csv that are not terms of the loss.
_STEP_COLUMNS = frozenset(
  (
    'step model_id epoch gap learning_rate neutral_weight loss grad_norm '
    'examples_seen frames_seen steps_per_s frames_per_s input_wait_share'
  ).split()
)


@dataclasses.dataclass(frozen=True)
class Run:
  """How models were trained.

  Attributes:
    config: The experiment, {} if there is none.
    method: The training method's name, '' if unknown.
    models: In the order of models.json.
    metrics: A row per logged step and model, the last one of repeated steps.
  """

  config: dict
  method: str
  models: tuple[run_lib.Model, ...]
  metrics: pd.DataFrame

  @property
  def loss_terms(self) -> list[str]:
    """The columns of metrics that are terms of the loss."""
    return [c for c in self.metrics if c not in _STEP_COLUMNS]

  @property
  def failed(self) -> list[run_lib.Model]:
    """The models that failed."""
    return [model for model in self.models if model.status == 'failed']

  @property
  def person_ids(self) -> list[str]:
    """Everybody a model learned from, sorted."""
    return sorted({p for model in self.models for p in model.cohort})


def read(workdir: pathlib.Path) -> Run:
  """Reads how models were trained; checkpoints and videos are not opened.

  Args:
    workdir: The run directory. Any of its files may be missing, and the last
      line of a table that is being written is left out.

  Raises:
    ValueError: If a file has another schema or cannot be read; names the file.
  """
  content, models, config = {'method': ''}, (), {}
  if (workdir / 'models.json').is_file():
    content, models = run_lib.read_models(workdir)
  if (workdir / 'config.json').is_file():
    config = json_files.read(workdir / 'config.json', dict)
  tables = [
    reading.read_table(path, ('step', 'model_id', 'gap', 'loss'))
    for path in metrics.tables(workdir) or [workdir / 'metrics.csv']
  ]
  return Run(
    config=config,
    method=content['method'],
    models=models,
    metrics=pd.concat(tables).drop_duplicates(
      ['step', 'model_id'], keep='last', ignore_index=True
    ),
  )


def steps_of(model: run_lib.Model) -> str:
  """Returns '812 of 4,000', the steps that a model has taken."""
  return (
    f'{formats.count(model.steps_done)} of {formats.count(model.total_steps)}'
  )
