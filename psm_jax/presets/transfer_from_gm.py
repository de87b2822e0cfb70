"""A model a person, each begun from one general model.

  python -m launch.train --config=configs/transfer_from_gm.py \
      --workdir=runs/from_gm --config.data.path=/data/frames \
      --config.init.path=runs/gm

Ten epochs a person with fresh Adam moments and the rates of a first training,
as published (Tazi et al., 2022).
"""

from psm_jax.presets import psm


def get_config():
  config = psm.get_config()
  config.init.match = 'one'
  config.train.epochs = 10
  return config
