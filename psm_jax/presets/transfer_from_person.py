"""A model for every ordered pair of people: begun from one, trained on another.

  python -m launch.train --config=configs/transfer_from_person.py \
      --workdir=runs/from_person --config.data.path=/data/frames \
      --config.init.path=runs/psm

K people with a model each in runs/psm give K (K - 1) models, trained at once.

The published size has not been run here. At an eighth of the width on 32 px,
200 steps after another person's 1,000 gave AUC .685 across videos (200 from
scratch .664, six rendered people; BENCHMARKS.md).
"""

from psm_jax.presets import transfer_from_gm


def get_config():
  config = transfer_from_gm.get_config()
  config.init.match = 'others'
  return config
