"""GM: one general model of everybody, as published.

  python -m launch.train --config=configs/gm.py --workdir=runs/gm \
      --config.data.path=/data/frames

An epoch draws 450 pairs of each person, two frames of that person at random;
half of the pairs are a frame and its mirror image. With
--config.population.cohorts=others it trains a model for each person of
everybody else, all at once.

The published size has not been run to its end here. At an eighth of the width
on 32 px, 1,000 steps of six rendered people gave AUC .625 across videos
(a model a person .743, random weights .659; BENCHMARKS.md).
"""

from psm_jax.presets import base


def get_config():
  config = base.get_config()
  config.update_from_flattened_dict(
    {
      'population.cohorts': 'all',
      'curriculum.pairing': 'drawn',
      # Published; narrow models learn more without (BENCHMARKS.md).
      'augment.mirror_probability': 0.5,
      'train.epochs': 17,  # PSM release's shipped configurations.
    }
  )
  return config
