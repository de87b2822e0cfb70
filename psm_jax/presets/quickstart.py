"""Eight narrow models of eight synthetic people, for a first look on a CPU.

  python -m launch.train --config=configs/quickstart.py --workdir=runs/quick

A few hundred steps: it shows every part at work, not how well a full-size model
learns.
"""

from psm_jax.presets import narrow


def get_config():
  config = narrow.get_config()
  config.data.source = 'synthetic_faces'
  config.data.align = 'none'
  config.data.synthetic.num_people = 8
  config.data.synthetic.num_frames = 300
  config.train.batch_size = 4
  config.train.steps = 500
  config.curriculum.gap.end = 5.0
  return config
