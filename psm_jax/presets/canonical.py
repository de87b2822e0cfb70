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
  config.data.align = 'eyes'
  config.method.name = 'canonical'
  config.train.batch_size = 16  # 32 frames.
  config.train.epochs = 0
  config.train.steps = 4000
  config.curriculum.pairing = 'repaired'
  config.optim.schedule = 'cosine'
  config.optim.learning_rate = 2e-3
  config.optim.final_learning_rate = 0.0
  config.optim.warmup_steps = 50
  return config
