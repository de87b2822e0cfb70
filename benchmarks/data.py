"""How fast frame stores are built, opened and verified.

  python -m benchmarks.data --frames=/data/frames --align=eyes --out=data.json
  taskset -c 0,1 python -m benchmarks.data --people=1000 --frames_per_person=500

With --frames a folder of PERSON/VIDEO/*.jpg becomes a store twice: from
nothing, and again from the TFDS records, which is decoding alone. Then a store
of --people invented people with random frames of 8 px is opened and verified.
Everything is made in a temporary folder below --scratch and deleted. Processor
seconds are those of all threads; the page cache is warm.
"""

import json
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

import ml_collections
import numpy as np
import pandas as pd
from absl import flags, logging

from benchmarks import measurement
from psm_jax import paths
from psm_jax.cli import program
from psm_jax.data import prepare, store, upkeep
from psm_jax.presets import base

_TINY_PX = 8
_FPS = 25.0


def time_build(
  config_data: ml_collections.ConfigDict, folder: pathlib.Path
) -> list[dict]:
  """Returns the times of building a store from nothing and from its records.

  Args:
    config_data: what `prepare.prepare` takes.
    folder: where records and store are made.
  """
  rows = []
  for what in ('from nothing', 'from records'):
    start, cpu_start = time.perf_counter(), time.process_time()
    path = prepare.prepare(config_data, directory=folder)
    seconds = time.perf_counter() - start
    cpu_s = time.process_time() - cpu_start
    num_frames = len(store.open_store(path).frames)
    rows.append(
      {
        'what': f'build {what}',
        'frames': num_frames,
        'seconds': seconds,
        'cpu_s': cpu_s,
        'frames_per_s': num_frames / seconds,
      }
    )
    shutil.rmtree(path)
  return rows


def time_opening(
  folder: pathlib.Path,
  *,
  num_people: int,
  frames_per_person: int,
  repeats: int,
) -> list[dict]:
  """Returns the median times of opening and of verifying a store.

  Args:
    folder: where the store is made.
    num_people: people in it, with two videos each.
    frames_per_person: frames of each.
    repeats: how often each is timed.
  """
  path = _write_store(folder / 'people', num_people, frames_per_person)
  num_frames = num_people * frames_per_person
  rows = []
  for what, run in (
    ('open', lambda: store.open_store(path)),
    ('open and verify', lambda: upkeep.verify(path)),
  ):
    times = [measurement.time_runs(run, 1) for _ in range(repeats)]
    seconds = statistics.median(wall for wall, _ in times)
    rows.append(
      {
        'what': f'{what} {num_people} people',
        'frames': num_frames,
        'seconds': seconds,
        'cpu_s': statistics.median(cpu for _, cpu in times),
        'frames_per_s': num_frames / seconds,
      }
    )
  return rows


def _write_store(path, num_people, frames_per_person):
  half = frames_per_person // 2
  number = np.arange(frames_per_person)
  frame = np.where(number < half, number, number - half)
  people = [f'P{person:05d}' for person in range(num_people)]
  index = pd.DataFrame(
    {
      'person_id': np.repeat(people, frames_per_person),
      'video_id': np.tile(np.where(number < half, 'v1', 'v2'), num_people),
      'frame': np.tile(frame, num_people),
      'time_s': np.tile(frame / _FPS, num_people),
      'AU12': np.float32(1),
    }
  )
  generator = np.random.default_rng(0)
  with store.writing(path, num_frames=len(index), size_px=_TINY_PX) as writer:
    for start in range(0, len(index), 100_000):
      part = writer.frames[start : start + 100_000]
      part[:] = generator.integers(0, 256, part.shape, dtype=np.uint8)
    fps = {(person, video): _FPS for person in people for video in ('v1', 'v2')}
    writer.finish(index, fps=fps)
  return path


def table(rows: list[dict]) -> str:
  """Returns the rows as aligned text."""
  lines = [('what', 'frames', 'seconds', 'cpu s', 'frames/s')]
  lines += [
    (
      row['what'],
      str(row['frames']),
      f'{row["seconds"]:.3f}',
      f'{row["cpu_s"]:.3f}',
      f'{row["frames_per_s"]:.0f}',
    )
    for row in rows
  ]
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  return '\n'.join(
    '  '.join(
      [line[0].ljust(widths[0])]
      + [
        cell.rjust(width)
        for cell, width in zip(line[1:], widths[1:], strict=True)
      ]
    )
    for line in lines
  )


def _define_flags():
  flags.DEFINE_string('frames', None, 'A folder of PERSON/VIDEO/*.jpg.')
  flags.DEFINE_integer('size_px', 64, 'Side of a frame.', lower_bound=8)
  flags.DEFINE_enum('align', 'none', ['none', 'eyes'], 'See data.align.')
  flags.DEFINE_integer('people', 1000, 'Of the store opened.', lower_bound=1)
  flags.DEFINE_integer(
    'frames_per_person', 100, 'Of the store opened.', lower_bound=2
  )
  flags.DEFINE_integer('repeats', 5, 'Of opening.', lower_bound=1)
  flags.DEFINE_string('scratch', None, 'Where the temporary folder is made.')
  flags.DEFINE_string('out', None, 'A JSON file for the results.')


REQUIRED = ()


def main():
  """Measures, prints a table and writes JSON if asked to."""
  values = flags.FLAGS
  rows = []
  with tempfile.TemporaryDirectory(
    prefix='psm_jax_data_', dir=values.scratch
  ) as scratch:
    folder = pathlib.Path(scratch)
    if values.frames:
      config_data = base.get_config().data
      config_data.path = values.frames
      config_data.size_px, config_data.align = values.size_px, values.align
      rows += time_build(config_data, folder / 'build')
    rows += time_opening(
      folder,
      num_people=values.people,
      frames_per_person=values.frames_per_person,
      repeats=values.repeats,
    )
  described = measurement.environment() | {
    'size_px': values.size_px,
    'align': values.align,
    'peak_process_bytes': measurement.peak_process_bytes(),
    'rows': rows,
  }
  print(table(rows))
  print(f'peak memory {described["peak_process_bytes"] / 2**20:.0f} MiB')
  if values.out:
    paths.write_atomic(values.out, json.dumps(described, indent=1) + '\n')
    logging.info('Wrote %s', values.out)


if __name__ == '__main__':
  _define_flags()
  program.run(sys.modules[__name__])
