"""Synthetic talking heads: invented people, what they do, and their pictures.

A person, one of their videos, and its frame 17:

  person = synthetic.sample_person(seed=0, person_index=3)
  performance = synthetic.sample_performance(person, 0, 0, 300, 25.0)
  picture = synthetic.render(person, performance, 17, size_px=64)

Nobody real is depicted, so such data can be shared and shown freely.
"""

from psm_jax.data.synthetic.performance import Performance, sample_performance
from psm_jax.data.synthetic.person import (
  ACTION_UNITS,
  MAX_INTENSITY,
  Person,
  sample_person,
)
from psm_jax.data.synthetic.renderer import render

__all__ = [
  'ACTION_UNITS',
  'MAX_INTENSITY',
  'Performance',
  'Person',
  'render',
  'sample_performance',
  'sample_person',
]
