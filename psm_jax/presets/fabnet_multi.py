"""FAb-Net's second stage: three sources a target, weighed by the mask head.

  python -m launch.train --config=configs/fabnet_multi.py \
      --workdir=runs/fabnet_multi --config.data.path=/data/frames \
      --config.init.path=runs/fabnet

The paper's best models. The decoder keeps its weights, so this stage goes on
from a run of configs/fabnet.py, with its loss window; begun from random weights
it would have a random decoder.

The published size has not been run here. At an eighth of the width on 64 px,
1,000 steps of six rendered people gave AUC .861 across videos, as with one
source (pixels .925; BENCHMARKS.md).
"""

from psm_jax.presets import fabnet


def get_config():
  config = fabnet.get_config()
  config.update_from_flattened_dict(
    {
      'init.match': 'own',
      'curriculum.num_sources': 3,
      'method.fabnet.freeze_decoder': True,
    }
  )
  return config
