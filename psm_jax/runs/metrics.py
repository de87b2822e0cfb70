"""What a run writes down while it trains: metrics.csv and TensorBoard events.

metrics.csv has a row for each logged step and model that was active in it;
`step` counts the updates taken, `examples_seen` and `frames_seen` what they
were computed from, so that runs can be compared at equal budgets. A resumed run
continues the table so that each step stands in it once. A run that several
machines share has a table a wave instead; `tables` names them all. TensorBoard
also has distributions over the models, and of each model's weights.
"""

import csv
import io
import math
import pathlib
from collections.abc import Collection, Mapping, Sequence

import jax
import numpy as np
import pandas as pd

from psm_jax import paths, tabular
from psm_jax.methods import interface
from psm_jax.runs import events, run, wandb_log

_FIRST = ('step', 'model_id', 'epoch', 'gap', 'learning_rate', 'neutral_weight')
_LAST = (
  'examples_seen',
  'frames_seen',
  'steps_per_s',
  'frames_per_s',
  'input_wait_share',
)
SHOWN_MODELS = 12  # Whose weights and pictures TensorBoard shows.
# More would take a second a model of full size.
_COUNTED_WEIGHTS = 100_000
_NOT_WRITTEN = ('is_active', 'failed_step', 'rollbacks')


def tables(workdir: pathlib.Path) -> list[pathlib.Path]:
  """Returns the tables of a run's metrics; rows of a later one count more."""
  alone = workdir / 'metrics.csv'
  shared = sorted(workdir.glob('shards/wave*.csv'))
  return [alone, *shared] if alone.exists() else shared


def read(workdir: pathlib.Path, columns: Mapping[str, type]) -> pd.DataFrame:
  """Returns the rows of a run's tables of metrics, whole ones alone.

  Args:
    workdir: The run directory.
    columns: Those that are wanted, to their types, see `tabular.fit`.

  Raises:
    ValueError: If a table is damaged.
  """
  empty = pd.DataFrame(columns=list(columns)).astype(dict(columns))
  rows = [
    tabular.read(path, columns, only=True, is_growing=True)
    for path in tables(workdir)
  ]
  return pd.concat([empty, *rows], ignore_index=True)


class MetricsLog:
  """The metrics of the models of a run that train together."""

  def __init__(
    self,
    workdir: pathlib.Path,
    model_ids: Sequence[str],
    *,
    step: int,
    wave: int = 0,
    is_shared: bool = False,
    others: Sequence[wandb_log.WandbLog] = (),
  ):
    """Opens the table; these models' rows past `step` go: they were cut off.

    Args:
      workdir: The run directory.
      model_ids: N models.
      step: The step of the checkpoint they go on from.
      wave: Number of the wave they are, a line of its own in TensorBoard.
      is_shared: Whether others write to the run as well.
      others: Who else is told the scalars; closed with this.
    """
    self._path = workdir / 'metrics.csv'
    if is_shared:
      self._path = run.shard_file(workdir, wave, 'csv')
      paths.make_private_dir(self._path.parent)
    self._model_ids = list(model_ids)
    self._columns = None
    if self._path.exists():
      self._columns = _drop_rows_after(self._path, step, set(model_ids))
    self._file = open(self._path, 'a', newline='')  # noqa: SIM115
    self._others = others
    self._board = events.EventLog(
      workdir / 'tensorboard' / f'wave{wave:03d}', step=step
    )

  def write(
    self,
    step: int,
    metrics: dict[str, np.ndarray],
    *,
    steps_per_s: float,
    examples_per_step: int,
    frames_per_example: int,
    input_wait_share: float = 0.0,
  ):
    """Writes a row for each active model.

    Args:
      step: Updates taken.
      metrics: Arrays [N], one a model.
      steps_per_s: Steps of each model a second, over the last rows' time.
      examples_per_step: Pairs, targets or clips that a model sees in a step.
      frames_per_example: Frames of each.
      input_wait_share: Share of that time spent waiting for frames.
    """
    terms = [name for name in metrics if name not in (*_FIRST, *_NOT_WRITTEN)]
    if self._columns is None:
      self._columns = [*_FIRST, *terms, *_LAST]
    active = np.flatnonzero(metrics['is_active'])
    speed = {
      'steps_per_s': steps_per_s,
      'frames_per_s': steps_per_s * examples_per_step * frames_per_example,
      'input_wait_share': input_wait_share,
    }
    text = io.StringIO()
    writer = csv.DictWriter(
      text, self._columns, extrasaction='ignore', lineterminator='\n'
    )
    if not self._file.tell():
      writer.writeheader()
    for index in active:
      row = {name: metrics[name][index] for name in metrics}
      row |= speed | {
        'step': step,
        'model_id': self._model_ids[index],
        'examples_seen': step * examples_per_step,
        'frames_seen': step * examples_per_step * frames_per_example,
      }
      if row['gap'] == 0:
        row['gap'] = ''
      writer.writerow({key: _text(value) for key, value in row.items()})
    with paths.naming(self._path):
      self._file.write(text.getvalue())
    scalars = {
      f'loss/{self._model_ids[index]}': metrics['loss'][index]
      for index in active
    }
    if len(active):
      for name in (*_FIRST[2:], *terms):
        scalars[f'mean/{name}'] = metrics[name][active].mean()
      scalars |= {f'speed/{name}': value for name, value in speed.items()}
      over_models = {f'models/{name}': metrics[name][active] for name in terms}
      self._board.write(step, scalars, histograms=over_models)
      for log in self._others:
        log.write(step, scalars)

  def write_states(
    self,
    step: int,
    params: interface.Tree,
    *,
    pictures: Mapping[str, np.ndarray],
  ):
    """Writes to TensorBoard what a checkpoint holds.

    Args:
      step: Updates taken.
      params: [N, ...] each; some 100,000 of each part of the first
        `SHOWN_MODELS` models' are counted, at equal distances.
      pictures: [H, W, 3] uint8 by tag, which show faces.
    """
    weights = {}
    for index, model_id in enumerate(self._model_ids[:SHOWN_MODELS]):
      for part, tree in params.items():
        leaves = [np.ravel(leaf[index]) for leaf in jax.tree.leaves(tree)]
        weights[f'weights/{model_id}/{part}'] = _sample(leaves)
    self._board.write(step, {}, histograms=weights, pictures=pictures)

  def flush(self):
    """Brings the table to the disk."""
    paths.flush(self._file, self._path)
    self._board.flush()

  def close(self):
    """Closes all logs."""
    self.flush()
    self._file.close()
    self._board.close()
    for log in self._others:
      log.close()


def drop_models(workdir: pathlib.Path, model_ids: Collection[str]):
  """Removes some models from a run's tables and TensorBoard events."""
  for path in tables(workdir):
    _drop_rows_after(path, -1, set(model_ids))
  for file in (workdir / 'tensorboard').rglob('*tfevents*'):
    # Tags are kind/model_id or kind/model_id/part.
    events.rewrite(file, lambda tag: set(model_ids).isdisjoint(tag.split('/')))


def _sample(arrays):
  """Returns numbers at equal distances in what arrays hold, one by one."""
  step = max(1, sum(map(len, arrays)) // _COUNTED_WEIGHTS)
  return np.concatenate(arrays)[::step]


def _text(value):
  """Returns a cell's text: 9 significant digits, empty for not a number."""
  if isinstance(value, (float, np.floating)):
    return '' if math.isnan(value) else format(float(value), '.9g')
  return str(value)


def _drop_rows_after(path, step, model_ids):
  """Drops some models' rows of later steps.

  Returns the columns, None if there is no table.

  Raises:
    ValueError: If the table is damaged.
  """

  def is_kept(line):
    if not line.endswith('\n'):
      return False
    at, _, rest = line.partition(',')
    if not at.isdigit():
      raise ValueError(
        f'{path} is damaged: a row begins with {at[:40]!r}, not with a step. '
        'Mend the row, or move the file away.'
      )
    return rest.partition(',')[0] not in model_ids or int(at) <= step

  with open(path, newline='', encoding='utf-8', errors='replace') as file:
    lines = file.readlines()
  kept = list(filter(is_kept, lines[1:]))
  if not lines or not lines[0].endswith('\n'):
    path.unlink()
    return None
  paths.write_atomic(path, lines[0] + ''.join(kept))
  return lines[0].strip().split(',')
