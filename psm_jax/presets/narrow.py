"""A narrow model a person of a frame folder, for machines without accelerator.

  python -m launch.train --config=configs/narrow.py --workdir=runs/narrow \
      --config.data.path=/data/frames

An eighth of the paper's width on 32 px, no perceptual term, the gap widening
from 0.1 to 7.5 seconds. About a tenth of a second a step and person on two
cores: twelve rendered people of 1,200 frames took 70 minutes beside other
programs. AUC .773 across videos (random weights .670, pixels .907;
BENCHMARKS.md). Frames are aligned by the landmark columns of labels.csv;
without them, set --config.data.align=none and give aligned crops.
"""

from psm_jax.presets import base


def get_config():
  config = base.get_config()
  config.data.size_px = 32
  config.data.align = 'eyes'
  config.method.width = 0.125
  config.method.vgg = 'none'
  # The reference's 0.01 leaves the embedding nearly one-dimensional for the
  # first hundreds of steps.
  config.method.code_std = 0.12
  # Colours may invert otherwise, see methods/facecycle.py.
  config.method.ssim_images = 'positive'
  config.train.batch_size = 8
  config.train.epochs = 0
  config.train.steps = 2500
  config.curriculum.pairing = 'gap'
  config.curriculum.gap.schedule = 'linear'
  config.curriculum.gap.unit = 'seconds'
  config.curriculum.gap.start = 0.1
  config.curriculum.gap.end = 7.5
  config.optim.schedule = 'cosine'
  config.optim.learning_rate = 5e-4
  config.optim.final_learning_rate = 1e-5
  config.augment.flip = 'none'
  return config
