"""GM with the temporal curriculum: a frame and the one a gap later.

  python -m launch.train --config=configs/gm_ctl.py --workdir=runs/gm_ctl \
      --config.data.path=/data/frames

Past the end of a video the partner is its last frame, as published.

The published size has not been run to its end here. At an eighth of the width
on 32 px, 1,000 steps of six rendered people gave AUC .624 across videos
(a model a person .747, random weights .659; BENCHMARKS.md).
"""

from psm_jax.presets import gm


def get_config():
  config = gm.get_config()
  config.curriculum.pairing = 'drawn_gap'
  return config
