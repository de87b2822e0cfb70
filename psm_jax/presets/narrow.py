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
  config.update_from_flattened_dict(
    {
      'data.size_px': 32,
      'data.align': 'eyes',
      'method.width': 0.125,
      'method.vgg': 'none',
      # The reference's 0.01 leaves the embedding nearly one-dimensional for the
      # first hundreds of steps.
      'method.code_std': 0.12,
      # Colours may invert otherwise, see methods/facecycle.py.
      'method.ssim_images': 'positive',
      'train.batch_size': 8,
      'train.epochs': 0,
      'train.steps': 2500,
      'curriculum.pairing': 'gap',
      'curriculum.gap.schedule': 'linear',
      'curriculum.gap.unit': 'seconds',
      'curriculum.gap.start': 0.1,
      'curriculum.gap.end': 7.5,
      'optim.schedule': 'cosine',
      'optim.learning_rate': 5e-4,
      'optim.final_learning_rate': 1e-5,
      'augment.flip': 'none',
    }
  )
  return config
