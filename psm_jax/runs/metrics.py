"""What a run writes down while it trains: metrics.csv and TensorBoard events.

metrics.csv has a row for each logged step and model that was active in it;
`step` counts the updates taken, `examples_seen` and `frames_seen` what they
were computed from, so that runs can be compared at equal budgets. A resumed run
continues the table so that each step stands in it once. A run that several
machines share has a table a wave instead; `tables` names them all.
"""

import csv
import io
import math
import os
import pathlib
import struct
import time
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from tensorboardX import record_writer
from tensorboardX.proto import event_pb2, summary_pb2

from psm_jax import paths
from psm_jax.runs import run

_FIRST = ('step', 'model_id', 'epoch', 'gap', 'learning_rate', 'neutral_weight')
_LAST = (
  'examples_seen',
  'frames_seen',
  'steps_per_s',
  'frames_per_s',
  'input_wait_share',
)
_NOT_WRITTEN = ('is_active', 'failed_step', 'rollbacks')


def tables(workdir: pathlib.Path) -> list[pathlib.Path]:
  """Returns the tables of a run's metrics; rows of a later one count more."""
  alone = workdir / 'metrics.csv'
  shared = sorted(workdir.glob('shards/wave*.csv'))
  return [alone, *shared] if alone.exists() else shared


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
  ):
    """Opens the table; these models' rows past `step` go: they were cut off.

    Args:
      workdir: The run directory.
      model_ids: N models.
      step: The step of the checkpoint they go on from.
      wave: Number of the wave they are, a line of its own in TensorBoard.
      is_shared: Whether others write to the run as well.
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
    self._board = EventLog(
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
    terms = [
      name
      for name in metrics
      if name not in _FIRST and name not in _NOT_WRITTEN
    ]
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
      self._board.write(step, scalars)

  def flush(self):
    """Brings the table to the disk."""
    with paths.naming(self._path):
      self._file.flush()
      os.fsync(self._file.fileno())
    self._board.flush()

  def close(self):
    """Closes both logs."""
    self.flush()
    self._file.close()
    self._board.close()


def drop_models(workdir: pathlib.Path, model_ids: Collection[str]):
  """Removes some models from a run's tables and TensorBoard events."""
  for path in tables(workdir):
    _drop_rows_after(path, -1, set(model_ids))
  tags = {f'loss/{model_id}' for model_id in model_ids}
  for file in (workdir / 'tensorboard').rglob('*tfevents*'):
    rewrite_events(file, lambda tag: tag not in tags)


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


_HEADER = struct.Struct('<QI')
_CHECKSUM = struct.Struct('<I')
_MAX_BYTES = 1 << 20  # Of one event; ours have a hundredth.


class EventLog:
  """Writes scalars to a file of its own in a folder."""

  def __init__(self, folder: pathlib.Path, *, step: int):
    """Begins a file; TensorBoard hides what others say of later steps.

    Args:
      folder: Made if it is not there.
      step: The last step that is to stay.
    """
    paths.make_private_dir(folder)
    name = f'events.out.tfevents.{time.time():.6f}.psm_jax.{os.getpid()}'
    self._path = folder / name
    self._file = open(self._path, 'xb')  # noqa: SIM115
    started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    self._write(file_version='brain.Event:2')
    self._write(step=step + 1, session_log=started)

  def write(self, step: int, scalars: Mapping[str, float]):
    """Writes scalars of a step, by tag."""
    values = [
      summary_pb2.Summary.Value(tag=tag, simple_value=float(value))
      for tag, value in scalars.items()
    ]
    self._write(step=step, summary=summary_pb2.Summary(value=values))

  def flush(self):
    """Brings the file to the disk."""
    with paths.naming(self._path):
      self._file.flush()
      os.fsync(self._file.fileno())

  def close(self):
    """Closes the file."""
    self._file.close()

  def _write(self, **fields):
    event = event_pb2.Event(wall_time=time.time(), **fields)
    with paths.naming(self._path):
      self._file.write(_record(event.SerializeToString()))


def rewrite_events(path: pathlib.Path, keep: Callable[[str], bool]) -> bool:
  """Leaves out scalars of an event file by their tags.

  Args:
    path: The file, to which nobody may be writing.
    keep: Whether the scalars of a tag stay.

  Returns:
    Whether any went. What is damaged, and all behind it, goes with them.
  """
  records, is_changed = [], False
  with open(path, 'rb') as file:
    while header := file.read(_HEADER.size):
      if len(header) < _HEADER.size or (_HEADER.unpack(header)[0] > _MAX_BYTES):
        is_changed = True
        break
      data = file.read(_HEADER.unpack(header)[0])
      checksum = file.read(_CHECKSUM.size)
      if checksum != _CHECKSUM.pack(record_writer.masked_crc32c(data)):
        is_changed = True
        break
      event = event_pb2.Event.FromString(data)
      values = [value for value in event.summary.value if keep(value.tag)]
      if len(values) < len(event.summary.value):
        is_changed = True
        del event.summary.value[:]
        event.summary.value.extend(values)
        data = event.SerializeToString()
      records.append(_record(data))
  if is_changed:
    paths.write_atomic(path, b''.join(records))
  return is_changed


def _record(data):
  """Returns the bytes of one record."""
  header = struct.pack('<Q', len(data))
  return b''.join(
    (
      header,
      _CHECKSUM.pack(record_writer.masked_crc32c(header)),
      data,
      _CHECKSUM.pack(record_writer.masked_crc32c(data)),
    )
  )
