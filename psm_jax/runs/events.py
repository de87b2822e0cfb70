"""TensorBoard's event files: written, and rewritten without some tags.

  log = events.EventLog(workdir / 'tensorboard', step=0)
  log.write(10, {'loss': 0.5}, histograms={'weights': values})

TensorBoard itself is not needed; `tensorboard --logdir RUN` shows them.
"""

import os
import pathlib
import struct
import time
from collections.abc import Callable, Mapping

import numpy as np
from tensorboardX import record_writer, summary
from tensorboardX.proto import event_pb2, summary_pb2

from psm_jax import paths

_BINS = 30
_HEADER = struct.Struct('<QI')
_CHECKSUM = struct.Struct('<I')
_MAX_BYTES = 1 << 24  # Of one event; of ours, pictures have a hundredth.


class EventLog:
  """Writes to a file of its own in a folder."""

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

  def write(
    self,
    step: int,
    scalars: Mapping[str, float],
    *,
    histograms: Mapping[str, np.ndarray] | None = None,
    pictures: Mapping[str, np.ndarray] | None = None,
  ):
    """Writes what there is of a step, by tag.

    Args:
      step: Updates taken.
      scalars: Numbers.
      histograms: Arrays of numbers, of which the finite ones are counted.
      pictures: [H, W, 3] uint8, R, G, B.
    """
    made = [{'tag': t, 'simple_value': float(v)} for t, v in scalars.items()]
    made += [
      {'tag': tag, 'histo': _histogram(values)}
      for tag, values in (histograms or {}).items()
    ]
    made += [
      {'tag': tag, 'image': summary.make_image(picture)}
      for tag, picture in (pictures or {}).items()
    ]
    values = [summary_pb2.Summary.Value(**value) for value in made]
    self._write(step=step, summary=summary_pb2.Summary(value=values))

  def flush(self):
    """Brings the file to the disk."""
    paths.flush(self._file, self._path)

  def close(self):
    """Closes the file."""
    self._file.close()

  def _write(self, **fields):
    event = event_pb2.Event(wall_time=time.time(), **fields)
    with paths.naming(self._path):
      self._file.write(_record(event.SerializeToString()))


def _histogram(values):
  """Returns how many of some numbers lie where."""
  finite = np.asarray(values, np.float64)[np.isfinite(values)]
  counts, edges = np.histogram(finite, _BINS)
  return summary_pb2.HistogramProto(
    min=finite.min(initial=np.inf),
    max=finite.max(initial=-np.inf),
    num=len(finite),
    sum=finite.sum(),
    sum_squares=(finite**2).sum(),
    bucket_limit=edges[1:],
    bucket=counts,
  )


def rewrite(path: pathlib.Path, keep: Callable[[str], bool]) -> bool:
  """Leaves out what an event file says by tags.

  Args:
    path: The file, to which nobody may be writing.
    keep: Whether what a tag names stays.

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
