"""A canonical face a video, moved by a code: a model a person in minutes.

  python -m launch.train --config=configs/canonical_narrow.py \
      --workdir=runs/canonical --config.data.path=/data/frames

Half the width on 32 px; one processor core trains a person in about two
minutes.
"""

from psm_jax.presets import canonical


def get_config():
  config = canonical.get_config()
  config.data.size_px = 32
  config.method.width = 0.5
  config.train.steps = 1200
  return config
