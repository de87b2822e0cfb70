"""A model for every ordered pair of people: begun from one, trained on another.

  python -m launch.train --config=configs/transfer_from_person.py \
      --workdir=runs/from_person --config.data.path=/data/frames \
      --config.init.path=runs/psm

K people with a model each in runs/psm give K (K - 1) models, trained at once.
"""

from psm_jax.presets import transfer_from_gm


def get_config():
  config = transfer_from_gm.get_config()
  config.init.match = 'others'
  return config
