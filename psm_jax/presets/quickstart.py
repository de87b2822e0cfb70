"""Narrow models of four synthetic people, for a first look on a CPU.

  python -m launch.train --config=configs/quickstart.py --workdir=runs/quick

Canonical faces moved by a code, as in canonical_narrow, for a quarter as long.
"""

from psm_jax.presets import canonical_narrow


def get_config():
  config = canonical_narrow.get_config()
  config.update_from_flattened_dict(
    {
      'train.steps': 500,
      'data.source': 'synthetic_faces',
      'data.align': 'none',
      'data.synthetic.num_people': 4,
      'data.synthetic.num_frames': 300,
    }
  )
  return config
