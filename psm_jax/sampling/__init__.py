"""Which frames step k of a model sees, a pure function of seed, cohort and k.

`plan` makes a model's plan and reads it, on the host and in the compiled step;
`feistel` is the order within an epoch; `curriculum` what is scheduled by step.
"""

from psm_jax.sampling.plan import (
  MAX_EPOCHS,
  PAIRINGS,
  Clock,
  Cohort,
  Plan,
  epoch_index,
  make_plan,
  num_members,
  positions,
  stack,
)

__all__ = [
  'MAX_EPOCHS',
  'PAIRINGS',
  'Clock',
  'Cohort',
  'Plan',
  'epoch_index',
  'make_plan',
  'num_members',
  'positions',
  'stack',
]
