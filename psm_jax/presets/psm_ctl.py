"""PSM with the temporal curriculum: the gap of a pair widens by epochs.

  python -m launch.train --config=configs/psm_ctl.py --workdir=runs/psm_ctl \
      --config.data.path=/data/frames

The reference's gap: 2 e frames below epoch 50, 4 e below 100, 5 e from there.

The published size has not been run to its end here. At an eighth of the width
on 32 px, 1,000 steps of six rendered people gave AUC .747 across videos
(without the curriculum .743, random weights .659; BENCHMARKS.md).
"""

from psm_jax.presets import base


def get_config():
  config = base.get_config()
  config.update_from_flattened_dict(
    {
      'curriculum.pairing': 'gap',
      'train.epochs': 200,  # The paper's curriculum figure ends there.
    }
  )
  return config
