"""Times the discovery of novel clusters on made-up embeddings.

  python -m benchmarks.discovery --people=27 --frames=4845 --stride=10

Prints a row a part: the DBSCAN grid of both models, and the whole discovery
with stability and nulls. The embeddings hold a resting face and eleven
movements, entered and left gradually. CPU seconds are of this process; BLAS
runs on one thread.
"""

import dataclasses
import resource
import time

import numpy as np
import pandas as pd
import threadpoolctl
from absl import app, flags

from psm_jax.discovery import clusters, matching, search
from psm_jax.evaluation import features

_PEOPLE = flags.DEFINE_integer('people', 27, 'Persons; DISFA has 27.')
_FRAMES = flags.DEFINE_integer('frames', 4845, 'Frames a person.')
_UNITS = flags.DEFINE_integer('units', 256, 'Units of an embedding.')
_STRIDE = flags.DEFINE_integer('stride', 10, 'Every so many frames are used.')
_PARTS = flags.DEFINE_list('parts', ['grid', 'discovery'], 'What to time.')

_MOVEMENTS = 12
_FPS = 20


def made_up(person: int, model: str) -> features.FeatureTable:
  """Returns one model's features of a person, movements the same for all."""
  generator = np.random.default_rng([person, 0])
  length = _FRAMES.value // 100 + 1
  movement = generator.integers(_MOVEMENTS, size=length) * (
    generator.random(length) < 0.5
  )
  movement = np.repeat(movement, 100)[: _FRAMES.value]
  strength = np.sin(np.arange(_FRAMES.value) % 100 / 100 * np.pi)
  units = generator.random((_MOVEMENTS, 12)) < 0.25
  frames = pd.DataFrame(
    {
      'person_id': f'P{person:02d}',
      'video_id': 'v',
      'frame': np.arange(_FRAMES.value),
      'time_s': np.arange(_FRAMES.value) / _FPS,
    }
  )
  for unit in range(12):
    active = units[movement, unit] & (movement > 0)
    frames[f'AU{unit + 1:02d}'] = 5.0 * active * strength
  generator = np.random.default_rng([person, *model.encode()])
  centre = generator.normal(size=(_MOVEMENTS, _UNITS.value))
  centre[0] = 0
  data = generator.normal(size=(_FRAMES.value, _UNITS.value)) * 0.3
  data += centre[movement] * strength[:, None] + generator.normal(
    size=_UNITS.value
  )
  return features.FeatureTable(
    model,
    f'{model}-{person}',
    f'P{person:02d}',
    data.astype(np.float32),
    frames,
  )


def grid(config: matching.DiscoveryConfig) -> int:
  """Groups every person's frames at every setting; returns the settings."""
  num_settings = 0
  for person in range(_PEOPLE.value):
    measured = []
    for model in ('psm', 'gm'):
      table = clusters.select(made_up(person, model), config=config.clusters)
      distances = clusters.frame_distances(table.features)
      neighbours = clusters.neighbour_distances(
        distances, num_neighbours=max(config.clusters.min_samples)
      )
      measured.append((distances, neighbours))
    settings = clusters.make_settings(
      [neighbours for _, neighbours in measured], config=config.clusters
    )
    for distances, neighbours in measured:
      labels = clusters.label_frames(
        distances, neighbours, settings, config=config.clusters
      )
      num_settings += len(labels)
  return num_settings


def whole(config: matching.DiscoveryConfig) -> int:
  """Runs the whole discovery; returns the settings."""
  found = search.discover(
    *(
      [made_up(person, model) for person in range(_PEOPLE.value)]
      for model in ('psm', 'gm')
    ),
    config=config,
  )
  return len(found['settings'])


def main(argv):
  """Times what --parts names and prints a table."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  config = dataclasses.replace(
    matching.DEFAULT,
    clusters=dataclasses.replace(clusters.DEFAULT, frame_stride=_STRIDE.value),
  )
  print('part people frames used settings cpu_s wall_s peak_gib')
  for part in _PARTS.value:
    work = {'grid': grid, 'discovery': whole}[part]
    cpu, wall = time.process_time(), time.perf_counter()
    with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
      num_settings = work(config)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    used = -(-_FRAMES.value // _STRIDE.value)
    print(
      f'{part} {_PEOPLE.value} {_FRAMES.value} {used} {num_settings} '
      f'{cpu:.1f} {wall:.1f} {peak:.2f}'
    )


if __name__ == '__main__':
  app.run(main)
