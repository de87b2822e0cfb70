"""How fast frame stores are built, opened, verified and fed from.

  python -m benchmarks.data --frames=/data/frames --align=eyes --out=data.json
  taskset -c 0,1 python -m benchmarks.data --people=1000 --frames_per_person=500

With --frames a folder of PERSON/VIDEO/*.jpg becomes a store twice: from
nothing, and again from the TFDS records, which is decoding alone. Then a store
of --people invented people with random frames of 8 px is opened and verified,
and one of --fed_people with frames of 64 px feeds a model of each. Everything
is made in a temporary folder below --scratch and deleted. Processor seconds are
those of all threads; the page cache is warm.
"""

import contextlib
import json
import pathlib
import shutil
import tempfile
import time

import jax
import ml_collections
import numpy as np
import pandas as pd
from absl import app, flags, logging

from benchmarks import measurement
from psm_jax import methods, paths
from psm_jax.data import prepare, store, upkeep
from psm_jax.engine import feed, population
from psm_jax.presets import base
from psm_jax.runs import planning

_TINY_PX = 8
_FPS = 25.0
_FED_FRAMES = 1000
_WARM_STEPS = 5


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
    rows.append(_row(f'build {what}', num_frames, seconds, cpu_s))
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
  path = _write_store(
    folder / 'people', num_people, frames_per_person, _TINY_PX
  )
  num_frames = num_people * frames_per_person
  rows = []
  for what, run in (
    ('open', lambda: store.open_store(path)),
    ('open and verify', lambda: upkeep.verify(path)),
  ):
    times = [measurement.time_runs(run, 1) for _ in range(repeats)]
    seconds, cpu_s = np.median(times, axis=0).tolist()
    rows.append(_row(f'{what} {num_people} people', num_frames, seconds, cpu_s))
  return rows


def time_feeds(
  folder: pathlib.Path, *, num_people: int, frames_per_person: int, steps: int
) -> list[dict]:
  """Returns the times of a step's frames, streamed and from the devices.

  One model a person, 32 frames of 64 px a step each. The first row is the
  reading of all frames, with their verification, onto the device.

  Args:
    folder: where the store is made.
    num_people: people in it.
    frames_per_person: frames of each.
    steps: how many steps are timed.
  """
  config = base.get_config()
  config.method.vgg, config.data.size_px = 'none', 64
  config.population.strategy, config.population.num_devices = 'loop', 1
  path = _write_store(
    folder / 'feeds', num_people, frames_per_person, config.data.size_px
  )
  opened = store.open_store(path)
  _, plans = planning.plan_models(config, opened)
  built = population.build(methods.make(config), plans, config)
  num_frames = num_people * 2 * config.train.batch_size
  rows = []
  for name in ('resident', 'stream'):
    config.data.feed, made = name, []
    seconds, cpu_s = measurement.time_runs(
      lambda made=made: made.append(
        feed.make(built, store.open_store(path).frames, config)
      ),
      1,
    )
    with contextlib.closing(made[0]) as source:
      if name == 'resident':
        what = f'read {num_people} people'
        rows.append(_row(what, len(opened.index), seconds, cpu_s))
      for step in range(_WARM_STEPS):
        jax.block_until_ready(source.batches_at(step))
      counted = iter(range(_WARM_STEPS, _WARM_STEPS + steps))
      seconds, cpu_s = measurement.time_runs(
        lambda source=source, counted=counted: jax.block_until_ready(
          source.batches_at(next(counted))
        ),
        steps,
      )
    what = f'{name} feed, {num_people} models, a step'
    rows.append(_row(what, num_frames, seconds, cpu_s))
  return rows


def _row(what, num_frames, seconds, cpu_s):
  return {
    'what': what,
    'frames': num_frames,
    'seconds': seconds,
    'cpu_s': cpu_s,
    'frames_per_s': num_frames / seconds,
  }


def _write_store(path, num_people, frames_per_person, size_px):
  half = frames_per_person // 2
  number = np.arange(frames_per_person)
  frame = np.where(number < half, number, number - half)
  generator = np.random.default_rng(0)
  with upkeep.writing(path, size_px=size_px) as writer:
    for person in range(num_people):
      index = pd.DataFrame(
        {
          'person_id': f'P{person:05d}',
          'video_id': np.where(number < half, 'v1', 'v2'),
          'frame': frame,
          'time_s': frame / _FPS,
          'AU12': np.float32(1),
        }
      )
      shape = (frames_per_person, size_px**2 * 3)
      frames = generator.integers(0, 256, shape, dtype=np.uint8)
      writer.add(frames, index, fps={'v1': _FPS, 'v2': _FPS})
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
  flags.DEFINE_integer('fed_people', 12, 'Who are fed from.', lower_bound=1)
  flags.DEFINE_integer('steps', 200, 'Of each feed.', lower_bound=1)
  flags.DEFINE_string('scratch', None, 'Where the temporary folder is made.')
  flags.DEFINE_string('out', None, 'A JSON file for the results.')


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
    rows += time_feeds(
      folder,
      num_people=values.fed_people,
      frames_per_person=_FED_FRAMES,
      steps=values.steps,
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
  app.run(lambda _: main())
