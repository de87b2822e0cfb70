"""GM with the temporal curriculum: a frame and the one a gap later.

  python -m launch.train --config=configs/gm_ctl.py --workdir=runs/gm_ctl \
      --config.data.path=/data/frames

Past the end of a video the partner is its last frame, as published.
"""

from psm_jax.presets import gm


def get_config():
  config = gm.get_config()
  config.curriculum.pairing = 'drawn_gap'
  return config
