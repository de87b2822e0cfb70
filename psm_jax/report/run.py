"""What a run directory says: its models, metrics and scores, checked.

  run = report_run.read(workdir)

Files that are not there yet are named in `run.missing`; their tables are empty.
Ids stay text (a person may be called 001 or NA), other columns are numbers.
"""

import dataclasses
import datetime
import os
import pathlib
import typing

import pandas as pd

from psm_jax import json_files
from psm_jax.report import reading
from psm_jax.runs import metrics, run

SCHEMA_VERSION = 1
FILES = (
  'config.json',
  'models.json',
  'metrics.csv',
  'evaluation/scores.csv',
  'evaluation/summary.csv',
  'evaluation/skipped.csv',
)
# Columns of metrics.csv that are not terms of the loss.
STEP_COLUMNS = (
  'step',
  'model_id',
  'epoch',
  'gap',
  'learning_rate',
  'neutral_weight',
  'loss',
  'grad_norm',
  'examples_seen',
  'frames_seen',
  'steps_per_s',
  'frames_per_s',
  'input_wait_share',
)
_REQUIRED_COLUMNS = {
  'metrics.csv': ('step', 'model_id', 'gap', 'loss'),
  'evaluation/summary.csv': reading.SUMMARY,
  'evaluation/skipped.csv': ('person_id', 'split', 'reason'),
}
_STATUSES = ('running', 'done', 'failed')


@dataclasses.dataclass(frozen=True)
class Model:
  """One line of models.json.

  Attributes:
    model_id: Unique in the run.
    cohort: Ids of the people it learns from.
    seed: Of its initialisation and its draws.
    total_steps: Steps it should take.
    num_epochs: Epochs these are.
    num_frames: Frames of its cohort.
    num_videos: Videos of its cohort.
    gap_cap: Largest gap in frames that its videos allow; None if the schedule
      never reaches it.
    status: 'running', 'done' or 'failed'.
    steps_done: Steps taken.
    failed_step: The step at which it failed, or None.
  """

  model_id: str
  cohort: tuple[str, ...]
  seed: int
  total_steps: int
  num_epochs: int
  num_frames: int
  num_videos: int
  gap_cap: int | None
  status: str
  steps_done: int
  failed_step: int | None


@dataclasses.dataclass(frozen=True)
class Run:
  """A run directory in memory.

  Attributes:
    name: The directory's own name.
    config: The experiment, {} if there is none.
    method: The training method's name, '' if unknown.
    models: In the order of models.json.
    metrics: A row per logged step and model, the last one of repeated steps.
    scores: A row a probe of an action unit, see reading.py, likewise the next
      two.
    summary: Means over persons, of action units.
    structure: What the embeddings hold.
    skipped: Persons without scores and why.
    written: When each file that exists was last written, in UTC.
  """

  name: str
  config: dict
  method: str
  models: tuple[Model, ...]
  metrics: pd.DataFrame
  scores: pd.DataFrame
  summary: pd.DataFrame
  structure: pd.DataFrame
  skipped: pd.DataFrame
  written: dict[str, datetime.datetime]

  @property
  def missing(self) -> list[str]:
    """Names of the files that the run directory lacks."""
    return [name for name in FILES if name not in self.written]

  @property
  def loss_terms(self) -> list[str]:
    """The columns of metrics that are terms of the loss."""
    return [c for c in self.metrics if c not in STEP_COLUMNS]

  @property
  def failed(self) -> list[Model]:
    """The models that failed."""
    return [model for model in self.models if model.status == 'failed']

  @property
  def person_ids(self) -> list[str]:
    """Everybody a model learned from, sorted."""
    return sorted({p for model in self.models for p in model.cohort})


def read(workdir: str | os.PathLike) -> Run:
  """Reads a run directory; embeddings, checkpoints and videos are not opened.

  Args:
    workdir: The run directory. Any of its files may be missing, and the last
      line of a table that is being written is left out.

  Raises:
    ValueError: If workdir is not a directory, or a file has another schema or
      cannot be read; names the file.
  """
  workdir = pathlib.Path(workdir)
  if not workdir.is_dir():
    raise ValueError(
      f'{workdir} is not a directory. Give the --workdir of launch.train.'
    )
  tables = {
    name: reading.read_table(workdir / name, required)
    for name, required in _REQUIRED_COLUMNS.items()
  }
  files = metrics.tables(workdir)
  if files:
    required = _REQUIRED_COLUMNS['metrics.csv']
    tables['metrics.csv'] = pd.concat(
      [reading.read_table(path, required) for path in files]
    )
  written = reading.written(workdir, FILES)
  if files:
    names = [str(path.relative_to(workdir)) for path in files]
    written['metrics.csv'] = max(reading.written(workdir, names).values())
  scores = reading.read_table(
    workdir / 'evaluation/scores.csv',
    reading.SCORES[:5],
    optional=reading.SCORES[5:],
  )
  config = _read_json(workdir / 'config.json')
  method, models = _read_models(workdir / 'models.json')
  return Run(
    name=workdir.resolve().name,
    config=config,
    method=method,
    models=models,
    metrics=tables['metrics.csv'].drop_duplicates(
      ['step', 'model_id'], keep='last', ignore_index=True
    ),
    scores=reading.unit_scores(scores),
    summary=reading.unit_summary(tables['evaluation/summary.csv']),
    structure=reading.structure(scores),
    skipped=tables['evaluation/skipped.csv'],
    written=written,
  )


def _read_json(path: pathlib.Path) -> dict:
  """Returns the object in a file, {} if there is no file."""
  return json_files.read(path, dict) if path.is_file() else {}


def _read_models(path: pathlib.Path) -> tuple[str, tuple[Model, ...]]:
  """Returns the method and the models of models.json."""
  content = _read_json(path)
  if not content:
    return '', ()
  if content.get('schema_version') != SCHEMA_VERSION:
    raise ValueError(
      f'{path} has schema_version {content.get("schema_version")!r}; this '
      f'version reads {SCHEMA_VERSION}. Use the version that trained the run.'
    )
  content = run.with_states(path.parent, content)
  models = []
  fields = typing.get_type_hints(Model)
  for number, entry in enumerate(content.get('models', ())):
    if lacks := [f for f in fields if f not in entry]:
      raise ValueError(f'Model {number} of {path} lacks {lacks}.')
    entry = {field: entry[field] for field in fields}
    if isinstance(entry['cohort'], list):
      entry['cohort'] = tuple(entry['cohort'])
    for field, kind in fields.items():
      if not isinstance(entry[field], tuple if field == 'cohort' else kind):
        raise ValueError(
          f'Model {number} of {path} has {field} {entry[field]!r}; expected '
          f'{kind}.'
        )
    if entry['status'] not in _STATUSES:
      raise ValueError(
        f'Model {entry["model_id"]!r} of {path} has status '
        f'{entry["status"]!r}; expected one of {_STATUSES}.'
      )
    models.append(Model(**entry))
  return str(content.get('method', '')), tuple(models)
