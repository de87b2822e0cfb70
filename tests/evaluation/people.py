"""Made-up people: smooth action units, head pose, features that mix them."""

import pathlib

import numpy as np
import pandas as pd

from psm_jax.evaluation import features, results
from psm_jax.presets import base
from psm_jax.runs import run

UNITS = ('AU01', 'AU04', 'AU12', 'AU25')
NUM_FEATURES = 16
# Of probes.ProbeConfig: nothing to choose, and few draws.
QUICK = {
  'l2_normalise': False,
  'inverse_penalties': (1.0,),
  'pixel_components': (64,),
  'few_labels': (30,),
  'few_label_draws': 1,
  'num_frame_resamples': 5,
  'num_block_resamples': 20,
}


def frames(person_id, *, num_videos=2, length=200, fps=20):
  """Returns videos in which action units come and go, and the head turns."""
  generator = np.random.default_rng(list(person_id.encode()))
  time_s = np.arange(length) / fps
  videos = []
  for number in range(num_videos):
    video = pd.DataFrame(
      {
        'person_id': person_id,
        'video_id': f'v{number}',
        'frame': np.arange(length),
        'time_s': time_s,
      }
    )
    for unit in UNITS:
      speed, phase = generator.uniform(1.5, 2.5), generator.uniform(0, 6)
      video[unit] = (4 * np.sin(speed * time_s + phase)).clip(0)
    for angle in ('yaw', 'pitch', 'roll'):
      speed, phase = generator.uniform(1, 2), generator.uniform(0, 6)
      video[f'pose_{angle}'] = 8 * np.sin(speed * time_s + phase)
    videos.append(video)
  return pd.concat(videos, ignore_index=True)


def table(
  own,
  source='gm',
  *,
  model_id=None,
  model_seed=0,
  action=1.0,
  pose=0.0,
  identity=0.0,
  noise=0.1,
):
  """Returns features that say as much of each thing as is asked.

  Tables of one model_seed share coordinates: the same mixing of units.
  """
  person_id = own['person_id'].iloc[0]
  mixing = np.random.default_rng([7, model_seed])
  units = own[list(UNITS)].to_numpy() @ mixing.normal(size=(4, NUM_FEATURES))
  turned = own.filter(like='pose_').to_numpy() / 4
  turned = turned @ mixing.normal(size=(3, NUM_FEATURES))
  whose = np.random.default_rng([9, *person_id.encode()])
  data = 4 + action * units + pose * turned
  data += identity * whose.normal(size=NUM_FEATURES)
  seed = [model_seed, *source.encode(), *person_id.encode()]
  data += noise * np.random.default_rng(seed).normal(size=data.shape)
  return features.FeatureTable(
    source, model_id or source, person_id, data.astype(np.float32), own
  )


def given(data, source='psm', **columns):
  """Returns given features as those of one video, with columns of labels."""
  own = pd.DataFrame(
    {
      'person_id': 'P1',
      'video_id': 'v1',
      'frame': np.arange(len(data)),
      'time_s': np.arange(len(data)) / 20,
    }
  )
  if columns:
    labels = pd.DataFrame(columns, index=own.index)
    own = pd.concat([own, labels], axis=1)
  return features.FeatureTable(
    source, 'm-s0', 'P1', data.astype(np.float32), own
  )


def wide(rows):
  """Returns rows of results, a row a probe and a column a metric."""
  return results.wide(results.table(rows))


def write_run(workdir, tables, *, seed_of=None, steps=100, wave_seconds=50.0):
  """Writes a run as training and embedding would, but for its checkpoint."""
  workdir = pathlib.Path(workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  cohorts = {}
  for own in tables:
    cohorts.setdefault(own.model_id, []).append(own)
  models = [
    run.Model(
      model_id=model_id,
      cohort=tuple(own.person_id for own in members),
      seed=(seed_of or {}).get(model_id, 0),
      total_steps=steps,
      num_epochs=1,
      num_frames=sum(len(own.frames) for own in members),
      num_videos=2,
      gap_cap=None,
      status='done',
      steps_done=steps,
    )
    for model_id, members in cohorts.items()
  ]
  config = base.get_config()
  config.train.batch_size = 4
  run.start(workdir, config, models, workdir / 'data')
  speed = steps / wave_seconds
  lines = ['step,model_id,loss,steps_per_s,frames_per_s']
  lines += [
    f'{step},{model.model_id},1,{speed},{speed * 8}'
    for step in (steps // 2, steps)
    for model in models
  ]
  (workdir / 'metrics.csv').write_text('\n'.join(lines) + '\n')
  write_tables(workdir / 'embeddings', tables)
  return workdir


def write_tables(root, tables, *, step=100, state='a state'):
  """Writes tables as launch.embed does."""
  for own in tables:
    units = [f'e{unit:03d}' for unit in range(own.features.shape[1])]
    data = pd.concat(
      [own.frames, pd.DataFrame(own.features, columns=units)], axis=1
    )
    data.insert(0, 'model_id', own.model_id)
    for video_id, part in data.groupby('video_id'):
      path = root / own.model_id / own.person_id / f'{video_id}.parquet'
      path.parent.mkdir(parents=True, exist_ok=True)
      part.attrs = {
        'schema_version': 1,
        'model_id': own.model_id,
        'step': step,
        'state': state,
        'config': 'an experiment',
        'epochs': step / 10,
        'examples_seen': 4 * step,
      }
      part.to_parquet(path, index=False)
