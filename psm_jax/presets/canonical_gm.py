"""One general model that moves everybody's canonical faces, 64 px.

  python -m launch.train --config=configs/canonical_gm.py --workdir=runs/gm \
      --config.data.path=/data/frames

The canonical face is the video's, so that the code need not say who it is; the
encoder also sees how a frame differs from it, as it must tell new people too.
With --config.population.cohorts=others it trains a model for each person of
everybody else, all at once.

At half the width on 32 px it took six minutes of one core for twelve synthetic
people together: AUC .957 across videos, .932 for people whom it never saw
(pixels .919 and .906; docs/science.md).
"""

from psm_jax.presets import canonical

# What makes one model of everybody of a model of canonical faces.
GENERAL = {
  'method.canonical.sees_difference': True,
  'population.cohorts': 'all',
  'curriculum.pairing': 'drawn',
}


def get_config():
  config = canonical.get_config()
  config.update_from_flattened_dict(GENERAL)
  return config
