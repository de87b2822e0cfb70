"""Times the probes of action units on made-up embeddings.

  python -m benchmarks.probes --people=27 --frames=4845 --units=256 --workers=2

Makes people with action units, head pose and embeddings that mix both with
other movement, probes them on all four splits, and prints seconds, processor
seconds, the peak of memory and the mean scores: F1, AUC and ICC say that there
was something to find. --controls adds the controls that labels allow,
--landmarks 68 landmarks.
"""

import dataclasses
import resource
import time

import numpy as np
import pandas as pd
from absl import app, flags
from scipy import signal, special

from benchmarks import measurement
from psm_jax.evaluation import (
  controls,
  evaluate,
  features,
  probes,
  results,
  splits,
)

_PEOPLE = flags.DEFINE_integer('people', 27, 'Persons; DISFA has 27.')
_FRAMES = flags.DEFINE_integer('frames', 4845, 'Frames a person, two videos.')
_UNITS = flags.DEFINE_integer('units', 256, 'Units of an embedding.')
_WORKERS = flags.DEFINE_integer('workers', 2, 'Processes.')
_SPLITS = flags.DEFINE_list('splits', list(splits.ALL_SPLITS), 'Which.')
_CONTROLS = flags.DEFINE_bool('controls', False, 'head_pose, nearest_in_time.')
_LANDMARKS = flags.DEFINE_bool('landmarks', False, 'Add 68 landmarks.')
_ENVIRONMENT = flags.DEFINE_bool('environment', False, 'Print the machine too.')

_ACTION_UNITS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
_NUM_NUISANCES = 20
_FPS = 20


def made_up(person: int) -> features.FeatureTable:
  """Returns one person's embeddings with action units planted in them."""
  generator = np.random.default_rng(person)
  num_frames = _FRAMES.value
  rate = generator.uniform(0.04, 0.35, len(_ACTION_UNITS))
  # Smooth noise above a quantile is an event of about a second.
  smooth = _smooth(generator, (num_frames, len(_ACTION_UNITS)), 0.95)
  above = smooth - special.ndtri(1 - rate)
  intensity = np.clip(np.ceil(above * 4 + 1), 0, 5)
  pose = 8 * _smooth(generator, (num_frames, 3), 0.99)
  hidden = np.concatenate(
    [
      intensity / 2,
      pose / 8,
      _smooth(generator, (num_frames, _NUM_NUISANCES), 0.9),
    ],
    axis=1,
  )
  mixing = generator.normal(size=(hidden.shape[1], _UNITS.value)) * 0.3
  data = np.tanh(hidden @ mixing)
  data += 0.7 * generator.normal(size=data.shape)
  half = -(-num_frames // 2)
  number = np.arange(num_frames)
  columns = {
    'person_id': f'P{person:03d}',
    'video_id': np.where(number < half, 'v0', 'v1'),
    'frame': number % half,
    'time_s': number % half / _FPS,
    'held_out': (number % half >= 0.8 * half) * 1.0,
    **{f'AU{u:02d}': intensity[:, i] for i, u in enumerate(_ACTION_UNITS)},
    **{f'pose_{p}': pose[:, i] for i, p in enumerate(controls.POSES)},
  }
  if _LANDMARKS.value:
    shape = generator.normal(size=136) * 30
    points = shape + hidden @ generator.normal(size=(hidden.shape[1], 136))
    for k in range(68):
      columns |= {f'x{k}': points[:, 2 * k], f'y{k}': points[:, 2 * k + 1]}
  return features.FeatureTable(
    'psm',
    f'made-up-{person}',
    f'P{person:03d}',
    data.astype(np.float32),
    pd.DataFrame(columns),
  )


def main(argv):
  """Times the whole evaluation and prints a row."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  config = dataclasses.replace(probes.DEFAULT, splits=tuple(_SPLITS.value))
  wall = time.perf_counter()
  rows, _ = evaluate.evaluate(
    [made_up(person) for person in range(_PEOPLE.value)],
    config=config,
    add_controls=_CONTROLS.value,
    num_workers=_WORKERS.value,
  )
  wall = time.perf_counter() - wall
  table = results.table(rows)
  used = [
    resource.getrusage(who)
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
  ]
  cpu = sum(own.ru_utime + own.ru_stime for own in used)
  # The largest process of either kind; ru_maxrss is in KiB on Linux.
  num_children = _WORKERS.value if _WORKERS.value > 1 else 0
  peak = (used[0].ru_maxrss + num_children * used[1].ru_maxrss) / 2**20
  print('people frames units splits workers probes wall_s cpu_s peak_gib')
  print(
    f'{_PEOPLE.value} {_FRAMES.value} {_UNITS.value} {len(config.splits)} '
    f'{_WORKERS.value} {len(results.wide(table))} {wall:.1f} {cpu:.1f} '
    f'{peak:.2f}'
  )
  shown = results.summarise(table)
  shown = shown[shown['metric'].isin(['f1_bootstrap', 'auc', 'icc', 'r2'])]
  shown = shown.pivot(
    index='first', columns=['target', 'metric', 'split'], values='mean'
  )
  print(shown.T.to_string(float_format='%.3f'))
  if _ENVIRONMENT.value:
    print(measurement.environment())


def _smooth(generator, shape, memory):
  """Returns noise of variance 1 that forgets a share 1 - memory a frame."""
  noise = generator.normal(size=(shape[0] + 200, *shape[1:]))
  made = signal.lfilter([(1 - memory**2) ** 0.5], [1, -memory], noise, axis=0)
  return made[200:]


if __name__ == '__main__':
  app.run(main)
