"""A canonical face a video, moved by a code: a model a person, 64 px.

  python -m launch.train --config=configs/canonical.py \
      --workdir=runs/canonical --config.data.path=/data/frames

For accelerators; configs/canonical_narrow.py is for a laptop. Frames are
aligned by the landmark columns of labels.csv; without them, set
--config.data.align=none and give aligned crops. docs/science.md has
scores of the narrow one.
"""

from psm_jax.presets import base


def get_config():
  config = base.get_config()
  config.update_from_flattened_dict(
    {
      'data.align': 'eyes',
      'method.name': 'canonical',
      'train.batch_size': 16,  # 32 frames.
      'train.epochs': 0,
      'train.steps': 4000,
      'curriculum.pairing': 'repaired',
      'optim.schedule': 'cosine',
      'optim.learning_rate': 2e-3,
      'optim.final_learning_rate': 0.0,
      'optim.warmup_steps': 50,
    }
  )
  return config
