"""A canonical face a video, moved by a code: a model a person in minutes.

  python -m launch.train --config=configs/canonical_narrow.py \
      --workdir=runs/canonical --config.data.path=/data/frames

Half the width on 32 px. Twelve synthetic people of 1,200 frames took some three
minutes of one core each: AUC .949 across videos, .863 with 30 labelled frames
(pixels .909 and .756; three seeds, docs/science.md).
"""

from psm_jax.presets import canonical


def get_config():
  config = canonical.get_config()
  config.update_from_flattened_dict(
    {
      'data.size_px': 32,
      'method.width': 0.5,
      'train.steps': 2000,
    }
  )
  return config
