"""Eight narrow models of eight synthetic people, for a first look on a CPU.

  python -m launch.train --config=configs/quickstart.py --workdir=runs/quick

An eighth of the paper's width, 32 px, no perceptual term and a few hundred
steps: it shows every part at work, not how well a full-size model learns.
"""

from configs import base


def get_config():
  config = base.get_config()
  config.data.source = 'synthetic_faces'
  config.data.size_px = 32
  config.data.synthetic.num_people = 8
  config.data.synthetic.num_frames = 300
  config.method.width = 0.125
  config.method.vgg = 'none'
  # The reference's 0.01 leaves the embedding nearly one-dimensional for the
  # first hundreds of steps.
  config.method.code_std = 0.12
  config.train.batch_pairs = 4
  config.train.epochs = 0
  config.train.steps = 400
  config.curriculum.pairing = 'gap'
  config.curriculum.gap.schedule = 'linear'
  config.curriculum.gap.unit = 'seconds'
  config.curriculum.gap.start = 0.1
  config.curriculum.gap.end = 5.0
  config.curriculum.learning_rate.schedule = 'cosine'
  config.curriculum.learning_rate.initial = 1e-3
  config.curriculum.learning_rate.final = 1e-5
  config.curriculum.learning_rate.warmup_steps = 20
  return config
