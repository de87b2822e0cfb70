"""FAb-Net: one model of everybody, each target rebuilt from one other frame.

  python -m launch.train --config=configs/fabnet.py --workdir=runs/fabnet \
      --config.data.path=/data/frames

/data/frames holds PERSON/VIDEO/*.jpg, framed as loosely as VoxCeleb's faces;
for tight crops add --config.method.fabnet.crop=whole. A model a person instead:
--config.population.cohorts=each. Wiles et al., BMVC 2018, trained 256 px for
up to 10,000 epochs of one example a person; smaller images, of 16 to 128 px,
leave out stages of the networks.

The published size has not been run here. At an eighth of the width on 64 px,
1,000 steps of six rendered people gave AUC .861 across videos, .881 with the
loss of whole batches (pixels .925; BENCHMARKS.md).
"""

from psm_jax.presets import base


def get_config():
  config = base.get_config()
  config.update_from_flattened_dict(
    {
      'data.size_px': 256,
      'method.name': 'fabnet',
      'method.vgg': 'none',
      'population.cohorts': 'all',
      'train.batch_size': 128,
      'train.epochs': 10_000,
      'train.validation_share': 0.1,  # The loss window moves by it.
      'curriculum.pairing': 'views',
      'curriculum.num_sources': 1,
      'curriculum.draws_per_person': 1,  # FAb-Net release.
      # SGD with momentum; validation lowers the rate (see psm_jax/methods).
      'optim.schedule': 'constant',
      'optim.learning_rate': 1e-4,  # FAb-Net release.
      'augment.enabled': False,  # Its own jitter: method.fabnet.crop.
    }
  )
  return config
