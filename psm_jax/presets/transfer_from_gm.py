"""A model a person, each begun from one general model.

  python -m launch.train --config=configs/transfer_from_gm.py \
      --workdir=runs/from_gm --config.data.path=/data/frames \
      --config.init.path=runs/gm

Ten epochs a person with fresh Adam moments and the rates of a first training,
as published (Tazi et al., 2022).

The published size has not been run here. At an eighth of the width on 32 px,
200 steps after a general model's 1,000 gave AUC .652 across videos (200 from
scratch .664, six rendered people; BENCHMARKS.md).
"""

from psm_jax.presets import psm


def get_config():
  config = psm.get_config()
  config.update_from_flattened_dict(
    {
      'init.match': 'one',
      'train.epochs': 10,
    }
  )
  return config
